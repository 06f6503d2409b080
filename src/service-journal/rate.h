/* How many lines of a service are taken in a time; what is above that is dropped and counted. Pure.
 */
#pragma once

#include "service/quota.h"

#include <stddef.h>

/* A zeroed one is ready. */
struct rate {
    uint64_t
        since_ns;     /* CLOCK_BOOTTIME: when the interval began; 0: it begins with the next line */
    uint32_t lines;   /* taken in it */
    uint32_t dropped; /* not reported yet */
};

/* Begins a new interval where the last one is over. Returns how many lines were dropped in that:
 * they are to be reported before anything else is written. */
uint32_t rate_begin(struct rate *rate, const struct quota *quota, uint64_t now_ns);

/* How many of the bytes share one fate: written, or dropped (*ret_drop). At least 1 of `count` > 0.
 * `in_line`: the first byte goes on with a line that was taken. *dropping: with one that was
 * dropped; kept by the caller from block to block. */
size_t rate_run(struct rate *rate, const struct quota *quota, bool in_line, bool *dropping,
                const char *bytes, size_t count, bool *ret_drop);
