/* Descriptors of others: all are found, and closing them holds nobody up. */
#include "protocol/foreign.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define CLOSERS 64 /* threads that may be held up at once */

static int gate[2] = {-1, -1}; /* while its second end is open, a close by another thread waits */
static pthread_t self;
static int closed_here;

int __real_close(int fd); /* NOLINT: the linker's names */
int __wrap_close(int fd); /* NOLINT */

int __wrap_close(int fd) /* NOLINT */
{
    char byte;
    if (gate[0] < 0)
        return __real_close(fd);
    if (pthread_equal(pthread_self(), self)) {
        closed_here++;
        return __real_close(fd);
    }
    (void)!read(gate[0], &byte, 1);
    return __real_close(fd);
}

static int open_socket(int *ret_peer)
{
    int ends[2];
    CHECK_NUMBER(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    *ret_peer = ends[0];
    return ends[1];
}

TEST(threads_that_are_held_up_are_bounded_and_the_caller_closes_what_is_left)
{
    int peers[CLOSERS + 1];
    char byte;
    self = pthread_self();
    CHECK_NUMBER(pipe2(gate, O_CLOEXEC), 0);
    for (int i = 0; i < CLOSERS; i++) {
        int fd = open_socket(&peers[i]);
        foreign_close(&fd, 1);
    }
    CHECK_NUMBER(closed_here, 0);
    for (int i = 0; i < CLOSERS; i++)
        CHECK(recv(peers[i], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
    int fd = open_socket(&peers[CLOSERS]);
    foreign_close(&fd, 1);
    CHECK_NUMBER(closed_here, 1);
    CHECK_NUMBER(read(peers[CLOSERS], &byte, 1), 0);
    __real_close(gate[1]);
    for (int i = 0; i < CLOSERS; i++)
        CHECK_NUMBER(read(peers[i], &byte, 1), 0); /* waits for its end, which comes now */
    for (int i = 0; i <= CLOSERS; i++)
        __real_close(peers[i]);
    __real_close(gate[0]);
    gate[0] = -1;
}

TEST(a_drained_socket_for_datagrams_is_drained_behind_one_that_is_empty)
{
    int ends[2], pipes[2];
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct iovec piece = {(char[]){"x"}, 1};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    char byte;
    CHECK_NUMBER(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends), 0);
    CHECK_NUMBER(pipe2(pipes, O_CLOEXEC | O_NONBLOCK), 0);
    memcpy(CMSG_DATA(&control.header), &pipes[1], sizeof(int));
    CHECK_NUMBER(send(ends[0], "", 0, 0), 0);
    CHECK_NUMBER(sendmsg(ends[0], &message, 0), 1);
    close(pipes[1]);
    foreign_drain(ends[1]);
    CHECK_NUMBER(read(pipes[0], &byte, 1), 0); /* no writer is left */
    close(pipes[0]);
    close(ends[0]);
    close(ends[1]);
}

/* Puts a piece of control data behind what there is. */
static void put(struct msghdr *header, int level, int type, const int *numbers, size_t count)
{
    struct cmsghdr *at = (void *)((char *)header->msg_control + header->msg_controllen);
    at->cmsg_level = level;
    at->cmsg_type = type;
    at->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(at), numbers, count * sizeof(int));
    header->msg_controllen += CMSG_SPACE(count * sizeof(int));
}

TEST(only_what_is_a_descriptor_is_taken_for_one_and_no_more_than_there_is_room_for)
{
    static _Alignas(struct cmsghdr) char control[4096];
    static int numbers[FOREIGN_FDS_MAX], taken[FOREIGN_FDS_MAX + 1];
    struct msghdr header = {.msg_control = control};
    for (int i = 0; i < FOREIGN_FDS_MAX; i++)
        numbers[i] = 1000 + i;
    put(&header, SOL_IP, SCM_RIGHTS, numbers, 2);
    put(&header, SOL_SOCKET, SCM_CREDENTIALS, numbers, 3);
    put(&header, SOL_SOCKET, SCM_RIGHTS, numbers, 2);
    CHECK_NUMBER(foreign_take_fds(&header, taken), 2);
    CHECK(taken[0] == 1000 && taken[1] == 1001);
    taken[FOREIGN_FDS_MAX] = -7;
    put(&header, SOL_SOCKET, SCM_RIGHTS, numbers, FOREIGN_FDS_MAX);
    CHECK_NUMBER(foreign_take_fds(&header, taken), FOREIGN_FDS_MAX);
    CHECK(taken[2] == 1000 && taken[FOREIGN_FDS_MAX - 1] == 1000 + FOREIGN_FDS_MAX - 3);
    CHECK_NUMBER(taken[FOREIGN_FDS_MAX], -7);
}
