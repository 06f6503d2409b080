/* Whether anything is mounted that can hang: a file system that is served over a network or by
 * another process, so that whoever looks at a path may wait for ever. Reading the table of mounts
 * never waits. */
#pragma once

#include <stdbool.h>

struct mounts {
    int fd; /* /proc/self/mountinfo; -1: there is none, and everything may hang */
    bool known, may_hang;
};

void mounts_open(struct mounts *mounts);

/* One poll(2) as long as nothing was mounted or unmounted. */
bool mounts_may_hang(struct mounts *mounts);

void mounts_close(struct mounts *mounts);

/* The same of a table's text (proc(5), mountinfo): its lines from `text` on, the last of which need
 * not be whole. Pure. */
bool mounts_text_may_hang(const char *text);
