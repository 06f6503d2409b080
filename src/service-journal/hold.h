/* What init holds for the journal: descriptors that the next one gets back. */
#pragma once

#include <stdint.h>

/* Says so in the log where it cannot be. The descriptor stays the caller's. */
void hold_store(uint32_t key, int fd);
void hold_drop(uint32_t key);
