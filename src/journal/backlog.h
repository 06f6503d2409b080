/* The newest lines of a journal that cannot be written now, in bounded memory that another process
 * can go on with: what is in it changes by one store, so whenever this one is killed, it is as it
 * was before a change or as it is after it.
 *
 * A ring of whole lines: when it is full the oldest are dropped and counted. Its first
 * BACKLOG_OWN_BYTES are always its own; more is taken from a pool that all share. Pages of the ring
 * are there only while lines are in them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define BACKLOG_OWN_BYTES  65536
#define BACKLOG_POOL_BYTES 1048576
/* Of the memory file: never full, so that its first page and its last one are never the same. */
#define BACKLOG_RING_BYTES (BACKLOG_OWN_BYTES + BACKLOG_POOL_BYTES + 65536)

struct backlog_pool {
    size_t left_bytes;
};

struct backlog_state {
    uint64_t begin, end;    /* the bytes that are kept; at these places modulo BACKLOG_RING_BYTES */
    uint64_t dropped_lines; /* not said yet; all older than what is kept */
    uint64_t dropped_ever;  /* the owner's count of them, which goes on from what it was */
    uint64_t from, until; /* what of the owner's records is (or was) in here, by their places … */
    uint64_t chunk;       /* the number of what was taken out and is not done; 0: nothing */
    uint32_t from_skip;   /* … but for so many bytes of the first one */
    uint8_t skipping;     /* the rest of a line that was dropped is still to come */
    uint8_t continues;    /* what it begins with goes on with a line of the file */
    uint16_t error;       /* an errno, the owner's: why it could not be written; 0: unknown */
};

/* In the memory file, zeroed at first. */
struct backlog_head {
    uint64_t turn;  /* states[turn % 2] counts */
    uint64_t owner; /* whose it is: a number of the caller's */
    struct backlog_state states[2];
};

struct backlog {
    struct backlog_head *head;
    struct backlog_state now;
    uint64_t *count; /* the owner's count of dropped lines; NULL: there is none */
    char *ring;
    int fd; /* not owned */
    off_t ring_at;
    size_t allowed_bytes;
};

/* Where a record that is added is, and where the next one is. */
struct backlog_record {
    uint64_t at, next;
    bool continues;
};

/* `ring_at`: of BACKLOG_RING_BYTES in `fd`, a memory file. Goes on with what is in it, if that is
 * the owner's. `count`, which is in shared memory, too, is written together with what was dropped:
 * whenever this process is killed, the next one has both. 0 or -errno. */
int backlog_open(struct backlog *backlog, struct backlog_pool *pool, struct backlog_head *head,
                 int fd, off_t ring_at, uint64_t owner, uint64_t *count);

/* Nothing is in it any more. */
void backlog_close(struct backlog *backlog, struct backlog_pool *pool);

/* Never fails: what has no room, not even after older lines were dropped, is counted. One that is
 * in it already is left out. */
void backlog_add(struct backlog *backlog, struct backlog_pool *pool, const char *bytes,
                 size_t count, const struct backlog_record *record);

/* The time of the oldest line that is kept. 0: there is none, or what is kept begins in a line. */
uint64_t backlog_oldest_ns(const struct backlog *backlog);

/* How many lines are in it, or were dropped and that was not said; an unfinished one counts. */
uint64_t backlog_lines(const struct backlog *backlog);

/* Takes up to `most` of the oldest bytes, as the chunk of that number; *ret_bytes, which may be in
 * the memory file too, says how many before that counts. If there are more, they are whole lines as
 * far as any ends in them: what stays may be dropped before they are written. Returns as many. */
size_t backlog_take(struct backlog *backlog, char *to, uint32_t most, uint64_t chunk,
                    uint32_t *ret_bytes);

/* Takes the number of lines that were dropped, as a chunk: what is said of them is written. */
uint64_t backlog_take_dropped(struct backlog *backlog, uint64_t chunk);

/* The chunk is written, so that there is no error any more. */
void backlog_done(struct backlog *backlog);

/* The chunk is not. */
void backlog_drop_more(struct backlog *backlog, uint64_t lines);

/* Puts back in front what was taken out and could not be written, of a chunk or of a record: the
 * oldest lines there are, which are dropped and counted as far as there is no room. */
void backlog_give_back(struct backlog *backlog, struct backlog_pool *pool, const char *bytes,
                       size_t count, bool continues);

/* The same for bytes of a record from `skip` on; behind it, records before `until` are in here. */
void backlog_give_record_back(struct backlog *backlog, struct backlog_pool *pool, const char *bytes,
                              size_t count, const struct backlog_record *record, size_t skip);

/* Records from that place on are others from now on. */
void backlog_cut_records(struct backlog *backlog, uint64_t at);

static inline size_t backlog_used(const struct backlog *backlog)
{
    return (size_t)(backlog->now.end - backlog->now.begin);
}

/* Whether what comes next has to go through it. */
static inline bool backlog_is_needed(const struct backlog *backlog)
{
    return backlog_used(backlog) || backlog->now.dropped_lines || backlog->now.skipping;
}
