/* Init's own log lines on their way to the journal: a ring of bytes in init's record. */
#pragma once

#include "init/kept.h"
#include "log/log.h"

/* The record that the ring is in. Before anything else here. */
void lines_use(struct kept *kept);

/* The log_sink. A line that does not fit pushes out the oldest. */
void lines_sink(void *context, enum log_level level, const char *line, size_t bytes);

/* The oldest line (without its newline, not ended by NUL) in `text`, or false. */
bool lines_peek(char *text, size_t size_bytes, size_t *ret_bytes, enum log_level *ret_level);

/* Which one that is: another number than that of the line before it. */
uint32_t lines_number(void);

/* Takes it out. */
void lines_take(void);
