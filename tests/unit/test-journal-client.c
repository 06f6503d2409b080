/* The launcher's side of its link with the journal, against a journal that the test makes up. */
#include "protocol/journal-link.h"
#include "service-launcher/journal-client.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static struct loop loop;
static struct journal_client client;
static uint64_t sequence;
static int sockets[2];
static const struct quota quota = {1 << 20, 7, 8, 9, 1000};
static uint32_t last_registered;
static unsigned registered, drained;

static void on_registered(void *context, uint32_t id)
{
    (void)context;
    registered++;
    last_registered = id;
}

static void begin(void)
{
    sequence = 0;
    registered = drained = 0;
    CHECK_NUMBER(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
    CHECK_NUMBER(loop_init(&loop), 0);
    CHECK_NUMBER(journal_client_init(&client, &loop, sockets[0], &sequence), 0);
    client.on_registered = on_registered;
}

static void finish(void)
{
    journal_client_finish(&client);
    loop_finish(&loop);
    close(sockets[0]);
    close(sockets[1]);
}

/* The next message, or type 0 when there is none. */
static struct journal_link_message hear(void)
{
    struct journal_link_message message;
    int fd = -1;
    if (journal_link_receive(sockets[1], &message, &fd) != 1)
        message.type = 0;
    if (fd >= 0)
        close(fd);
    return message;
}

static void say(enum journal_link_type type, uint64_t number, uint32_t id)
{
    struct journal_link_message message = {.type = (uint16_t)type, .sequence = number, .id = id};
    CHECK_NUMBER(journal_link_send(sockets[1], &message, -1), 0);
    CHECK_NUMBER(loop_turn(&loop, false), 0);
}

static int open_something(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static size_t queued(void)
{
    size_t count = 0;
    list_for_each(node, &client.queue) count++;
    return count;
}

TEST(a_registration_arrives_with_its_pipe_and_is_kept_until_acknowledged)
{
    struct journal_link_message message;
    int fd, pipes[2];
    char byte;

    begin();
    CHECK_NUMBER(pipe(pipes), 0);
    CHECK_NUMBER(
        journal_client_register(&client, 7, "web", NULL, JOURNAL_FLAG_CONSOLE, &quota, pipes[0]),
        0);
    CHECK_NUMBER(journal_link_receive(sockets[1], &message, &fd), 1);
    CHECK_NUMBER(message.type, JOURNAL_REGISTER);
    CHECK_NUMBER(message.id, 7);
    CHECK_NUMBER(message.flags, JOURNAL_FLAG_CONSOLE);
    CHECK_NUMBER(message.sequence, 1);
    CHECK_TEXT(message.name, "web");
    CHECK(quota_equal(&message.quota, &quota));
    CHECK_TEXT(message.text, "");
    CHECK(write(pipes[1], "x", 1) == 1 && read(fd, &byte, 1) == 1 && byte == 'x');
    close(fd);
    CHECK(fcntl(pipes[0], F_GETFD) >= 0);
    say(JOURNAL_ACK, 1, 0);
    CHECK_NUMBER(queued(), 0);
    CHECK(fcntl(pipes[0], F_GETFD) < 0);
    close(pipes[1]);
    finish();
}

/* ---- pipes that are opened when they are sent --------------------------------------------------
 */

static int next_pipe; /* what open_pipe says */

static int open_pipe(void *context, uint32_t id)
{
    (void)context;
    CHECK_NUMBER(id, 7);
    return next_pipe < 0 ? next_pipe : fcntl(next_pipe, F_DUPFD_CLOEXEC, 100);
}

static int register_pipe(int pipe_fd)
{
    client.open_pipe = open_pipe;
    next_pipe = pipe_fd;
    return journal_client_register(&client, 7, "web", NULL, 0, &quota, JOURNAL_CLIENT_OPEN_PIPE);
}

TEST(a_pipe_that_is_opened_when_it_is_sent_is_closed_then_and_opened_again_for_a_new_journal)
{
    struct journal_link_message message;
    int fd, pipes[2];

    begin();
    CHECK_NUMBER(pipe(pipes), 0);
    CHECK_NUMBER(register_pipe(pipes[0]), 0);
    CHECK(fcntl(100, F_GETFD) < 0);
    for (int journals = 0; journals < 2; journals++) {
        CHECK_NUMBER(journal_link_receive(sockets[1], &message, &fd), 1);
        CHECK_NUMBER(message.type, JOURNAL_REGISTER);
        CHECK(fd >= 0);
        close(fd);
        say(JOURNAL_HELLO, 0, 0);
    }
    say(JOURNAL_ACK, 1, 0);
    CHECK_NUMBER(queued(), 0);
    close(pipes[0]);
    close(pipes[1]);
    finish();
}

TEST(a_pipe_that_is_gone_is_not_sent_and_one_that_cannot_be_opened_is_tried_again)
{
    int pipes[2];

    begin();
    CHECK_NUMBER(pipe(pipes), 0);
    CHECK_NUMBER(register_pipe(-ENOENT), 0);
    CHECK_NUMBER(hear().type, 0);
    CHECK_NUMBER(register_pipe(-EMFILE), -EAGAIN);
    CHECK(client.retry.set);
    next_pipe = pipes[0];
    journal_client_flush(&client);
    CHECK_NUMBER(hear().type, JOURNAL_REGISTER);
    CHECK_NUMBER(registered, 1);
    close(pipes[0]);
    close(pipes[1]);
    finish();
}

TEST(what_holds_for_all_journals_arrives_in_one_message)
{
    struct journal_link_message message;
    char path[JOURNAL_LINK_TEXT_BYTES + 1];
    int fd;

    begin();
    CHECK_NUMBER(journal_client_system(&client, JOURNAL_SYSTEM_KERNEL, 1ull << 40, 200, "/dev/log",
                                       "/a/conit-1"),
                 0);
    CHECK_NUMBER(journal_link_receive(sockets[1], &message, &fd), 1);
    CHECK_NUMBER(message.type, JOURNAL_SYSTEM);
    CHECK_NUMBER(message.flags, JOURNAL_SYSTEM_KERNEL);
    CHECK_NUMBER(message.quota.max_size_bytes, 1ull << 40);
    CHECK_NUMBER(message.sync_ms, 200);
    CHECK_TEXT(message.name, "/dev/log");
    CHECK_TEXT(message.text, "/a/conit-1");
    CHECK_NUMBER(queued(), 1);
    memset(path, 'x', sizeof path);
    path[sizeof path - 1] = 0;
    CHECK_NUMBER(journal_client_system(&client, 0, 0, 0, "/dev/log", path), -EINVAL);
    CHECK_NUMBER(journal_client_system(&client, 0, 0, 0, path, ""), -EINVAL);
    CHECK_NUMBER(queued(), 1);
    finish();
}

static void say_counts(int fd)
{
    struct journal_link_message message = {.type = JOURNAL_COUNTS};
    CHECK_NUMBER(journal_link_send(sockets[1], &message, fd), 0);
    CHECK_NUMBER(loop_turn(&loop, false), 0);
}

TEST(counts_are_read_where_the_journal_has_said_whatever_is_there)
{
    const struct journal_counts some[2] = {{1, 2, 3, 4}, {5, 6, 7, 8}};
    struct journal_counts found = {9, 9, 9, 9};
    int file = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    begin();
    CHECK_NUMBER(journal_client_counts(&client, 0, &found), -ENOENT);
    say_counts(-1);
    CHECK_NUMBER(journal_client_counts(&client, 0, &found), -ENOENT);
    CHECK_NUMBER(write(file, some, sizeof some), sizeof some);
    say_counts(file);
    CHECK_NUMBER(journal_client_counts(&client, 1, &found), 0);
    CHECK(found.lines == 5 && found.bytes == 6 && found.over_rate == 7 && found.no_room == 8);
    CHECK_NUMBER(journal_client_counts(&client, 2, &found), -ENOENT);
    CHECK_NUMBER(ftruncate(file, 40), 0); /* as a broken journal might */
    CHECK_NUMBER(journal_client_counts(&client, 1, &found), -ENOENT);
    CHECK_NUMBER(found.lines, 5);
    int before = open_something();
    close(before);
    for (int i = 0; i < 10; i++) /* an even number: each is there before the former is closed */
        say_counts(file);
    int after = open_something();
    CHECK_NUMBER(after, before);
    close(after);
    close(file);
    finish();
}

TEST(what_does_not_fit_waits_and_goes_in_order)
{
    unsigned count = 0, waiting = 0;
    uint64_t last = 0;

    begin();
    for (; count < 2000; count++) {
        int result =
            journal_client_register(&client, count, "a", "/b", 0, &quota, open_something());
        CHECK(result == 0 || result == -EAGAIN);
        waiting += result == -EAGAIN;
        if (waiting == 20)
            break;
    }
    CHECK_NUMBER(waiting, 20);
    for (uint64_t wanted = 1; wanted <= count + 1;) {
        struct journal_link_message message = hear();
        if (!message.type) {
            CHECK_NUMBER(loop_turn(&loop, true), 0);
            continue;
        }
        CHECK_NUMBER(message.sequence, wanted++);
        last = message.sequence;
    }
    CHECK_NUMBER(registered, 20);
    CHECK_NUMBER(last_registered, count);
    say(JOURNAL_ACK, last, 0);
    CHECK_NUMBER(queued(), 0);
    finish();
}

TEST(a_new_journal_gets_what_is_not_acknowledged_again)
{
    begin();
    journal_client_event(&client, 1, 6, "one");
    journal_client_event(&client, 1, 6, "two %d", 2);
    CHECK_NUMBER(journal_client_run_ended(&client, 1, 0, 0, ""), 0);
    CHECK_NUMBER(journal_client_forget(&client, 1), 0);
    for (int i = 0; i < 4; i++)
        CHECK_NUMBER(hear().sequence, i + 1);
    say(JOURNAL_HELLO, 1, 0);
    struct journal_link_message message = hear();
    CHECK_NUMBER(message.sequence, 2);
    CHECK_TEXT(message.text, "two 2");
    CHECK_NUMBER(hear().type, JOURNAL_RUN_ENDED);
    CHECK_NUMBER(hear().type, JOURNAL_FORGET);
    CHECK_NUMBER(hear().type, 0);
    finish();
}

TEST(a_journal_that_counted_further_makes_the_launcher_go_on_from_there)
{
    begin();
    journal_client_event(&client, 1, 6, "one");
    CHECK_NUMBER(hear().sequence, 1);
    say(JOURNAL_ACK, 500, 0);
    struct journal_link_message message = hear();
    CHECK_NUMBER(message.sequence, 501);
    CHECK_TEXT(message.text, "one");
    CHECK_NUMBER(sequence, 501);
    say(JOURNAL_ACK, 501, 0);
    CHECK_NUMBER(queued(), 0);
    finish();
}

static void on_drained(struct journal_drain *drain)
{
    drained++;
    CHECK(!drain->pending);
}

TEST(a_drain_is_answered_once_and_asked_for_again_of_a_new_journal)
{
    struct journal_drain first = {0}, second = {0};
    begin();
    CHECK_NUMBER(journal_client_drain(&client, &first, on_drained), 0);
    CHECK_NUMBER(journal_client_drain(&client, &second, on_drained), 0);
    uint32_t token = hear().id, other = hear().id;
    CHECK(token != other);
    say(JOURNAL_HELLO, 2, 0); /* carried out, but its answers died with the old journal */
    CHECK_NUMBER(hear().id, token);
    CHECK_NUMBER(hear().id, other);
    journal_drain_cancel(&second);
    journal_drain_cancel(&second);
    say(JOURNAL_DRAINED, 0, token);
    say(JOURNAL_DRAINED, 0, token);
    say(JOURNAL_DRAINED, 0, other);
    CHECK_NUMBER(drained, 1);
    finish();
}

static const uint64_t run[2] = {0x1234, 0x5678};
static unsigned taken, matched, new_journals;

static void on_match_taken(void *context, uint32_t id, const uint64_t of[2])
{
    (void)context;
    taken += id == 5 && of[0] == run[0] && of[1] == run[1];
}

static void on_matched(void *context, uint32_t id, const uint64_t of[2])
{
    (void)context;
    matched += id == 5 && of[0] == run[0] && of[1] == run[1];
}

static void on_new_journal(void *context)
{
    (void)context;
    new_journals++;
}

TEST(a_match_is_taken_once_it_is_acknowledged_and_is_sent_again_until_then)
{
    char expression[JOURNAL_LINK_TEXT_BYTES + 1];
    begin();
    taken = matched = new_journals = 0;
    client.on_match_taken = on_match_taken;
    client.on_matched = on_matched;
    client.on_new_journal = on_new_journal;
    CHECK_NUMBER(journal_client_match(&client, 5, run, "^ready$"), 0);
    for (int journal = 0; journal < 2; journal++) {
        struct journal_link_message message = hear();
        CHECK_NUMBER(message.type, JOURNAL_MATCH);
        CHECK_NUMBER(message.id, 5);
        CHECK(message.run[0] == run[0] && message.run[1] == run[1]);
        CHECK_TEXT(message.text, "^ready$");
        CHECK_NUMBER(taken, 0);
        say(JOURNAL_HELLO, (uint64_t)journal, 0); /* the first has not carried it out */
    }
    CHECK_NUMBER(taken, 1);
    CHECK_NUMBER(new_journals, 2);
    struct journal_link_message answer = {
        .type = JOURNAL_MATCHED, .id = 5, .run = {run[0], run[1]}};
    CHECK_NUMBER(journal_link_send(sockets[1], &answer, -1), 0);
    CHECK_NUMBER(loop_turn(&loop, false), 0);
    CHECK_NUMBER(matched, 1);
    CHECK_NUMBER(journal_client_unmatch(&client, 5, run), 0);
    answer = hear();
    CHECK_NUMBER(answer.type, JOURNAL_UNMATCH);
    CHECK(answer.run[0] == run[0] && answer.run[1] == run[1]);
    memset(expression, 'a', sizeof expression - 1);
    expression[sizeof expression - 1] = 0;
    CHECK_NUMBER(journal_client_match(&client, 5, run, expression), -EINVAL);
    finish();
}

/* The launcher is killed: all that it had in memory is gone. */
static void crash(struct outbox *outbox, int memory)
{
    journal_client_finish(&client);
    outbox_finish(outbox);
    CHECK_NUMBER(outbox_open(outbox, memory), 0);
    CHECK_NUMBER(journal_client_init(&client, &loop, sockets[0], &sequence), 0);
    CHECK_NUMBER(journal_client_keep(&client, outbox), 0);
}

TEST(what_a_launcher_said_before_it_was_killed_is_said_again_under_its_numbers)
{
    struct outbox outbox;
    int memory = memfd_create("outbox", MFD_CLOEXEC);
    begin();
    CHECK_NUMBER(outbox_open(&outbox, memory), 0);
    crash(&outbox, memory);
    client.batching = true; /* nothing is sent yet */
    journal_client_event(&client, 1, 4, "one");
    CHECK_NUMBER(hear().type, 0);
    CHECK_NUMBER(journal_client_run_ended(&client, 1, 55, 6, "ended pid=55 exit=3"), 0);
    CHECK_NUMBER(hear().sequence, 1);
    CHECK_NUMBER(hear().sequence, 2);
    CHECK_NUMBER(journal_client_forget(&client, 1), 0);
    say(JOURNAL_ACK, 1, 0);
    CHECK(journal_client_has_heard(&client, 1) && !journal_client_has_heard(&client, 2));
    crash(&outbox, memory);
    CHECK_NUMBER(hear().sequence, 3); /* what the former one had sent */
    /* It was not noted that 55 has ended, so its end is found again: it is told once. */
    CHECK_NUMBER(journal_client_run_ended(&client, 1, 56, 6, "ended pid=56 exit=0"), 0);
    struct journal_link_message message = hear();
    CHECK_NUMBER(message.sequence, 2);
    CHECK_NUMBER(message.type, JOURNAL_RUN_ENDED);
    CHECK_TEXT(message.text, "ended pid=55 exit=3");
    CHECK_NUMBER(message.level, 6);
    message = hear();
    CHECK(message.sequence == 3 && message.type == JOURNAL_FORGET);
    message = hear();
    CHECK(message.sequence == 4 && strcmp(message.text, "ended pid=56 exit=0") == 0);
    crash(&outbox, memory);
    CHECK_NUMBER(journal_client_run_ended(&client, 1, 56, 6, "ended pid=56 exit=0"), 0);
    CHECK_NUMBER(journal_client_said(&client), 4);
    /* The journal's state is newer than ours: all gets other numbers, and keeps them. */
    say(JOURNAL_ACK, 100, 0);
    crash(&outbox, memory);
    CHECK_NUMBER(journal_client_said(&client), 103);
    say(JOURNAL_ACK, 102, 0);
    CHECK(!journal_client_has_heard(&client, 103));
    journal_client_flush(&client);
    for (uint64_t number = 101; number <= 103; number++)
        CHECK_NUMBER(hear().sequence, number);
    say(JOURNAL_ACK, 103, 0);
    CHECK(journal_client_has_heard(&client, 103));
    crash(&outbox, memory);
    CHECK_NUMBER(queued(), 0);
    while (hear().type) {
    }
    /* What a new one has said before it took over comes after what the former one had said. */
    client.batching = true;
    journal_client_event(&client, 1, 4, "former");
    journal_client_finish(&client);
    CHECK_NUMBER(journal_client_init(&client, &loop, sockets[0], &sequence), 0);
    client.batching = true;
    journal_client_event(&client, JOURNAL_OWN_ID, 6, "new");
    CHECK_NUMBER(journal_client_keep(&client, &outbox), 0);
    journal_client_flush(&client);
    CHECK_TEXT(hear().text, "former");
    message = hear();
    CHECK(message.sequence == 105 && strcmp(message.text, "new") == 0);
    outbox_finish(&outbox);
    close(memory);
    finish();
}

TEST(events_are_bounded_and_the_lost_ones_counted)
{
    unsigned heard = 0;
    begin();
    for (int i = 0; i < JOURNAL_CLIENT_EVENTS_MAX + 100; i++)
        journal_client_event(&client, 1, 6, "event\n%d", i);
    CHECK_NUMBER(client.events, JOURNAL_CLIENT_EVENTS_MAX);
    CHECK_NUMBER(client.lost_events, 100);
    CHECK_NUMBER(journal_client_run_ended(&client, 1, 0, 0, ""), 0);
    for (bool found = false; !found; heard++) {
        struct journal_link_message message = hear();
        if (!message.type) {
            CHECK_NUMBER(loop_turn(&loop, true), 0);
            continue;
        }
        CHECK(!strchr(message.text, '\n'));
        found = message.type == JOURNAL_RUN_ENDED;
        if (message.sequence % 50 == 0)
            say(JOURNAL_ACK, message.sequence, 0);
        if (message.id == JOURNAL_OWN_ID)
            CHECK_TEXT(message.text, "dropped events=100");
    }
    CHECK_NUMBER(client.lost_events, 0);
    finish();
}

TEST(rubbish_and_a_name_too_long_are_refused)
{
    char name[JOURNAL_LINK_NAME_BYTES + 1];
    begin();
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = 0;
    CHECK_NUMBER(journal_client_register(&client, 1, name, NULL, 0, &quota, open_something()),
                 -EINVAL);
    CHECK(send(sockets[1], name, sizeof name, 0) > 0);
    CHECK_NUMBER(loop_turn(&loop, false), 0);
    CHECK_NUMBER(queued(), 0);
    journal_client_event(&client, 1, 6, "%s", "still here");
    CHECK_TEXT(hear().text, "still here");
    finish();
}

/* ---- the transport itself ------------------------------------------------------------------ */

TEST(a_message_that_is_looked_at_stays_with_its_descriptor)
{
    struct journal_link_message message = {.type = JOURNAL_REGISTER, .id = 3};
    int fd = open_something(), got;
    CHECK_NUMBER(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
    CHECK_NUMBER(journal_link_send(sockets[0], &message, fd), 0);
    close(fd);
    for (int i = 0; i < 3; i++) {
        CHECK_NUMBER(journal_link_peek(sockets[1], &message, &got), 1);
        CHECK_NUMBER(message.id, 3);
        CHECK(got >= 0 && fcntl(got, F_GETFD) == FD_CLOEXEC);
        close(got);
    }
    journal_link_drop(sockets[1]);
    CHECK_NUMBER(journal_link_peek(sockets[1], &message, &got), -EAGAIN);
    close(sockets[0]);
    CHECK_NUMBER(journal_link_receive(sockets[1], &message, &got), 0);
    close(sockets[1]);
}

TEST(messages_of_every_wrong_length_and_version_are_refused)
{
    struct journal_link_message message = {.type = JOURNAL_EVENT, .text = "words"};
    int fd;
    CHECK_NUMBER(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
    message.version = JOURNAL_LINK_VERSION;
    for (size_t length = 1; length <= sizeof message; length++) {
        size_t text = offsetof(struct journal_link_message, text);
        bool good = length == text || length > text + strlen("words");
        CHECK(send(sockets[0], &message, length, 0) == (ssize_t)length);
        CHECK_NUMBER(journal_link_receive(sockets[1], &message, &fd), good ? 1 : -EPROTO);
        message = (struct journal_link_message){
            .type = JOURNAL_EVENT, .text = "words", .version = JOURNAL_LINK_VERSION};
    }
    message.version++;
    CHECK(send(sockets[0], &message, sizeof message, 0) > 0);
    CHECK_NUMBER(journal_link_receive(sockets[1], &message, &fd), -EPROTO);
    message.version = JOURNAL_LINK_VERSION;
    message.level = 8;
    CHECK(send(sockets[0], &message, sizeof message, 0) > 0);
    CHECK_NUMBER(journal_link_receive(sockets[1], &message, &fd), -EPROTO);
    close(sockets[0]);
    close(sockets[1]);
}
