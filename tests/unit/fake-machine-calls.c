/* What stands between init and the C library on the machine of fake-machine.c: --wrap=NAME for each
 * function here. What the test answers comes first. */
#include "fake-machine-parts.h"
#include "init/record.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OWN_FD_FIRST 700
#define LOW_FDS      16 /* what a child puts there is only written down */
#define NS_PER_SEC   1000000000ull

/* A wrapped function: its real one, its declaration, and its head. */
#define WRAP(type, name, parameters)                                                               \
    type __real_##name parameters; /* NOLINT: the linker's names */                                \
    type __wrap_##name parameters; /* NOLINT */                                                    \
    type __wrap_##name parameters  /* NOLINT */

/* The answer of the test, if it has one. */
#define ANSWER(type, name, with, arguments)                                                        \
    long answer;                                                                                   \
    if (!machine || !machine->on)                                                                  \
        return __real_##name arguments;                                                            \
    if (machine_answers(#name, with, &answer))                                                     \
    return answer < 0 ? (type)-1 : (type)answer

/* One that is made, unless the test says otherwise. */
#define PASS(type, name, parameters, arguments)                                                    \
    WRAP(type, name, parameters)                                                                   \
    {                                                                                              \
        ANSWER(type, name, NULL, arguments);                                                       \
        return __real_##name arguments;                                                            \
    }

/* One that is only written down. */
#define NOTE(name, parameters, arguments, with, ...)                                               \
    WRAP(int, name, parameters)                                                                    \
    {                                                                                              \
        ANSWER(int, name, with, arguments);                                                        \
        machine_note(__VA_ARGS__);                                                                 \
        return 0;                                                                                  \
    }

PASS(ssize_t, pread64, (int fd, void *bytes, size_t count, off_t at), (fd, bytes, count, at))
PASS(ssize_t, pwrite64, (int fd, const void *bytes, size_t count, off_t at), (fd, bytes, count, at))
PASS(int, fstat64, (int fd, struct stat *about), (fd, about))
PASS(int, ftruncate64, (int fd, off_t bytes), (fd, bytes))
PASS(off_t, lseek64, (int fd, off_t at, int from), (fd, at, from))
PASS(void *, mmap64, (void *at, size_t bytes, int rights, int flags, int fd, off_t begin),
     (at, bytes, rights, flags, fd, begin))
PASS(int, memfd_create, (const char *name, unsigned flags), (name, flags))
PASS(int, pipe, (int ends[2]), (ends))
PASS(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t bytes),
     (fd, level, name, value, bytes))
PASS(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *bytes),
     (fd, level, name, value, bytes))
PASS(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
PASS(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))
PASS(ssize_t, recv, (int fd, void *bytes, size_t count, int flags), (fd, bytes, count, flags))
PASS(int, epoll_create1, (int flags), (flags))

NOTE(setrlimit64, (int what, const struct rlimit *limit), (what, limit), NULL,
     "setrlimit %llu %llu", (unsigned long long)limit->rlim_cur,
     (unsigned long long)limit->rlim_max)
NOTE(swapoff, (const char *path), (path), path, "swapoff %s", path)
NOTE(sethostname, (const char *name, size_t bytes), (name, bytes), name, "sethostname %.*s",
     (int)bytes, name)
NOTE(setsid, (void), (), NULL, "setsid")

void machine_limit(uint64_t soft, uint64_t hard)
{
    machine->soft = soft;
    machine->hard = hard;
}

WRAP(int, getrlimit64, (int what, struct rlimit *limit))
{
    ANSWER(int, getrlimit64, NULL, (what, limit));
    int failed = __real_getrlimit64(what, limit);
    if (machine->hard)
        *limit = (struct rlimit){machine->soft, machine->hard};
    return failed;
}

/* ---- files ---------------------------------------------------------------------------------- */

/* Of a call that cannot fail. */
static long answer_of(const char *call, long answer)
{
    bool counting = machine->counting;
    machine->counting = false;
    machine_answers(call, "", &answer);
    machine->counting = counting;
    return answer;
}

#define ON_PATH(type, name, parameters, arguments, with)                                           \
    WRAP(type, name, parameters)                                                                   \
    {                                                                                              \
        char storage[MACHINE_PATH];                                                                \
        ANSWER(type, name, with, arguments);                                                       \
        path = machine_path(path, storage);                                                        \
        return __real_##name arguments;                                                            \
    }

ON_PATH(int, access, (const char *path, int how), (path, how), path)
ON_PATH(int, mkdir, (const char *path, mode_t mode), (path, mode), path)
ON_PATH(int, symlink, (const char *to, const char *path), (to, path), path)
ON_PATH(ssize_t, readlink, (const char *path, char *to, size_t bytes), (path, to, bytes), path)
ON_PATH(ssize_t, readlinkat, (int folder, const char *path, char *to, size_t bytes),
        (folder, path, to, bytes), path)

int __real_open64(const char *path, int flags, ...); /* NOLINT */
int __wrap_open64(const char *path, int flags, ...); /* NOLINT */
int __wrap_open64(const char *path, int flags, ...)  /* NOLINT */
{
    char storage[MACHINE_PATH];
    ANSWER(int, open64, path, (path, flags, 0600));
    return __real_open64(machine_path(path, storage), flags, 0600);
}

int __real_openat64(int folder, const char *path, int flags, ...); /* NOLINT */
int __wrap_openat64(int folder, const char *path, int flags, ...); /* NOLINT */
int __wrap_openat64(int folder, const char *path, int flags, ...)  /* NOLINT */
{
    ANSWER(int, openat64, path, (folder, path, flags, 0600));
    return __real_openat64(folder, path, flags, 0600);
}

int __real_fcntl64(int fd, int what, ...); /* NOLINT */
int __wrap_fcntl64(int fd, int what, ...); /* NOLINT */
int __wrap_fcntl64(int fd, int what, ...)  /* NOLINT */
{
    va_list list;
    va_start(list, what);
    long value = va_arg(list, long);
    va_end(list);
    char number[12];
    snprintf(number, sizeof number, "%d", fd);
    ANSWER(int, fcntl64, number, (fd, what, value));
    return __real_fcntl64(fd, what, value);
}

WRAP(int, mknod, (const char *path, mode_t mode, dev_t device))
{
    ANSWER(int, mknod, path, (path, mode, device));
    machine_note("mknod %s %u,%u", path, (unsigned)(device >> 8), (unsigned)(device & 0xff));
    return 0;
}

char *machine_mounted(const char *target)
{
    for (size_t i = 0; i < MACHINE_MOUNTS; i++)
        if (strcmp(machine->mounts[i], target) == 0)
            return machine->mounts[i];
    return NULL;
}

void machine_mount(const char *target)
{
    char *place = machine_mounted(target) ? machine_mounted(target) : machine_mounted("");
    snprintf(place, sizeof machine->mounts[0], "%s", target);
    machine->mount_ids[(place - machine->mounts[0]) / (long)sizeof machine->mounts[0]] =
        ++machine->mount_id;
}

WRAP(int, mount,
     (const char *what, const char *target, const char *type, unsigned long flags,
      const void *data))
{
    ANSWER(int, mount, target, (what, target, type, flags, data));
    machine_note("mount %s %s %s", target,
                 type        ? type
                 : flags & 1 ? "read-only"
                             : "?",
                 data ? (const char *)data : "-");
    if (type)
        machine_mount(target);
    return 0;
}

WRAP(int, umount2, (const char *target, int flags))
{
    ANSWER(int, umount2, target, (target, flags));
    machine_note("umount %s", target);
    if (machine_mounted(target))
        machine_mounted(target)[0] = 0;
    return 0;
}

/* Descriptors 0 to 15 are those of the test. */
static int put(const char *call, int from, int to)
{
    if (__real_fcntl64(from, F_GETFD) < 0)
        return -1;
    machine_note("%s %d", call, to);
    return to;
}

WRAP(int, dup2, (int from, int to))
{
    ANSWER(int, dup2, NULL, (from, to));
    return put("dup2", from, to);
}

WRAP(int, dup3, (int from, int to, int flags))
{
    ANSWER(int, dup3, NULL, (from, to, flags));
    return put("dup3", from, to);
}

WRAP(int, ioctl, (int fd, unsigned long what, ...))
{
    ANSWER(int, ioctl, NULL, (fd, what));
    machine_note("ioctl");
    return 0;
}

WRAP(int, prctl, (int what, ...))
{
    va_list list;
    va_start(list, what);
    char *name = va_arg(list, char *);
    va_end(list);
    if (!machine || !machine->on)
        return __real_prctl(what, name);
    if (what == 16) /* PR_GET_NAME */
        memcpy(name, "init", 5);
    return 0;
}

/* What is written to the console. */
WRAP(ssize_t, write, (int fd, const void *bytes, size_t count))
{
    char text[8];
    snprintf(text, sizeof text, "%d", fd);
    ANSWER(ssize_t, write, text, (fd, bytes, count));
    if (count == 12 && machine->is_child && machine->become) { /* a child says what failed */
        machine_note("said error %d path %d former %d", ((const int *)bytes)[0],
                     ((const int *)bytes)[1], ((const int *)bytes)[2]);
        return (ssize_t)count;
    }
    if (fd != 1 && fd != 2)
        return __real_write(fd, bytes, count);
    machine_say(bytes, count);
    return (ssize_t)count;
}

/* What init was executed as. */
WRAP(unsigned long, getauxval, (unsigned long what))
{
    return machine && machine->on ? (unsigned long)answer_of("getauxval", 0)
                                  : __real_getauxval(what);
}

WRAP(ssize_t, read, (int fd, void *bytes, size_t count))
{
    char storage[MACHINE_PATH];
    ANSWER(ssize_t, read, machine_name_of(fd, storage), (fd, bytes, count));
    return __real_read(fd, bytes, count);
}

WRAP(int, isatty, (int fd))
{
    return machine && machine->on ? 0 : __real_isatty(fd);
}

WRAP(int, socketpair, (int domain, int type, int protocol, int ends[2]))
{
    ANSWER(int, socketpair, NULL, (domain, type, protocol, ends));
    int failed = __real_socketpair(domain, type, protocol, ends);
    if (failed)
        return failed;
    if (machine->spare_peer >= 0)
        close(machine->spare_peer);
    machine->spare_peer = __real_fcntl64(ends[1], F_DUPFD_CLOEXEC, OWN_FD_FIRST);
    return 0;
}

WRAP(int, pipe2, (int ends[2], int flags))
{
    ANSWER(int, pipe2, NULL, (ends, flags));
    int failed = __real_pipe2(ends, flags);
    if (failed)
        return failed;
    if (machine->spare_pipe >= 0)
        close(machine->spare_pipe);
    machine->spare_pipe = __real_fcntl64(ends[1], F_DUPFD_CLOEXEC, OWN_FD_FIRST);
    return 0;
}

/* ---- time ----------------------------------------------------------------------------------- */

WRAP(int, clock_gettime, (clockid_t clock, struct timespec *ret))
{
    if (!machine || !machine->on)
        return __real_clock_gettime(clock, ret);
    ret->tv_sec = (time_t)(machine->now_ns / NS_PER_SEC);
    ret->tv_nsec = (long)(machine->now_ns % NS_PER_SEC);
    return 0;
}

static uint64_t ns_of(const struct timespec *time)
{
    return (uint64_t)time->tv_sec * NS_PER_SEC + (uint64_t)time->tv_nsec;
}

PASS(int, timerfd_create, (int clock, int flags), (clock, flags))

WRAP(int, timerfd_settime,
     (int fd, int flags, const struct itimerspec *to, struct itimerspec *former))
{
    static const struct itimerspec never;
    if (!machine || !machine->on)
        return __real_timerfd_settime(fd, flags, to, former);
    machine->timer_fd = fd;
    machine->timer_at_ns = ns_of(&to->it_value);
    return __real_timerfd_settime(fd, flags, &never, NULL);
}

/* The timer is due by the machine's clock. */
static void ring(void)
{
    static const struct itimerspec now = {.it_value = {.tv_nsec = 1}};
    if (!machine->timer_at_ns || machine->timer_at_ns > machine->now_ns)
        return;
    __real_timerfd_settime(machine->timer_fd, 0, &now, NULL);
    struct pollfd due = {.fd = machine->timer_fd, .events = POLLIN};
    poll(&due, 1, 1000);
    machine->timer_at_ns = 0;
}

WRAP(int, epoll_ctl, (int epoll, int what, int fd, struct epoll_event *event))
{
    if (what == EPOLL_CTL_DEL) /* which does not fail for what is there */
        return __real_epoll_ctl(epoll, what, fd, event);
    ANSWER(int, epoll_ctl, NULL, (epoll, what, fd, event));
    return __real_epoll_ctl(epoll, what, fd, event);
}

WRAP(int, epoll_wait, (int epoll, struct epoll_event *events, int most, int timeout_ms))
{
    ANSWER(int, epoll_wait, NULL, (epoll, events, most, timeout_ms));
    for (;;) {
        machine->on = false;
        ring();
        machine->on = true;
        int count = __real_epoll_wait(epoll, events, most, 0);
        if (count || timeout_ms == 0)
            return count;
        machine_wait(machine->timer_at_ns ? machine->timer_at_ns : UINT64_MAX);
    }
}

WRAP(int, poll, (struct pollfd * fds, nfds_t count, int timeout_ms))
{
    if (!machine || !machine->on)
        return __real_poll(fds, count, timeout_ms);
    long answer;
    if (machine_answers("poll", "", &answer))
        return answer < 0 ? -1 : (int)answer;
    int ready = __real_poll(fds, count, 0);
    if (ready == 1 && machine->hung && fds[0].revents == POLLHUP)
        ready = 0; /* a step that hangs has not closed it */
    if (!ready && timeout_ms > 0)
        machine_pass((unsigned)timeout_ms);
    return ready;
}

WRAP(int, nanosleep, (const struct timespec *time, struct timespec *left))
{
    if (!machine || !machine->on)
        return __real_nanosleep(time, left);
    machine_wait(machine->now_ns + ns_of(time));
    return 0;
}

/* ---- signals and processes ------------------------------------------------------------------ */

WRAP(int, signalfd, (int fd, const sigset_t *signals, int flags))
{
    ANSWER(int, signalfd, NULL, (fd, signals, flags));
    return __real_fcntl64(machine->signals_fd, F_DUPFD_CLOEXEC, 16);
}

WRAP(int, sigtimedwait, (const sigset_t *signals, siginfo_t *ret, const struct timespec *most))
{
    struct signalfd_siginfo came;
    if (!machine || !machine->on)
        return __real_sigtimedwait(signals, ret, most);
    if (__real_read(machine->signals_fd, &came, sizeof came) != sizeof came) {
        if (!machine_wait(machine->now_ns + ns_of(most)) ||
            __real_read(machine->signals_fd, &came, sizeof came) != sizeof came) {
            errno = EAGAIN;
            return -1;
        }
    }
    if (ret) {
        memset(ret, 0, sizeof *ret);
        ret->si_pid = (pid_t)came.ssi_pid;
        ret->si_code = came.ssi_code;
        ret->si_signo = (int)came.ssi_signo;
    }
    return (int)came.ssi_signo;
}

WRAP(int, kill, (pid_t pid, int signal))
{
    if (!machine || !machine->on)
        return __real_kill(pid, signal);
    machine_note("kill %d %d", (int)pid, signal);
    machine->hung = false;
    if (pid == 1)
        machine_signal(signal, 1);
    else
        machine_kill(pid, signal);
    return 0;
}

static void forget(struct machine_process *process)
{
    int keep = process->peer;
    process->zombie = false;
    process->peer = keep;
}

WRAP(int, waitid, (idtype_t type, id_t id, siginfo_t *ret, int flags))
{
    pid_t pid = type == P_ALL ? -1 : (pid_t)id;
    if (!machine || !machine->on)
        return __real_waitid(type, id, ret, flags);
    if (!machine_has(pid)) {
        errno = ECHILD;
        return -1;
    }
    struct machine_process *ended = machine_ended(pid);
    ret->si_pid = ended ? ended->pid : 0;
    if (!ended)
        return 0;
    bool by_signal = WIFSIGNALED(ended->status);
    ret->si_code = !by_signal ? CLD_EXITED : WCOREDUMP(ended->status) ? CLD_DUMPED : CLD_KILLED;
    ret->si_status = by_signal ? WTERMSIG(ended->status) : WEXITSTATUS(ended->status);
    if (!(flags & WNOWAIT))
        forget(ended);
    return 0;
}

WRAP(pid_t, waitpid, (pid_t pid, int *status, int flags))
{
    if (!machine || !machine->on)
        return __real_waitpid(pid, status, flags);
    if (!machine_has(pid)) {
        errno = ECHILD;
        return -1;
    }
    struct machine_process *ended = machine_ended(pid);
    if (!ended)
        return 0;
    if (status)
        *status = ended->status;
    forget(ended);
    return ended->pid;
}

WRAP(sighandler_t, signal, (int signal, sighandler_t to))
{
    if (machine && machine->on)
        answer_of("signal", 0);
    return __real_signal(signal, to);
}

WRAP(pid_t, getpid, (void))
{
    if (!machine || !machine->on)
        return __real_getpid();
    return (pid_t)answer_of("getpid", machine->is_child ? 7 : 1);
}

WRAP(void, _exit, (int status))
{
    /* A child that is a process ends, and one that the test is does not. */
    if (machine && machine->on && (!machine->is_child || machine->become))
        machine_end(status);
    __real__exit(status);
    abort();
}

WRAP(void, exit, (int status))
{
    if (machine && machine->on)
        machine_end(status);
    __real_exit(status);
    abort();
}

WRAP(int, reboot, (int how))
{
    ANSWER(int, reboot, NULL, (how));
    machine_note("reboot %#x", (unsigned)how);
    if (how != 0) /* what Ctrl-Alt-Del does */
        machine_end(MACHINE_REBOOTED);
    return 0;
}

WRAP(void, sync, (void))
{
    if (!machine || !machine->on)
        __real_sync();
    else if (answer_of("sync", 0) == 0)
        machine_note("sync");
}

/* Unless the test says that it works, no program is there. */
static int execute(const char *call, const char *path)
{
    long answer = -ENOENT;
    size_t bytes = strlen(machine->root);
    machine_note("%s %s", call, path + (strncmp(path, machine->root, bytes) == 0 ? bytes : 0));
    if (!machine_answers(call, path, &answer) || answer < 0) {
        errno = (int)-answer;
        return -1;
    }
    machine_end(MACHINE_EXECUTED);
}

WRAP(int, execve, (const char *path, char *const words[], char *const environment[]))
{
    return machine && machine->on ? execute("execve", path)
                                  : __real_execve(path, words, environment);
}

WRAP(int, execl, (const char *path, const char *first, ...))
{
    return machine && machine->on ? execute("execl", path) : __real_execl(path, first, NULL);
}

/* ---- calls by their number ------------------------------------------------------------------ */

/* With a place for its number: one of the machine's processes. Without: a real one, which has done
 * its work before its parent goes on. */
static long make_process(int32_t *at)
{
    int status = 0;
    if (at && ++machine->forks == machine->become) {
        machine->is_child = true;
        return 0;
    }
    if (at) {
        pid_t pid = machine_add("child", TEMPER_MILD, machine->spare_peer);
        machine_find(pid)->pipe = machine->spare_pipe;
        machine->spare_peer = machine->spare_pipe = -1;
        *at = pid;
        return pid;
    }
    unsigned become = machine->become;
    machine->become = 0;
    if (machine->spare_pipe >= 0) /* the end of its results is seen */
        close(machine->spare_pipe);
    machine->spare_pipe = -1;
    pid_t pid = fork();
    if (pid == 0) {
        machine->is_child = true;
        return 0;
    }
    __real_waitpid(pid, &status, 0);
    machine->is_child = false;
    machine->become = become;
    pid_t made = machine_add("step", TEMPER_MILD, -1);
    if (!machine->hung)
        machine_ends(made, status);
    return made;
}

/* As struct statx, as far as init looks at it. */
static long stat_mount(const char *path, void *ret)
{
    const char *place = machine_mounted(path);
    uint64_t attributes = place ? 0x2000 : 0, id = 0;
    if (place)
        id = machine->mount_ids[(place - machine->mounts[0]) / (long)sizeof machine->mounts[0]];
    uint32_t mask = (uint32_t)answer_of("mount id", 0x1000);
    memset(ret, 0, 256);
    memcpy(ret, &mask, sizeof mask);
    memcpy((char *)ret + 8, &attributes, sizeof attributes);
    memcpy((char *)ret + 144, &id, sizeof id);
    return 0;
}

static long close_range_of_init(unsigned first, unsigned last)
{
    for (unsigned fd = first; !machine->is_child && fd <= last && fd < OWN_FD_FIRST; fd++)
        if (fd > 2)
            close((int)fd);
    return 0;
}

static const char *name_of(long number)
{
    switch (number) {
    case SYS_clone:
        return "clone";
    case SYS_execveat:
        return "execveat";
    case SYS_statx:
        return "statx";
    case SYS_getdents64:
        return "getdents64";
    case SYS_close_range:
        return "close_range";
    case SYS_pidfd_open:
        return "pidfd_open";
    case SYS_fsopen:
        return "fsopen";
    case SYS_fsconfig:
        return "fsconfig";
    case SYS_fsmount:
        return "fsmount";
    default: /* of signals: this process keeps its own */
        return "";
    }
}

static long do_call(long number, const long *with)
{
    switch (number) {
    case SYS_clone:
        return make_process((int32_t *)with[2]); /* NOLINT(performance-no-int-to-ptr) */
    case SYS_statx:
        return stat_mount((const char *)with[1], (void *)with[4]); /* NOLINT */
    case SYS_close_range:
        return close_range_of_init((unsigned)with[0], (unsigned)with[1]);
    case SYS_pidfd_open: /* it has ended already */
        return eventfd(1, EFD_CLOEXEC);
    case SYS_execveat:
        return execute("execveat", "");
    case SYS_fsopen:
        errno = EPERM;
        return -1;
    default:
        return 0;
    }
}

/* Where init tells its parts of its record, the test hears of it. */
WRAP(void, process_use, (const struct record *record))
{
    machine_record = record;
    __real_process_use(record);
}

long __real_syscall(long number, ...); /* NOLINT */
long __wrap_syscall(long number, ...); /* NOLINT */
long __wrap_syscall(long number, ...)  /* NOLINT */
{
    long with[6], answer;
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        with[i] = va_arg(list, long);
    va_end(list);
    if (!machine || !machine->on)
        return __real_syscall(number, with[0], with[1], with[2], with[3], with[4], with[5]);
    const char *name = name_of(number);
    const char *path = number == SYS_statx ? (const char *)with[1] : ""; /* NOLINT */
    if (*name && number != SYS_execveat && machine_answers(name, path, &answer))
        return answer < 0 ? -1 : answer;
    if (number == SYS_getdents64)
        return __real_syscall(number, with[0], with[1], with[2]);
    return do_call(number, with);
}
