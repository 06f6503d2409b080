/* What init has reaped and the launcher has not yet carried out: a ring in init's record. */
#pragma once

#include "init/kept.h"

#include <stdbool.h>

/* The record that the ring is in. Before anything else here. */
void ended_use(struct kept *kept);

bool ended_is_full(void);

/* Appends a pair. When the ring is full the oldest is lost, and true is returned. */
bool ended_push(struct hand_over_ended pair);

/* Fills up to `max` pairs that were not sent yet. Returns how many. */
size_t ended_peek(struct hand_over_ended *pairs, size_t max);

/* The first `count` of them have been sent. */
void ended_sent(size_t count);

/* The launcher has carried out `count` pairs more, in the order they were sent. */
void ended_seen(size_t count);

/* How often ended_seen() was called. */
uint64_t ended_answers(void);

/* A new launcher: what was sent and not seen is to be sent again. */
void ended_rewind(void);
