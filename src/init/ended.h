/* What init has reaped and the launcher has not yet carried out: a ring in static storage. */
#pragma once

#include "protocol/hand-over.h"

#include <stdbool.h>
#include <stddef.h>

#define ENDED_RING 4096 /* pairs */

bool ended_is_full(void);

/* Appends a pair. When the ring is full the oldest is lost, and true is returned. */
bool ended_push(struct hand_over_ended pair);

/* Fills up to `max` pairs that were not sent yet. Returns how many. */
size_t ended_peek(struct hand_over_ended *pairs, size_t max);

/* The first `count` of them have been sent. */
void ended_sent(size_t count);

/* The launcher has carried out `count` pairs more, in the order they were sent. */
void ended_seen(size_t count);

/* A new launcher: what was sent and not seen is to be sent again. */
void ended_rewind(void);
