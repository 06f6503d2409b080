/* The descriptors init keeps. The table is as large as keys can be, but only the pages that are
 * used exist; a page nobody wrote to is not looked at, because that would make it.
 *
 * A fault may come between any two lines: an entry is one word, it is counted before it is written
 * and until after it is cleared, and a descriptor is closed when nothing names it any more. One
 * that nothing names is closed when init was executed anew. */
#include "init/held.h"

#include <errno.h>
#include <limits.h>
#include <unistd.h>

#define OWNER_BITS 2
#define OWNERS     (OWNER_LAUNCHER | OWNER_JOURNAL)

_Static_assert(OWNERS < 1 << OWNER_BITS, "owners do not fit");

static struct kept *kept;

void held_use(struct kept *kept_)
{
    kept = kept_;
}

void held_set_limit(int fd_limit)
{
    kept->own.held_limit = fd_limit;
}

static int fd_of(uint32_t entry)
{
    return (int)(entry >> OWNER_BITS);
}

/* The next key from `key` on and below `end` that is held; `end` when there is none. */
static uint32_t next_key(uint32_t key, uint32_t end)
{
    while (key < end) {
        if (!kept->held_pages[key / HELD_PAGE].used)
            key = (key / HELD_PAGE + 1) * HELD_PAGE;
        else if (!kept->held_table[key])
            key++;
        else
            break;
    }
    return key < end ? key : end;
}

int held_judge(uint32_t key, uint32_t owner, int fd)
{
    int limit = kept->own.held_limit ? kept->own.held_limit : FD_MOST;
    if (limit > FD_MOST)
        limit = FD_MOST;
    return key >= KEY_MAX ? -ERANGE : !(owner & OWNERS) ? -EINVAL : fd >= limit ? -EMFILE : 0;
}

int held_store(uint32_t key, uint32_t owner, int fd)
{
    int failed = held_judge(key, owner, fd);
    if (failed) {
        close(fd);
        return failed;
    }
    struct kept_page *page = &kept->held_pages[key / HELD_PAGE];
    uint32_t *entry = &kept->held_table[key], former = page->used ? *entry : 0;
    if (key >= kept->held.end)
        kept->held.end = key + 1;
    if (!former)
        page->used++;
    kept_settle();
    *entry = (uint32_t)fd << OWNER_BITS | (owner & OWNERS);
    kept_settle();
    if (former && fd_of(former) != fd)
        close(fd_of(former));
    return 0;
}

/* Behind the last key below `key` that is held. */
static uint32_t end_below(uint32_t key)
{
    while (key > 0) {
        if (!kept->held_pages[(key - 1) / HELD_PAGE].used)
            key = (key - 1) / HELD_PAGE * HELD_PAGE;
        else if (!kept->held_table[key - 1])
            key--;
        else
            break;
    }
    return key;
}

void held_drop(uint32_t key, uint32_t owner)
{
    if (key >= KEY_MAX || !kept->held_pages[key / HELD_PAGE].used || !kept->held_table[key])
        return;
    uint32_t former = kept->held_table[key], entry = former & ~(owner & OWNERS);
    if (entry & OWNERS) {
        kept->held_table[key] = entry;
        return;
    }
    kept->held_table[key] = 0;
    kept_settle();
    close(fd_of(former));
    kept->held_pages[key / HELD_PAGE].used--;
    if (key + 1 == kept->held.end)
        kept->held.end = end_below(key);
}

size_t held_check(bool (*is_open)(int fd))
{
    size_t left_out = 0;
    for (uint32_t page = 0; page < HELD_PAGES; page++) {
        uint32_t used = 0;
        for (uint32_t key = page * HELD_PAGE;
             kept->held_pages[page].used && key < (page + 1) * HELD_PAGE && key < KEY_MAX; key++) {
            uint32_t entry = kept->held_table[key];
            if (entry && !((entry & OWNERS) && is_open(fd_of(entry)))) {
                kept->held_table[key] = 0;
                left_out++;
            } else if (entry) {
                used++;
            }
        }
        kept->held_pages[page].used = used;
    }
    return left_out;
}

size_t held_next(uint32_t *cursor, uint32_t owner, uint32_t *keys, int *fds, size_t max)
{
    size_t count = 0;
    uint32_t end = kept->held.end;
    for (uint32_t key = next_key(*cursor, end); key < end && count < max;
         key = next_key(key + 1, end)) {
        *cursor = key + 1;
        if (!(kept->held_table[key] & owner))
            continue;
        keys[count] = key;
        fds[count++] = fd_of(kept->held_table[key]);
    }
    return count;
}

void held_each(void (*visit)(int fd, void *context), void *context)
{
    uint32_t end = kept->held.end;
    for (uint32_t key = next_key(0, end); key < end; key = next_key(key + 1, end))
        visit(fd_of(kept->held_table[key]), context);
}

void held_close(void)
{
    uint32_t end = kept->held.end;
    for (uint32_t key = next_key(0, end); key < end; key = next_key(key + 1, end))
        held_drop(key, OWNERS);
    kept->held.end = 0;
}
