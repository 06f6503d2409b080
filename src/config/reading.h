/* One reading of everything a person has written: the system file and all service files.
 *
 * A folder may hang (a server that is gone), so the launcher has it done by a child: that one
 * reads and writes what it found into two memfds, from which the launcher takes it. The first holds
 * the record of docs/definitions-record.md; the second begins with a `struct scan_place`, which the
 * child keeps up to date, and at READING_NOTES_AT the errors and warnings follow:
 *
 *   u32 kind (1 error, 2 warning, 3 end), line, column, bytes of file, bytes of message;
 *   then the file and the message, each with a NUL.
 *
 * The end's `line` says whether the system file is there and does not load. */
#pragma once

#include "config/error-list.h"
#include "config/sources.h"

#include <stdbool.h>
#include <stddef.h>

/* The system file among the sources: no file of a folder has such a name. */
#define SYSTEM_SOURCE_NAME "/system-file"

#define READING_NOTES_AT 8192

struct reading_options {
    const char *config;    /* the system file; NULL: the default places */
    const char *switches;  /* the folder of config/switches.h; NULL: none is looked at */
    const char **services; /* folders, later ones outrank */
    size_t service_count;
    bool services_given; /* else they are the default ones, which need not be there */
};

/* Zeroed: nothing was read. To be finished with reading_finish(). */
struct reading {
    struct sources sources; /* the system file among them, if it is there and loads; and what was
                             * switched by hand, if anything was */
    struct error_list errors, warnings;
    bool system_broken; /* it is there and does not load */
};

/* Reads it all. `place` NULL: nobody looks. Returns 0 (also with errors) or -ENOMEM. *ret is to be
 * finished in every case. */
int reading_read(const struct reading_options *options, struct scan_place *place,
                 struct reading *ret);

/* Writes it, the notes last. Returns 0 or -errno. */
int reading_write(const struct reading *reading, int sources_fd, int notes_fd);

/* What reading_write() wrote. Returns 0, -EBADMSG for anything else, or -errno. *ret is to be
 * finished in every case. */
int reading_take(int sources_fd, int notes_fd, struct reading *ret);

void reading_finish(struct reading *reading);

/* All errors, one a line, from malloc; NULL when there is no memory. */
char *reading_errors_text(const struct error_list *errors);
