/* The descriptors init keeps for its children: a table indexed by key, in static storage. */
#pragma once

#include "protocol/hand-over.h"

#include <stddef.h>
#include <stdint.h>

/* Descriptors with this number or a higher one are refused, so that init keeps some for itself. */
void held_set_limit(int fd_limit);

/* Keeps `fd` under `key` for `owner`; what was there is closed. Returns 0; -ERANGE for a key that
 * cannot be, -EINVAL for no owner, -EMFILE above the limit: then `fd` has been closed. */
int held_store(uint32_t key, uint32_t owner, int fd);

/* Takes `owner` off the key; closes the descriptor when none is left. */
void held_drop(uint32_t key, uint32_t owner);

/* Fills up to `max` keys and descriptors (which stay held) of `owner`, from *cursor on, which is
 * moved on. Returns how many; 0: no more. */
size_t held_next(uint32_t *cursor, uint32_t owner, uint32_t *keys, int *fds, size_t max);

/* Closes all. */
void held_close(void);
