/* The messages between launcher and journal. Only as much of a message is sent as its text fills,
 * so that the socket holds many of them; a receiver checks every length before it looks. */
#include "protocol/journal-link.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define HEADER_BYTES offsetof(struct journal_link_message, text)

union control {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
};

size_t journal_link_bytes(const struct journal_link_message *message)
{
    size_t bytes = HEADER_BYTES + strnlen(message->text, sizeof message->text);
    return bytes < sizeof *message ? bytes + 1 : bytes; /* the NUL */
}

int journal_link_send(int socket, struct journal_link_message *message, int fd)
{
    union control control = {0};
    struct iovec piece = {message, journal_link_bytes(message)};
    struct msghdr header = {.msg_iov = &piece, .msg_iovlen = 1};

    message->version = JOURNAL_LINK_VERSION;
    if (fd >= 0) {
        header.msg_control = control.bytes;
        header.msg_controllen = sizeof control.bytes;
        struct cmsghdr *part = CMSG_FIRSTHDR(&header);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(part), &fd, sizeof fd);
    }
    for (;;) {
        if (sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
            return 0;
        if (errno != EINTR)
            return -errno;
    }
}

/* Takes the descriptor out of the control message; a second one is closed. */
static int take_descriptor(struct msghdr *header)
{
    int fd = -1;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part; part = CMSG_NXTHDR(header, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int one;
            memcpy(&one, CMSG_DATA(part) + i * sizeof one, sizeof one);
            if (fd < 0)
                fd = one;
            else
                close(one);
        }
    }
    return fd;
}

static bool is_well_formed(const struct journal_link_message *message, size_t bytes)
{
    return bytes >= HEADER_BYTES && message->version == JOURNAL_LINK_VERSION &&
           memchr(message->name, 0, sizeof message->name) &&
           (bytes == HEADER_BYTES || memchr(message->text, 0, bytes - HEADER_BYTES)) &&
           message->level < 8;
}

static int receive(int socket, struct journal_link_message *message, int *ret_fd, int flags)
{
    union control control;
    struct iovec piece = {message, sizeof *message};
    struct msghdr header = {.msg_iov = &piece,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof control.bytes};
    ssize_t count;

    do
        count = recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | flags);
    while (count < 0 && errno == EINTR);
    if (count < 0)
        return -errno;
    int fd = take_descriptor(&header);
    if (count == 0 && fd < 0)
        return 0;
    if ((size_t)count < sizeof *message)
        memset((char *)message + count, 0, sizeof *message - (size_t)count);
    if ((header.msg_flags & MSG_TRUNC) || !is_well_formed(message, (size_t)count)) {
        if (fd >= 0)
            close(fd);
        return -EPROTO;
    }
    if (header.msg_flags & MSG_CTRUNC) { /* no descriptor was free */
        if (fd >= 0)
            close(fd);
        return -EMFILE;
    }
    *ret_fd = fd;
    return 1;
}

int journal_link_receive(int socket, struct journal_link_message *message, int *ret_fd)
{
    return receive(socket, message, ret_fd, 0);
}

int journal_link_peek(int socket, struct journal_link_message *message, int *ret_fd)
{
    return receive(socket, message, ret_fd, MSG_PEEK);
}

void journal_link_drop(int socket)
{
    char byte;
    while (recv(socket, &byte, 1, MSG_DONTWAIT) < 0 && errno == EINTR) {
    }
}
