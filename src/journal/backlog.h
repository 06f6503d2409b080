/* The newest lines of a journal that cannot be written now, in bounded memory. Pure.
 *
 * A ring of whole lines: when it is full the oldest are dropped and counted. Its first
 * BACKLOG_OWN_BYTES are always its own; more is taken from a pool that all share. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define BACKLOG_OWN_BYTES  65536
#define BACKLOG_POOL_BYTES 1048576

struct backlog_pool {
    size_t left_bytes;
};

/* A zeroed one is empty and owns nothing. Invariant: begin < size or size == 0; used <= size. */
struct backlog {
    char *data;
    size_t size, begin, used;
    uint64_t dropped_lines; /* since the owner last set it to 0; all older than what is kept */
    bool skipping;          /* the rest of a line that was dropped is still to come */
};

/* Never fails: what has no room, not even after older lines were dropped, is counted. */
void backlog_add(struct backlog *backlog, struct backlog_pool *pool, const char *bytes,
                 size_t count);

/* The content, oldest first, in up to two pieces. Returns how many pieces. */
int backlog_pieces(const struct backlog *backlog, struct iovec pieces[static 2]);

/* Forgets the first `count` bytes, which were written. Memory goes back when it gets empty. */
void backlog_consume(struct backlog *backlog, struct backlog_pool *pool, size_t count);

/* Puts back in front what was taken out and could not be written: the oldest lines there are, which
 * are dropped and counted as far as there is no room. */
void backlog_give_back(struct backlog *backlog, struct backlog_pool *pool, const char *bytes,
                       size_t count);

/* Whether what comes next has to go through it. */
static inline bool backlog_is_needed(const struct backlog *backlog)
{
    return backlog->used || backlog->dropped_lines || backlog->skipping;
}
