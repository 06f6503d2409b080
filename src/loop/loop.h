/* The event loop: epoll, timers, and a hook at the end of each turn. Allocates nothing.
 *
 * Sources are objects the caller owns and embeds in its own. One that is removed inside a callback
 * gets no more events, not even those of the turn under way, so its owner may free it at once. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

struct loop_fd {
    int fd; /* the caller's; -1 when the source is not in a loop */
    uint32_t events;
    void (*on_event)(struct loop_fd *source, uint32_t events);
};

/* A timer is in a pairing heap by its time. A zeroed one is unset. */
struct loop_timer {
    uint64_t at_ns; /* CLOCK_BOOTTIME */
    void (*on_time)(struct loop_timer *timer);
    struct loop_timer *child, *sibling, **link;
    bool set;
};

#define LOOP_EVENTS_MAX 64 /* events taken from the kernel in one turn */

struct loop {
    int epoll_fd, timer_fd;
    struct loop_timer *timers; /* the heap's root: the earliest */
    uint64_t armed_at_ns;      /* what timer_fd is set to; 0: nothing */
    bool stopped;
    bool timers_wait; /* in loop_catch_up() */
    struct epoll_event events[LOOP_EVENTS_MAX];
    int next_event, event_count;
    /* Called at the end of each turn, before waiting; may be NULL. Returns true when there is
     * more to do, which makes the next turn not wait. */
    bool (*on_turn)(void *context);
    void *turn_context;
};

/* Returns 0 or -errno. */
int loop_init(struct loop *loop);
void loop_finish(struct loop *loop);

/* Begins to watch source->fd for source->events (EPOLLIN …). Returns 0 or -errno. */
int loop_add(struct loop *loop, struct loop_fd *source, int fd, uint32_t events,
             void (*on_event)(struct loop_fd *source, uint32_t events));

/* Changes what is watched for. Returns 0 or -errno. */
int loop_change(struct loop *loop, struct loop_fd *source, uint32_t events);

/* Stops watching and sets source->fd to -1; the descriptor stays open and is the caller's.
 * Does nothing for a source that is not in the loop. */
void loop_remove(struct loop *loop, struct loop_fd *source);

/* Sets the timer, or moves it. on_time is called once, some time after `at_ns`. */
void loop_set_timer(struct loop *loop, struct loop_timer *timer, uint64_t at_ns,
                    void (*on_time)(struct loop_timer *timer));
void loop_clear_timer(struct loop *loop, struct loop_timer *timer);

/* Handles one batch of events; waits for the first of them when `wait` is true. Returns 0 or
 * -errno of epoll_wait (never -EINTR). */
int loop_turn(struct loop *loop, bool wait);

/* After a time in which nothing was looked at: what has happened meanwhile is handled before any
 * timer, so that nobody is too late only because we were. Returns 0 or -errno. */
int loop_catch_up(struct loop *loop);

/* Turns until loop_stop(). Returns 0 or -errno. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
