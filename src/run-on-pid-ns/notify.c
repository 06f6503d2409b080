/* sd_notify(3) on both sides. */
#include "run-on-pid-ns/notify.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/notify-message.h"
#include "base/text.h"
#include "log/log.h"
#include "protocol/foreign.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define MESSAGES_A_TURN 16   /* a flood leaves the loop its other work */
#define MESSAGES_AT_END 1024 /* no queue of such a socket is longer */
#define AGAIN_NS        (50 * NS_PER_MS)
#define LAST_SECONDS    1

/* ---- to who has started us ----------------------------------------------------------------- */

/* As sd_notify(3) has it: a path, or '@' and an abstract name. Returns its length, 0: it is none.
 */
static socklen_t make_address(const char *text, struct sockaddr_un *ret)
{
    size_t bytes = strlen(text);
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    if ((text[0] != '/' && text[0] != '@') || bytes < 2 || bytes >= sizeof ret->sun_path)
        return 0;
    memcpy(ret->sun_path, text, bytes);
    if (text[0] == '@')
        ret->sun_path[0] = 0;
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes + (text[0] == '/'));
}

/* What is said of what it says. */
static void add_status(const struct notify *notify, struct text *text)
{
    text_add(text, "STATUS=");
    if (notify->reboots == 1)
        text_add(text, "rebooted once");
    else if (notify->reboots)
        text_printf(text, "rebooted %u times", notify->reboots);
    if (notify->reboots && notify->said[0])
        text_add(text, ": ");
    text_add(text, notify->said);
    text_add_char(text, '\n');
}

static bool add_all(const struct notify *notify, struct text *text)
{
    if (notify->ready)
        text_add(text, "READY=1\n");
    if (notify->reloading)
        text_add(text, "RELOADING=1\n");
    if (notify->stopping)
        text_add(text, "STOPPING=1\n");
    if (notify->watchdog)
        text_add(text, "WATCHDOG=1\n");
    if (notify->extend_usec)
        text_printf(text, "EXTEND_TIMEOUT_USEC=%llu\n", (unsigned long long)notify->extend_usec);
    if (notify->status_changed)
        add_status(notify, text);
    return text->used_bytes;
}

static void on_again(struct loop_timer *timer);

/* What cannot be sent now is kept, and sent together with what comes meanwhile. */
static void flush(struct notify *notify, int flags)
{
    char storage[NOTIFY_STATUS_BYTES + 200];
    struct text text;
    struct sockaddr_un address;

    text_init(&text, storage, sizeof storage);
    if (!add_all(notify, &text))
        return;
    socklen_t bytes = notify->address ? make_address(notify->address, &address) : 0;
    if (bytes &&
        sendto(notify->out_fd, text.data, text.used_bytes, flags | MSG_NOSIGNAL,
               (struct sockaddr *)&address, bytes) < 0 &&
        (errno == EAGAIN || errno == EINTR)) {
        loop_set_timer(notify->loop, &notify->again_timer, clock_now_ns() + AGAIN_NS, on_again);
        return;
    }
    notify->ready = notify->reloading = notify->stopping = notify->watchdog = false;
    notify->status_changed = false;
    notify->extend_usec = 0;
}

static void on_again(struct loop_timer *timer)
{
    flush(container_of(timer, struct notify, again_timer), MSG_DONTWAIT);
}

/* ---- from the inside ----------------------------------------------------------------------- */

static void take_status(struct notify *notify, const struct notify_message *message)
{
    if (!message->status)
        return;
    notify_status_clean(message->status, message->status_bytes, notify->said, sizeof notify->said);
    notify->status_changed = true;
}

/* MAINPID and times of another clock mean nothing outside. Nor does STOPPING=1 of a system that is
 * about to be started again: whoever hears it waits for our end. */
static void take(struct notify *notify, const struct notify_message *message)
{
    notify->ready |= message->ready;
    notify->reloading = (notify->reloading && !message->ready) || message->reloading;
    notify->stopping |= message->stopping && notify->stop_counts;
    notify->watchdog |= message->watchdog;
    take_status(notify, message);
    if (!message->has_extend)
        return;
    notify->extend_usec = message->extend_usec;
    notify->on_extend(notify, message->extend_usec);
}

/* Root inside: our own user where it has a user namespace of its own, root otherwise. */
static bool may_send(const struct msghdr *header)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c;
         c = CMSG_NXTHDR((struct msghdr *)header, c)) {
        struct ucred sender;
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS ||
            c->cmsg_len < CMSG_LEN(sizeof sender))
            continue;
        memcpy(&sender, CMSG_DATA(c), sizeof sender);
        return sender.pid > 0 && sender.uid == geteuid();
    }
    return false;
}

static void refuse(struct notify *notify, const char *why)
{
    if (!notify->warned)
        LOG(WARNING, "A message to the notify socket inside was refused", TEXT("reason", why));
    notify->warned = true;
}

static bool receive_one(struct notify *notify)
{
    char bytes[NOTIFY_MESSAGE_BYTES];
    _Alignas(struct cmsghdr) char
        control[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(FOREIGN_FDS_MAX * sizeof(int))];
    struct iovec vector = {bytes, sizeof bytes};
    struct msghdr header = {.msg_iov = &vector,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = sizeof control};
    int fds[FOREIGN_FDS_MAX];
    struct notify_message message;

    ssize_t count = recvmsg(notify->in_fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (count < 0)
        return errno == EINTR;
    if (header.msg_flags & MSG_TRUNC) {
        refuse(notify, "it is longer than 4096 bytes");
    } else if (!may_send(&header)) {
        refuse(notify, "its sender is not root inside");
    } else {
        notify_message_parse(bytes, (size_t)count, &message);
        take(notify, &message);
    }
    foreign_close(fds, foreign_take_fds(&header, fds));
    return true;
}

static void on_message(struct loop_fd *source, uint32_t events)
{
    struct notify *notify = container_of(source, struct notify, in_source);
    for (int i = 0; i < MESSAGES_A_TURN && receive_one(notify); i++) {
    }
    flush(notify, MSG_DONTWAIT);
}

int notify_hear(struct notify *notify, int fd)
{
    notify->in_fd = fd;
    notify->warned = false;
    return fd < 0 ? 0 : loop_add(notify->loop, &notify->in_source, fd, EPOLLIN, on_message);
}

void notify_unhear(struct notify *notify)
{
    if (notify->in_fd < 0)
        return;
    for (int i = 0; i < MESSAGES_AT_END && receive_one(notify); i++) {
    }
    loop_remove(notify->loop, &notify->in_source);
    foreign_drain(notify->in_fd);
    close(notify->in_fd);
    notify->in_fd = -1;
}

/* ---- what we say --------------------------------------------------------------------------- */

void notify_init(struct notify *notify, struct loop *loop)
{
    struct sockaddr_un address;
    *notify = (struct notify){.loop = loop, .in_fd = -1, .in_source.fd = -1, .out_fd = -1};
    notify->address = getenv("NOTIFY_SOCKET");
    if (!notify->address)
        return;
    if (!make_address(notify->address, &address)) {
        LOG(WARNING, "NOTIFY_SOCKET is no address of a socket", TEXT("value", notify->address));
        notify->address = NULL;
        return;
    }
    notify->out_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (notify->out_fd >= 0)
        return;
    LOG(WARNING, "Nobody can be told when it is ready", TEXT("error", strerror(errno)));
    notify->address = NULL;
}

void notify_ready(struct notify *notify)
{
    notify->ready = true;
    flush(notify, MSG_DONTWAIT);
}

void notify_rebooted(struct notify *notify, unsigned reboots)
{
    notify->reboots = reboots;
    notify->said[0] = 0;
    notify->status_changed = true;
    flush(notify, MSG_DONTWAIT);
}

void notify_finish(struct notify *notify, const char *said)
{
    struct timeval limit = {.tv_sec = LAST_SECONDS};
    loop_clear_timer(notify->loop, &notify->again_timer);
    if (said) {
        text_format(notify->said, sizeof notify->said, "%s", said);
        notify->reboots = 0;
        notify->status_changed = true;
    }
    if (notify->out_fd >= 0) {
        setsockopt(notify->out_fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        flush(notify, 0);
        loop_clear_timer(notify->loop, &notify->again_timer);
        close(notify->out_fd);
    }
    notify->out_fd = -1;
}
