/* The newest lines of a journal that cannot be written now. */
#include "journal/backlog.h"

#include <stdlib.h>
#include <string.h>

int backlog_pieces(const struct backlog *backlog, struct iovec pieces[static 2])
{
    size_t first = backlog->size - backlog->begin;
    if (!backlog->used)
        return 0;
    if (first > backlog->used)
        first = backlog->used;
    pieces[0] = (struct iovec){backlog->data + backlog->begin, first};
    pieces[1] = (struct iovec){backlog->data, backlog->used - first};
    return pieces[1].iov_len ? 2 : 1;
}

static void skip(struct backlog *backlog, size_t count)
{
    backlog->begin = (backlog->begin + count) % backlog->size;
    backlog->used -= count;
}

void backlog_consume(struct backlog *backlog, struct backlog_pool *pool, size_t count)
{
    if (count)
        skip(backlog, count);
    if (backlog->used || !backlog->data)
        return;
    free(backlog->data);
    pool->left_bytes += backlog->size - BACKLOG_OWN_BYTES;
    backlog->data = NULL;
    backlog->size = backlog->begin = 0;
}

/* Twice the room, up to what the pool still has. Returns false when there is no more. */
static bool grow(struct backlog *backlog, struct backlog_pool *pool)
{
    size_t size = backlog->size ? backlog->size * 2 : BACKLOG_OWN_BYTES;
    size_t extra = backlog->size ? backlog->size : 0;
    struct iovec pieces[2];
    char *data;

    if (extra > pool->left_bytes || !(data = malloc(size)))
        return false;
    size_t used = 0;
    for (int i = 0, count = backlog_pieces(backlog, pieces); i < count; i++) {
        memcpy(data + used, pieces[i].iov_base, pieces[i].iov_len);
        used += pieces[i].iov_len;
    }
    free(backlog->data);
    pool->left_bytes -= extra;
    backlog->data = data;
    backlog->size = size;
    backlog->begin = 0;
    return true;
}

/* Drops the oldest line, which is counted already. One whose end has not come yet is dropped with
 * what is to come. */
static void drop_rest(struct backlog *backlog)
{
    struct iovec pieces[2];
    size_t before = 0;

    for (int i = 0, count = backlog_pieces(backlog, pieces); i < count; i++) {
        const char *end = memchr(pieces[i].iov_base, '\n', pieces[i].iov_len);
        if (end) {
            skip(backlog, before + (size_t)(end - (const char *)pieces[i].iov_base) + 1);
            return;
        }
        before += pieces[i].iov_len;
    }
    if (before)
        skip(backlog, before);
    backlog->skipping = true;
}

static void put(struct backlog *backlog, const char *bytes, size_t count)
{
    size_t at = (backlog->begin + backlog->used) % backlog->size;
    size_t first = backlog->size - at < count ? backlog->size - at : count;
    memcpy(backlog->data + at, bytes, first);
    memcpy(backlog->data, bytes + first, count - first);
    backlog->used += count;
}

void backlog_add(struct backlog *backlog, struct backlog_pool *pool, const char *bytes,
                 size_t count)
{
    while (count) {
        const char *end = memchr(bytes, '\n', count);
        size_t line = end ? (size_t)(end - bytes) + 1 : count;

        while (!backlog->skipping && backlog->size - backlog->used < line && grow(backlog, pool)) {
        }
        while (!backlog->skipping && backlog->size - backlog->used < line) {
            if (backlog->used) {
                backlog->dropped_lines++;
                drop_rest(backlog);
            } else { /* longer than all the room there is */
                backlog->dropped_lines++;
                backlog->skipping = true;
            }
        }
        if (!backlog->skipping)
            put(backlog, bytes, line);
        else if (end)
            backlog->skipping = false;
        bytes += line;
        count -= line;
    }
}

static size_t count_lines(const char *bytes, size_t count)
{
    size_t lines = 0;
    for (const char *at = bytes; (at = memchr(at, '\n', count - (size_t)(at - bytes))); at++)
        lines++;
    return lines;
}

void backlog_give_back(struct backlog *backlog, struct backlog_pool *pool, const char *bytes,
                       size_t count)
{
    /* Newer ones had to go already; a line that goes on there was counted with its rest. */
    if (backlog->dropped_lines) {
        backlog->dropped_lines += count_lines(bytes, count);
        return;
    }
    while (backlog->size - backlog->used < count && grow(backlog, pool)) {
    }
    size_t room = backlog->size - backlog->used, skipped = 0;
    while (count - skipped > room) {
        const char *end = memchr(bytes + skipped, '\n', count - skipped);
        backlog->dropped_lines++;
        if (!end) { /* it goes on in what is kept already */
            drop_rest(backlog);
            return;
        }
        skipped = (size_t)(end - bytes) + 1;
    }
    for (size_t i = count; i-- > skipped;) {
        backlog->begin = (backlog->begin + backlog->size - 1) % backlog->size;
        backlog->data[backlog->begin] = bytes[i];
        backlog->used++;
    }
}
