/* A message of a service to its notify socket: lines of KEY=VALUE, as sd_notify(3) has them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define NOTIFY_MESSAGE_BYTES 4096 /* a longer one is refused */

struct notify_message {
    bool ready, reloading, stopping, watchdog, trigger;
    bool has_extend, has_watchdog_usec;
    const char *status; /* inside the message; NULL: not given */
    size_t status_bytes;
    pid_t main_pid;    /* 0: not given */
    bool bad_main_pid; /* given, and no number that a main process can have */
    uint64_t extend_usec, watchdog_usec;
};

/* What is not known, or has no such value, is left out. Of one key the last counts. */
void notify_message_parse(const char *bytes, size_t count, struct notify_message *ret);

/* The text for people: what is no UTF-8 and what would move a cursor becomes '?'; cut between
 * characters to `size_bytes` - 1. Ends in NUL. */
void notify_status_clean(const char *bytes, size_t count, char *storage, size_t size_bytes);
