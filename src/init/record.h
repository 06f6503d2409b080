/* Init's record: made, found again, and translated from another version's (docs/init-record.md). */
#pragma once

#include "base/text.h"
#include "init/kept.h"

#include <stdbool.h>

struct record {
    int fd; /* of the memfd; -1: there could be none, and a fault loses what is kept */
    struct kept *kept;
};

/* A new, empty record. Never fails: without a memfd it is in plain memory. */
void record_create(struct record *record);

/* Opens the one behind `fd`, which becomes the record's. Where its layout is another one, what is
 * known of it is taken over into a new record, whose upgrade.former_record_fd is `fd`: nothing in
 * that is changed. Returns 0, -EPROTO for what is no record, or none that this version can go on
 * from, or -errno: then `why` says why, and `fd` is as it was. */
int record_open(struct record *record, int fd, struct text *why);

/* Whether whoever wrote the record behind `fd` can go on from one of ours. For signal handlers,
 * too, as the next. */
bool record_writer_knows(int fd);

/* Where the (first) element of a field is in a record of any version, which has to have that many
 * bytes of it. Returns 0 or -EPROTO. */
int record_find(int fd, uint32_t id, size_t bytes, off_t *ret);

/* Gives it back. */
void record_close(struct record *record);

/* In a child process: what it writes to the record from here on is its own. */
void record_keep_apart(const struct record *record);

/* Writes a copy of it to a new memfd (close-on-exec). Returns that, or -errno. */
int record_copy(const struct record *record);

/* Looks whether every number in it can be. Empties the first part that has one that cannot, and
 * returns its name; NULL: all is good. */
const char *record_mend(struct kept *kept);
