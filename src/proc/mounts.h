/* Whether anything is mounted that can hang: a file system that is served over a network or by
 * another process, so that whoever looks at a path may wait for ever. Reading the table of mounts
 * never waits. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define MOUNTS_POINTS_BYTES 4096 /* for where they are: of more, no path is known to be safe */

struct mounts {
    int fd;     /* /proc/self/mountinfo; -1: there is none, and everything may hang */
    int failed; /* -errno of that, or of reading it: tried again when it is asked for; or 0 */
    bool known, may_hang;
    bool unknown;                     /* not all of them are in `points` */
    char points[MOUNTS_POINTS_BYTES]; /* where those are mounted that can hang, each with its NUL */
    size_t points_bytes;
};

void mounts_open(struct mounts *mounts);

/* One poll(2) as long as nothing was mounted or unmounted. */
bool mounts_may_hang(struct mounts *mounts);

/* Whether looking at the path (through links) may lead below one of them. Looks at nothing of what
 * it warns of. Where the root itself can hang that does not count: then so can our own program. */
bool mounts_path_may_hang(struct mounts *mounts, const char *path);

void mounts_close(struct mounts *mounts);

/* Takes note of those in a table's text (proc(5), mountinfo), the last line of which need not be
 * whole. Pure. */
void mounts_take_text(struct mounts *mounts, const char *text);
