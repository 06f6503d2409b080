/* The ring of reaped processes. The counters only grow: seen <= sent <= last. */
#include "init/ended.h"

#include <stdint.h>

static struct hand_over_ended ring[ENDED_RING];
static uint64_t seen, sent, last;
/* Pairs that were sent, then pushed out of the ring: their acknowledgement is still to come. */
static uint64_t lost_sent;

bool ended_is_full(void)
{
    return last - seen == ENDED_RING;
}

bool ended_push(struct hand_over_ended pair)
{
    bool lose = ended_is_full();
    if (lose) {
        if (sent > seen)
            lost_sent++;
        else
            sent++;
        seen++;
    }
    ring[last++ % ENDED_RING] = pair;
    return lose;
}

size_t ended_peek(struct hand_over_ended *pairs, size_t max)
{
    size_t count = 0;
    for (uint64_t at = sent; at < last && count < max; at++)
        pairs[count++] = ring[at % ENDED_RING];
    return count;
}

void ended_sent(size_t count)
{
    sent += count < last - sent ? count : last - sent;
}

void ended_seen(size_t count)
{
    uint64_t lost = count < lost_sent ? count : lost_sent;
    lost_sent -= lost;
    count -= lost;
    seen += count < sent - seen ? count : sent - seen;
}

void ended_rewind(void)
{
    sent = seen;
    lost_sent = 0;
}
