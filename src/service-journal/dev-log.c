/* What programs write to /dev/log.
 *
 * The kernel writes datagrams, their senders and how many there are into memory that init holds;
 * they go from there into the pipes of their journals (feed.c), and the next are received when all
 * are done. So a kill loses none and doubles none. One handful a turn of the loop: who floods the
 * socket waits, as writers to a full socket do, and services' pipes do not.
 * Source: unix(7), recvmmsg(2), syslog(3). */
#include "service-journal/dev-log.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "journal/syslog-message.h"
#include "log/log.h"
#include "protocol/foreign.h"
#include "protocol/hand-over.h"
#include "service-journal/hold.h"
#include "service-journal/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

#ifndef SO_PASSPIDFD /* asm-generic/socket.h and linux/socket.h of a kernel since 6.5 */
#define SO_PASSPIDFD 76
#endif
#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif

#define AGAIN_NS     (20 * NS_PER_MS) /* after a journal's pipe was full */
#define DRAIN_MOST   4096             /* handfuls: a socket does not hold more */
#define HEAD_BYTES   (SYSLOG_TAG_BYTES + 64)
#define LIMIT_FILE   "/proc/sys/net/unix/max_dgram_qlen"
#define WAITING_MOST 512
#define WAITING_TEXT "512"
#define LINE_END     "\n"
#define CUT_BYTES    40

static void on_readable(struct loop_fd *source, uint32_t events);

/* ---- a datagram's lines -------------------------------------------------------------------- */

/* Names the sender where the message itself does not, in the journal that anybody gets into. */
static void add_sender(struct text *head, const struct intake_datagram *datagram,
                       const struct syslog_message *message)
{
    if (datagram->target == JOURNAL_SYSLOG_ID && datagram->pid &&
        message->pid != (uint64_t)datagram->pid)
        text_printf(head, "pid=%d uid=%u ", (int)datagram->pid, (unsigned)datagram->uid);
}

static int pour_line(struct pour *pour, const struct text *head, const char *line, size_t bytes,
                     const char *end)
{
    int failed = pour_bytes(pour, head->data, head->used_bytes);
    if (!failed)
        failed = pour_bytes(pour, line, bytes);
    return failed ? failed : pour_bytes(pour, end, strlen(end));
}

/* Each of its lines is an entry, with level and tag. */
static int pour_message(struct pour *pour, const struct intake_datagram *datagram,
                        const struct syslog_message *message)
{
    char storage[HEAD_BYTES], cut[CUT_BYTES];
    const char *at = message->text, *end = at + message->bytes;
    struct text head;
    int failed = 0;

    text_init(&head, storage, sizeof storage);
    text_printf(&head, "<%d>", (int)message->level);
    add_sender(&head, datagram, message);
    text_add_bytes(&head, message->tag, message->tag_bytes);
    text_format(cut, sizeof cut, " (cut: %u bytes)\n", datagram->real_bytes);
    for (bool more = true; more && !failed;) {
        const char *line_end = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
        more = line_end != NULL;
        size_t bytes = (size_t)((more ? line_end : end) - at);
        bool is_cut = !more && datagram->real_bytes > INTAKE_DATAGRAM_BYTES;
        failed = pour_line(pour, &head, at, bytes, is_cut ? cut : LINE_END);
        at += bytes + more;
    }
    return failed;
}

/* Finds out whose a datagram is. `fresh`: this process has received it, so a pidfd in it is ours;
 * else it was another one's, of which only what lies in memory is left. */
static void resolve(struct dev_log *dev_log, size_t number, bool fresh)
{
    struct intake_state *state = dev_log->feeds->state;
    struct intake_datagram *datagram = &state->datagrams[number];
    struct ucred sender = {.pid = 0, .uid = (uid_t)-1};
    struct msghdr header = {.msg_control = datagram->control,
                            .msg_controllen = state->headers[number].msg_hdr.msg_controllen};
    int pidfd = -1;

    if (header.msg_controllen > sizeof datagram->control)
        header.msg_controllen = 0;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(&header); part; part = CMSG_NXTHDR(&header, part)) {
        if (part->cmsg_level != SOL_SOCKET)
            continue;
        if (part->cmsg_type == SCM_CREDENTIALS && part->cmsg_len == CMSG_LEN(sizeof sender))
            memcpy(&sender, CMSG_DATA(part), sizeof sender);
        if (fresh && part->cmsg_type == SCM_PIDFD && part->cmsg_len == CMSG_LEN(sizeof pidfd))
            memcpy(&pidfd, CMSG_DATA(part), sizeof pidfd);
    }
    datagram->pid = sender.pid;
    datagram->uid = (int32_t)sender.uid;
    datagram->target = sender_find(dev_log->feeds->journal, &dev_log->cgroups, sender.pid, pidfd,
                                   &datagram->sender);
    __atomic_store_n(&datagram->resolved, 1, __ATOMIC_SEQ_CST);
    if (pidfd >= 0)
        close(pidfd);
}

/* Returns -EAGAIN when its journal's pipe is full. */
static int pour_datagram(struct dev_log *dev_log, size_t number)
{
    struct intake_state *state = dev_log->feeds->state;
    struct intake_datagram *datagram = &state->datagrams[number];
    struct syslog_message message;
    struct pour pour;
    size_t bytes = state->headers[number].msg_len;

    datagram->real_bytes = (uint32_t)bytes;
    if (bytes > sizeof datagram->bytes)
        bytes = sizeof datagram->bytes;
    struct feed *feed = feed_get(dev_log->feeds, datagram->target);
    if (!feed) { /* no descriptor for another pipe */
        datagram->target = JOURNAL_SYSLOG_ID;
        feed = feed_get(dev_log->feeds, JOURNAL_SYSLOG_ID);
    }
    if (!feed)
        return -EAGAIN;
    pour_begin(&pour, dev_log->feeds, feed, INTAKE_DEV_LOG);
    if (!syslog_message_parse(datagram->bytes, bytes, dev_log->host, &message))
        return 0;
    int failed = pour_message(&pour, datagram, &message);
    if (failed != -EAGAIN)
        return 0;
    journal_drain_service(dev_log->feeds->journal,
                          journal_find(dev_log->feeds->journal, datagram->target));
    pour_begin(&pour, dev_log->feeds, feed, INTAKE_DEV_LOG);
    return pour_message(&pour, datagram, &message) == -EAGAIN ? -EAGAIN : 0;
}

/* ---- receiving ----------------------------------------------------------------------------- */

/* Finds the service of a sender that none is known of. A program is executed when its service has
 * been told of; so what the launcher has said by now is heard before it is taken for nobody's.
 * Returns 1 when something was heard, and all may be different; 0; or -EAGAIN: this cannot be
 * known yet. */
static int look_again(struct dev_log *dev_log, struct intake_datagram *datagram)
{
    struct journal *journal = dev_log->feeds->journal;

    if (datagram->target != JOURNAL_SYSLOG_ID || !sender_may_be_known(&datagram->sender))
        return 0;
    datagram->target = sender_find_again(journal, &datagram->sender);
    if (datagram->target != JOURNAL_SYSLOG_ID)
        return 0;
    return journal->hear ? journal->hear(journal->context) : -EAGAIN;
}

/* Carries out what was received. Returns -EAGAIN when some of it has to wait. */
static int pour_all(struct dev_log *dev_log)
{
    struct intake_state *state = dev_log->feeds->state;
    uint64_t *at = &state->at[INTAKE_DEV_LOG];

    for (;;) {
        const uint64_t number = INTAKE_ITEM(*at);
        if (number >= INTAKE_DATAGRAMS || state->headers[number].msg_len == INTAKE_NONE)
            return 0;
        if (!state->datagrams[number].resolved) /* killed just after it was received */
            resolve(dev_log, number, false);
        int failed = look_again(dev_log, &state->datagrams[number]);
        if (failed > 0) /* the end of a run may have had us take more */
            continue;
        if (!failed)
            failed = pour_datagram(dev_log, number);
        if (failed)
            return failed;
        *at = INTAKE_AT(number + 1);
    }
}

/* Descriptors that came along are nobody's. */
static void close_foreign(struct intake_state *state, int count)
{
    int fds[FOREIGN_FDS_MAX];
    for (int i = 0; i < count; i++)
        foreign_close(fds, foreign_take_fds(&state->headers[i].msg_hdr, fds));
}

/* Returns how many it received. */
static int receive(struct dev_log *dev_log)
{
    struct intake_state *state = dev_log->feeds->state;
    struct iovec pieces[INTAKE_DATAGRAMS];
    int count;

    /* Nothing is there first, and only then the counting begins again. */
    for (size_t i = 0; i < INTAKE_DATAGRAMS; i++)
        state->headers[i].msg_len = INTAKE_NONE;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    for (size_t i = 0; i < INTAKE_DATAGRAMS; i++) {
        struct intake_datagram *datagram = &state->datagrams[i];
        datagram->resolved = 0;
        pieces[i] = (struct iovec){datagram->bytes, sizeof datagram->bytes};
        state->headers[i].msg_hdr = (struct msghdr){.msg_iov = &pieces[i],
                                                    .msg_iovlen = 1,
                                                    .msg_control = datagram->control,
                                                    .msg_controllen = sizeof datagram->control};
    }
    __atomic_store_n(&state->at[INTAKE_DEV_LOG], INTAKE_AT(0), __ATOMIC_SEQ_CST);
    do
        count = recvmmsg(dev_log->source.fd, state->headers, INTAKE_DATAGRAMS,
                         MSG_DONTWAIT | MSG_CMSG_CLOEXEC | MSG_TRUNC, NULL);
    while (count < 0 && errno == EINTR);
    for (int i = 0; i < count; i++)
        resolve(dev_log, (size_t)i, true);
    close_foreign(state, count);
    return count < 0 ? 0 : count;
}

static void on_again(struct loop_timer *timer);

/* Waits until there may be room again. */
static void wait_for_room(struct dev_log *dev_log)
{
    loop_change(dev_log->loop, &dev_log->source, 0);
    loop_set_timer(dev_log->loop, &dev_log->again, clock_now_ns() + AGAIN_NS, on_again);
}

static void on_again(struct loop_timer *timer)
{
    struct dev_log *dev_log = container_of(timer, struct dev_log, again);
    if (pour_all(dev_log) == -EAGAIN)
        wait_for_room(dev_log);
    else if (dev_log->source.fd >= 0)
        loop_change(dev_log->loop, &dev_log->source, EPOLLIN);
}

static void on_readable(struct loop_fd *source, uint32_t events)
{
    struct dev_log *dev_log = container_of(source, struct dev_log, source);
    (void)events;
    if (pour_all(dev_log) == 0)
        receive(dev_log);
    if (pour_all(dev_log) == -EAGAIN)
        wait_for_room(dev_log);
}

void dev_log_drain(struct dev_log *dev_log)
{
    if (dev_log->source.fd < 0)
        return;
    for (int i = 0; i < DRAIN_MOST; i++) {
        const uint64_t before = dev_log->feeds->state->at[INTAKE_DEV_LOG];
        int failed = pour_all(dev_log);
        if (failed && dev_log->feeds->state->at[INTAKE_DEV_LOG] == before) {
            wait_for_room(dev_log); /* nothing can be written */
            return;
        }
        if (!failed && !receive(dev_log))
            return;
    }
}

/* ---- the socket ---------------------------------------------------------------------------- */

void dev_log_init(struct dev_log *dev_log, struct feeds *feeds, struct loop *loop)
{
    struct utsname name;
    *dev_log = (struct dev_log){
        .feeds = feeds, .loop = loop, .source = {.fd = -1}, .cgroups = {.path = "", .folder = -1}};
    text_format(dev_log->host, sizeof dev_log->host, "%s", uname(&name) == 0 ? name.nodename : "");
}

static int begin(struct dev_log *dev_log, int fd)
{
    intake_state_prepare(dev_log->feeds->state);
    int failed = loop_add(dev_log->loop, &dev_log->source, fd, EPOLLIN, on_readable);
    if (failed)
        close(fd);
    return failed;
}

void dev_log_set_cgroups(struct dev_log *dev_log, const char *path)
{
    const char *folder = strchr(path, '\n');
    if (dev_log->cgroups.folder >= 0)
        close(dev_log->cgroups.folder);
    dev_log->cgroups.path = path;
    dev_log->cgroups.folder = folder ? open(folder + 1, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

void dev_log_restore(struct dev_log *dev_log, int fd)
{
    if (begin(dev_log, fd) == 0 && pour_all(dev_log) == -EAGAIN)
        wait_for_room(dev_log);
}

/* What is at the path: -ENOENT for nothing, or something that may be replaced. */
static int probe(int fd, const struct sockaddr_un *address)
{
    struct stat stat;
    if (lstat(address->sun_path, &stat) < 0)
        return -errno;
    if (!S_ISSOCK(stat.st_mode) && !S_ISLNK(stat.st_mode))
        return -EEXIST;
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 || errno == EPROTOTYPE)
        return -EADDRINUSE;
    if (errno != ECONNREFUSED && errno != ENOENT)
        return -errno;
    return unlink(address->sun_path) < 0 ? -errno : -ENOENT;
}

static int bind_socket(int fd, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int yes = 1;
    int other, failed;

    if (!text_format(address.sun_path, sizeof address.sun_path, "%s", path))
        return -ENAMETOOLONG;
    other = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (other < 0)
        return -errno;
    failed = probe(other, &address);
    close(other);
    if (failed != -ENOENT)
        return failed;
    (void)setsockopt(fd, SOL_SOCKET, SO_PASSPIDFD, &yes, sizeof yes); /* since Linux 6.5 */
    if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) < 0 ||
        bind(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        return -errno;
    /* The journal's umask is 0 already; who listens has no say in who may write. */
    return chmod(path, 0666) < 0 ? -errno : 0;
}

/* A sender waits when so many messages do: ten, by default, are soon there. The socket takes over
 * the limit when it is made. */
static void allow_many(void)
{
    char storage[24];
    uint64_t limit;
    AUTO_CLOSE int fd = open(LIMIT_FILE, O_RDWR | O_CLOEXEC);
    ssize_t bytes = fd < 0 ? -1 : read(fd, storage, sizeof storage - 1);
    if (bytes <= 0)
        return;
    storage[bytes] = 0;
    storage[strcspn(storage, "\n")] = 0;
    if (text_parse_unsigned(storage, &limit) == 0 && limit < WAITING_MOST)
        (void)!pwrite(fd, WAITING_TEXT, strlen(WAITING_TEXT), 0);
}

int dev_log_open(struct dev_log *dev_log, const char *path, bool container)
{
    if (!container)
        allow_many();
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int failed = bind_socket(fd, path);
    if (failed) {
        close(fd);
        return failed;
    }
    hold_store(KEY_JOURNAL_DEV_LOG, fd);
    return begin(dev_log, fd);
}

void dev_log_close(struct dev_log *dev_log, const char *path)
{
    int fd = dev_log->source.fd;
    if (fd < 0)
        return;
    unlink(path);
    dev_log_drain(dev_log);
    loop_remove(dev_log->loop, &dev_log->source);
    foreign_drain(fd);
    hold_drop(KEY_JOURNAL_DEV_LOG);
    close(fd);
}
