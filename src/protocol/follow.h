/* What the launcher and follow-forks share: one entry a service in a memfd that init holds, and an
 * eventfd, the bell. docs/follow.md is the page on it.
 *
 * The follower writes what it has seen into the entry and then rings. So nothing is in flight that
 * a launcher's death could lose: the next one reads the same entry. Each field is written by one
 * side only, by an aligned store; none is ever moved. */
#pragma once

#include <stdint.h>

#define FOLLOW_VERSION     1
#define FOLLOW_ENTRY_BYTES 64

/* "Kill all that is below you at once": a number that neither the C libraries nor people use. */
#define FOLLOW_SIGNAL_KILL 45

/* The descriptors that follow-forks finds open when the launcher has made it. */
enum follow_fd { FOLLOW_FD_ENTRIES = 3, FOLLOW_FD_BELL = 4 };

struct follow_entry {
    uint32_t version;     /* FOLLOW_VERSION; the launcher's, like main_pid */
    int32_t main_pid;     /* the process whose end is to be noted; 0: none */
    int32_t ended_status; /* the follower's: as waitpid(2) gives it, valid for … */
    int32_t ended_pid;    /* … this process: written after ended_status */
    uint32_t empty;       /* the follower's: 1: nothing is left below it, and it ends */
    uint32_t reserved[11];
};
_Static_assert(sizeof(struct follow_entry) == FOLLOW_ENTRY_BYTES, "entries are found by counting");
