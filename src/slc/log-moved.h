/* Following: what was shown of a journal below RUNTIME/log comes again below LOGS, where it is
 * moved to, in the same order. It is known by a hash of each entry. */
#pragma once

#include "journal/format.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* So many are remembered, a power of two: more than a journal has lines with the default quota (96
 * MiB, in lines of 33 bytes), and 32 MiB. LOGS may not be there for years. */
#define LOG_MOVED_MOST ((size_t)1 << 22)

struct log_moved {
    uint64_t *hashes; /* a ring of `room`, which is a power of two */
    size_t first, count, room;
};

/* Remembers an entry that was shown; above LOG_MOVED_MOST it forgets the oldest. 0 or -ENOMEM. */
int log_moved_note(struct log_moved *moved, const struct journal_entry *entry);

/* Whether the entry was shown and has not come again. It and those before it are forgotten then:
 * what has not come by now was removed by the quota. */
bool log_moved_take(struct log_moved *moved, const struct journal_entry *entry);

void log_moved_finish(struct log_moved *moved);
