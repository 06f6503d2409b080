/* Any message on the pair between launcher and journal: what is taken has texts that end and a
 * level; looked at before it is taken it is the same; sent again it arrives as it is; and no
 * descriptor is left open. Its first byte says how many descriptors go with it, its second whether
 * it begins as a good one. */
#include "demand.h"
#include "protocol/journal-link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static int lowest_free(void)
{
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    close(fd);
    return fd;
}

static void send_raw(int socket, const void *message, size_t size, size_t fd_count)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(3 * sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_base = (void *)message, .iov_len = size};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};

    if (fd_count) {
        header.msg_control = &control;
        header.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        for (size_t i = 0; i < fd_count; i++)
            memcpy(CMSG_DATA(&control.header) + i * sizeof(int), &(int){STDERR_FILENO},
                   sizeof(int));
    }
    demand(sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0, "the socket takes it");
}

static void check_again(int from, int to, const struct journal_link_message *message)
{
    struct journal_link_message copy = *message, again;
    int fd;

    demand(journal_link_send(from, &copy, -1) == 0, "it is sent again");
    demand(journal_link_receive(to, &again, &fd) == 1 && fd == -1, "and arrives");
    size_t text = strnlen(message->text, sizeof message->text);
    demand(!memcmp(&again, message, offsetof(struct journal_link_message, text) + text + 1),
           "as it is");
}

static void check_message(const struct journal_link_message *message)
{
    demand(message->version == JOURNAL_LINK_VERSION, "it is of our version");
    demand(memchr(message->name, 0, sizeof message->name), "the name ends");
    demand(memchr(message->text, 0, sizeof message->text), "the text ends");
    demand(message->level < 8, "it has a level");
}

static void receive(int pair[2])
{
    static struct journal_link_message message, peeked;
    int fd = -1, peeked_fd = -1;
    int looked = journal_link_peek(pair[1], &peeked, &peeked_fd);
    int taken = journal_link_receive(pair[1], &message, &fd);

    demand(looked == taken && (fd < 0) == (peeked_fd < 0), "both ways say the same");
    demand(taken == 1 || taken == -EPROTO || taken == -EMFILE || taken == 0, "it is one or none");
    if (taken == 1) {
        check_message(&message);
        demand(!memcmp(&message, &peeked, sizeof message), "both are the same message");
        check_again(pair[0], pair[1], &message);
    }
    if (fd >= 0)
        demand(close(fd) == 0 && close(peeked_fd) == 0, "a descriptor is there");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static char storage[2 * sizeof(struct journal_link_message)];
    uint16_t version = JOURNAL_LINK_VERSION;
    int pair[2], before = lowest_free();

    if (count < 2 || count > sizeof storage)
        return 0;
    demand(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0, "there is a socket");
    memset(storage, 0, sizeof storage);
    memcpy(storage, bytes + 2, count - 2);
    size_t size = count - 2;
    if (bytes[1] % 4) {
        memcpy(storage, &version, sizeof version);
        if (size < offsetof(struct journal_link_message, text) && bytes[1] % 4 > 1)
            size = offsetof(struct journal_link_message, text);
    }
    send_raw(pair[0], storage, size, bytes[0] % 4);
    receive(pair);
    close(pair[0]);
    close(pair[1]);
    demand(lowest_free() == before, "no descriptor is left open");
    return 0;
}
