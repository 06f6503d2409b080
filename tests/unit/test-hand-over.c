/* Hand-over's transport: what is sent arrives, and what is malformed costs nothing but itself. */
#include "base/syscall.h"
#include "protocol/hand-over.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int pair[2];
static int fds[HAND_OVER_KEYS_MAX];
static size_t count;

static void open_pair(void)
{
    CHECK_NUMBER(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
}

static void close_pair(void)
{
    close(pair[0]);
    close(pair[1]);
}

/* The lowest free descriptor: it moves when one is leaked. */
static int lowest_free(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(fd);
    return fd;
}

/* Sends raw bytes with `fd_count` copies of descriptor 0, unchecked. */
static void send_raw(const void *bytes, size_t size, size_t fd_count)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(253 * sizeof(int))];
    } control = {0};
    struct iovec part = {(void *)bytes, size};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd_count) {
        header.msg_control = &control;
        header.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        for (size_t i = 0; i < fd_count; i++)
            ((int *)(void *)CMSG_DATA(rights))[i] = pair[0];
    }
    CHECK_NUMBER(sendmsg(pair[0], &header, 0), size);
}

static int receive(struct hand_over_message *message)
{
    count = 0;
    return hand_over_receive(pair[1], message, fds, &count);
}

TEST(a_message_arrives_whole_with_its_descriptors_in_order_and_close_on_exec)
{
    struct hand_over_message out = {.type = HAND_OVER_STORE, .owner = OWNER_LAUNCHER, .count = 240};
    struct hand_over_message in;
    int sent[240];
    struct stat a, b;

    open_pair();
    for (int i = 0; i < 240; i++) {
        int pipes[2];
        CHECK_NUMBER(pipe2(pipes, O_CLOEXEC), 0);
        close(pipes[1]);
        sent[i] = pipes[0];
        out.keys[i] = 1000 + (uint32_t)i;
    }
    CHECK_NUMBER(hand_over_send(pair[0], &out, sent, 240), 0);
    CHECK_NUMBER(receive(&in), 1);
    CHECK_NUMBER(count, 240);
    CHECK_NUMBER(in.owner, OWNER_LAUNCHER);
    CHECK_NUMBER(in.keys[239], 1239);
    for (int i = 0; i < 240; i++) {
        CHECK(fstat(sent[i], &a) == 0 && fstat(fds[i], &b) == 0 && a.st_ino == b.st_ino);
        CHECK(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
        close(sent[i]);
        close(fds[i]);
    }
    close_pair();
}

TEST(nothing_there_is_eagain_and_a_closed_peer_is_the_end)
{
    struct hand_over_message in;
    open_pair();
    CHECK_NUMBER(receive(&in), -EAGAIN);
    close(pair[0]);
    CHECK_NUMBER(receive(&in), 0);
    close(pair[1]);
}

TEST(what_was_sent_before_the_peer_went_is_still_read)
{
    struct hand_over_message out = {.type = HAND_OVER_READY}, in;
    open_pair();
    CHECK_NUMBER(hand_over_send(pair[0], &out, NULL, 0), 0);
    close(pair[0]);
    CHECK_NUMBER(receive(&in), 1);
    CHECK_NUMBER(in.type, HAND_OVER_READY);
    CHECK_NUMBER(receive(&in), 0);
    close(pair[1]);
}

TEST(a_full_socket_is_eagain_and_sends_again_when_read)
{
    struct hand_over_message out = {.type = HAND_OVER_READY}, in;
    int sent = 0, result;
    open_pair();
    while ((result = hand_over_send(pair[0], &out, NULL, 0)) == 0)
        sent++;
    CHECK_NUMBER(result, -EAGAIN);
    CHECK(sent > 10);
    CHECK_NUMBER(receive(&in), 1);
    CHECK_NUMBER(hand_over_send(pair[0], &out, NULL, 0), 0);
    close_pair();
}

TEST(a_send_to_nobody_is_an_error_and_no_signal)
{
    struct hand_over_message out = {.type = HAND_OVER_READY};
    open_pair();
    close(pair[1]);
    CHECK_NUMBER(hand_over_send(pair[0], &out, NULL, 0), -EPIPE);
    close(pair[0]);
}

TEST(malformed_messages_are_eproto_leak_nothing_and_the_next_one_is_read)
{
    struct hand_over_message good = {.version = HAND_OVER_VERSION, .type = HAND_OVER_READY}, in;
    struct {
        uint16_t version, type;
        uint32_t count;
        size_t bytes, fds;
    } rows[] = {
        {HAND_OVER_VERSION, HAND_OVER_READY, 0, sizeof good - 1, 0}, /* too short */
        {HAND_OVER_VERSION, HAND_OVER_STORE, 1, sizeof good - 1, 1}, /* too short, with one */
        {HAND_OVER_VERSION, HAND_OVER_READY, 0, 1, 0},               /* a byte */
        {HAND_OVER_VERSION, HAND_OVER_READY, 0, sizeof good + 8, 0}, /* too long */
        {HAND_OVER_VERSION + 1, HAND_OVER_READY, 0, sizeof good, 0}, /* another version */
        {0, HAND_OVER_STORE, 2, sizeof good, 2},                     /* none */
        {HAND_OVER_VERSION, HAND_OVER_STORE, 1, sizeof good, 2},     /* one too many */
        {HAND_OVER_VERSION, HAND_OVER_STORE, 2, sizeof good, 1},     /* one missing */
        {HAND_OVER_VERSION, HAND_OVER_STORE, 241, sizeof good, 241}, /* over the limit */
        {HAND_OVER_VERSION, HAND_OVER_STORE, 253, sizeof good, 253}, /* all that can come */
        {HAND_OVER_VERSION, HAND_OVER_READY, 0, sizeof good, 1},     /* none expected */
        {HAND_OVER_VERSION, HAND_OVER_DROP, 241, sizeof good, 0},    /* more than fit */
        {HAND_OVER_VERSION, HAND_OVER_REFUSED, UINT32_MAX, sizeof good, 0}, /* far more */
        {HAND_OVER_VERSION, HAND_OVER_ENDED, 121, sizeof good, 0},
        {HAND_OVER_VERSION, HAND_OVER_LINE, 961, sizeof good, 0},
        {HAND_OVER_VERSION, HAND_OVER_PROGRESS, UINT32_MAX, sizeof good, 0},
        {HAND_OVER_VERSION, HAND_OVER_FAILED, 961, sizeof good, 0},
        {HAND_OVER_VERSION, HAND_OVER_UPGRADED, 961, sizeof good, 0},
        {HAND_OVER_VERSION, HAND_OVER_YIELD, 0, sizeof good, 1},
        {HAND_OVER_VERSION, HAND_OVER_YIELDED, 0, sizeof good, 1},
        {HAND_OVER_VERSION, HAND_OVER_RESUME, 0, sizeof good, 1},
        {HAND_OVER_VERSION, HAND_OVER_UPGRADED_SEEN, 0, sizeof good, 1},
    };
    char bytes[sizeof good + 8];

    open_pair();
    int free_before = lowest_free();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct hand_over_message bad = {
            .version = rows[i].version, .type = rows[i].type, .count = rows[i].count};
        memset(bytes, 0, sizeof bytes);
        memcpy(bytes, &bad, sizeof bad);
        send_raw(bytes, rows[i].bytes, rows[i].fds);
        int result = receive(&in);
        if (result != -EPROTO)
            fprintf(stderr, "row %zu:\n", i);
        CHECK_NUMBER(result, -EPROTO);
        CHECK_NUMBER(lowest_free(), free_before);
    }
    CHECK_NUMBER(hand_over_send(pair[0], &good, NULL, 0), 0);
    CHECK_NUMBER(receive(&in), 1);
    close_pair();
}

TEST(an_unknown_type_is_handed_out_without_its_descriptors)
{
    struct hand_over_message out = {.version = HAND_OVER_VERSION, .type = 999, .count = UINT32_MAX};
    struct hand_over_message in;
    open_pair();
    int free_before = lowest_free();
    send_raw(&out, sizeof out, 3);
    CHECK_NUMBER(receive(&in), 1);
    CHECK_NUMBER(in.type, 999);
    CHECK_NUMBER(count, 0);
    CHECK_NUMBER(lowest_free(), free_before);
    close_pair();
}

/* While only four more descriptors may be opened. */
static int receive_with_few(struct hand_over_message *message)
{
    struct rlimit before, low;
    getrlimit(RLIMIT_NOFILE, &before);
    low = before;
    low.rlim_cur = (rlim_t)lowest_free() + 4;
    setrlimit(RLIMIT_NOFILE, &low);
    int result = receive(message);
    setrlimit(RLIMIT_NOFILE, &before);
    return result;
}

TEST(descriptors_cut_at_the_limit_are_emfile_with_the_keys_and_none_is_kept)
{
    struct hand_over_message out = {
        .version = HAND_OVER_VERSION, .type = HAND_OVER_STORE, .count = 9, .keys = {5, 6, 7}};
    struct hand_over_message in = {0};

    open_pair();
    int free_before = lowest_free();
    send_raw(&out, sizeof out, 9);
    CHECK_NUMBER(receive_with_few(&in), -EMFILE);
    CHECK_NUMBER(in.count, 9);
    CHECK_NUMBER(in.keys[2], 7);
    CHECK_NUMBER(lowest_free(), free_before);
    out.type = HAND_OVER_READY; /* it carries none: there is nothing to be told that it was lost */
    send_raw(&out, sizeof out, 9);
    CHECK_NUMBER(receive_with_few(&in), -EPROTO);
    CHECK_NUMBER(lowest_free(), free_before);
    close_pair();
}

TEST(more_descriptors_than_a_message_holds_are_not_sent)
{
    struct hand_over_message out = {.type = HAND_OVER_STORE, .count = HAND_OVER_KEYS_MAX}, in;
    static int many[HAND_OVER_KEYS_MAX + 1];
    open_pair();
    CHECK_NUMBER(hand_over_send(pair[0], &out, many, HAND_OVER_KEYS_MAX + 1), -EMSGSIZE);
    CHECK_NUMBER(receive(&in), -EAGAIN);
    close_pair();
}

/* As one stands in memory that outlived who received it. */
TEST(of_what_is_in_an_inbox_only_descriptors_are_taken_for_some)
{
    struct hand_over_inbox inbox = {.header.msg_controllen = CMSG_SPACE(2 * sizeof(int))};
    int own[2] = {dup(0), dup(0)};
    CHECK(!hand_over_inbox_is_filled(&inbox));
    inbox.control.first = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof own), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_CREDENTIALS};
    memcpy(CMSG_DATA(&inbox.control.first), own, sizeof own);
    CHECK(hand_over_inbox_is_filled(&inbox));
    CHECK(hand_over_inbox_is_filled(
        &(struct hand_over_inbox){.message.version = HAND_OVER_VERSION})); /* without any */
    CHECK_NUMBER(hand_over_inbox_open(&inbox, 0, fds, &count), 0);         /* the end */
    CHECK(fcntl(own[0], F_GETFD) >= 0);
    inbox.control.first.cmsg_level = IPPROTO_IP;
    inbox.control.first.cmsg_type = SCM_RIGHTS;
    CHECK_NUMBER(hand_over_inbox_open(&inbox, 0, fds, &count), 0);
    CHECK(fcntl(own[0], F_GETFD) >= 0);
    inbox.control.first.cmsg_level = SOL_SOCKET; /* nothing was sent with these: it is malformed */
    CHECK_NUMBER(hand_over_inbox_open(&inbox, 0, fds, &count), -EPROTO);
    CHECK(fcntl(own[0], F_GETFD) < 0 && fcntl(own[1], F_GETFD) < 0);
}

TEST(signals_end_the_machine_as_documented_and_others_do_not)
{
    CHECK_NUMBER(shut_down_of_signal(SIGUSR1), SHUT_DOWN_POWEROFF);
    CHECK_NUMBER(shut_down_of_signal(SIGPWR), SHUT_DOWN_POWEROFF);
    CHECK_NUMBER(shut_down_of_signal(SIGINT), SHUT_DOWN_REBOOT);
    CHECK_NUMBER(shut_down_of_signal(SIGTERM), SHUT_DOWN_REBOOT);
    CHECK_NUMBER(shut_down_of_signal(SIGUSR2), SHUT_DOWN_KEXEC);
    CHECK_NUMBER(shut_down_of_signal(37), SHUT_DOWN_HALT);
    CHECK_NUMBER(shut_down_of_signal(38), SHUT_DOWN_POWEROFF);
    CHECK_NUMBER(shut_down_of_signal(39), SHUT_DOWN_REBOOT);
    CHECK_NUMBER(shut_down_of_signal(40), SHUT_DOWN_KEXEC);
    CHECK_NUMBER(shut_down_of_signal(SIGHUP), SHUT_DOWN_NONE);
    CHECK_NUMBER(shut_down_of_signal(SIGCHLD), SHUT_DOWN_NONE);
    CHECK_NUMBER(shut_down_of_signal(0), SHUT_DOWN_NONE);
    CHECK_TEXT(shut_down_name(SHUT_DOWN_KEXEC), "kexec");
    CHECK_TEXT(shut_down_name((enum shut_down)99), "unknown");
}
