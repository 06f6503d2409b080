/* The notify socket of a service: sd_notify(3) from our side. One socket a service, so that who
 * sent a message is known even when the sender has ended already. init holds it too: what is sent
 * while there is no launcher waits in it. */
#include "base/notify-message.h"
#include "service-launcher/executor-internal.h"
#include "service-launcher/init-link.h"
#include "service-launcher/journal-client.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "log/log.h"
#include "protocol/foreign.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MESSAGES_A_TURN 16   /* of one service: a flood leaves the loop its other work */
#define CHANGES_TOLD    16   /* of the main process in one run */
#define MESSAGES_AT_END 1024 /* no queue of such a socket is longer */

static const struct definition *definition_of(const struct process *process)
{
    return process_service(process)->definition;
}

bool executor_notifies(const struct process *process)
{
    const struct definition *definition = definition_of(process);
    return definition && (definition->ready.kind == READY_NOTIFY || definition->watchdog_ms);
}

/* ---- the socket ---------------------------------------------------------------------------- */

/* Whoever may run as the service may send; a service of root may have given up being root. */
static int set_access(const struct process *process, const char *path)
{
    const struct identity *identity = &definition_of(process)->identity;
    bool user = identity->set && identity->uid != 0;
    if (chmod(path, user ? 0600 : 0666) < 0)
        return -errno;
    return user && chown(path, identity->uid, identity->gid) < 0 ? -errno : 0;
}

/* A path that does not fit into an address, or cannot be reached from the service's own root, is
 * replaced by a name nobody can guess or take before. */
static int bind_abstract(struct process *process, int fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int bytes =
        snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "conit-notify-%016llx%016llx",
                 (unsigned long long)executor_random_number(process->executor),
                 (unsigned long long)executor_random_number(process->executor));
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)bytes);
    return bind(fd, (const struct sockaddr *)&address, length) < 0 ? -errno : 0;
}

static int bind_path(struct process *process, int fd)
{
    const char *runtime = process->executor->launcher->options.runtime;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char folder[sizeof address.sun_path];

    if (definition_of(process)->root || runtime[0] != '/' ||
        !text_format(address.sun_path, sizeof address.sun_path, "%s/notify/%s", runtime,
                     process_record(process)->name) ||
        !text_format(folder, sizeof folder, "%s/notify", runtime))
        return bind_abstract(process, fd);
    /* Where there is no room for a file, or no right to make one, or whoever makes one may wait for
     * ever, a name does as well. */
    if (look_may_hang(process->executor, address.sun_path) ||
        (mkdir(folder, 0755) < 0 && errno != EEXIST) ||
        (unlink(address.sun_path) < 0 && errno != ENOENT) ||
        bind(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        return bind_abstract(process, fd);
    return set_access(process, address.sun_path);
}

/* What an earlier run has sent, or one of its last processes, is not this one's. */
static void empty(int fd)
{
    char byte;
    for (int i = 0; i < 10000 && foreign_receive(fd, &byte, 1) >= 0; i++) {
    }
}

/* Its address as the service has to write it. */
static bool address_of(const struct process *process, struct sockaddr_un *ret, size_t *ret_bytes)
{
    socklen_t bytes = sizeof *ret;
    memset(ret, 0, sizeof *ret);
    if (process->ready_fd < 0 ||
        getsockname(process->ready_fd, (struct sockaddr *)ret, &bytes) < 0 ||
        bytes <= offsetof(struct sockaddr_un, sun_path))
        return false;
    *ret_bytes = bytes - offsetof(struct sockaddr_un, sun_path);
    return true;
}

/* Whether its file is where whoever looks may wait for ever. */
static bool may_hang(const struct process *process)
{
    struct sockaddr_un address;
    size_t bytes;
    return address_of(process, &address, &bytes) && address.sun_path[0] &&
           look_may_hang(process->executor, address.sun_path);
}

/* Whether somebody has removed its file: nobody can send to it any more. */
static bool is_lost(const struct process *process)
{
    struct sockaddr_un address;
    size_t bytes;
    return address_of(process, &address, &bytes) && address.sun_path[0] && !may_hang(process) &&
           access(address.sun_path, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR);
}

static int make_socket(struct process *process)
{
    int on = 1;
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0)
        return -errno;
    int failed = bind_path(process, fd);
    return failed ? failed : take_fd(&fd);
}

int executor_notify_open(struct process *process)
{
    bool runs = process_record(process)->main_pid || process->spawn_hook;
    if (process->ready_fd >= 0 && !runs && (may_hang(process) || is_lost(process)))
        executor_ready_give_back(process);
    if (process->ready_fd >= 0) {
        if (!runs)
            empty(process->ready_fd);
        return executor_notify_watch(process); /* init may have held it while nothing ran */
    }
    int fd = make_socket(process);
    if (fd < 0)
        return fd;
    process->ready_fd = fd;
    return executor_notify_watch(process);
}

size_t executor_notify_environment(const struct process *process, char **entries,
                                   char **ret_pid_text)
{
    static char socket_entry[sizeof(struct sockaddr_un) + 32], usec_entry[48], pid_entry[32];
    const struct service_body *body = service_body(manager_of(process), process_service(process));
    struct sockaddr_un address;
    size_t bytes, count = 0;

    if (!executor_notifies(process) || !address_of(process, &address, &bytes))
        return 0;
    if (address.sun_path[0])
        text_format(socket_entry, sizeof socket_entry, "NOTIFY_SOCKET=%s", address.sun_path);
    else
        text_format(socket_entry, sizeof socket_entry, "NOTIFY_SOCKET=@%.*s", (int)bytes - 1,
                    address.sun_path + 1);
    entries[count++] = socket_entry;
    if (process->spawn_hook || !body->watchdog_ms)
        return count;
    text_format(usec_entry, sizeof usec_entry, "WATCHDOG_USEC=%llu",
                (unsigned long long)body->watchdog_ms * 1000);
    text_format(pid_entry, sizeof pid_entry, "WATCHDOG_PID=");
    *ret_pid_text = pid_entry + strlen(pid_entry);
    entries[count++] = usec_entry;
    entries[count++] = pid_entry;
    return count;
}

void executor_notify_close(struct process *process)
{
    struct sockaddr_un address;
    size_t bytes;
    if (address_of(process, &address, &bytes) && address.sun_path[0] && !may_hang(process))
        unlink(address.sun_path);
    if (process->ready_fd >= 0)
        foreign_drain(process->ready_fd); /* init, which holds it too, finds nothing to close */
}

/* ---- what a message does ------------------------------------------------------------------- */

static void warn(struct process *process, const char *why)
{
    if (!process->notify_warned)
        executor_ready_warn(process, "a message to its notify socket was refused", why);
    process->notify_warned = true;
}

/* The first byte is written last: half a text is none. */
static void set_status(struct process *process, const struct notify_message *message)
{
    char *status = process_record(process)->status, clean[STATUS_BYTES];
    notify_status_clean(message->status, message->status_bytes, clean, sizeof clean);
    __atomic_store_n(&status[0], 0, __ATOMIC_RELEASE);
    memcpy(status + 1, clean + 1, sizeof clean - 1);
    __atomic_store_n(&status[0], clean[0], __ATOMIC_RELEASE);
}

static void set_told(struct process *process, enum told told)
{
    struct service_body body;
    manager_edit(manager_of(process), process_service(process), &body);
    if (body.told == told || body.told == TOLD_STOPPING) /* from that there is no way back */
        return;
    bool goes = told == TOLD_STOPPING &&
                (machine_states[body.state].going_up || body.state == STATE_RUNNING);
    body.told = (uint8_t)told;
    if (goes) { /* no time-out of its start or its watchdog means anything any more */
        uint32_t ms = definition_of(process)->stop.timeout_ms;
        body.deadline_ns = ms == TIME_NEVER_MS ? 0 : clock_now_ns() + ms * NS_PER_MS;
        body.extended = 0;
    }
    manager_commit(manager_of(process), process_service(process), &body);
    if (goes)
        executor_resume_timer(process, body.deadline_ns);
}

/* Puts the state's deadline off, never nearer. */
static void extend(struct process *process, uint64_t usec)
{
    struct service_body body;
    manager_edit(manager_of(process), process_service(process), &body);
    uint64_t limit = (uint64_t)TIME_NEVER_MS * 1000;
    uint64_t at_ns = clock_now_ns() + (usec < limit ? usec : limit) * 1000;
    bool waits = machine_states[body.state].going_up || executor_awaits_notice(process) ||
                 body.state == STATE_LEAVING || body.state == STATE_STOPPING ||
                 body.told == TOLD_STOPPING;
    if (!waits || !body.deadline_ns || body.deadline_ns >= at_ns)
        return;
    body.deadline_ns = at_ns;
    body.extended = (uint8_t)(body.state + 1);
    manager_commit(manager_of(process), process_service(process), &body);
    executor_resume_timer(process, at_ns);
}

static void set_watchdog(struct process *process, uint64_t usec)
{
    struct service_body body;
    manager_edit(manager_of(process), process_service(process), &body);
    uint64_t ms = (usec + 999) / 1000;
    body.watchdog_ms = ms < TIME_NEVER_MS ? ms : 0;
    manager_commit(manager_of(process), process_service(process), &body);
    executor_feed_watchdog(process);
}

static const char *words_of(int doubt)
{
    switch (doubt) {
    case -EINVAL:
        return "it is not the number of a process that can be one of a service";
    case -EPERM:
        return "it names no process of this service";
    case -ESRCH:
        return "the process it names has ended";
    default:
        return strerror(-doubt);
    }
}

/* Each is told once a run: a service that goes on and on must not fill its journal. */
static void refuse_main(struct process *process, int doubt)
{
    unsigned bit = doubt == -EINVAL ? 1 : doubt == -EPERM ? 2 : doubt == -ESRCH ? 4 : 8;
    if (!(process->main_pid_doubts & bit))
        executor_ready_warn(process, "MAINPID was not believed", words_of(doubt));
    process->main_pid_doubts |= bit;
}

static void set_main(struct process *process, pid_t pid)
{
    struct journal_client *journal = process->executor->launcher->journal;
    pid_t former = process_record(process)->main_pid;
    int failed = pid == former ? 0 : executor_adopt_main(process, pid, FORK_FOUND);
    if (failed) {
        refuse_main(process, failed);
        return;
    }
    if (pid != former && process->main_pid_changes++ < CHANGES_TOLD)
        journal_client_event(journal, process->slot, 6,
                             "the main process is %d now, in place of %d: it said so", (int)pid,
                             (int)former);
    executor_ready_settle(process);
}

/* RELOADING=1, STOPPING=1, READY=1. A reload that was asked for by a signal is over with the
 * READY=1 that follows its RELOADING=1, for which it has the time of a start. */
static void note_doing(struct process *process, const struct notify_message *message)
{
    const struct service_body *body = service_body(manager_of(process), process_service(process));
    bool reloads = body->told == TOLD_RELOADING;
    if (message->reloading || message->stopping)
        set_told(process, message->stopping ? TOLD_STOPPING : TOLD_RELOADING);
    if (message->reloading && !message->stopping && !reloads && executor_awaits_notice(process)) {
        executor_set_time_out(process, definition_of(process)->start_timeout_ms);
        reloads = true;
    }
    if (!message->ready)
        return;
    set_told(process, TOLD_NOTHING);
    if (reloads && executor_awaits_notice(process))
        manager_event(manager_of(process), process_service(process), EVENT_HOOKS_OK);
    if (definition_of(process)->ready.kind == READY_NOTIFY)
        executor_ready_met(process);
}

/* Without a time that was over: so the reason says that it asked for its end. */
static void trigger_watchdog(struct process *process)
{
    struct service_body body;
    manager_edit(manager_of(process), process_service(process), &body);
    if (body.state != STATE_RUNNING)
        return;
    body.watchdog_ms = 0;
    manager_commit(manager_of(process), process_service(process), &body);
    manager_event(manager_of(process), process_service(process), EVENT_TIME_OUT);
}

static void carry_out(struct process *process, const struct notify_message *message)
{
    enum service_state state = service_state(manager_of(process), process_service(process));
    if (machine_states[state].idle)
        return;
    if (message->status)
        set_status(process, message);
    if (message->bad_main_pid)
        refuse_main(process, -EINVAL);
    else if (message->main_pid && machine_states[state].has_main)
        set_main(process, message->main_pid);
    if (message->has_watchdog_usec)
        set_watchdog(process, message->watchdog_usec);
    if (message->watchdog)
        executor_feed_watchdog(process);
    if (message->has_extend)
        extend(process, message->extend_usec);
    note_doing(process, message);
    if (message->trigger)
        trigger_watchdog(process);
}

/* ---- receiving ----------------------------------------------------------------------------- */

/* Root, the service's user, or a process of the service. The number is 0 for one that cannot be
 * seen from here. */
static bool may_send(const struct process *process, const struct ucred *sender)
{
    const struct identity *identity = &definition_of(process)->identity;
    return sender->uid == 0 || (identity->set && sender->uid == identity->uid) ||
           (sender->pid > 0 && executor_owns(process, sender->pid));
}

/* Everything in the control message: who sent it, and descriptors that nobody wants. They are
 * closed when the message has been carried out: that is what BARRIER=1 waits for. */
struct extras {
    struct ucred sender;
    bool has_sender;
    int fds[FOREIGN_FDS_MAX];
    size_t fd_count;
};

static void take_extras(struct msghdr *header, struct extras *extras)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS ||
            c->cmsg_len < CMSG_LEN(sizeof extras->sender))
            continue;
        memcpy(&extras->sender, CMSG_DATA(c), sizeof extras->sender);
        extras->has_sender = true;
    }
    extras->fd_count = foreign_take_fds(header, extras->fds);
}

static bool receive_one(struct process *process)
{
    char bytes[NOTIFY_MESSAGE_BYTES];
    _Alignas(struct cmsghdr) char
        control[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(FOREIGN_FDS_MAX * sizeof(int))];
    struct iovec vector = {bytes, sizeof bytes};
    struct msghdr header = {.msg_iov = &vector,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = sizeof control};
    struct extras extras = {.fd_count = 0};
    struct notify_message message;

    ssize_t count = recvmsg(process->ready_fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (count < 0)
        return errno == EINTR;
    take_extras(&header, &extras);
    if (header.msg_flags & MSG_TRUNC) {
        warn(process, "it is longer than 4096 bytes");
    } else if (!extras.has_sender || !may_send(process, &extras.sender)) {
        warn(process, "its sender is neither a process nor the user of this service, nor root");
    } else {
        notify_message_parse(bytes, (size_t)count, &message);
        carry_out(process, &message);
    }
    foreign_close(extras.fds, extras.fd_count);
    return true;
}

static void on_event(struct loop_fd *source, uint32_t events)
{
    struct process *process = container_of(source, struct process, ready_source);
    (void)events;
    for (int i = 0; i < MESSAGES_A_TURN && source->fd >= 0; i++)
        if (!receive_one(process))
            return;
}

static void receive_all(struct process *process)
{
    process->emptying = true;
    for (int i = 0; i < MESSAGES_AT_END && process->ready_fd >= 0 && receive_one(process); i++) {
    }
    process->emptying = false;
}

bool executor_notify_hands_over(struct process *process)
{
    int32_t main_pid = process_record(process)->main_pid;
    if (process->ready_fd < 0 || process->emptying || !executor_notifies(process))
        return false;
    receive_all(process);
    return process_record(process)->main_pid != main_pid;
}

/* init gets the new one in place of the former, which it closes. */
static void restore(struct process *process)
{
    const uint32_t key = KEY_READY_FIRST + process->slot;
    receive_all(process);
    int fd = process->ready_fd < 0 ? -EBADF : make_socket(process);
    if (fd == -EBADF)
        return;
    int failed = fd < 0 ? fd
                        : init_link_store_queued(process->executor->launcher->init_link,
                                                 OWNER_LAUNCHER, &key, &fd, 1);
    if (failed) {
        executor_ready_warn(process, "its notify socket was removed", strerror(-failed));
        if (fd >= 0)
            close(fd);
        return;
    }
    loop_remove(&process->executor->launcher->loop, &process->ready_source);
    close(process->ready_fd);
    process->ready_fd = fd;
    process->ready_stored = true;
    executor_notify_watch_on(process);
}

void executor_notify_restore(struct executor *executor)
{
    for (uint32_t slot = 0; slot < executor->slots; slot++) {
        struct process *process = executor->processes[slot];
        if (process && process->ready_fd >= 0 && process_service(process)->in_use &&
            executor_notifies(process) && is_lost(process))
            restore(process);
    }
}

int executor_notify_watch(struct process *process)
{
    if (process->ready_fd < 0 || process->ready_source.fd >= 0)
        return 0;
    int failed = loop_add(&process->executor->launcher->loop, &process->ready_source,
                          process->ready_fd, EPOLLIN, on_event);
    if (failed)
        LOG(ERROR, "Cannot watch a notify socket", TEXT("service", process_record(process)->name),
            TEXT("error", strerror(-failed)));
    return failed;
}

void executor_notify_watch_on(struct process *process)
{
    if (executor_notify_watch(process) < 0)
        executor_watch_later(process);
}

/* Nothing to begin: the socket is watched as long as anything of the service runs. */
const struct ready_way ready_notify = {.begin = NULL};
