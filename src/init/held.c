/* The descriptors init keeps. An entry is one word: descriptor and owners; 0 is an empty one. The
 * table is as large as keys can be, but only the pages that are used exist. */
#include "init/held.h"

#include <errno.h>
#include <limits.h>
#include <unistd.h>

#define OWNER_BITS 2
#define OWNERS     (OWNER_LAUNCHER | OWNER_JOURNAL)

_Static_assert(OWNERS < 1 << OWNER_BITS, "owners do not fit");

static uint32_t table[KEY_MAX];
static uint32_t end; /* no key at or above it is held */
static int limit = INT_MAX;

void held_set_limit(int fd_limit)
{
    limit = fd_limit;
}

static int fd_of(uint32_t entry)
{
    return (int)(entry >> OWNER_BITS);
}

int held_store(uint32_t key, uint32_t owner, int fd)
{
    int failed = key >= KEY_MAX ? -ERANGE : !(owner & OWNERS) ? -EINVAL : fd >= limit ? -EMFILE : 0;
    if (failed) {
        close(fd);
        return failed;
    }
    if (table[key])
        close(fd_of(table[key]));
    table[key] = (uint32_t)fd << OWNER_BITS | (owner & OWNERS);
    if (key >= end)
        end = key + 1;
    return 0;
}

void held_drop(uint32_t key, uint32_t owner)
{
    if (key >= KEY_MAX || !table[key])
        return;
    uint32_t entry = table[key] & ~(owner & OWNERS);
    if (!(entry & OWNERS)) {
        close(fd_of(entry));
        entry = 0;
    }
    table[key] = entry;
    while (end > 0 && !table[end - 1])
        end--;
}

size_t held_next(uint32_t *cursor, uint32_t owner, uint32_t *keys, int *fds, size_t max)
{
    size_t count = 0;
    for (; *cursor < end && count < max; ++*cursor) {
        if (!(table[*cursor] & owner))
            continue;
        keys[count] = *cursor;
        fds[count++] = fd_of(table[*cursor]);
    }
    return count;
}

void held_close(void)
{
    for (uint32_t key = 0; key < end; key++)
        if (table[key])
            held_drop(key, OWNERS);
}
