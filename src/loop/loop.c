/* The event loop.
 *
 * Timers live in a pairing heap whose nodes are in the timers themselves: setting one costs no
 * memory and almost no time, taking the earliest O(log n) amortised. One timerfd stands for all of
 * them and is set again only when the earliest has changed, just before the loop waits. */
#include "loop/loop.h"
#include "base/clock.h"

#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define CATCH_UP_TURNS 256

/* ---- the heap ------------------------------------------------------------------------------ */

/* Both are roots (no siblings); the later one becomes the first child of the earlier. */
static struct loop_timer *meld(struct loop_timer *a, struct loop_timer *b)
{
    if (!a || !b)
        return a ? a : b;
    if (b->at_ns < a->at_ns) {
        struct loop_timer *swap = a;
        a = b;
        b = swap;
    }
    b->sibling = a->child;
    if (b->sibling)
        b->sibling->link = &b->sibling;
    b->link = &a->child;
    a->child = b;
    return a;
}

/* Melds a list of siblings in pairs, then the pairs from the last to the first. */
static struct loop_timer *meld_siblings(struct loop_timer *first)
{
    struct loop_timer *pairs = NULL, *root = NULL;
    while (first) {
        struct loop_timer *a = first, *b = a->sibling;
        first = b ? b->sibling : NULL;
        a->sibling = NULL;
        if (b)
            b->sibling = NULL;
        a = meld(a, b);
        a->sibling = pairs;
        pairs = a;
    }
    while (pairs) {
        struct loop_timer *next = pairs->sibling;
        pairs->sibling = NULL;
        root = meld(root, pairs);
        pairs = next;
    }
    return root;
}

static void set_root(struct loop *loop, struct loop_timer *root)
{
    loop->timers = root;
    if (root)
        root->link = &loop->timers;
}

static void heap_remove(struct loop *loop, struct loop_timer *timer)
{
    struct loop_timer *children = meld_siblings(timer->child);
    bool was_root = loop->timers == timer;

    *timer->link = timer->sibling;
    if (timer->sibling)
        timer->sibling->link = timer->link;
    timer->child = timer->sibling = NULL;
    timer->link = NULL;
    set_root(loop, meld(was_root ? NULL : loop->timers, children));
}

void loop_clear_timer(struct loop *loop, struct loop_timer *timer)
{
    if (!timer->set)
        return;
    timer->set = false;
    heap_remove(loop, timer);
}

void loop_set_timer(struct loop *loop, struct loop_timer *timer, uint64_t at_ns,
                    void (*on_time)(struct loop_timer *timer))
{
    loop_clear_timer(loop, timer);
    *timer = (struct loop_timer){.at_ns = at_ns, .on_time = on_time, .set = true};
    set_root(loop, meld(loop->timers, timer));
}

/* ---- waiting ------------------------------------------------------------------------------- */

int loop_init(struct loop *loop)
{
    memset(loop, 0, sizeof *loop);
    loop->timer_fd = -1;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0)
        return -errno;
    loop->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN}; /* data.ptr NULL: the timers */
    if (loop->timer_fd < 0 ||
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->timer_fd, &event) < 0) {
        int failed = -errno;
        loop_finish(loop);
        return failed;
    }
    return 0;
}

void loop_finish(struct loop *loop)
{
    if (loop->timer_fd >= 0)
        close(loop->timer_fd);
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    loop->timer_fd = loop->epoll_fd = -1;
}

int loop_add(struct loop *loop, struct loop_fd *source, int fd, uint32_t events,
             void (*on_event)(struct loop_fd *source, uint32_t events))
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    source->fd = -1;
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        return -errno;
    source->fd = fd;
    source->events = events;
    source->on_event = on_event;
    return 0;
}

int loop_change(struct loop *loop, struct loop_fd *source, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    if (source->events == events)
        return 0;
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event) < 0)
        return -errno;
    source->events = events;
    return 0;
}

void loop_remove(struct loop *loop, struct loop_fd *source)
{
    if (source->fd < 0 || !source->on_event)
        return;
    epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
    source->fd = -1;
    source->on_event = NULL;
    for (int i = loop->next_event; i < loop->event_count; i++)
        if (loop->events[i].data.ptr == source)
            loop->events[i].events = 0;
}

/* Sets the timerfd to the earliest timer. One that is already past is due at once. */
static void arm(struct loop *loop)
{
    uint64_t at_ns = loop->timers ? loop->timers->at_ns : 0;
    if (loop->timers && at_ns == 0)
        at_ns = 1;
    if (at_ns == loop->armed_at_ns)
        return;
    struct itimerspec time = {.it_value = {.tv_sec = (time_t)(at_ns / NS_PER_SEC),
                                           .tv_nsec = (long)(at_ns % NS_PER_SEC)}};
    timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &time, NULL);
    loop->armed_at_ns = at_ns;
}

static void run_timers(struct loop *loop)
{
    uint64_t expirations, now = clock_now_ns();
    if (read(loop->timer_fd, &expirations, sizeof expirations) < 0 && errno == EAGAIN)
        return;
    loop->armed_at_ns = 0;
    while (loop->timers && loop->timers->at_ns <= now) {
        struct loop_timer *timer = loop->timers;
        loop_clear_timer(loop, timer);
        timer->on_time(timer);
    }
}

static int turn(struct loop *loop, bool wait)
{
    arm(loop);
    int count = epoll_wait(loop->epoll_fd, loop->events, LOOP_EVENTS_MAX, wait ? -1 : 0);
    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    loop->event_count = count;
    for (loop->next_event = 0; loop->next_event < loop->event_count;) {
        const struct epoll_event *event = &loop->events[loop->next_event++];
        struct loop_fd *source = event->data.ptr;
        if (!event->events)
            continue;
        if (source)
            source->on_event(source, event->events);
        else if (!loop->timers_wait)
            run_timers(loop);
    }
    loop->event_count = loop->next_event = 0;
    return count;
}

int loop_turn(struct loop *loop, bool wait)
{
    int count = turn(loop, wait);
    return count < 0 ? count : 0;
}

int loop_catch_up(struct loop *loop)
{
    int count = 2;
    loop->timers_wait = true;
    /* One event may be the timers'. A source that is always ready must not keep us here. */
    for (int i = 0; i < CATCH_UP_TURNS && count > 1; i++)
        count = turn(loop, false);
    loop->timers_wait = false;
    return count < 0 ? count : 0;
}

int loop_run(struct loop *loop)
{
    int failed = 0;
    loop->stopped = false;
    while (!loop->stopped && !failed) {
        bool more = loop->on_turn && loop->on_turn(loop->turn_context);
        if (!loop->stopped)
            failed = loop_turn(loop, !more);
    }
    return failed;
}

void loop_stop(struct loop *loop)
{
    loop->stopped = true;
}
