/* Reading the service files without waiting for them: a child of the launcher, its own program with
 * the option --read, reads and hands over what it found (config/reading.h).
 *
 * One that comes no further for READER_STALL_MS is killed, and it is said what hung. A child that
 * even SIGKILL does not end at once (it waits in the kernel) is left to itself until it does. */
#pragma once

#include "config/reading.h"
#include "service-launcher/launcher.h"

#include <limits.h>

#define READER_STALL_MS  10000 /* a slow disk still gives a small file in that time */
#define READER_STUCK_MAX 4     /* children that do not die, before no more are made */

/* A zeroed one reads nothing. */
struct reader {
    struct reader_child *child; /* NULL: none is under way */
    unsigned stuck;             /* children that were given up, and have not ended */
    char where[PATH_MAX];
};

/* `why` NULL: all was read, and *reading is the callee's from now on. Else what went wrong, in
 * words, and `reading` is NULL. */
typedef void reader_done(struct launcher *launcher, struct reading *reading, const char *why);

/* Begins; only when nothing is being read. Returns 0, or -errno with nothing begun and no call to
 * come. */
int reader_begin(struct launcher *launcher, reader_done *on_done);

/* What is being read just now, a path, valid until the next call; NULL: nothing is. */
const char *reader_where(const struct reader *reader);

/* In the child: reads and writes, then ends. */
_Noreturn void reader_child(const struct launcher_options *options);

/* The options of the reading among the launcher's own. */
struct reading_options reader_options(const struct launcher_options *options);

/* For a child of the launcher's own program: its arguments after `option`, with those that say what
 * is to be read. From malloc, NULL-terminated, nothing in it is owned; NULL without memory. */
char **reader_arguments(const struct launcher_options *options, const char *option);
