/* How much each service has printed, where the launcher reads it without asking: a memfd that init
 * holds (KEY_JOURNAL_COUNTS), an array of struct journal_counts by id. */
#pragma once

#include "protocol/journal-link.h"

#include <stdint.h>

struct counts {
    int fd; /* -1: there is none, and nothing is counted */
    struct journal_counts *array;
};

#define COUNTS_NONE ((struct counts){.fd = -1})

/* Makes one, or takes over one of another journal (`fd` is taken; -EPROTO: it is none). 0 or
 * -errno; then there is none. */
int counts_create(struct counts *counts);
int counts_open(struct counts *counts, int fd);

/* A descriptor through which it can only be read, the caller's; or -errno. */
int counts_open_reading(const struct counts *counts);

/* All but no_room, which is the writer's to count. Of an id that is too high nothing is kept. */
void counts_set(struct counts *counts, uint32_t id, const struct journal_counts *now);

/* Of a service that is new: nothing so far. */
void counts_begin(struct counts *counts, uint32_t id);

/* Where no_room is counted, or NULL. */
uint64_t *counts_no_room(struct counts *counts, uint32_t id);
