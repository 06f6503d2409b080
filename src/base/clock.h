/* Times are nanoseconds of CLOCK_BOOTTIME, which goes on through a suspend: absolute ones are
 * `…_at_ns`, spans are `…_ns` or `…_ms`. CLOCK_REALTIME is only for showing. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define NS_PER_MS  1000000ull
#define NS_PER_SEC 1000000000ull

static inline uint64_t clock_read_ns(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

static inline uint64_t clock_now_ns(void)
{
    return clock_read_ns(CLOCK_BOOTTIME);
}

/* "2026-11-22T13:54:00.123456Z" and its end. */
#define CLOCK_RFC3339_BYTES 28

/* Writes a CLOCK_REALTIME time as RFC 3339 in UTC with microseconds. */
void clock_format_rfc3339(char text[static CLOCK_RFC3339_BYTES], uint64_t realtime_ns);

/* "2026-11-22T14:54:00.123456+01:00" and its end. */
#define CLOCK_LOCAL_BYTES (CLOCK_RFC3339_BYTES + 5)

/* The same in local time (TZ) with its offset, which is Z where there is none. Returns how long it
 * is. */
size_t clock_format_local(char text[static CLOCK_LOCAL_BYTES], uint64_t realtime_ns);
