/* Entries of journals on standard output, in large pieces. */
#pragma once

#include "base/buffer.h"
#include "journal/format.h"

#include <stdbool.h>

enum log_form { LOG_SHORT, LOG_CAT, LOG_JSON };

struct log_show {
    enum log_form form;
    bool terminal;  /* what is printed gets to one, at last */
    bool colour;    /* by level */
    bool named;     /* each line has its service's name */
    unsigned width; /* columns at which a line is cut; 0: nowhere */
    struct buffer out;
};

/* Returns 0, -ENOMEM, or -EPIPE when it could not be written: nothing more need be shown. */
int log_show_entry(struct log_show *show, const char *name, const struct journal_entry *entry);

/* Prints what is there still. 0 or -EPIPE. */
int log_show_flush(struct log_show *show);
void log_show_finish(struct log_show *show);
