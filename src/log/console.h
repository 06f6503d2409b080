/* The console as a log sink that never blocks: what does not fit, and still does not after a few
 * milliseconds, goes to /dev/kmsg. */
#pragma once

#include "log/log.h"

/* Writes lines to `fd` without ever waiting for somebody else and without changing a flag of its
 * open file description, which is shared with others: a terminal or FIFO is opened again
 * non-blocking through /proc/self/fd where that works, a socket is sent to with MSG_DONTWAIT,
 * anything else is asked with poll(2) first. `fd` stays the caller's. `colour`: levels are coloured
 * if it is a terminal. */
void console_init(int fd, bool colour);

/* Lets what does not fit go to /dev/kmsg. Never called in a container: the kernel's log is shared
 * with the outside there. */
void console_allow_kmsg(void);

/* The log_sink; context unused. */
void console_sink(void *context, enum log_level level, const char *line, size_t bytes);

/* The same for bytes that are no line of ours. Returns how many were taken. */
size_t console_write(const char *bytes, size_t count);
