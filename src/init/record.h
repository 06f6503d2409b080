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
 * known of it is taken over into a new record, and `fd` is closed. Returns 0, -EPROTO for what is
 * no record, or none that this version can go on from, or -errno: then `why` says why, and `fd` is
 * as it was. */
int record_open(struct record *record, int fd, struct text *why);

/* Gives it back. */
void record_close(struct record *record);

/* In a child process: what it writes to the record from here on is its own. */
void record_keep_apart(const struct record *record);

/* Writes a copy of it to a new memfd (close-on-exec). Returns that, or -errno. */
int record_copy(const struct record *record);

/* Looks whether every number in it can be. Empties the first part that has one that cannot, and
 * returns its name; NULL: all is good. */
const char *record_mend(struct kept *kept);
