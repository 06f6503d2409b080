/* The memfd with every service's record: made by the first launcher, held by init, mapped by each
 * launcher after it. docs/state.md is the page on its format. */
#pragma once

#include "service/record.h"

#include <stdint.h>

struct state {
    int fd;
    struct state_header *header;
    struct service_record
        *records; /* room for STATE_SLOTS_MAX is mapped, header->slots are there */
};

/* Keys of init are below KEY_MAX, and a slot's key is KEY_SERVICE_FIRST + slot. */
#define STATE_SLOTS_MAX 131056

/* Makes an empty one. Returns 0 or -errno. */
int state_create(struct state *state);

/* Maps one that a former launcher made; `fd` is taken. Returns 0; -EPROTO when it is another
 * version's, or none of ours; or -errno. */
int state_open(struct state *state, int fd);

/* Makes room for at least `slots` records. Returns 0, -EOVERFLOW beyond STATE_SLOTS_MAX, or
 * -errno. */
int state_grow(struct state *state, uint32_t slots);

void state_finish(struct state *state);
