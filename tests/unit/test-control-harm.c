/* The control socket: clients that do harm, and who may do what. */
#include "fake-launcher.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- clients that do harm ------------------------------------------------------------------- */

TEST(pipelined_calls_are_answered_one_after_the_other)
{
    begin();
    AUTO_CLOSE int fd = dial();
    char many[20000];
    struct text text;
    for (int i = 0; i < 50; i++)
        put(fd, call_of("org.varlink.service.GetInfo", "", ""));
    text_init(&text, many, sizeof many);
    text_add(&text, list_call());
    put(fd, many);
    for (int i = 0; i < 50; i++)
        CHECK_VALUE(get(fd), "parameters/vendor", "conit");
    CHECK_VALUE(get(fd), "parameters/services/0/name", "a");
    CHECK_NUMBER(launcher.control->input_bytes, 0);
    end();
}

TEST(a_client_that_closes_its_sending_side_gets_all_its_replies)
{
    begin();
    AUTO_CLOSE int fd = dial();
    put(fd, list_call());
    put(fd, list_call());
    CHECK_NUMBER(shutdown(fd, SHUT_WR), 0);
    CHECK_VALUE(get(fd), "parameters/services/0/name", "a");
    CHECK_VALUE(get(fd), "parameters/services/0/name", "a");
    CHECK_TEXT(get(fd), "EOF");
    end();
}

TEST(half_a_message_holds_up_nobody)
{
    begin();
    AUTO_CLOSE int fd = dial();
    const char *call = list_call();
    size_t half = strlen(call) / 2;
    CHECK_NUMBER(send(fd, call, half, 0), half);
    turns(5);
    check_served();
    CHECK_NUMBER(launcher.control->input_bytes, half);
    put(fd, list_call() + half);
    CHECK_VALUE(get(fd), "parameters/services/0/name", "a");
    end();
}

TEST(rubbish_is_answered_and_hung_up_on)
{
    static const char *const rubbish[] = {"\x7f"
                                          "ELF\x01\x02",
                                          "GET / HTTP/1.1\r\n\r\n",
                                          "{}",
                                          "",
                                          "\xff\xfe",
                                          "{\"method\":\"a\\u0000b\"}"};
    begin();
    for (size_t i = 0; i < sizeof rubbish / sizeof *rubbish; i++) {
        AUTO_CLOSE int fd = dial();
        CHECK_VALUE(ask(fd, rubbish[i]), "error", INTERFACE "BadMessage");
        CHECK_TEXT(get(fd), "EOF");
    }
    CHECK_NUMBER(launcher.control->connection_count, 0);
    check_served();
    end();
}

TEST(a_hundred_megabytes_without_an_end_are_refused_at_one)
{
    static char rubbish[65536];
    size_t sent = 0, most = 0;
    begin();
    AUTO_CLOSE int fd = dial();
    memset(rubbish, 'x', sizeof rubbish);
    while (sent < 100u << 20) {
        ssize_t r = send(fd, rubbish, sizeof rubbish, MSG_NOSIGNAL);
        if (r < 0 && errno != EAGAIN)
            break;
        sent += r > 0 ? (size_t)r : 0;
        turns(1);
        if (launcher.control->input_bytes > most)
            most = launcher.control->input_bytes;
    }
    CHECK(sent < 4u << 20);
    CHECK(most <= (1u << 20) + 65536);
    CHECK_VALUE(get(fd), "error", INTERFACE "BadMessage");
    CHECK_TEXT(get(fd), "EOF");
    CHECK_NUMBER(launcher.control->input_bytes, 0);
    check_served();
    end();
}

TEST(half_messages_of_many_clients_are_bounded_together)
{
    static char rubbish[1000000];
    int fds[40];
    begin();
    memset(rubbish, 'x', sizeof rubbish);
    for (int i = 0; i < 40; i++) {
        fds[i] = dial();
        for (size_t sent = 0; sent < sizeof rubbish;) {
            ssize_t r = send(fds[i], rubbish + sent, sizeof rubbish - sent, MSG_NOSIGNAL);
            if (r < 0 && errno != EAGAIN)
                break;
            sent += r > 0 ? (size_t)r : 0;
            turns(1);
        }
        turns(3);
        CHECK(launcher.control->input_bytes <= 17u << 20);
    }
    check_served();
    for (int i = 0; i < 40; i++)
        close(fds[i]);
    end();
}

TEST(a_client_that_never_reads_is_not_read_from_either)
{
    begin();
    AUTO_CLOSE int fd = dial();
    const char *call = list_call();
    int sent = 0;
    while (send(fd, call, strlen(call) + 1, MSG_NOSIGNAL) > 0 || sent < 20000) {
        turns(2);
        if (++sent > 40000)
            break;
    }
    CHECK(sent <= 40000);
    CHECK(launcher.control->output_bytes < 10000);
    CHECK(launcher.control->input_bytes < 100000);
    check_served();
    /* And it gets what it asked for once it reads. */
    CHECK_VALUE(get(fd), "parameters/services/0/name", "a");
    end();
}

TEST(of_a_thousand_clients_the_newest_are_served_and_idle_ones_go)
{
    int fds[1000];
    begin();
    for (int i = 0; i < 1000; i++) {
        fds[i] = dial();
        turns(1);
    }
    turns(200);
    CHECK_NUMBER(launcher.control->connection_count, 512);
    check_served();
    CHECK_VALUE(ask(fds[999], list_call()), "parameters/services/0/name", "a");
    CHECK_TEXT(get(fds[0]), "EOF");
    for (int i = 0; i < 1000; i++)
        close(fds[i]);
    end();
}

TEST(when_all_connections_wait_the_next_client_is_told_so)
{
    int fds[512];
    begin();
    for (int i = 0; i < 512; i++) {
        fds[i] = dial();
        put(fds[i], call_of(INTERFACE "Monitor", "", ",\"more\":true"));
        turns(2);
    }
    turns(50);
    CHECK_NUMBER(launcher.control->connection_count, 512);
    AUTO_CLOSE int fd = dial();
    CHECK_VALUE(get(fd), "error", INTERFACE "TooManyConnections");
    CHECK_TEXT(get(fd), "EOF");
    close(fds[0]);
    turns(5);
    check_served();
    for (int i = 1; i < 512; i++)
        close(fds[i]);
    end();
}

TEST(without_descriptors_a_client_is_told_and_the_loop_does_not_spin)
{
    struct rlimit old, tight;
    begin();
    int fd = dial();
    int used = dup(fd);
    CHECK(used > 0);
    CHECK_NUMBER(getrlimit(RLIMIT_NOFILE, &old), 0);
    tight = old;
    tight.rlim_cur = (rlim_t)used + 1;
    CHECK_NUMBER(setrlimit(RLIMIT_NOFILE, &tight), 0);
    /* Every number below the limit is taken now but none is free for accept(). */
    CHECK_VALUE(get(fd), "error", INTERFACE "TooManyConnections");
    CHECK_TEXT(get(fd), "EOF");
    CHECK(launcher.control->spare_fd >= 0);
    CHECK_NUMBER(setrlimit(RLIMIT_NOFILE, &old), 0);
    close(fd);
    close(used);
    check_served();
    end();
}

TEST(descriptors_of_a_hostile_client_are_closed)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    int pipe_fds[2];
    begin();
    AUTO_CLOSE int fd = dial();
    const char *call = list_call();
    struct iovec bytes = {(char *)call, strlen(call) + 1};
    struct msghdr header = {.msg_iov = &bytes,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof control};
    CHECK_NUMBER(pipe2(pipe_fds, O_CLOEXEC), 0);
    memcpy(CMSG_DATA(&control.header), &pipe_fds[1], sizeof(int));
    CHECK(sendmsg(fd, &header, 0) > 0);
    close(pipe_fds[1]);
    CHECK_VALUE(get(fd), "parameters/services/0/name", "a");
    char byte;
    CHECK_NUMBER(read(pipe_fds[0], &byte, 1), 0); /* no writer is left */
    close(pipe_fds[0]);
    end();
}

/* ---- who may what --------------------------------------------------------------------------- */

#define NOBODY 65534
#define MEMBER 54321

/* In a child with another identity: connects, sends the call and goes. Returns the connection as
 * this process got it from the child. */
static int dial_as(uid_t uid, gid_t group)
{
    int pair[2], status;
    CHECK_NUMBER(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    pid_t child = fork();
    if (child == 0) {
        union {
            struct cmsghdr header;
            char space[CMSG_SPACE(sizeof(int))];
        } control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
        struct iovec bytes = {(char[]){"x"}, 1};
        struct msghdr header = {.msg_iov = &bytes,
                                .msg_iovlen = 1,
                                .msg_control = &control,
                                .msg_controllen = sizeof control};
        if (setgroups(1, &group) < 0 || setresgid(uid, uid, uid) < 0 ||
            setresuid(uid, uid, uid) < 0)
            _exit(1);
        int fd = dial();
        memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
        _exit(sendmsg(pair[1], &header, 0) == 1 ? 0 : 1);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    char byte;
    struct iovec bytes = {&byte, 1};
    struct msghdr header = {.msg_iov = &bytes,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof control};
    int fd = -1;
    CHECK_NUMBER(recvmsg(pair[0], &header, MSG_CMSG_CLOEXEC), 1);
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&header)), sizeof fd);
    close(pair[0]);
    close(pair[1]);
    return fd;
}

TEST(another_user_may_look_but_not_change)
{
    if (geteuid() != 0)
        return; /* cannot become another user: tests/pidns has it too */
    begin();
    launcher.control->group = MEMBER;
    AUTO_CLOSE int fd = dial_as(NOBODY, NOBODY);
    CHECK_VALUE(ask(fd, list_call()), "parameters/services/0/name", "a");
    const char *denied[] = {"Start", "Stop", "Restart", "Reload", "ShutDown"};
    for (size_t i = 0; i < 5; i++) {
        char method[100];
        text_format(method, sizeof method, INTERFACE "%s", denied[i]);
        CHECK_VALUE(ask(fd, call_of(method, "{\"names\":[\"a\"]}", "")), "error",
                    "org.varlink.service.PermissionDenied");
    }
    CHECK_VALUE(ask(fd, call_of(INTERFACE "DrainJournal", "", "")), "parameters/drained", "false");
    end();
}

TEST(a_member_of_the_group_may_change)
{
    if (geteuid() != 0)
        return;
    begin();
    launcher.control->group = MEMBER;
    AUTO_CLOSE int fd = dial_as(NOBODY, MEMBER);
    CHECK_VALUE(ask(fd, call_of(INTERFACE "Start", "{\"names\":[\"a\"],\"wait\":false}", "")),
                "parameters/results/0/outcome", "begun");
    end();
}

TEST(without_the_group_nobody_is_a_member)
{
    if (geteuid() != 0)
        return;
    begin();
    launcher.control->group = (gid_t)-1;
    AUTO_CLOSE int fd = dial_as(NOBODY, (gid_t)-2);
    CHECK_VALUE(ask(fd, call_of(INTERFACE "Start", "{\"names\":[\"a\"]}", "")), "error",
                "org.varlink.service.PermissionDenied");
    end();
}

/* All of them have sent half a message: the one that has been quiet for longest makes room. */
TEST(a_client_is_served_although_all_others_are_in_the_middle_of_a_message)
{
    static int fds[512];
    struct rlimit limit;
    CHECK_NUMBER(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max < 2000)
        return;
    limit.rlim_cur = limit.rlim_max;
    CHECK_NUMBER(setrlimit(RLIMIT_NOFILE, &limit), 0);
    begin();
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        fds[i] = dial();
        CHECK_NUMBER(send(fds[i], "{", 1, 0), 1);
        turns(3);
    }
    CHECK_NUMBER(launcher.control->connection_count, 512);
    AUTO_CLOSE int fd = dial();
    CHECK_VALUE(ask(fd, list_call()), "parameters/services/0/name", "a");
    CHECK_NUMBER(launcher.control->connection_count, 512);
    CHECK_TEXT(get(fds[0]), "EOF");
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        close(fds[i]);
    end();
}

/* More than are looked at in one go. */
TEST(a_client_in_very_many_groups_is_known_by_each_of_them)
{
    static gid_t groups[300];
    if (geteuid() != 0)
        return;
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++)
        groups[i] = (gid_t)(5000 + i);
    begin();
    launcher.control->group = 5299;
    CHECK_NUMBER(setgroups(sizeof groups / sizeof groups[0], groups), 0);
    CHECK_NUMBER(seteuid(NOBODY), 0);
    AUTO_CLOSE int fd = dial();
    CHECK_NUMBER(seteuid(0), 0);
    CHECK_NUMBER(setgroups(0, NULL), 0);
    CHECK_VALUE(ask(fd, call_of(INTERFACE "Reset", "{\"names\":[\"a\"]}", "")),
                "parameters/results/0/name", "a");
    end();
}
