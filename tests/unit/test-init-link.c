/* The launcher's side of its pair with init: order, waiting for room, acknowledging. */
#include "base/clock.h"
#include "base/text.h"
#include "service-launcher/init-link.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static struct loop loop;
static struct init_link link_;
static int pair[2]; /* 0: the launcher's, 1: init's */
static int fds[HAND_OVER_KEYS_MAX];

static struct {
    int held, held_done, ended, signal, refused, room, lost, yield, resume;
    uint32_t done, failed;
    char text[100];
    bool beside;
    uint32_t key;
    pid_t pid, sender;
    int status, error;
} seen;

static void on_held(void *context, uint32_t key, int fd)
{
    CHECK(context == &seen);
    seen.held++;
    seen.key = key;
    close(fd);
}

static void on_held_done(void *context, bool beside)
{
    (void)context;
    seen.held_done++;
    seen.beside = beside;
}

static void on_ended(void *context, pid_t pid, int status)
{
    (void)context;
    seen.ended++;
    seen.pid = pid;
    seen.status = status;
}

static void on_signal(void *context, int signal, pid_t sender)
{
    (void)context;
    seen.signal = signal;
    seen.sender = sender;
}

static void on_refused(void *context, const uint32_t *keys, size_t count)
{
    (void)context;
    seen.refused += (int)count;
    seen.key = keys[0];
}

static void on_room(void *context)
{
    (void)context;
    seen.room++;
}

static void on_yield(void *context)
{
    (void)context;
    seen.yield++;
}

static void on_resume(void *context)
{
    (void)context;
    seen.resume++;
}

static void on_upgraded(void *context, uint32_t done, uint32_t failed, const char *text)
{
    (void)context;
    seen.done = done;
    seen.failed = failed;
    CHECK(text_format(seen.text, sizeof seen.text, "%s", text));
}

static void on_lost(void *context, int error)
{
    (void)context;
    seen.lost++;
    seen.error = error;
}

static const struct init_link_handlers handlers = {
    .on_held = on_held,
    .on_held_done = on_held_done,
    .on_ended = on_ended,
    .on_signal = on_signal,
    .on_refused = on_refused,
    .on_room = on_room,
    .on_yield = on_yield,
    .on_resume = on_resume,
    .on_upgraded = on_upgraded,
    .on_lost = on_lost,
};

static void begin(void)
{
    memset(&seen, 0, sizeof seen);
    CHECK_NUMBER(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    CHECK_NUMBER(loop_init(&loop), 0);
    CHECK_NUMBER(init_link_init(&link_, &loop, pair[0], &handlers, &seen), 0);
}

static void end(void)
{
    init_link_finish(&link_);
    loop_finish(&loop);
    close(pair[0]);
    close(pair[1]);
}

static int receive(struct hand_over_message *message)
{
    size_t count = 0;
    int result = hand_over_receive(pair[1], message, fds, &count);
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
    return result;
}

static void send_message(struct hand_over_message message, const int *with, size_t count)
{
    CHECK_NUMBER(hand_over_send(pair[1], &message, with, count), 0);
}

/* Fills the socket with PROGRESS until one is queued. Returns how many there are in all. */
static int fill(void)
{
    int count = 0;
    while (link_.queued == 0) {
        CHECK_NUMBER(init_link_progress(&link_, "x"), 0);
        count++;
    }
    return count;
}

TEST(what_init_says_reaches_its_handler)
{
    uint32_t keys[2] = {40, 41};
    int sent[2];
    begin();
    sent[0] = sent[1] = pair[1];
    struct hand_over_message held = {.type = HAND_OVER_HELD, .count = 2};
    memcpy(held.keys, keys, sizeof keys);
    send_message(held, sent, 2);
    send_message((struct hand_over_message){.type = HAND_OVER_HELD_DONE, .argument = 1}, NULL, 0);
    send_message((struct hand_over_message){.type = HAND_OVER_YIELD}, NULL, 0);
    send_message((struct hand_over_message){.type = HAND_OVER_RESUME}, NULL, 0);
    send_message((struct hand_over_message){.type = HAND_OVER_UPGRADED,
                                            .argument = PART_JOURNAL,
                                            .status = PART_LAUNCHER,
                                            .count = 4,
                                            .text = "text and more"},
                 NULL, 0);
    send_message((struct hand_over_message){.type = HAND_OVER_SIGNAL, .argument = 15, .status = 77},
                 NULL, 0);
    send_message((struct hand_over_message){.type = HAND_OVER_REFUSED, .count = 1, .keys = {9}},
                 NULL, 0);
    send_message((struct hand_over_message){.type = 500}, NULL, 0);
    CHECK_NUMBER(loop_turn(&loop, true), 0);
    CHECK_NUMBER(seen.held, 2);
    CHECK_NUMBER(seen.held_done, 1);
    CHECK(seen.beside);
    CHECK_NUMBER(seen.yield, 1);
    CHECK_NUMBER(seen.resume, 1);
    CHECK_NUMBER(seen.done, PART_JOURNAL);
    CHECK_NUMBER(seen.failed, PART_LAUNCHER);
    CHECK_TEXT(seen.text, "text");
    CHECK_NUMBER(seen.signal, 15);
    CHECK_NUMBER(seen.sender, 77);
    CHECK_NUMBER(seen.refused, 1);
    CHECK_NUMBER(seen.key, 9);
    CHECK_NUMBER(seen.lost, 0);
    end();
}

TEST(ended_pairs_are_acknowledged_after_their_handler_ran)
{
    struct hand_over_message message = {
        .type = HAND_OVER_ENDED, .count = 2, .ended = {{100, 0}, {101, 9}}};
    begin();
    send_message(message, NULL, 0);
    CHECK_NUMBER(receive(&message), -EAGAIN);
    CHECK_NUMBER(loop_turn(&loop, true), 0);
    CHECK_NUMBER(seen.ended, 2);
    CHECK_NUMBER(seen.pid, 101);
    CHECK_NUMBER(seen.status, 9);
    CHECK_NUMBER(receive(&message), 1);
    CHECK_NUMBER(message.type, HAND_OVER_ENDED_SEEN);
    CHECK_NUMBER(message.argument, 2);
    end();
}

TEST(what_does_not_fit_is_queued_with_copies_and_sent_in_order)
{
    struct hand_over_message message;
    uint32_t key = 17;
    begin();
    int progress = fill();
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK_NUMBER(init_link_store_queued(&link_, OWNER_LAUNCHER, &key, &fd, 1), 0);
    close(fd);
    CHECK_NUMBER(init_link_ready(&link_), 0);
    CHECK_NUMBER(init_link_shut_down(&link_, SHUT_DOWN_HALT, 3, true), 0);
    CHECK(link_.queued >= 4);
    for (int i = 0; i < progress; i++) {
        while (receive(&message) == -EAGAIN)
            CHECK_NUMBER(loop_turn(&loop, true), 0);
        CHECK_NUMBER(message.type, HAND_OVER_PROGRESS);
    }
    CHECK_NUMBER(receive(&message), 1);
    CHECK_NUMBER(message.type, HAND_OVER_STORE);
    CHECK_NUMBER(message.keys[0], 17);
    CHECK_NUMBER(receive(&message), 1);
    CHECK_NUMBER(message.type, HAND_OVER_READY);
    CHECK_NUMBER(receive(&message), 1);
    CHECK_NUMBER(message.argument, SHUT_DOWN_HALT | SHUT_DOWN_FORCE);
    CHECK_NUMBER(message.status, 3);
    CHECK_NUMBER(link_.queued, 0);
    end();
}

TEST(a_store_without_room_does_nothing_and_room_is_told_once)
{
    struct hand_over_message message;
    uint32_t key = 17;
    int result;
    begin();
    fill();
    CHECK_NUMBER(init_link_store(&link_, OWNER_LAUNCHER, &key, &pair[1], 1), -EAGAIN);
    CHECK_NUMBER(init_link_store(&link_, OWNER_LAUNCHER, &key, &pair[1], 1), -EAGAIN);
    CHECK_NUMBER(seen.room, 0);
    while ((result = receive(&message)) == 1)
        CHECK_NUMBER(message.type, HAND_OVER_PROGRESS);
    CHECK_NUMBER(result, -EAGAIN);
    CHECK_NUMBER(loop_turn(&loop, true), 0);
    CHECK_NUMBER(seen.room, 1);
    CHECK_NUMBER(init_link_store(&link_, OWNER_LAUNCHER, &key, &pair[1], 1), 0);
    CHECK_NUMBER(receive(&message), 1); /* the one that was queued */
    CHECK_NUMBER(receive(&message), 1);
    CHECK_NUMBER(message.type, HAND_OVER_STORE);
    CHECK_NUMBER(loop_turn(&loop, false), 0);
    CHECK_NUMBER(seen.room, 1);
    end();
}

TEST(many_keys_go_in_batches)
{
    static uint32_t keys[600];
    struct hand_over_message message;
    uint32_t next = 0;
    for (uint32_t i = 0; i < 600; i++)
        keys[i] = i;
    begin();
    CHECK_NUMBER(init_link_drop(&link_, OWNER_JOURNAL, keys, 600), 0);
    while (receive(&message) == 1) {
        CHECK_NUMBER(message.type, HAND_OVER_DROP);
        CHECK_NUMBER(message.owner, OWNER_JOURNAL);
        for (uint32_t i = 0; i < message.count; i++)
            CHECK_NUMBER(message.keys[i], next++);
    }
    CHECK_NUMBER(next, 600);
    end();
}

TEST(the_end_of_init_is_told_once_and_sending_is_an_error_afterwards)
{
    begin();
    close(pair[1]);
    CHECK_NUMBER(loop_turn(&loop, true), 0);
    CHECK_NUMBER(seen.lost, 1);
    CHECK_NUMBER(seen.error, 0);
    CHECK(init_link_ready(&link_) < 0);
    CHECK_NUMBER(loop_turn(&loop, false), 0);
    CHECK_NUMBER(seen.lost, 1);
    init_link_finish(&link_);
    loop_finish(&loop);
    close(pair[0]);
}

TEST(one_that_stands_still_acts_on_nothing_until_it_is_to_go_on)
{
    struct hand_over_message message = {.type = HAND_OVER_ENDED, .count = 1, .ended = {{100, 7}}};
    struct hand_over_message held = {.type = HAND_OVER_HELD, .count = 1, .keys = {40}};
    begin();
    send_message(message, NULL, 0);
    send_message(held, &pair[1], 1);
    send_message((struct hand_over_message){.type = HAND_OVER_SIGNAL, .argument = 15}, NULL, 0);
    int waits = dup(pair[1]);
    CHECK_NUMBER(
        hand_over_send(waits, &(struct hand_over_message){.type = HAND_OVER_RESUME}, NULL, 0), 0);
    CHECK_NUMBER(init_link_yield(&link_), 0);
    CHECK_NUMBER(seen.ended, 1);
    CHECK_NUMBER(seen.status, 7);
    CHECK_NUMBER(seen.signal, 15);
    CHECK_NUMBER(seen.held, 0); /* nothing is given to one that has all it had */
    CHECK_NUMBER(seen.resume, 0);
    CHECK_NUMBER(receive(&message), 1);
    CHECK_NUMBER(message.type, HAND_OVER_YIELDED);
    CHECK_NUMBER(receive(&message), 1);
    CHECK_NUMBER(message.type, HAND_OVER_ENDED_SEEN); /* when it had gone on, not before */
    close(waits);
    end();
}

TEST(one_that_stands_still_is_lost_with_init)
{
    begin();
    CHECK_NUMBER(shutdown(pair[1], SHUT_WR), 0);
    CHECK(init_link_yield(&link_) < 0);
    CHECK_NUMBER(seen.lost, 1);
    end();
}

TEST(why_something_failed_is_cut_to_what_a_message_holds)
{
    struct hand_over_message message;
    char text[2000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    begin();
    CHECK_NUMBER(init_link_failed(&link_, text), 0);
    CHECK_NUMBER(init_link_upgrade(&link_, PART_INIT), 0);
    CHECK_NUMBER(init_link_upgraded_seen(&link_), 0);
    CHECK_NUMBER(receive(&message), 1);
    CHECK_NUMBER(message.type, HAND_OVER_FAILED);
    CHECK_NUMBER(message.count, sizeof message.text);
    CHECK_NUMBER(receive(&message), 1);
    CHECK_NUMBER(message.argument, PART_INIT);
    CHECK_NUMBER(receive(&message), 1);
    CHECK_NUMBER(message.type, HAND_OVER_UPGRADED_SEEN);
    end();
}
