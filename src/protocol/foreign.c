/* Foreign descriptors: taken out of messages, and closed by a thread of their own, the only one
 * there is besides the main one. It shares nothing but the table of descriptors. */
#include "protocol/foreign.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLOSERS_MAX 64 /* each may be held up for as long as whoever sent it likes */
#define STACK_BYTES ((size_t)256 * 1024)
#define DRAIN_BYTES 4096

struct closer {
    size_t count;
    int fds[FOREIGN_FDS_MAX];
};

static atomic_int closers;

size_t foreign_take_fds(struct msghdr *header, int *ret)
{
    size_t used = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int), room = FOREIGN_FDS_MAX - used;
        count = count < room ? count : room;
        memcpy(ret + used, CMSG_DATA(c), count * sizeof(int));
        used += count;
    }
    return used;
}

static void *close_all(void *context)
{
    struct closer *closer = context;
    for (size_t i = 0; i < closer->count; i++)
        close(closer->fds[i]);
    free(closer);
    atomic_fetch_sub(&closers, 1);
    return NULL;
}

/* A thread that no signal meant for the program goes to. */
static bool start_thread(struct closer *closer)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;

    /* With these values none of the three can fail. */
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool good = pthread_create(&thread, &attributes, close_all, closer) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return good;
}

/* Where no thread is to be had, at least what can be known to wait does not. */
static void close_here(const struct closer *closer)
{
    struct linger none = {0};
    for (size_t i = 0; i < closer->count; i++) {
        (void)setsockopt(closer->fds[i], SOL_SOCKET, SO_LINGER, &none, sizeof none);
        close(closer->fds[i]);
    }
}

void foreign_close(const int *fds, size_t count)
{
    struct closer some = {.count = 0};
    struct stat status;
    for (size_t i = 0; i < count; i++)
        if (fstat(fds[i], &status) == 0 && S_ISFIFO(status.st_mode))
            close(fds[i]);
        else
            some.fds[some.count++] = fds[i];
    if (!some.count)
        return;
    struct closer *closer = atomic_load(&closers) < CLOSERS_MAX ? malloc(sizeof *closer) : NULL;
    if (closer) {
        *closer = some;
        atomic_fetch_add(&closers, 1);
        if (start_thread(closer))
            return;
        atomic_fetch_sub(&closers, 1);
        free(closer);
    }
    close_here(&some);
}

ssize_t foreign_receive(int socket, void *bytes, size_t size)
{
    _Alignas(struct cmsghdr) char
        control[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(FOREIGN_FDS_MAX * sizeof(int))];
    struct iovec vector = {bytes, size};
    struct msghdr header = {.msg_iov = &vector,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = sizeof control};
    int fds[FOREIGN_FDS_MAX];
    ssize_t got;

    do
        got = recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    foreign_close(fds, foreign_take_fds(&header, fds));
    return got;
}

void foreign_drain(int socket)
{
    char bytes[DRAIN_BYTES];
    int type = SOCK_STREAM;
    socklen_t size = sizeof type;
    ssize_t got;

    (void)getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &size);
    shutdown(socket, SHUT_RD);
    do
        got = foreign_receive(socket, bytes, sizeof bytes);
    while (got > 0 || (got == 0 && type == SOCK_DGRAM));
}
