/* What init holds for the journal: descriptors that the next one gets back. */
#pragma once

#include "protocol/hand-over.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* hand_over_send() to init; a shortage, or a socket without room, is waited for for a moment. */
int tell_init(struct hand_over_message *message, const int *fds, size_t count);

/* Says so in the log where it cannot be. The descriptor stays the caller's. */
void hold_store(uint32_t key, int fd);
void hold_drop(uint32_t key);

/* While another journal may have to go on with what init holds, nothing is given to it: what is to
 * be stored waits (a few descriptors; none may be dropped) for hold_go_on(). */
void hold_wait(void);
void hold_go_on(void);
