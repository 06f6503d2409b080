/* Hand-over messages on their way: whole, with their descriptors, and checked.
 *
 * What comes in is looked at before anybody acts on it: size, version, how many entries, and
 * whether the descriptors that should be there are there and no others are. */
#include "protocol/hand-over.h"
#include "base/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The kernel's SCM_MAX_FD: room for all that can come, so that too many are seen and closed. */
#define FDS_MAX 253

static const struct {
    int signal;
    enum shut_down how;
} ending_signals[] = {
    {SIGUSR1, SHUT_DOWN_POWEROFF},
    {SIGPWR, SHUT_DOWN_POWEROFF},
    {SIGINT, SHUT_DOWN_REBOOT}, /* the kernel sends it for Ctrl-Alt-Del */
    {SIGTERM, SHUT_DOWN_REBOOT},
    {SIGUSR2, SHUT_DOWN_KEXEC},
    {SIGNALS_REALTIME_FIRST + 3, SHUT_DOWN_HALT},
    {SIGNALS_REALTIME_FIRST + 4, SHUT_DOWN_POWEROFF},
    {SIGNALS_REALTIME_FIRST + 5, SHUT_DOWN_REBOOT},
    {SIGNALS_REALTIME_FIRST + 6, SHUT_DOWN_KEXEC},
};

static const char *const how_names[SHUT_DOWN_HOWS] = {
    [SHUT_DOWN_NONE] = "nothing", [SHUT_DOWN_POWEROFF] = "poweroff", [SHUT_DOWN_REBOOT] = "reboot",
    [SHUT_DOWN_HALT] = "halt",    [SHUT_DOWN_KEXEC] = "kexec",
};

/* What a type carries. A type without a row is one of a later version. */
enum carries { CARRIES_NOTHING, CARRIES_KEYS, CARRIES_FDS, CARRIES_ENDED, CARRIES_TEXT };

static const struct {
    bool known;
    enum carries carries;
} types[] = {
    [HAND_OVER_STORE] = {true, CARRIES_FDS},
    [HAND_OVER_DROP] = {true, CARRIES_KEYS},
    [HAND_OVER_READY] = {true, CARRIES_NOTHING},
    [HAND_OVER_PROGRESS] = {true, CARRIES_TEXT},
    [HAND_OVER_SHUT_DOWN] = {true, CARRIES_NOTHING},
    [HAND_OVER_UPGRADE] = {true, CARRIES_NOTHING},
    [HAND_OVER_DRAINED] = {true, CARRIES_NOTHING},
    [HAND_OVER_REFUSED] = {true, CARRIES_KEYS},
    [HAND_OVER_ENDED_SEEN] = {true, CARRIES_NOTHING},
    [HAND_OVER_HELD] = {true, CARRIES_FDS},
    [HAND_OVER_HELD_DONE] = {true, CARRIES_NOTHING},
    [HAND_OVER_ENDED] = {true, CARRIES_ENDED},
    [HAND_OVER_SIGNAL] = {true, CARRIES_NOTHING},
    [HAND_OVER_DRAIN] = {true, CARRIES_NOTHING},
    [HAND_OVER_LINE] = {true, CARRIES_TEXT},
    [HAND_OVER_YIELDED] = {true, CARRIES_NOTHING},
    [HAND_OVER_FAILED] = {true, CARRIES_TEXT},
    [HAND_OVER_UPGRADED_SEEN] = {true, CARRIES_NOTHING},
    [HAND_OVER_YIELD] = {true, CARRIES_NOTHING},
    [HAND_OVER_RESUME] = {true, CARRIES_NOTHING},
    [HAND_OVER_UPGRADED] = {true, CARRIES_TEXT},
};

#define TYPES_COUNT (sizeof types / sizeof types[0])

static const uint32_t count_limits[] = {
    [CARRIES_NOTHING] = UINT32_MAX,
    [CARRIES_KEYS] = HAND_OVER_KEYS_MAX,
    [CARRIES_FDS] = HAND_OVER_KEYS_MAX,
    [CARRIES_ENDED] = HAND_OVER_ENDED_MAX,
    [CARRIES_TEXT] = sizeof((struct hand_over_message){0}.text),
};

enum shut_down shut_down_of_signal(int signal)
{
    for (size_t i = 0; i < sizeof ending_signals / sizeof ending_signals[0]; i++)
        if (ending_signals[i].signal == signal)
            return ending_signals[i].how;
    return SHUT_DOWN_NONE;
}

const char *shut_down_name(enum shut_down how)
{
    return how < SHUT_DOWN_HOWS ? how_names[how] : "unknown";
}

int hand_over_send(int socket, struct hand_over_message *message, const int *fds, size_t fd_count)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(HAND_OVER_KEYS_MAX * sizeof(int))];
    } control;
    struct iovec part = {.iov_base = message, .iov_len = sizeof *message};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};

    if (fd_count > HAND_OVER_KEYS_MAX)
        return -EMSGSIZE;
    message->version = HAND_OVER_VERSION;
    if (fd_count) {
        memset(&control, 0, CMSG_SPACE(fd_count * sizeof(int)));
        header.msg_control = &control;
        header.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(rights), fds, fd_count * sizeof(int));
    }
    ssize_t sent = sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? -errno : 0;
}

/* Gathers all descriptors that came with a message, however they were packed. */
static size_t take_fds(struct msghdr *header, int *fds)
{
    size_t count = 0;
    for (struct cmsghdr *at = CMSG_FIRSTHDR(header); at; at = CMSG_NXTHDR(header, at)) {
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS)
            continue;
        size_t here = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < here && count < FDS_MAX; i++)
            memcpy(&fds[count++], CMSG_DATA(at) + i * sizeof(int), sizeof(int));
    }
    return count;
}

static void close_all(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

/* Whether the message is one of ours, as far as it can be told without its descriptors. */
static bool is_well_formed(const struct hand_over_message *message, size_t bytes, int flags)
{
    if (bytes != sizeof *message || (flags & MSG_TRUNC) || message->version != HAND_OVER_VERSION)
        return false;
    if (message->type >= TYPES_COUNT || !types[message->type].known)
        return true;
    return message->count <= count_limits[types[message->type].carries];
}

/* 1: take the message, with its descriptors; 0: take it, they are none of it; or -errno. */
static int judge(const struct hand_over_message *message, size_t bytes, int flags, size_t fd_count)
{
    if (!is_well_formed(message, bytes, flags))
        return -EPROTO;
    if (message->type >= TYPES_COUNT || !types[message->type].known)
        return 0;
    bool carries_fds = types[message->type].carries == CARRIES_FDS;
    if (flags & MSG_CTRUNC)
        return carries_fds ? -EMFILE : -EPROTO;
    if (fd_count != (carries_fds ? message->count : 0))
        return -EPROTO;
    return 1;
}

/* Two words tell whether anything came: neither is zero in a message or in its descriptors. */
static void empty(struct hand_over_inbox *inbox)
{
    inbox->message.version = 0;
    inbox->control.first.cmsg_len = 0;
}

static int fill(struct hand_over_inbox *inbox, int socket, int flags)
{
    struct iovec part = {.iov_base = &inbox->message, .iov_len = sizeof inbox->message};
    empty(inbox);
    inbox->header = (struct msghdr){.msg_iov = &part,
                                    .msg_iovlen = 1,
                                    .msg_control = &inbox->control,
                                    .msg_controllen = sizeof inbox->control};
    ssize_t got = recvmsg(socket, &inbox->header, MSG_DONTWAIT | flags);
    inbox->header.msg_iov = NULL;
    return got < 0 ? -errno : (int)got;
}

int hand_over_inbox_fill(struct hand_over_inbox *inbox, int socket)
{
    return fill(inbox, socket, 0);
}

bool hand_over_inbox_is_filled(const struct hand_over_inbox *inbox)
{
    return inbox->message.version != 0 || inbox->control.first.cmsg_len != 0;
}

int hand_over_inbox_open(struct hand_over_inbox *inbox, size_t bytes, int *fds, size_t *ret_count)
{
    int came[FDS_MAX];
    inbox->header.msg_control = &inbox->control;
    size_t count = take_fds(&inbox->header, came);
    if (bytes == 0 && count == 0)
        return 0;
    int judged = judge(&inbox->message, bytes, inbox->header.msg_flags, count);
    if (judged <= 0)
        close_all(came, count);
    if (judged < 0)
        return judged;
    if (judged == 0)
        count = 0;
    memcpy(fds, came, count * sizeof(int));
    *ret_count = count;
    return 1;
}

int hand_over_receive(int socket, struct hand_over_message *message, int *fds, size_t *ret_count)
{
    struct hand_over_inbox inbox;
    int got = fill(&inbox, socket, MSG_CMSG_CLOEXEC);
    if (got < 0)
        return got;
    int result = hand_over_inbox_open(&inbox, (size_t)got, fds, ret_count);
    if (result == 1 || result == -EMFILE)
        *message = inbox.message;
    return result;
}
