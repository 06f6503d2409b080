/* The memory of all backlogs, in a memfd that init holds (KEY_JOURNAL_BACKLOGS), so that a kill
 * loses nothing of what could not be written:
 *
 *   0        header: what is taken back out of the queue; the chunk that is being tried; one page
 *   65536    that chunk's bytes
 *   behind   one struct backlog_head for each slot
 *   behind   one ring for each slot, BACKLOG_RING_BYTES apart
 *
 * Pages of slots without a backlog do not exist. */
#pragma once

#include "journal/backlog.h"

#define BACKLOGS_CHUNK_BYTES 65536 /* of a backlog, written at once */

/* Records are being taken back out of the queue: those from `claimed` up to `head`. */
struct backlogs_intent {
    uint64_t active; /* the rest is valid; set last */
    uint64_t claimed, head;
};

/* What was taken out of a backlog, and the file as it was before. It counts while the backlog says
 * that the chunk of this number is under way. */
struct backlogs_chunk {
    uint64_t number;
    uint32_t slot, bytes;
    uint32_t continues, opened; /* opened: the file is known, and may be longer by now */
    uint64_t dropped;           /* not bytes, but so many lines that are said to be missing */
    uint64_t device, inode, file_bytes;
};

struct backlogs_header;

struct backlogs {
    int fd;
    struct backlogs_header *header;
    struct backlog_head *heads; /* by slot */
    struct backlogs_intent *intent;
    struct backlogs_chunk *chunk;
    char *chunk_bytes;
};

/* 0 or -errno. */
int backlogs_create(struct backlogs *backlogs);

/* Takes over one that another process made; `fd` is taken. -EPROTO: it is none; then it is closed.
 */
int backlogs_open(struct backlogs *backlogs, int fd);

/* The next slot from `*slot` on that may have a backlog. */
bool backlogs_find(const struct backlogs *backlogs, uint32_t *slot);

/* The slot's, if it is of that journal (`folder` NULL: below LOGS; a slot may have been another
 * one's), else an empty one. `count`: as in backlog_open(). 0 or -errno. */
int backlogs_open_one(struct backlogs *backlogs, struct backlog_pool *pool, uint32_t slot,
                      const char *name, const char *folder, uint64_t *count, struct backlog *ret);

/* There is nothing in the slot's any more. */
void backlogs_forget(struct backlogs *backlogs, uint32_t slot);

/* Another chunk; what there is of it is to be filled in before it is taken. Returns its number. */
uint64_t backlogs_begin_chunk(struct backlogs *backlogs, uint32_t slot);

/* The file that it is written to. */
void backlogs_note_file(struct backlogs *backlogs, uint64_t device, uint64_t inode, uint64_t bytes);
