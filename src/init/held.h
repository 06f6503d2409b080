/* The descriptors init keeps for its children: a table indexed by key, in init's record. */
#pragma once

#include "init/kept.h"

#include <stdbool.h>

/* The record that the table is in. Before anything else here. */
void held_use(struct kept *kept);

/* After init was executed anew: entries that `is_open` denies are taken out, and the rest is
 * counted. Returns how many were taken out. */
size_t held_check(bool (*is_open)(int fd));

/* Descriptors with this number or a higher one are refused, so that init keeps some for itself. */
void held_set_limit(int fd_limit);

/* What held_store() would return. */
int held_judge(uint32_t key, uint32_t owner, int fd);

/* Keeps `fd` under `key` for `owner`; what was there is closed. Done twice it does no more. Returns
 * 0; -ERANGE for a key that cannot be, -EINVAL for no owner, -EMFILE above the limit: then `fd` has
 * been closed. */
int held_store(uint32_t key, uint32_t owner, int fd);

/* Takes `owner` off the key; closes the descriptor when none is left. */
void held_drop(uint32_t key, uint32_t owner);

/* Fills up to `max` keys and descriptors (which stay held) of `owner`, from *cursor on, which is
 * moved on. Returns how many; 0: no more. */
size_t held_next(uint32_t *cursor, uint32_t owner, uint32_t *keys, int *fds, size_t max);

/* Calls `visit` for each descriptor. */
void held_each(void (*visit)(int fd, void *context), void *context);

/* Closes all. */
void held_close(void);
