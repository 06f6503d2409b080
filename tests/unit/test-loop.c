/* The event loop: timers in order, sources that go away while they are being served. */
#include "base/clock.h"
#include "base/list.h"
#include "loop/loop.h"
#include "test.h"

#include <unistd.h>

static struct loop loop;
static uint64_t last_at_ns;
static int fired, late;

static void on_time(struct loop_timer *timer)
{
    CHECK(timer->at_ns >= last_at_ns);
    last_at_ns = timer->at_ns;
    if (++fired == late)
        loop_stop(&loop);
}

TEST(timers_fire_in_the_order_of_their_times_whatever_is_set_and_cleared)
{
    static struct loop_timer timers[1000];
    uint64_t begin = clock_now_ns();
    unsigned seed = 1;
    int live = 0;

    CHECK_NUMBER(loop_init(&loop), 0);
    for (int round = 0; round < 5000; round++) {
        seed = seed * 1103515245 + 12345;
        struct loop_timer *timer = &timers[(seed >> 8) % 1000];
        if (seed % 3 == 0) {
            live -= timer->set;
            loop_clear_timer(&loop, timer);
        } else {
            live += !timer->set;
            loop_set_timer(&loop, timer, begin + seed % 3000000, on_time);
        }
    }
    late = live;
    CHECK_NUMBER(loop_run(&loop), 0);
    CHECK_NUMBER(fired, live);
    CHECK(loop.timers == NULL);
    loop_finish(&loop);
}

struct pair {
    struct loop_fd source;
    struct pair *other;
    int calls;
};

static void on_readable_removes_other(struct loop_fd *source, uint32_t events)
{
    struct pair *pair = container_of(source, struct pair, source);
    CHECK(events & EPOLLIN);
    pair->calls++;
    loop_remove(&loop, &pair->other->source);
    loop_stop(&loop);
}

TEST(a_source_removed_by_another_in_the_same_turn_is_not_called)
{
    struct pair a = {0}, b = {0};
    int pipes[2][2];
    a.other = &b;
    b.other = &a;
    CHECK(pipe(pipes[0]) == 0 && pipe(pipes[1]) == 0);
    CHECK(write(pipes[0][1], "x", 1) == 1 && write(pipes[1][1], "x", 1) == 1);
    CHECK_NUMBER(loop_init(&loop), 0);
    loop_add(&loop, &a.source, pipes[0][0], EPOLLIN, on_readable_removes_other);
    loop_add(&loop, &b.source, pipes[1][0], EPOLLIN, on_readable_removes_other);
    CHECK_NUMBER(loop_run(&loop), 0);
    CHECK_NUMBER(a.calls + b.calls, 1);
    loop_finish(&loop);
    for (int i = 0; i < 4; i++)
        close(pipes[i / 2][i % 2]);
}

static void on_time_again(struct loop_timer *timer)
{
    if (++fired == 3)
        loop_stop(&loop);
    else
        loop_set_timer(&loop, timer, clock_now_ns() + 1000, on_time_again);
}

TEST(a_timer_may_set_itself_again)
{
    struct loop_timer timer = {0};
    fired = 0;
    CHECK_NUMBER(loop_init(&loop), 0);
    loop_set_timer(&loop, &timer, 0, on_time_again); /* long past: due at once */
    CHECK_NUMBER(loop_run(&loop), 0);
    CHECK_NUMBER(fired, 3);
    loop_finish(&loop);
}

static struct loop_timer too_late;
static int times, events_before;

static void on_time_after(struct loop_timer *timer)
{
    (void)timer;
    times++;
}

static void on_event_before(struct loop_fd *source, uint32_t events)
{
    char byte;
    (void)events;
    CHECK_NUMBER(read(source->fd, &byte, 1), 1);
    CHECK_NUMBER(times, 0);
    if (++events_before == 100)
        loop_clear_timer(&loop, &too_late);
}

/* More of them than one turn takes, and the timer was due before all. */
TEST(what_happened_while_nobody_looked_comes_before_any_timer)
{
    static struct loop_fd sources[100];
    int pipes[100][2];
    CHECK_NUMBER(loop_init(&loop), 0);
    loop_set_timer(&loop, &too_late, 1, on_time_after);
    for (int i = 0; i < 100; i++) {
        CHECK(pipe(pipes[i]) == 0 && write(pipes[i][1], "x", 1) == 1);
        loop_add(&loop, &sources[i], pipes[i][0], EPOLLIN, on_event_before);
    }
    CHECK_NUMBER(loop_catch_up(&loop), 0);
    CHECK_NUMBER(events_before, 100);
    CHECK_NUMBER(times, 0);
    loop_set_timer(&loop, &too_late, 1, on_time_after);
    CHECK_NUMBER(loop_catch_up(&loop), 0);
    CHECK_NUMBER(times, 0);
    CHECK_NUMBER(loop_turn(&loop, true), 0); /* which has them in force again */
    CHECK_NUMBER(times, 1);
    loop_finish(&loop);
    for (int i = 0; i < 200; i++)
        close(pipes[i / 2][i % 2]);
}
