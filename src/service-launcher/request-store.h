/* The memfd with the requests that carry an id: made by the first launcher, held by init, mapped by
 * each launcher after it. docs/state.md is the page on its format.
 *
 * A record has a fixed size and is mapped; what has none (the call, the services it is about, the
 * answer) lies in the record's own area of the file, which has holes where nothing was written, and
 * is read and written with pread and pwrite: without memory that fails instead of killing us.
 *
 * A change becomes valid by one aligned store of `phase`; what is half-written does not count. */
#pragma once

#include "base/buffer.h"
#include "service/definition.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define REQUESTS_MAX     1024 /* records: more than connections, so that one is always to be had */
#define REQUEST_ID_BYTES 72   /* its NUL included */

enum request_phase {
    REQUEST_FREE = 0,
    REQUEST_ASKED = 1,    /* the call is there; it is to be carried out (again) from its start */
    REQUEST_BEGUN = 2,    /* its services are there, with what became of each so far */
    REQUEST_ANSWERED = 3, /* the answer is there */
    REQUEST_SPENT = 4     /* it was carried out, and its answer is not kept */
};

struct request_record {
    uint32_t phase; /* enum request_phase; written last */
    uint32_t uid;   /* who asked: an id is its user's own */
    char id[REQUEST_ID_BYTES];
    uint64_t order;     /* older ones have smaller numbers */
    uint64_t asked_ns;  /* CLOCK_BOOTTIME */
    uint64_t call_hash; /* of the method and its parameters */
    uint32_t call_bytes;
    uint32_t items;        /* services in the area, from BEGUN on */
    uint64_t answer_bytes; /* from ANSWERED on; of a prepared answer before */
    uint64_t commit;       /* of a reload: its answer is prepared and counts once the definitions
                              with this number (of their inode) are in force; 0: it is not */
};

/* A service of a request. */
struct request_item_record {
    char name[SERVICE_NAME_MAX_BYTES + 8];
    uint32_t slot, serial, reload;
    uint32_t standing; /* outcome | by << 8 | why << 16 | taken_along << 24; of a signal:
                          enum signal_standing | errno << 8 */
};

struct request_store_header;

struct request_store {
    int fd;
    struct request_store_header *header;
    struct request_record *records; /* [REQUESTS_MAX] */
    size_t answered;                /* how many have an answer */
    uint64_t answer_bytes;          /* of all of these */
};

/* Makes an empty one. Returns 0 or -errno. */
int request_store_create(struct request_store *store);

/* Takes up one that a former launcher made; `fd` is taken. One of another layout is moved into a
 * new memfd: *ret_moved, then init is to be given store->fd, and nothing of the former one was
 * changed. Returns 0; -EPROTO when this launcher cannot read it, or it is none; or -errno. */
int request_store_open(struct request_store *store, int fd, bool *ret_moved);
void request_store_finish(struct request_store *store);

/* The record of that user's request; NULL: it is not known (any more). */
struct request_record *request_store_find(struct request_store *store, uid_t uid, const char *id);

/* The oldest record in that phase whose `order` is above `after`; NULL: none. */
struct request_record *request_store_next(struct request_store *store, enum request_phase phase,
                                          uint64_t after);

/* Keeps a call. The oldest answer is forgotten where there is no room. Returns 0 with the record in
 * *ret, -ENOBUFS: all records wait for their answer; or -errno. */
int request_store_add(struct request_store *store, uid_t uid, const char *id, const char *call,
                      size_t count, uint64_t call_hash, struct request_record **ret);

/* Appends the call to `to`, with a NUL behind that does not count. 0 or -errno. */
int request_store_read_call(const struct request_store *store, const struct request_record *record,
                            struct buffer *to);

/* Writes all items, and with that the request counts as begun. 0 or -errno. */
int request_store_begin(struct request_store *store, struct request_record *record,
                        const struct request_item_record *items, size_t count);

/* Writes the standing of one item. 0 or -errno. */
int request_store_set_standing(struct request_store *store, struct request_record *record,
                               size_t index, uint32_t standing);

/* The items, from malloc. Returns how many, or -errno. */
ssize_t request_store_read_items(const struct request_store *store,
                                 const struct request_record *record,
                                 struct request_item_record **ret);

/* Writes the answer that counts once the definitions with that number are in force. 0 or -errno. */
int request_store_prepare(struct request_store *store, struct request_record *record,
                          const char *answer, size_t count, uint64_t commit);

/* The prepared answer is the answer. */
void request_store_settle(struct request_store *store, struct request_record *record);

/* Keeps the answer; the oldest ones are forgotten where all together are too large. On failure the
 * request is SPENT. 0 or -errno. */
int request_store_answer(struct request_store *store, struct request_record *record,
                         const char *answer, size_t count);

/* Appends the answer to `to`. 0 or -errno. */
int request_store_read_answer(const struct request_store *store,
                              const struct request_record *record, struct buffer *to);

/* It was carried out, or may have been, and there is no answer. */
void request_store_spend(struct request_store *store, struct request_record *record);

/* Forgets it altogether. */
void request_store_forget(struct request_store *store, struct request_record *record);
