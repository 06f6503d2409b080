/* Messages and small files while calls and allocations fail, one after the other. */
#include "base/buffer.h"
#include "base/expression.h"
#include "base/file-mark.h"
#include "base/file.h"
#include "base/group.h"
#include "base/shortage.h"
#include "base/text.h"
#include "faults.h"
#include "protocol/foreign.h"
#include "protocol/journal-link.h"
#include "protocol/varlink.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define WHY_BYTES 200

/* ---- varlink ------------------------------------------------------------------------------- */

static void parse_call(void)
{
    static const char text[] = "{\"method\":\"org.conit.Launcher.List\",\"more\":true,"
                               "\"parameters\":{\"names\":[\"a\",\"b\"],\"n\":1.5}}";
    struct varlink_call call = {0};
    char why[WHY_BYTES] = "";
    faults_begin();
    int failed = varlink_call_parse(&call, text, sizeof text - 1, why, sizeof why);
    faults_end();
    CHECK_NUMBER(failed, fault_happened() ? -ENOMEM : 0);
    if (!failed)
        CHECK_TEXT(call.method, "org.conit.Launcher.List");
    varlink_call_finish(&call);
}

static void parse_reply(void)
{
    static const char text[] = "{\"parameters\":{\"names\":[\"a\",\"b\"]},\"continues\":true}";
    struct varlink_reply reply = {0};
    faults_begin();
    int failed = varlink_reply_parse(&reply, text, sizeof text - 1);
    faults_end();
    CHECK_NUMBER(failed, fault_happened() ? -ENOMEM : 0);
    CHECK(failed || reply.continues);
    varlink_reply_finish(&reply);
}

static void write_reply(void)
{
    struct buffer out = {0};
    struct json_writer writer;
    faults_begin();
    json_writer_init(&writer, &out);
    varlink_begin_reply(&writer, false);
    for (int i = 0; i < 500; i++)
        json_add_string(&writer, "name", "a value of some length, so that the buffer grows");
    varlink_end(&writer);
    faults_end();
    CHECK(writer.failed == fault_happened());
    if (!writer.failed)
        CHECK_NUMBER(buffer_bytes(&out)[buffer_used(&out) - 1], 0);
    buffer_finish(&out);
}

static int length;

static void write_reply_of_length(void)
{
    struct buffer out = {0};
    struct json_writer writer;
    json_writer_init(&writer, &out);
    varlink_begin_reply(&writer, false);
    char *text = calloc(1, (size_t)length + 1);
    memset(text, 'x', (size_t)length);
    json_add_string(&writer, "name", text);
    free(text);
    faults_begin();
    varlink_end(&writer);
    faults_end();
    CHECK(writer.failed == fault_happened());
    buffer_finish(&out);
}

static void receive(void)
{
    int ends[2];
    char *message;
    size_t bytes;
    struct varlink_input input = {0};
    CHECK_NUMBER(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    CHECK_NUMBER(send(ends[0], "{}", 3, 0), 3);
    faults_begin();
    ssize_t got = varlink_input_receive(&input, ends[1], 4096);
    if (got == -ENOMEM) { /* the connection is to be closed */
        CHECK(fault_happened() && !varlink_input_has_more(&input));
    } else if (got < 0) { /* nothing of it is lost */
        CHECK(fault_happened());
        got = varlink_input_receive(&input, ends[1], 4096);
    }
    faults_end();
    if (got != -ENOMEM) {
        CHECK_NUMBER(got, 3);
        CHECK_NUMBER(varlink_input_next(&input, 100, &message, &bytes), 1);
        CHECK_TEXT(message, "{}");
    }
    varlink_input_finish(&input);
    close(ends[0]);
    close(ends[1]);
}

/* Straight into a buffer that has one byte of room left. */
static void receive_much(void)
{
    char begin[255];
    int ends[2];
    struct varlink_input input = {0};
    memset(begin, 'x', sizeof begin);
    CHECK_NUMBER(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    CHECK_NUMBER(send(ends[0], begin, sizeof begin, 0), sizeof begin);
    CHECK_NUMBER(varlink_input_receive(&input, ends[1], sizeof begin), sizeof begin);
    CHECK_NUMBER(send(ends[0], "yz", 3, 0), 3);
    faults_begin();
    ssize_t got = varlink_input_receive(&input, ends[1], 65536);
    faults_end();
    if (fault_happened()) {
        CHECK_NUMBER(got, -ENOMEM);
        CHECK_NUMBER(buffer_used(&input.buffer), sizeof begin);
        got = varlink_input_receive(&input, ends[1], 65536);
    }
    CHECK_NUMBER(got, 3);
    CHECK_TEXT(buffer_bytes(&input.buffer) + sizeof begin, "yz");
    varlink_input_finish(&input);
    close(ends[0]);
    close(ends[1]);
}

TEST(a_message_without_memory_is_no_bad_message)
{
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, parse_call) > 5);
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, parse_reply) > 5);
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, write_reply) > 1);
    /* The end of a reply, too, needs room: each of its three bytes at another length. */
    size_t failed = 0;
    for (length = 200; length < 256; length++)
        failed += fault_each(FAULT_MEMORY, ENOMEM, write_reply_of_length);
    CHECK_NUMBER(failed, 3);
}

TEST(what_could_not_be_received_is_received_by_the_next_try)
{
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, receive) >= 1);
    CHECK(fault_each(FAULT_CALLS, EIO, receive) >= 1);
    CHECK(fault_each(FAULT_CALLS, EINTR, receive) >= 1);
    CHECK_NUMBER(fault_each(FAULT_MEMORY, ENOMEM, receive_much), 1);
}

/* ---- what others send along ---------------------------------------------------------------- */

/* A socket, a pipe and a file, which have to be closed whatever fails; a thread does it later. */
static void close_foreign(void)
{
    int sockets[2], pipes[2];
    char byte;
    CHECK_NUMBER(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    CHECK_NUMBER(pipe2(pipes, O_CLOEXEC | O_NONBLOCK), 0);
    const int fds[] = {sockets[1], pipes[1]};
    faults_begin();
    foreign_close(fds, 2);
    faults_end();
    struct pollfd ends[] = {{.fd = sockets[0], .events = POLLIN},
                            {.fd = pipes[0], .events = POLLIN}};
    for (int i = 0; i < 2; i++) {
        CHECK_NUMBER(poll(&ends[i], 1, 10000), 1);
        CHECK_NUMBER(read(ends[i].fd, &byte, 1), 0);
    }
    close(sockets[0]);
    close(pipes[0]);
}

TEST(what_others_have_sent_is_closed_though_there_is_no_thread_or_memory)
{
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, close_foreign) >= 1);
    CHECK(fault_each(FAULT_CALLS, EAGAIN, close_foreign) >= 2);
}

/* ---- the journal's link ------------------------------------------------------------------------
 */

/* A message with a descriptor is sent, looked at, and dropped. */
static void pass_message(void)
{
    int ends[2], fd = -1, own = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct journal_link_message out = {.type = JOURNAL_COUNTS, .name = "web"}, in = {0};
    CHECK_NUMBER(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    faults_begin();
    int sent = journal_link_send(ends[0], &out, own);
    int peeked = sent ? 0 : journal_link_peek(ends[1], &in, &fd);
    journal_link_drop(ends[1]);
    faults_end();
    CHECK_NUMBER(sent, 0);
    CHECK_NUMBER(peeked, 1);
    CHECK_TEXT(in.name, "web");
    CHECK(fd >= 0);
    CHECK_NUMBER(journal_link_receive(ends[1], &in, &fd), -EAGAIN);
    close(fd);
    close(own);
    close(ends[0]);
    close(ends[1]);
}

TEST(a_message_to_the_journal_whose_call_was_interrupted_is_passed_on)
{
    CHECK_NUMBER(fault_each(FAULT_CALLS, EINTR, pass_message), 3);
}

static ssize_t send_with(int socket, struct iovec *piece, int fd)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof fd)];
    } control = {.header = {CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS}};
    struct msghdr header = {.msg_iov = piece,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof control};
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    return sendmsg(socket, &header, MSG_DONTWAIT);
}

TEST(a_message_to_the_journal_whose_descriptor_finds_no_room_is_told_so)
{
    struct journal_link_message out = {.type = JOURNAL_COUNTS, .name = "web"}, in;
    struct rlimit before, none;
    int ends[2], fd = -1, on = 1;
    CHECK_NUMBER(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    journal_link_drop(ends[1]); /* there is none: it waits for nothing */
    CHECK_NUMBER(journal_link_send(ends[0], &out, 0), 0);
    getrlimit(RLIMIT_NOFILE, &before);
    none = before;
    none.rlim_cur = 0;
    setrlimit(RLIMIT_NOFILE, &none);
    int received = journal_link_receive(ends[1], &in, &fd);
    setrlimit(RLIMIT_NOFILE, &before);
    CHECK_NUMBER(received, -EMFILE);
    CHECK_NUMBER(fd, -1);
    /* Who the sender is, is no descriptor, and takes the room of one: its user is not closed. */
    int user = (int)getuid(), flags = fcntl(user, F_GETFD);
    CHECK_NUMBER(setsockopt(ends[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on), 0);
    CHECK_NUMBER(journal_link_send(ends[0], &out, -1), 0);
    CHECK_NUMBER(journal_link_receive(ends[1], &in, &fd), -EMFILE);
    CHECK_NUMBER(fd, -1);
    CHECK_NUMBER(fcntl(user, F_GETFD), flags);
    close(ends[0]);
    close(ends[1]);
}

TEST(what_is_no_message_to_the_journal_costs_no_descriptor)
{
    struct journal_link_message out = {.type = JOURNAL_COUNTS, .level = 8}, in;
    int ends[2], fd = -1, own = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK_NUMBER(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    int lowest = dup(0);
    close(lowest);
    CHECK_NUMBER(journal_link_send(ends[0], &out, own), 0);
    CHECK_NUMBER(journal_link_receive(ends[1], &in, &fd), -EPROTO);
    CHECK_NUMBER(journal_link_send(ends[0], &out, -1), 0);
    CHECK_NUMBER(journal_link_receive(ends[1], &in, &fd), -EPROTO);
    CHECK_NUMBER(fd, -1);
    struct iovec nothing = {NULL, 0};
    CHECK_NUMBER(send_with(ends[0], &nothing, own), 0); /* but a descriptor: not the end */
    CHECK_NUMBER(journal_link_receive(ends[1], &in, &fd), -EPROTO);
    CHECK_NUMBER(fd, -1);
    memset(out.text, 'x', sizeof out.text); /* no room for its end */
    CHECK_NUMBER(journal_link_bytes(&out), sizeof out);
    int now = dup(0);
    close(now);
    CHECK_NUMBER(now, lowest);
    close(own);
    close(ends[0]);
    close(ends[1]);
}

/* ---- small files --------------------------------------------------------------------------- */

static void read_small(void)
{
    char text[64];
    gid_t group = 77;
    struct file_mark mark = {1, 1};
    faults_begin();
    ssize_t bytes = file_read(AT_FDCWD, "/proc/self/stat", text, sizeof text);
    int no_group = group_find(GROUP_FILE, "root", &group);
    int unknown = file_mark_look("/", &mark);
    faults_end();
    CHECK(bytes > 0 || (bytes == -EIO && fault_happened()));
    CHECK(no_group ? no_group == -EIO && group == 77 : group == 0);
    CHECK(unknown ? unknown == -EIO && mark.inode == 1 : mark.inode > 0);
    CHECK(fault_happened() == (bytes < 0 || no_group || unknown));
}

TEST(an_error_of_a_small_file_is_told_and_changes_no_result)
{
    CHECK_NUMBER(fault_each(FAULT_CALLS, EIO, read_small), 5);
}

static int shortage;

static void look(void)
{
    struct file_mark mark = {1, 1};
    faults_begin();
    int failed = file_mark_look("/", &mark);
    faults_end();
    CHECK(!fault_happened() || (is_shortage(-shortage) ? failed == -shortage : !mark.inode));
}

TEST(a_file_that_lacks_something_is_not_taken_for_gone)
{
    static const int errors[] = {ENOMEM, ENOBUFS, EMFILE, ENFILE, ENOSPC, ETOOMANYREFS, EACCES};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        shortage = errors[i];
        CHECK_NUMBER(fault_each(FAULT_CALLS, shortage, look), 1);
    }
    CHECK(!is_shortage(-EACCES) && !is_shortage(0));
}

/* ---- buffers ------------------------------------------------------------------------------- */

static void append(void)
{
    struct buffer buffer = {0};
    size_t done = 0;
    faults_begin();
    for (size_t i = 0; i < 20000; i++) {
        if (buffer_append(&buffer, "123456789", 9) == 0)
            done += 9;
        CHECK_NUMBER(buffer_used(&buffer), done);
    }
    faults_end();
    CHECK(done == 180000 || (fault_happened() && done == 180000 - 9));
    buffer_finish(&buffer);
}

TEST(a_buffer_that_cannot_grow_keeps_what_it_has)
{
    struct buffer buffer = {0};
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, append) > 3);
    CHECK_NUMBER(buffer_reserve(&buffer, (size_t)-1 / 2 + 1), -ENOMEM);
    CHECK_NUMBER(buffer_append(&buffer, "1", 1), 0);
    CHECK_NUMBER(buffer_reserve(&buffer, (size_t)-1), -ENOMEM);
    CHECK_NUMBER(buffer_used(&buffer), 1);
    buffer_finish(&buffer);
}
