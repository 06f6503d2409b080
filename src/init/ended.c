/* The ring of reaped processes. A change of its counters is made in the half that does not count,
 * which then becomes the one that does. */
#include "init/ended.h"

static struct kept *kept;

void ended_use(struct kept *kept_)
{
    kept = kept_;
}

static const struct kept_ended_half *now(void)
{
    return &kept->ended.halves[kept->ended.live & 1];
}

static void become(struct kept_ended_half next)
{
    uint32_t live = !(kept->ended.live & 1);
    kept->ended.halves[live] = next;
    kept_settle();
    kept->ended.live = live;
    kept_settle();
}

bool ended_is_full(void)
{
    return kept->ended.last - now()->seen >= ENDED_RING;
}

bool ended_push(struct hand_over_ended pair)
{
    bool lose = ended_is_full();
    if (lose) {
        struct kept_ended_half next = *now();
        if (next.sent > next.seen)
            next.lost_sent++;
        else
            next.sent++;
        next.seen++;
        become(next);
    }
    kept->ended_ring[kept->ended.last % ENDED_RING] = pair;
    kept_settle();
    kept->ended.last++;
    return lose;
}

size_t ended_peek(struct hand_over_ended *pairs, size_t max)
{
    size_t count = 0;
    for (uint64_t at = now()->sent; at < kept->ended.last && count < max; at++)
        pairs[count++] = kept->ended_ring[at % ENDED_RING];
    return count;
}

void ended_sent(size_t count)
{
    struct kept_ended_half next = *now();
    uint64_t waiting = kept->ended.last - next.sent;
    next.sent += count < waiting ? count : waiting;
    become(next);
}

void ended_seen(size_t count)
{
    struct kept_ended_half next = *now();
    uint64_t lost = count < next.lost_sent ? count : next.lost_sent;
    next.lost_sent -= lost;
    count -= lost;
    next.seen += count < next.sent - next.seen ? count : next.sent - next.seen;
    next.answers++;
    become(next);
}

uint64_t ended_answers(void)
{
    return now()->answers;
}

void ended_rewind(void)
{
    struct kept_ended_half next = *now();
    next.sent = next.seen;
    next.lost_sent = 0;
    become(next);
}
