/* What init was called with. */
#pragma once

#include "init/kept.h"
#include "log/log.h"

#include <stdbool.h>
#include <stddef.h>

#define OPTIONS_ARGUMENTS_MAX 64

struct options {
    bool help, version;
    bool json;
    enum log_level level; /* of the console */
    bool level_given;
    unsigned start_timeout_s; /* for a child, from its start to its READY */
    /* For the children: pointers into argv and into constants. Ends in NULL. */
    const char *arguments[OPTIONS_ARGUMENTS_MAX + 1];
    size_t argument_count;
    const char *wrong; /* the first word that is no option of ours, or has no good value */
};

/* Reads the command line, and CONIT_RUNTIME. What it does not know is left out and noted in
 * `wrong`: the kernel hands words to init that are meant for nobody. */
void options_parse(struct options *options, int argc, const char *const *argv);

/* Keeps the command line in the record. Returns false when it was cut. */
bool options_keep(struct kept_words *words, int argc, const char *const *argv);

/* Fills argv with the words that are kept, and a NULL. Returns how many. */
int options_kept(const struct kept_words *words, const char *argv[static WORDS_KEPT_MAX + 1]);

/* One more argument for the children; left out when there are too many. */
void options_hand_on(struct options *options, const char *argument);

void options_print_help(void);
