/* The memfd with every service's record: made by the first launcher, held by init, taken up by each
 * launcher after it. docs/state.md is the page on its format. */
#pragma once

#include "service/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct state {
    int fd;
    struct state_header *header;
    struct service_record
        *records; /* room for STATE_SLOTS_MAX is mapped, header->slots are there */
};

/* Keys of init are below KEY_MAX, and a slot's key is KEY_SERVICE_FIRST + slot. */
#define STATE_SLOTS_MAX 131056

#define STATE_WHY_BYTES 200

/* Makes an empty one. Returns 0 or -errno. */
int state_create(struct state *state);

/* Takes up one that a former launcher made; `fd` is taken. One of another layout is moved into a
 * new memfd, and with `copy` so is one of ours: *ret_moved, then init is to be given state->fd, and
 * nothing of the former one was changed. Returns 0; -EPROTO with the reason in `why`
 * (STATE_WHY_BYTES) when this launcher cannot read it, or it is none; or -errno. */
int state_open(struct state *state, int fd, bool copy, bool *ret_moved, char *why);

/* Makes room for at least `slots` records. Returns 0, -EOVERFLOW beyond STATE_SLOTS_MAX, or
 * -errno. */
int state_grow(struct state *state, uint32_t slots);

void state_finish(struct state *state);
