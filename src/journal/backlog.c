/* The newest lines of a journal that cannot be written now. Each change is made in `now` and counts
 * when it is stored; bytes that count are never written over before. */
#include "journal/backlog.h"

#include "journal/format.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#define FIRST_PLACE ((uint64_t)BACKLOG_RING_BYTES << 20) /* bytes may be put in front of it */
#define PAGE_BYTES  4096                                 /* no kernel has smaller ones */
#define GROW_BYTES  65536

static uint64_t page_of(uint64_t at)
{
    return at / PAGE_BYTES * PAGE_BYTES;
}

/* The count follows: it is made equal again when a backlog is opened. */
static void store(struct backlog *backlog)
{
    struct backlog_head *head = backlog->head;
    head->states[(head->turn + 1) % 2] = backlog->now;
    __atomic_store_n(&head->turn, head->turn + 1, __ATOMIC_SEQ_CST);
    if (backlog->count)
        __atomic_store_n(backlog->count, backlog->now.dropped_ever, __ATOMIC_RELAXED);
}

static void drop(struct backlog *backlog, uint64_t lines)
{
    backlog->now.dropped_lines += lines;
    backlog->now.dropped_ever += lines;
}

/* ---- pages --------------------------------------------------------------------------------- */

/* Has pages made, or given back. A page that cannot be made is seen here, not by a signal. */
static bool change_pages(const struct backlog *backlog, uint64_t from, uint64_t until, int mode)
{
    while (from < until) {
        uint64_t at = from % BACKLOG_RING_BYTES, bytes = until - from;
        if (bytes > BACKLOG_RING_BYTES - at)
            bytes = BACKLOG_RING_BYTES - at;
        int failed;
        do
            failed = fallocate(backlog->fd, mode | FALLOC_FL_KEEP_SIZE,
                               backlog->ring_at + (off_t)at, (off_t)bytes);
        while (failed < 0 && errno == EINTR);
        if (failed < 0)
            return false;
        from += bytes;
    }
    return true;
}

static bool make_pages(const struct backlog *backlog, uint64_t from, uint64_t until)
{
    const struct backlog_state *now = &backlog->now;
    uint64_t have = page_of(now->begin), end = page_of(now->end + PAGE_BYTES - 1);
    from = page_of(from);
    until = page_of(until + PAGE_BYTES - 1);
    if (backlog_used(backlog) && from >= have)
        from = end;
    if (backlog_used(backlog) && until <= end)
        until = have;
    return change_pages(backlog, from, until, 0);
}

/* Of what was in front. That they stay where this fails costs memory, no more. */
static void free_pages(const struct backlog *backlog, uint64_t from)
{
    (void)change_pages(backlog, page_of(from), page_of(backlog->now.begin), FALLOC_FL_PUNCH_HOLE);
}

/* Whether what is there can be gone on with. */
static bool is_good(const struct backlog_state *now)
{
    return now->begin && now->end - now->begin <= BACKLOG_OWN_BYTES + BACKLOG_POOL_BYTES;
}

int backlog_open(struct backlog *backlog, struct backlog_pool *pool, struct backlog_head *head,
                 int fd, off_t ring_at, uint64_t owner, uint64_t *count)
{
    void *ring = mmap(NULL, BACKLOG_RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, ring_at);
    if (ring == MAP_FAILED)
        return -errno;
    *backlog = (struct backlog){.head = head,
                                .now = head->states[head->turn % 2],
                                .count = count,
                                .ring = ring,
                                .fd = fd,
                                .ring_at = ring_at,
                                .allowed_bytes = BACKLOG_OWN_BYTES};
    if (is_good(&backlog->now) && head->owner == owner) {
        if (count)
            *count = backlog->now.dropped_ever;
    } else {
        backlog->now = (struct backlog_state){
            .begin = FIRST_PLACE, .end = FIRST_PLACE, .dropped_ever = count ? *count : 0};
        head->states[head->turn % 2].begin = 0; /* before it is another one's */
        __atomic_store_n(&head->owner, owner, __ATOMIC_SEQ_CST);
    }
    /* A kill may have come before they were given back. */
    (void)change_pages(backlog, page_of(backlog->now.end + PAGE_BYTES - 1),
                       page_of(backlog->now.begin) + BACKLOG_RING_BYTES, FALLOC_FL_PUNCH_HOLE);
    while (backlog->allowed_bytes < backlog_used(backlog) && pool->left_bytes >= GROW_BYTES) {
        pool->left_bytes -= GROW_BYTES;
        backlog->allowed_bytes += GROW_BYTES;
    }
    return 0;
}

void backlog_close(struct backlog *backlog, struct backlog_pool *pool)
{
    backlog->count = NULL; /* stays as it is */
    backlog->now = (struct backlog_state){0};
    store(backlog);
    (void)change_pages(backlog, 0, BACKLOG_RING_BYTES, FALLOC_FL_PUNCH_HOLE);
    munmap(backlog->ring, BACKLOG_RING_BYTES);
    pool->left_bytes += backlog->allowed_bytes - BACKLOG_OWN_BYTES;
    *backlog = (struct backlog){0};
}

/* ---- lines --------------------------------------------------------------------------------- */

static size_t room_of(const struct backlog *backlog)
{
    size_t used = backlog_used(backlog);
    return used < backlog->allowed_bytes ? backlog->allowed_bytes - used : 0;
}

static bool grow(struct backlog *backlog, struct backlog_pool *pool)
{
    if (pool->left_bytes < GROW_BYTES)
        return false;
    pool->left_bytes -= GROW_BYTES;
    backlog->allowed_bytes += GROW_BYTES;
    return true;
}

/* Up to and with the first line end, or all. */
static size_t line_bytes(const char *bytes, size_t count)
{
    const char *end = memchr(bytes, '\n', count);
    return end ? (size_t)(end - bytes) + 1 : count;
}

static size_t count_lines(const char *bytes, size_t count)
{
    size_t lines = 0;
    for (const char *at = bytes; (at = memchr(at, '\n', count - (size_t)(at - bytes))); at++)
        lines++;
    return lines;
}

uint64_t backlog_lines(const struct backlog *backlog)
{
    const size_t used = backlog_used(backlog), at = backlog->now.begin % BACKLOG_RING_BYTES;
    const size_t first = used < BACKLOG_RING_BYTES - at ? used : BACKLOG_RING_BYTES - at;
    uint64_t lines = count_lines(backlog->ring + at, first) +
                     count_lines(backlog->ring, used - first) + backlog->now.dropped_lines;
    return lines + (used && backlog->ring[(backlog->now.end - 1) % BACKLOG_RING_BYTES] != '\n');
}

/* Drops the oldest line, which is counted already. One whose end has not come yet is dropped with
 * what is to come. */
static void drop_rest(struct backlog *backlog)
{
    struct backlog_state *now = &backlog->now;
    while (now->begin < now->end) {
        size_t at = now->begin % BACKLOG_RING_BYTES, count = backlog_used(backlog);
        if (count > BACKLOG_RING_BYTES - at)
            count = BACKLOG_RING_BYTES - at;
        size_t bytes = line_bytes(backlog->ring + at, count);
        now->begin += bytes;
        if (backlog->ring[at + bytes - 1] == '\n')
            return;
    }
    now->skipping = true;
}

static void put(const struct backlog *backlog, uint64_t place, const char *bytes, size_t count)
{
    size_t at = place % BACKLOG_RING_BYTES, first = BACKLOG_RING_BYTES - at;
    if (first > count)
        first = count;
    memcpy(backlog->ring + at, bytes, first);
    memcpy(backlog->ring, bytes + first, count - first);
}

/* What there is no memory for is counted. Nothing older is kept by then. */
static void lose(struct backlog *backlog, const char *bytes, size_t count)
{
    struct backlog_state *now = &backlog->now;
    bool ends = bytes[count - 1] == '\n';
    drop(backlog, count_lines(bytes, count) + !ends);
    now->skipping = !ends;
}

/* Drops the oldest line. Returns how many of the first bytes that come next go with it. */
static size_t drop_oldest(struct backlog *backlog, const char *bytes, size_t count)
{
    drop(backlog, 1);
    drop_rest(backlog);
    return backlog->now.skipping ? line_bytes(bytes, count) : 0;
}

/* Before what was there is written over. */
static void forget(struct backlog *backlog, uint64_t begin)
{
    store(backlog);
    free_pages(backlog, begin);
}

/* Makes room for a record by dropping older lines. Returns how many of its own first bytes go with
 * a line that was dropped. */
static size_t make_room(struct backlog *backlog, struct backlog_pool *pool, const char *bytes,
                        size_t count)
{
    const uint64_t begin = backlog->now.begin;
    size_t skip = backlog->now.skipping ? line_bytes(bytes, count) : 0;

    while (count - skip > room_of(backlog) && grow(backlog, pool)) {
    }
    while (count - skip > room_of(backlog) && backlog_used(backlog))
        skip = drop_oldest(backlog, bytes, count);
    if (backlog->now.begin != begin)
        forget(backlog, begin);
    while (backlog_used(backlog) && count > skip &&
           !make_pages(backlog, backlog->now.end, backlog->now.end + count - skip)) {
        const uint64_t oldest = backlog->now.begin;
        skip = drop_oldest(backlog, bytes, count);
        forget(backlog, oldest);
    }
    return skip;
}

void backlog_add(struct backlog *backlog, struct backlog_pool *pool, const char *bytes,
                 size_t count, const struct backlog_record *record)
{
    struct backlog_state *now = &backlog->now;
    const bool first = !backlog_is_needed(backlog);

    if (!first && record->at >= now->from && record->at < now->until)
        return;
    size_t skip = make_room(backlog, pool, bytes, count);
    if (skip && bytes[skip - 1] == '\n')
        now->skipping = false;
    bytes += skip;
    count -= skip;
    if (count && (count > room_of(backlog) || !make_pages(backlog, now->end, now->end + count))) {
        lose(backlog, bytes, count);
    } else {
        put(backlog, now->end, bytes, count);
        now->end += count;
    }
    if (first) {
        now->from = record->at;
        now->from_skip = 0;
        now->continues = record->continues;
    }
    now->until = record->next;
    store(backlog);
}

/* ---- and back ------------------------------------------------------------------------------ */

/* Copies the oldest bytes. */
static void copy(const struct backlog *backlog, char *to, size_t count)
{
    size_t at = backlog->now.begin % BACKLOG_RING_BYTES, first = BACKLOG_RING_BYTES - at;
    if (first > count)
        first = count;
    memcpy(to, backlog->ring + at, first);
    memcpy(to + first, backlog->ring, count - first);
}

size_t backlog_take(struct backlog *backlog, char *to, uint32_t most, uint64_t chunk,
                    uint32_t *ret_bytes)
{
    struct backlog_state *now = &backlog->now;
    const uint64_t begin = now->begin;
    size_t used = backlog_used(backlog);

    if (!used)
        return 0;
    if (used > most) {
        copy(backlog, to, most);
        const char *end = memrchr(to, '\n', most);
        used = end ? (size_t)(end - to) + 1 : most;
    } else {
        copy(backlog, to, used);
    }
    now->begin += used;
    now->continues = to[used - 1] != '\n';
    now->chunk = chunk;
    *ret_bytes = (uint32_t)used;
    store(backlog);
    free_pages(backlog, begin);
    return used;
}

uint64_t backlog_oldest_ns(const struct backlog *backlog)
{
    char time[JOURNAL_TIME_BYTES];
    uint64_t ns = 0;

    if (backlog->now.continues || backlog_used(backlog) < sizeof time)
        return 0;
    copy(backlog, time, sizeof time);
    (void)journal_parse_time(time, &ns);
    return ns;
}

uint64_t backlog_take_dropped(struct backlog *backlog, uint64_t chunk)
{
    uint64_t dropped = backlog->now.dropped_lines;
    backlog->now.dropped_lines = 0;
    backlog->now.continues = false;
    backlog->now.chunk = chunk;
    store(backlog);
    return dropped;
}

void backlog_done(struct backlog *backlog)
{
    backlog->now.chunk = 0;
    backlog->now.error = 0;
    store(backlog);
}

void backlog_drop_more(struct backlog *backlog, uint64_t lines)
{
    backlog->now.dropped_lines += lines;
    backlog->now.chunk = 0;
    store(backlog);
}

/* Puts as much in front as there is room for. */
static void put_in_front(struct backlog *backlog, struct backlog_pool *pool, const char *bytes,
                         size_t count)
{
    struct backlog_state *now = &backlog->now;
    size_t skipped = 0;

    while (room_of(backlog) < count && grow(backlog, pool)) {
    }
    const size_t room = room_of(backlog);
    while (count - skipped > room) {
        const char *end = memchr(bytes + skipped, '\n', count - skipped);
        drop(backlog, 1);
        if (!end) { /* it goes on in what is kept already */
            drop_rest(backlog);
            return;
        }
        skipped = (size_t)(end - bytes) + 1;
    }
    bytes += skipped;
    count -= skipped;
    if (!count)
        return;
    if (!make_pages(backlog, now->begin - count, now->begin)) {
        bool ends = bytes[count - 1] == '\n';
        drop(backlog, count_lines(bytes, count) + !ends);
        if (!ends)
            drop_rest(backlog);
        return;
    }
    now->begin -= count;
    put(backlog, now->begin, bytes, count);
}

static void give_back(struct backlog *backlog, struct backlog_pool *pool, const char *bytes,
                      size_t count, bool continues)
{
    /* Newer ones had to go already; a line that goes on there was counted with its rest. */
    if (backlog->now.dropped_lines)
        drop(backlog, count_lines(bytes, count));
    else
        put_in_front(backlog, pool, bytes, count);
    backlog->now.continues = continues;
    backlog->now.chunk = 0;
}

void backlog_give_back(struct backlog *backlog, struct backlog_pool *pool, const char *bytes,
                       size_t count, bool continues)
{
    give_back(backlog, pool, bytes, count, continues);
    store(backlog);
}

void backlog_give_record_back(struct backlog *backlog, struct backlog_pool *pool, const char *bytes,
                              size_t count, const struct backlog_record *record, size_t skip)
{
    if (!backlog_is_needed(backlog))
        backlog->now.until = record->next;
    give_back(backlog, pool, bytes, count, record->continues);
    backlog->now.from = record->at;
    backlog->now.from_skip = (uint32_t)skip;
    store(backlog);
}

void backlog_cut_records(struct backlog *backlog, uint64_t at)
{
    if (backlog->now.until <= at)
        return;
    backlog->now.until = at;
    if (backlog->now.from > at)
        backlog->now.from = at;
    store(backlog);
}
