/* The launcher's side of its pair with init while calls and allocations fail, one after the other:
 * a message goes, waits, or is refused with what was lacking; none goes twice or overtakes another,
 * and no descriptor is left. */
#include "base/clock.h"
#include "faults.h"
#include "service-launcher/init-link.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURNS    40
#define PAUSE_MS 10

static struct loop loop;
static struct init_link link_;
static int pair[2]; /* 0: the launcher's, 1: init's */
static int held_count, signals, refused, lost, rooms;

static void on_held(void *context, uint32_t key, int fd)
{
    (void)context;
    (void)key;
    held_count++;
    close(fd);
}

static void on_signal(void *context, int signal, pid_t sender)
{
    (void)context;
    (void)sender;
    CHECK_NUMBER(signal, signals + 1); /* in order */
    signals++;
}

static void on_refused(void *context, const uint32_t *keys, size_t count)
{
    (void)context;
    CHECK_NUMBER(keys[0], 20);
    refused += (int)count;
}

static void on_room(void *context)
{
    (void)context;
    rooms++;
}

static void on_lost(void *context, int error)
{
    (void)context;
    CHECK(error != -EAGAIN);
    lost++;
}

static const struct init_link_handlers handlers = {.on_held = on_held,
                                                   .on_signal = on_signal,
                                                   .on_refused = on_refused,
                                                   .on_room = on_room,
                                                   .on_lost = on_lost};

static void begin(void)
{
    held_count = signals = refused = lost = rooms = 0;
    CHECK_NUMBER(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    CHECK_NUMBER(loop_init(&loop), 0);
    CHECK_NUMBER(init_link_init(&link_, &loop, pair[0], &handlers, NULL), 0);
}

static void end(void)
{
    init_link_finish(&link_);
    loop_finish(&loop);
    close(pair[0]);
    close(pair[1]);
}

/* Messages of that type that init has got; their descriptors are closed. */
static int receive_all(enum hand_over_type type, size_t *ret_fds)
{
    struct hand_over_message message;
    int fds[HAND_OVER_KEYS_MAX], count = 0;
    size_t fd_count;
    while (hand_over_receive(pair[1], &message, fds, &fd_count) == 1) {
        count += message.type == type;
        for (size_t i = 0; i < fd_count; i++)
            close(fds[i]);
        if (message.type == type && ret_fds)
            *ret_fds += fd_count;
    }
    return count;
}

/* Turns until init has got so many in all, or nothing more is to come. */
static int receive_until(enum hand_over_type type, int expected, size_t *ret_fds)
{
    int count = receive_all(type, ret_fds);
    for (int i = 0; i < TURNS && count < expected && !lost; i++) {
        poll(NULL, 0, PAUSE_MS);
        loop_turn(&loop, false);
        count += receive_all(type, ret_fds);
    }
    return count;
}

static void fill_socket(void)
{
    while (!link_.queued)
        CHECK_NUMBER(init_link_progress(&link_, "full"), 0);
}

/* ---- what goes ----------------------------------------------------------------------------- */

static bool is_full;

static void store(void)
{
    const uint32_t keys[2] = {20, 21};
    size_t fd_count = 0;
    begin();
    if (is_full)
        fill_socket();
    faults_begin();
    int failed = init_link_store_queued(&link_, 1, keys, (const int[]){pair[0], pair[1]}, 2);
    faults_end();
    CHECK(!failed || fault_happened());
    if (failed) /* the caller makes it known, and tries again or not */
        CHECK(failed == -ENOMEM || failed == -EMFILE || failed == -EIO);
    int got = receive_until(HAND_OVER_STORE, failed ? 0 : 1, &fd_count);
    CHECK_NUMBER(got, failed ? 0 : 1);
    CHECK_NUMBER(fd_count, failed ? 0 : 2);
    CHECK_NUMBER(init_link_ready(&link_), 0);
    CHECK_NUMBER(receive_until(HAND_OVER_READY, 1, NULL), 1);
    CHECK_NUMBER(link_.queued, 0);
    end();
}

TEST(what_is_to_be_held_goes_once_or_it_is_said_why_not)
{
    is_full = false;
    CHECK(fault_each(FAULT_CALLS, EIO, store) >= 1);
    CHECK(fault_each(FAULT_CALLS, ENOBUFS, store) >= 1);
    is_full = true;
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, store) >= 1);
    CHECK(fault_each_of("fcntl64", FAULT_CALLS, EMFILE, store) >= 2);
}

/* Without room it is not queued, but told when there is some. */
static void wait_for_room(void)
{
    const uint32_t key = 20;
    begin();
    fill_socket();
    CHECK_NUMBER(init_link_store(&link_, 1, &key, pair, 1), -EAGAIN);
    receive_all(HAND_OVER_PROGRESS, NULL);
    for (int i = 0; i < TURNS && !rooms && !lost; i++) {
        faults_begin();
        loop_turn(&loop, false);
        faults_end();
        receive_all(HAND_OVER_PROGRESS, NULL);
        poll(NULL, 0, fault_happened() ? PAUSE_MS : 0);
    }
    CHECK(rooms == 1 || (lost == 1 && fault_happened()));
    if (!lost) {
        CHECK_NUMBER(init_link_store(&link_, 1, &key, pair, 1), 0);
        CHECK_NUMBER(receive_until(HAND_OVER_STORE, 1, NULL), 1);
    } else {
        CHECK_NUMBER(init_link_store(&link_, 1, &key, pair, 1), -ENOTCONN);
    }
    end();
}

TEST(that_there_is_room_is_told_once_although_the_kernel_has_no_memory_for_a_while)
{
    CHECK(fault_each_of("sendmsg", FAULT_CALLS, ENOBUFS, wait_for_room) >= 1);
    CHECK(fault_each_of("sendmsg", FAULT_CALLS, EPIPE, wait_for_room) >= 1);
}

TEST(more_keys_than_a_message_has_are_refused)
{
    static uint32_t keys[HAND_OVER_KEYS_MAX + 1];
    static int fds[HAND_OVER_KEYS_MAX + 1];
    begin();
    CHECK_NUMBER(init_link_store(&link_, 1, keys, fds, HAND_OVER_KEYS_MAX + 1), -EMSGSIZE);
    CHECK_NUMBER(receive_all(HAND_OVER_STORE, NULL), 0);
    end();
}

/* Each of some messages is queued, or refused: what is queued goes in order. */
static void queue_many(void)
{
    const uint32_t key = 20;
    int queued = 0;
    begin();
    fill_socket();
    faults_begin();
    queued += init_link_drop(&link_, 1, &key, 1) == 0;
    queued += init_link_drop(&link_, 1, &key, 1) == 0;
    faults_end();
    CHECK(queued == 2 || fault_happened());
    CHECK_NUMBER(receive_until(HAND_OVER_DROP, queued, NULL), queued);
    end();
}

TEST(what_waits_goes_in_order_and_what_cannot_wait_is_said)
{
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, queue_many) >= 2);
    CHECK(fault_each(FAULT_CALLS, EIO, queue_many) >= 2);
    begin(); /* what still waits when it ends is freed */
    fill_socket();
    CHECK_NUMBER(init_link_ready(&link_), 0);
    end();
    CHECK_NUMBER(link_.queued, 0);
}

/* ---- what comes ---------------------------------------------------------------------------- */

static void send_signal(int number)
{
    struct hand_over_message message = {.type = HAND_OVER_SIGNAL, .argument = number};
    CHECK_NUMBER(hand_over_send(pair[1], &message, NULL, 0), 0);
}

static void take_signals(void)
{
    begin();
    for (int i = 1; i <= 3; i++)
        send_signal(i);
    for (int i = 0; i < TURNS && signals < 3 && !lost; i++) {
        faults_begin();
        loop_turn(&loop, false);
        faults_end();
        poll(NULL, 0, fault_happened() ? PAUSE_MS : 0);
    }
    CHECK(signals == 3 || (lost && fault_happened()));
    end();
}

TEST(what_there_is_no_memory_to_take_is_taken_later_and_in_order)
{
    CHECK(fault_each_of("recvmsg", FAULT_CALLS, ENOMEM, take_signals) >= 3);
    CHECK(fault_each_of("recvmsg", FAULT_CALLS, EINTR, take_signals) >= 3);
    CHECK(fault_each_of("recvmsg", FAULT_CALLS, EIO, take_signals) >= 3);
}

TEST(descriptors_for_which_there_is_no_room_are_refused_with_their_keys)
{
    struct rlimit limit, few;
    struct hand_over_message held = {.type = HAND_OVER_HELD, .count = 2, .keys = {20, 21}};
    begin();
    CHECK_NUMBER(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int next = fcntl(pair[0], F_DUPFD_CLOEXEC, 0);
    close(next);
    few = limit;
    few.rlim_cur = (rlim_t)next;
    CHECK_NUMBER(hand_over_send(pair[1], &held, (const int[]){0, 1}, 2), 0);
    send_signal(1);
    CHECK_NUMBER(setrlimit(RLIMIT_NOFILE, &few), 0);
    loop_turn(&loop, false);
    CHECK_NUMBER(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_NUMBER(held_count, 0);
    CHECK_NUMBER(refused, 2);
    CHECK_NUMBER(signals, 1); /* what is behind it is taken */
    CHECK_NUMBER(receive_all(HAND_OVER_REFUSED, NULL), 1);
    CHECK_NUMBER(hand_over_send(pair[1], &held, (const int[]){0, 1}, 2), 0);
    loop_turn(&loop, false);
    CHECK_NUMBER(held_count, 2);
    end();
}

/* Nobody wants to know: its descriptors are closed all the same. */
TEST(what_nobody_takes_is_closed)
{
    static const struct init_link_handlers none;
    struct hand_over_message held = {.type = HAND_OVER_HELD, .count = 1, .keys = {20}};
    int ends[2];
    char byte;
    begin();
    init_link_finish(&link_);
    CHECK_NUMBER(init_link_init(&link_, &loop, pair[0], &none, NULL), 0);
    CHECK_NUMBER(pipe(ends), 0);
    CHECK_NUMBER(hand_over_send(pair[1], &held, &ends[1], 1), 0);
    held.type = HAND_OVER_STORE; /* not for us */
    CHECK_NUMBER(hand_over_send(pair[1], &held, &ends[1], 1), 0);
    held.type = HAND_OVER_REFUSED;
    CHECK_NUMBER(hand_over_send(pair[1], &held, NULL, 0), 0);
    close(ends[1]);
    loop_turn(&loop, false);
    CHECK_NUMBER(read(ends[0], &byte, 1), 0); /* nobody has it any more */
    close(ends[0]);
    end();
}
