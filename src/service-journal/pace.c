/* When pipes are read.
 *
 * While a service prints little each write wakes us. One that writes without a pause would wake us
 * for each write too, mostly for a line, and that costs it and us several times what the line does:
 * such a pipe is busy, and looked at at a pace, at which it gets about half full meanwhile. It is
 * left to epoll again when it was found empty a few times, so that what is idle wakes nobody. A
 * busy pipe that gets full all the same is made larger, as long as few are. */
#include "service-journal/journal.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>

#define QUICK_US       300        /* so soon after the last one a read is a quick one, or … */
#define QUICK_BYTES    (32 << 10) /* … when it brings so much; … */
#define QUICK_READS    8          /* … and so many in a row make a pipe busy */
#define EMPTY_LOOKS    4          /* in a row, after which it is not any more */
#define LEAST_DELAY_NS (100 * 1000ull)
#define MOST_DELAY_NS  NS_PER_MS    /* a line waits no longer for us */
#define TURN_BYTES     (512u << 10) /* of all busy pipes, before others are looked at */
#define PIPE_BYTES     65536        /* what a pipe holds that nobody has changed */
#define LARGE_BYTES    (256 << 10)
#define LARGE_MOST     32 /* of these */
#define QUARTERS       4

static void on_pace(struct loop_timer *timer);

static void wait_for_pace(struct journal *journal, uint64_t delay_ns)
{
    loop_set_timer(&journal->loop, &journal->pace, clock_now_ns() + delay_ns, on_pace);
}

/* ---- busy or not --------------------------------------------------------------------------- */

/* What the kernel refuses stays as it was. */
static void enlarge(struct journal *journal, struct service_pipe *pipe)
{
    if (pipe->former_bytes || journal->large_pipes == LARGE_MOST)
        return;
    int bytes = fcntl(pipe->source.fd, F_GETPIPE_SZ);
    if (bytes <= 0 || bytes >= LARGE_BYTES || fcntl(pipe->source.fd, F_SETPIPE_SZ, LARGE_BYTES) < 0)
        return;
    pipe->former_bytes = (uint32_t)bytes;
    journal->large_pipes++;
}

static void make_busy(struct journal *journal, struct service_pipe *pipe)
{
    pipe->looks = 0;
    loop_change(&journal->pipes, &pipe->source, 0);
    list_append(&journal->busy, &pipe->busy_node);
    if (journal->pace.set)
        return;
    journal->pace_delay_ns = LEAST_DELAY_NS;
    if (!journal->stalled)
        wait_for_pace(journal, LEAST_DELAY_NS);
}

/* What comes meanwhile is told by epoll at once. A pipe that holds too much by now to be made
 * smaller stays busy. */
static void make_calm(struct journal *journal, struct service_pipe *pipe)
{
    pipe->looks = 0;
    if (pipe->former_bytes && fcntl(pipe->source.fd, F_SETPIPE_SZ, pipe->former_bytes) >= 0) {
        pipe->former_bytes = 0;
        journal->large_pipes--;
    } else if (pipe->former_bytes && errno == EBUSY) {
        return;
    }
    list_remove(&pipe->busy_node);
    loop_change(&journal->pipes, &pipe->source, EPOLLIN);
}

void pace_see(struct journal *journal, struct service_pipe *pipe, size_t count)
{
    const uint32_t now_us = (uint32_t)(clock_now_ns() / 1000);
    if (!list_empty(&pipe->busy_node))
        return;
    bool quick = now_us - pipe->read_at_us < QUICK_US || count >= QUICK_BYTES;
    pipe->looks = quick ? pipe->looks + 1 : 0;
    pipe->read_at_us = now_us;
    if (pipe->looks == QUICK_READS)
        make_busy(journal, pipe);
}

void pace_take_up(struct journal *journal, struct service_pipe *pipe)
{
    if (fcntl(pipe->source.fd, F_GETPIPE_SZ) != LARGE_BYTES)
        return;
    pipe->former_bytes = PIPE_BYTES;
    journal->large_pipes++;
    make_busy(journal, pipe);
}

void pace_forget(struct journal *journal, struct service_pipe *pipe)
{
    list_remove(&pipe->busy_node);
    journal->large_pipes -= pipe->former_bytes != 0;
}

void pace_go_on(struct journal *journal)
{
    if (!list_empty(&journal->busy))
        wait_for_pace(journal, 0);
}

/* ---- looking ------------------------------------------------------------------------------- */

/* Reads what is in a pipe, in blocks. Returns how many bytes; negative: it is gone. */
static ssize_t take(struct journal *journal, struct service_pipe *pipe)
{
    const size_t holds = pipe->former_bytes ? LARGE_BYTES : PIPE_BYTES;
    size_t total = 0;
    while (total < holds) {
        ssize_t count = journal_read_pipe(journal, pipe);
        if (count < 0)
            return count;
        total += (size_t)count;
        if (count < SPOOL_BYTES / 2) /* that was all, or there is no room */
            break;
    }
    return (ssize_t)total;
}

/* Reads the busy pipes once; adds up what was read. Returns how full the fullest was, in quarters.
 */
static unsigned look(struct journal *journal, size_t *total)
{
    unsigned fullest = 0;
    list_for_each(node, &journal->busy)
    {
        struct service_pipe *pipe = container_of(node, struct service_pipe, busy_node);
        ssize_t count = journal->stalled ? 0 : take(journal, pipe);
        if (journal->stalled)
            break;
        if (count < 0)
            continue;
        pipe->looks = count ? 0 : pipe->looks + 1;
        if (pipe->looks == EMPTY_LOOKS)
            make_calm(journal, pipe);
        size_t full = (size_t)count * QUARTERS / (pipe->former_bytes ? LARGE_BYTES : PIPE_BYTES);
        if (full >= QUARTERS - 1)
            enlarge(journal, pipe);
        if (full > fullest)
            fullest = (unsigned)full;
        *total += (size_t)count;
    }
    return fullest;
}

static void on_pace(struct loop_timer *timer)
{
    struct journal *journal = container_of(timer, struct journal, pace);
    uint64_t delay_ns = journal->pace_delay_ns;
    size_t total = 0;
    /* What came meanwhile is what the first look finds. */
    const unsigned fullest = look(journal, &total);
    unsigned again = fullest;

    while (again >= QUARTERS - 1 && total < TURN_BYTES && !journal->stalled)
        again = look(journal, &total);
    if (journal->stalled || list_empty(&journal->busy))
        return;
    if (fullest >= QUARTERS / 2)
        delay_ns = delay_ns / 2 > LEAST_DELAY_NS ? delay_ns / 2 : LEAST_DELAY_NS;
    else if (!fullest)
        delay_ns = delay_ns * 2 < MOST_DELAY_NS ? delay_ns * 2 : MOST_DELAY_NS;
    journal->pace_delay_ns = delay_ns;
    wait_for_pace(journal, again >= QUARTERS - 1 ? 0 : delay_ns);
}
