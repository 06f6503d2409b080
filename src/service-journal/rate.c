/* Lines in a time. The interval begins with a line, so that a service which prints little never
 * waits for a clock that runs on its own. */
#include "service-journal/rate.h"
#include "base/clock.h"

#include <string.h>

uint32_t rate_begin(struct rate *rate, const struct quota *quota, uint64_t now_ns)
{
    uint32_t dropped = rate->dropped;
    if (rate->since_ns && now_ns - rate->since_ns < quota->rate_interval_ms * NS_PER_MS)
        return 0;
    *rate = (struct rate){.since_ns = now_ns};
    return dropped;
}

/* Up to the end of the line that the bytes begin in. */
static size_t line_bytes(const char *bytes, size_t count, bool *ret_ends)
{
    const char *end = memchr(bytes, '\n', count);
    *ret_ends = end != NULL;
    return end ? (size_t)(end - bytes) + 1 : count;
}

static size_t drop_lines(struct rate *rate, bool *dropping, const char *bytes, size_t count)
{
    size_t used = 0;
    while (used < count) {
        bool ends;
        rate->dropped += !*dropping;
        used += line_bytes(bytes + used, count - used, &ends);
        *dropping = !ends;
    }
    return used;
}

size_t rate_run(struct rate *rate, const struct quota *quota, bool in_line, bool *dropping,
                const char *bytes, size_t count, bool *ret_drop)
{
    size_t used = 0;
    bool ends;

    *ret_drop = *dropping;
    if (*dropping) {
        used = line_bytes(bytes, count, &ends);
        *dropping = !ends;
        return used;
    }
    if (!quota->rate_lines)
        return count;
    while (used < count && (in_line || rate->lines < quota->rate_lines)) {
        rate->lines += !in_line;
        used += line_bytes(bytes + used, count - used, &ends);
        in_line = false;
    }
    if (used)
        return used;
    *ret_drop = true;
    return drop_lines(rate, dropping, bytes, count);
}
