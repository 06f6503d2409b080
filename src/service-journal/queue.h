/* Formatted lines on their way from the thread that reads pipes to the one that writes files, in a
 * memfd that init holds (KEY_JOURNAL_QUEUE): a ring of records, and what is known of the files that
 * are being written. No system call after it is mapped.
 *
 * Positions count bytes and only grow, but for queue_take_back(). What the reader puts counts as
 * soon as the head is stored, what the writer has taken is gone as soon as the tail is: whenever
 * the process is killed, the records between the two are whole, and all that is still to be
 * written. The ring is mapped twice, one after the other, so that no record is ever in two parts.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUEUE_BYTES        (1u << 20)
#define QUEUE_RECORD_BYTES 32768 /* of text in one record */
#define QUEUE_NOTES        128   /* files written in one batch */

enum queue_flag {
    QUEUE_CONTINUES = 1, /* the first byte goes on with a line that was put before */
    QUEUE_URGENT = 2,    /* has a line of level err or worse */
    QUEUE_SEAL = 4,      /* behind it the file is to be sealed */
};

struct queue_record {
    uint32_t slot; /* whose it is */
    uint32_t flags, bytes, unused;
    char text[];
};

/* A file as it was before the batch that begins at the tail. */
struct queue_note {
    uint64_t tail; /* one more than that; else it counts for nothing */
    uint64_t device, inode, bytes;
    uint32_t slot, unused;
};

struct queue_header;

struct queue {
    int fd; /* -1: closed */
    struct queue_header *header;
    char *ring;
    uint64_t at;               /* the reader's: behind what it has put and not committed */
    struct queue_record *open; /* the reader's: more can be put into it */
};

/* 0 or -errno. */
int queue_create(struct queue *queue);

/* Takes over one that another process made; `fd` is taken. -EPROTO: it is none; then it is closed.
 * Returns 0 or -errno. */
int queue_open(struct queue *queue, int fd);

/* It is mapped, and needs no descriptor any more. */
void queue_close_fd(struct queue *queue);

uint64_t queue_head(const struct queue *queue);
uint64_t queue_tail(const struct queue *queue);

/* ---- the reader ---- */

/* How many bytes can be put, beginnings of records included. */
size_t queue_room(const struct queue *queue);

/* The same, behind the record that is open. */
size_t queue_left(const struct queue *queue);

/* The same, but for what is put and not committed; for both. */
size_t queue_free(const struct queue *queue);

/* Most bytes that so much text takes. */
size_t queue_need(size_t text_bytes);

/* Begins to put records; what was put and not committed is forgotten. */
void queue_begin(struct queue *queue);

/* A place for the next bytes of a slot, at least `least` (up to QUEUE_RECORD_BYTES); the record
 * gets `flags` if it is begun by this. NULL when there is no room. */
char *queue_place(struct queue *queue, uint32_t slot, unsigned flags, size_t least,
                  size_t *ret_room);

/* So many bytes were written to the last place; the flags are added to the record's. One with
 * QUEUE_SEAL is closed by that. */
void queue_put(struct queue *queue, size_t bytes, unsigned flags);

/* Makes all that was put since queue_begin() valid, by one store. */
void queue_commit(struct queue *queue);

/* Takes all records behind a position out again. Not while any is being put. */
void queue_take_back(struct queue *queue, uint64_t head);

/* ---- the writer ---- */

/* The record at a position before the head; NULL where there is none. */
const struct queue_record *queue_get(const struct queue *queue, uint64_t at, uint64_t *ret_next);

/* Says how long a file is, before the first write of the batch. */
void queue_note(struct queue *queue, size_t number, uint32_t slot, uint64_t device, uint64_t inode,
                uint64_t bytes);

/* One that counts, or NULL. */
const struct queue_note *queue_noted(const struct queue *queue, size_t number);

/* What is noted counts no more. */
void queue_forget_notes(struct queue *queue);

/* All before the position is written, and no note counts any more. */
void queue_done(struct queue *queue, uint64_t tail);
