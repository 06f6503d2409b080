/* Looking at paths that may hang, each by a child with memory and descriptors of its own, so that
 * only that one waits. See executor-apart.c for programs.
 *
 * A child that hangs is killed when its time is over. One that even that does not end (it waits in
 * the kernel until the server answers or goes) counts among those that there may be. */
#include "service-launcher/look-apart.h"
#include "service-launcher/executor-internal.h"
#include "service-launcher/journal-client.h"

#include "base/clock.h"
#include "base/syscall.h"
#include "base/text.h"
#include "log/log.h"
#include "proc/pid-file.h"
#include "protocol/foreign.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CHILDREN_MAX 64   /* of all services: further looks wait until one has ended */
#define ROOM_MS      100  /* how long until it is tried again then */
#define SLOW_MS      2000 /* from then on it is said who does not answer */
#define MAIN_MS      5000 /* for what keeps the end of a process from being known */
#define ANSWER_FD    3    /* in the child */

struct look {
    struct executor *executor;
    struct list node; /* in looks->all; nowhere once nobody waits */
    uint32_t slot;
    enum look_at what;
    char *path;
    struct pidref process;
    struct loop_fd source;
    struct loop_timer timer;
    uint64_t since_ns;
    int answer_fd; /* the reading end; -1: there is no child yet, or no more */
    int32_t pid;
    bool answered, late, warned;
    struct look_answer answer;
};

/* ---- looking ------------------------------------------------------------------------------- */

static void at_existing(const char *path, struct look_answer *answer)
{
    answer->error = access(path, F_OK) < 0 ? -errno : 0;
}

static void at_executable(const char *path, struct look_answer *answer)
{
    answer->error = access(path, X_OK) < 0 ? -errno : 0;
}

static void at_mark(const char *path, struct look_answer *answer)
{
    answer->error = file_mark_look(path, &answer->mark);
}

static void at_pid_file(const char *path, struct look_answer *answer)
{
    at_mark(path, answer);
    answer->pid_error = pid_file_read(path, &answer->pid);
}

/* Whether somebody accepts there, whatever kind of socket it is. */
static void at_socket(const char *path, struct look_answer *answer)
{
    static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int error = -EPROTOTYPE;
    text_format(address.sun_path, sizeof address.sun_path, "%s", path);
    for (size_t i = 0; i < sizeof types / sizeof *types && error == -EPROTOTYPE; i++) {
        int fd = socket(AF_UNIX, types[i] | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0) {
            error = -errno;
            break;
        }
        error = connect(fd, (const struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
        foreign_drain(fd);
        close(fd);
    }
    answer->error = error;
}

static void (*const lookers[LOOK_KINDS])(const char *path, struct look_answer *answer) = {
    [LOOK_AT_EXISTS] = at_existing,     [LOOK_AT_EXECUTABLE] = at_executable,
    [LOOK_AT_STALE_FILE] = at_mark,     [LOOK_AT_READY_MARK] = at_mark,
    [LOOK_AT_READY_FILE] = at_pid_file, [LOOK_AT_READY_SOCKET] = at_socket,
    [LOOK_AT_MAIN] = at_pid_file,
};

/* In the child: descriptors of others must not be kept open by one that hangs. */
_Noreturn static void run(void *argument)
{
    const struct look *look = argument;
    struct look_answer answer = {.error = 0};
    sigset_t none;
    prctl(PR_SET_NAME, "look-at-path");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (look->answer_fd != ANSWER_FD && dup2(look->answer_fd, ANSWER_FD) < 0)
        _exit(1);
    syscall_close_range(ANSWER_FD + 1, ~0u, 0);
    lookers[look->what](look->path, &answer);
    _exit(write(ANSWER_FD, &answer, sizeof answer) != sizeof answer);
}

/* ---- the launcher -------------------------------------------------------------------------- */

static struct loop *loop_of(const struct look *look)
{
    return &look->executor->launcher->loop;
}

static const char *name_of(const struct look *look)
{
    const struct manager *manager = &look->executor->launcher->manager;
    return look->slot < manager->slots ? manager->records[look->slot].name : "";
}

static void end_child(struct look *look)
{
    loop_remove(loop_of(look), &look->source);
    if (pidref_is_set(&look->process))
        look->executor->looks.children--;
    pidref_close(&look->process);
    if (look->answer_fd >= 0)
        close(look->answer_fd);
    look->answer_fd = -1;
}

static void destroy(struct look *look)
{
    end_child(look);
    loop_clear_timer(loop_of(look), &look->timer);
    list_remove(&look->node);
    free(look->path);
    free(look);
}

static bool is_forgotten(const struct look *look)
{
    return list_empty(&look->node);
}

/* Who serves that file system has gone: it may come back, or another take its place. */
static bool is_no_answer(int error)
{
    static const int errors[] = {-ENOTCONN, -ECONNABORTED, -ETIMEDOUT, -EHOSTDOWN, -EHOSTUNREACH};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i] == error)
            return true;
    return false;
}

static void set_timer(struct look *look);

static void on_ended(struct loop_fd *source, uint32_t events)
{
    struct look *look = container_of(source, struct look, source);
    struct executor *executor = look->executor;
    uint32_t slot = look->slot;
    int code, status;
    (void)events;
    if (pidref_peek(&look->process, &code, &status) == -EAGAIN)
        return;
    pidref_reap(&look->process);
    bool has = read(look->answer_fd, &look->answer, sizeof look->answer) == sizeof look->answer;
    end_child(look);
    if (is_forgotten(look)) {
        destroy(look);
        return;
    }
    if (look->late)
        return; /* it was told already */
    if (!has || is_no_answer(look->answer.error)) {
        set_timer(look);
        return;
    }
    if (look->warned)
        LOG(INFO, "A path answers again", TEXT("service", name_of(look)), TEXT("path", look->path));
    look->answered = true;
    loop_clear_timer(loop_of(look), &look->timer);
    executor_looked(executor, slot);
}

/* Makes the child. Returns 0 or -errno. */
static int begin(struct look *look)
{
    int fds[2], pidfd = -1;
    struct looks *looks = &look->executor->looks;
    if (looks->children >= CHILDREN_MAX)
        return -EAGAIN;
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    struct clone3_arguments arguments = {
        .flags = CLONE_PIDFD | CLONE_PARENT_SETTID | CLONE_CLEAR_SIGHAND,
        .pidfd = (uint64_t)(uintptr_t)&pidfd,
        .parent_tid = (uint64_t)(uintptr_t)&look->pid,
        .exit_signal = SIGCHLD,
    };
    look->answer_fd = fds[1];
    pid_t pid = syscall_clone3(&arguments, run, look);
    look->answer_fd = fds[0];
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        look->answer_fd = -1;
        return pid;
    }
    look->process = (struct pidref){.pid = pid, .fd = pidfd};
    looks->children++;
    int failed = loop_add(loop_of(look), &look->source, pidfd, EPOLLIN, on_ended);
    if (failed) { /* it is not known when it has ended: it is not needed either */
        pidref_kill_child(&look->process);
        end_child(look);
    }
    return failed;
}

/* How long there may be none; 0: as long as it takes. */
static uint64_t time_ms(const struct look *look)
{
    const struct manager *manager = &look->executor->launcher->manager;
    if (look->what == LOOK_AT_MAIN || look->slot >= manager->slots)
        return MAIN_MS;
    const struct definition *definition = manager->services[look->slot].definition;
    return !definition || definition->start_timeout_ms == TIME_NEVER_MS
               ? 0
               : definition->start_timeout_ms;
}

static void say_slow(struct look *look)
{
    struct launcher *launcher = look->executor->launcher;
    LOG(WARNING, "A path does not answer: its file system hangs", TEXT("service", name_of(look)),
        TEXT("path", look->path));
    if (look->slot < launcher->manager.slots)
        journal_client_event(launcher->journal, look->slot, 4,
                             "%s does not answer: its file system hangs", look->path);
    look->warned = true;
}

static void on_time(struct loop_timer *timer);

/* Wakes when it is to be said, when the time is over, or, without a child, to try again. */
static void set_timer(struct look *look)
{
    uint64_t at_ns = look->since_ns + SLOW_MS * NS_PER_MS, ms = time_ms(look);
    uint64_t late_ns = look->since_ns + ms * NS_PER_MS;
    if (look->warned || (ms && late_ns < at_ns))
        at_ns = ms ? late_ns : 0;
    if (!pidref_is_set(&look->process))
        at_ns = clock_now_ns() + ROOM_MS * NS_PER_MS;
    if (at_ns)
        loop_set_timer(loop_of(look), &look->timer, at_ns, on_time);
}

static void on_time(struct loop_timer *timer)
{
    struct look *look = container_of(timer, struct look, timer);
    struct executor *executor = look->executor;
    uint32_t slot = look->slot;
    uint64_t now = clock_now_ns(), ms = time_ms(look);
    bool late = ms && now >= look->since_ns + ms * NS_PER_MS;
    if (!look->warned && (late || now >= look->since_ns + SLOW_MS * NS_PER_MS))
        say_slow(look);
    if (!late) {
        if (!pidref_is_set(&look->process))
            (void)begin(look);
        set_timer(look);
        return;
    }
    if (pidref_is_set(&look->process))
        pidref_signal(&look->process, SIGKILL);
    look->late = true;
    executor_looked(executor, slot);
}

static struct look *find(const struct executor *executor, uint32_t slot, enum look_at what,
                         const char *path)
{
    list_for_each(node, &executor->looks.all)
    {
        struct look *look = container_of(node, struct look, node);
        if (look->slot == slot && look->what == what && !strcmp(look->path, path))
            return look;
    }
    return NULL;
}

/* Without memory it is as if there were no answer; whoever asks has a time-out. */
static int ask(struct executor *executor, uint32_t slot, enum look_at what, const char *path)
{
    struct look *look = calloc(1, sizeof *look);
    char *copy = strdup(path);
    if (!look || !copy) {
        free(look);
        free(copy);
        return -ENOMEM;
    }
    *look = (struct look){.executor = executor,
                          .slot = slot,
                          .what = what,
                          .path = copy,
                          .process = PIDREF_NONE,
                          .source.fd = -1,
                          .since_ns = clock_now_ns(),
                          .answer_fd = -1};
    list_append(&executor->looks.all, &look->node);
    (void)begin(look); /* where it cannot be made now it is later */
    set_timer(look);
    return -EINPROGRESS;
}

/* Once, until it could be read. */
static void say_blind(struct executor *executor)
{
    int failed = executor->mounts.failed;
    if (failed && !executor->looks.said_blind)
        LOG(WARNING, "Cannot see what is mounted: any path is taken for one that may hang",
            TEXT("error", strerror(-failed)));
    executor->looks.said_blind = failed != 0;
}

bool look_may_hang(struct executor *executor, const char *path)
{
    bool result = mounts_path_may_hang(&executor->mounts, path);
    say_blind(executor);
    return result;
}

bool look_any_may_hang(struct executor *executor)
{
    bool result = mounts_may_hang(&executor->mounts);
    say_blind(executor);
    return result;
}

int look_at(struct executor *executor, uint32_t slot, enum look_at what, const char *path,
            struct look_answer *ret)
{
    struct look *look = find(executor, slot, what, path);
    if (!look && look_may_hang(executor, path))
        return ask(executor, slot, what, path);
    if (!look) {
        *ret = (struct look_answer){.error = 0};
        lookers[what](path, ret);
        return 0;
    }
    if (look->late)
        return -ETIMEDOUT;
    if (!look->answered)
        return -EINPROGRESS;
    *ret = look->answer;
    return 0;
}

bool look_is_awaited(const struct executor *executor, uint32_t slot)
{
    list_for_each(node, &executor->looks.all)
    {
        const struct look *look = container_of(node, struct look, node);
        if (look->slot == slot && !look->answered && !look->late)
            return true;
    }
    return false;
}

/* Off the list; its child, if there is one, lives as long as it does. */
static void forget(struct look *look)
{
    list_remove(&look->node);
    loop_clear_timer(loop_of(look), &look->timer);
    if (pidref_is_set(&look->process))
        pidref_signal(&look->process, SIGKILL);
    else
        destroy(look);
}

void look_done(struct executor *executor, uint32_t slot)
{
    list_for_each(node, &executor->looks.all)
    {
        struct look *look = container_of(node, struct look, node);
        if (look->slot == slot && (look->answered || look->late))
            forget(look);
    }
}

void look_forget(struct executor *executor, uint32_t slot)
{
    list_for_each(node, &executor->looks.all)
    {
        struct look *look = container_of(node, struct look, node);
        if (look->slot == slot)
            forget(look);
    }
}

void looks_init(struct looks *looks)
{
    list_init(&looks->all);
    looks->children = 0;
}
