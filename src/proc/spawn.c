/* Making a process the fast way. See clone(2), close_range(2); the order of the child's steps is
 * the table at its end. */
#include "proc/spawn.h"
#include "base/syscall.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define FD_STDIN   (SPAWN_FD_FIRST + 0)
#define FD_OUTPUT  (SPAWN_FD_FIRST + 1)
#define FD_TTY     (SPAWN_FD_FIRST + 2)
#define FD_ENTRIES (SPAWN_FD_FIRST + 3)
#define FD_BELL    (SPAWN_FD_FIRST + 4)
#define FD_EXTRA   (SPAWN_FD_FIRST + 5)

/* The child lives on this until it executes. Used by one child at a time: the parent waits. */
#define STACK_BYTES 65536
static char child_stack[STACK_BYTES] __attribute__((aligned(64)));
static char followed_stack[STACK_BYTES] __attribute__((aligned(64)));

static int null_fd = -1;
static bool fd_used[SPAWN_FD_LAST + 1];

/* Shared with the child, which writes the failure: the memory is one. */
struct child {
    const struct spawn *spawn;
    volatile enum start_step step;
    volatile int error;
    int report_fd; /* apart: where the failure is written instead; else -1 */
};

/* Of a child apart: its report, beyond what is closed; 0: there is none. */
static unsigned report_number;

/* Where there is no /dev/null: a pipe that nobody writes to is at its end at once, too. */
static int open_ended(void)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    close(fds[1]);
    return fds[0];
}

int spawner_init(void)
{
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0)
        null_fd = open_ended();
    if (null_fd < 0)
        return null_fd;
    if (null_fd <= SPAWN_FD_LAST) {
        int moved = fcntl(null_fd, F_DUPFD_CLOEXEC, SPAWN_FD_LAST + 1);
        if (moved < 0)
            return -errno;
        close(null_fd);
        null_fd = moved;
    }
    for (int fd = SPAWN_FD_FIRST; fd <= SPAWN_FD_LAST; fd++)
        if (dup3(null_fd, fd, O_CLOEXEC) < 0)
            return -errno;
    return 0;
}

static int place(int place, int fd)
{
    if (fd < 0 && !fd_used[place])
        return 0;
    fd_used[place] = fd >= 0;
    return dup3(fd < 0 ? null_fd : fd, place, O_CLOEXEC) < 0 ? -errno : 0;
}

void spawner_rest(void)
{
    for (int fd = SPAWN_FD_FIRST; fd <= SPAWN_FD_LAST; fd++)
        place(fd, -1);
}

/* ---- the child's steps: each returns 0 or an errno ----------------------------------------- */

/* Shares memory with the parent: no heap, no locks, and nothing that can wait. */
#define CHILD static __attribute__((no_sanitize("address")))

CHILD int own_descriptors(const struct spawn *spawn)
{
    (void)spawn;
    int failed = 0;
    /* Until here the table is the parent's: nothing may be moved before this. */
    if (!report_number)
        return -syscall_close_range(SPAWN_FD_LAST + 1, ~0u, CLOSE_RANGE_UNSHARE);
    if (report_number > SPAWN_FD_LAST + 1)
        failed = -syscall_close_range(SPAWN_FD_LAST + 1, report_number - 1, 0);
    return failed ? failed : -syscall_close_range(report_number + 1, ~0u, 0);
}

CHILD void write_pid(char *text)
{
    char digits[12];
    size_t count = 0;
    for (unsigned pid = (unsigned)getpid(); pid; pid /= 10)
        digits[count++] = (char)('0' + pid % 10);
    for (size_t i = 0; i < count; i++)
        text[i] = digits[count - 1 - i];
    text[count] = 0;
}

CHILD int own_session(const struct spawn *spawn)
{
    if (spawn->pid_text)
        write_pid(spawn->pid_text);
    return setsid() < 0 ? errno : 0;
}

CHILD int controlling_terminal(const struct spawn *spawn)
{
    return spawn->tty_fd >= 0 && ioctl(FD_TTY, TIOCSCTTY, 0) < 0 ? errno : 0;
}

/* Everything from SPAWN_FD_FIRST on is closed but this one, at its number. */
CHILD int extra_descriptor(int number)
{
    int failed = 0;
    if (number == FD_EXTRA) {
        if (fcntl(FD_EXTRA, F_SETFD, 0) < 0)
            return errno;
    } else if (dup2(FD_EXTRA, number) < 0) {
        return errno;
    }
    if (number > SPAWN_FD_LAST)
        return -syscall_close_range(SPAWN_FD_FIRST, SPAWN_FD_LAST, 0);
    if (number > SPAWN_FD_FIRST)
        failed = -syscall_close_range(SPAWN_FD_FIRST, (unsigned)number - 1, 0);
    if (!failed && number < SPAWN_FD_LAST)
        failed = -syscall_close_range((unsigned)number + 1, SPAWN_FD_LAST, 0);
    return failed;
}

CHILD int standard_descriptors(const struct spawn *spawn)
{
    bool tty = spawn->tty_fd >= 0;
    if (dup2(tty ? FD_TTY : FD_STDIN, 0) < 0 || dup2(tty ? FD_TTY : FD_OUTPUT, 1) < 0 ||
        dup2(tty ? FD_TTY : FD_OUTPUT, 2) < 0)
        return errno;
    if (!spawn->extra_number)
        return -syscall_close_range(SPAWN_FD_FIRST, SPAWN_FD_LAST, 0);
    return extra_descriptor(spawn->extra_number);
}

CHILD int own_scheduling(const struct spawn *spawn)
{
    const struct spawn_priorities *priorities = &spawn->priorities;
    struct sched_param parameters = {.sched_priority = priorities->sched_priority};
    if (!priorities->sched_set)
        return 0;
    return syscall(SYS_sched_setscheduler, 0, priorities->sched_policy, &parameters) < 0 ? errno
                                                                                         : 0;
}

/* Writes to a file of /proc about ourselves; nothing there waits. */
CHILD int write_own(const char *path, const char *value)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int failed = write(fd, value, strlen(value)) < 0 ? errno : 0;
    close(fd);
    return failed;
}

/* Where the kernel groups processes by session, `nice` only counts within a session, which is the
 * service's alone, and what counts against others is the group's (sched(7), autogroup). Not all
 * kernels do that, and none needs to. */
CHILD int own_nice(const struct spawn *spawn)
{
    if (!spawn->priorities.nice_set)
        return 0;
    if (syscall(SYS_setpriority, PRIO_PROCESS, 0, spawn->priorities.nice) < 0)
        return errno;
    write_own("/proc/self/autogroup", spawn->priorities.autogroup);
    return 0;
}

CHILD int own_io(const struct spawn *spawn)
{
    enum { WHO_PROCESS = 1 }; /* ioprio_set(2), which has no header everywhere */
    return spawn->priorities.io_set &&
                   syscall(SYS_ioprio_set, WHO_PROCESS, 0, spawn->priorities.io) < 0
               ? errno
               : 0;
}

CHILD int own_cpus(const struct spawn *spawn)
{
    const struct spawn_priorities *priorities = &spawn->priorities;
    return priorities->cpus &&
                   syscall(SYS_sched_setaffinity, 0, priorities->cpus_bytes, priorities->cpus) < 0
               ? errno
               : 0;
}

CHILD int own_oom_score_adj(const struct spawn *spawn)
{
    if (!spawn->priorities.oom_score_adj[0])
        return 0;
    return write_own("/proc/self/oom_score_adj", spawn->priorities.oom_score_adj);
}

CHILD int own_limits(const struct spawn *spawn)
{
    umask(spawn->umask);
    for (size_t i = 0; i < spawn->limit_count; i++)
        if (setrlimit(spawn->limits[i].resource, &spawn->limits[i].limit) < 0)
            return errno;
    return 0;
}

CHILD int own_root(const struct spawn *spawn)
{
    if (!spawn->root)
        return 0;
    return chroot(spawn->root) < 0 || chdir("/") < 0 ? errno : 0;
}

/* The system calls themselves: the C library's functions would tell threads that are not here. */
CHILD int own_groups(const struct spawn *spawn)
{
    if (!spawn->identity_set)
        return 0;
    return syscall(SYS_setgroups, spawn->group_count, spawn->groups) < 0 ? errno : 0;
}

CHILD int own_group(const struct spawn *spawn)
{
    if (!spawn->identity_set)
        return 0;
    return syscall(SYS_setresgid, spawn->gid, spawn->gid, spawn->gid) < 0 ? errno : 0;
}

CHILD int own_user(const struct spawn *spawn)
{
    if (!spawn->identity_set)
        return 0;
    return syscall(SYS_setresuid, spawn->uid, spawn->uid, spawn->uid) < 0 ? errno : 0;
}

CHILD int own_dir(const struct spawn *spawn)
{
    return chdir(spawn->dir ? spawn->dir : "/") < 0 ? errno : 0;
}

/* Executes argv[0] from each folder of the path in turn. As execvp(3): a folder that may not be
 * searched is passed over, and remembered if nothing better is found. */
CHILD int execute_on_path(const struct spawn *spawn, const char *name)
{
    char file[PATH_MAX];
    size_t name_bytes = strlen(name) + 1;
    int error = ENOENT;

    for (const char *at = spawn->path; at; at = *at ? at + 1 : NULL) {
        size_t bytes = strcspn(at, ":");
        const char *folder = at;
        at += bytes;
        if (bytes && bytes + 1 + name_bytes <= sizeof file) {
            memcpy(file, folder, bytes);
            file[bytes] = '/';
            memcpy(file + bytes + 1, name, name_bytes);
            execve(file, spawn->argv, spawn->environment);
            if (errno == EACCES)
                error = EACCES;
            else if (errno != ENOENT && errno != ENOTDIR)
                return errno;
        }
        if (!*at)
            break;
    }
    return error;
}

CHILD int execute(const struct spawn *spawn)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (!strchr(spawn->argv[0], '/'))
        return execute_on_path(spawn, spawn->argv[0]);
    execve(spawn->argv[0], spawn->argv, spawn->environment);
    return errno;
}

/* What needs a right comes before the user, what needs /proc before the root, what needs a
 * descriptor before the limits. A low priority comes late, for the parent waits for all that is
 * behind it. */
static const struct {
    enum start_step step;
    int (*run)(const struct spawn *spawn);
} steps[] = {
    {STEP_DESCRIPTORS, own_descriptors},
    {STEP_SESSION, own_session},
    {STEP_CONTROL_TTY, controlling_terminal},
    {STEP_DESCRIPTORS, standard_descriptors},
    {STEP_OOM_SCORE_ADJ, own_oom_score_adj},
    {STEP_CPUS, own_cpus},
    {STEP_NICE, own_nice},
    {STEP_IO, own_io},
    {STEP_SCHED, own_scheduling},
    {STEP_LIMITS, own_limits},
    {STEP_ROOT, own_root},
    {STEP_GROUPS, own_groups},
    {STEP_GROUP, own_group},
    {STEP_USER, own_user},
    {STEP_DIR, own_dir},
    {STEP_EXECUTE, execute},
};

/* Of a child apart, whose memory nobody sees. */
CHILD void report(const struct child *child, int code)
{
    struct spawn_failure failure = {child->step, child->error, code};
    if (child->report_fd < 0)
        return;
    signal(SIGPIPE, SIG_IGN); /* whoever would read it may have gone: the exit status is left */
    (void)!write(child->report_fd, &failure, sizeof failure);
}

CHILD void run_steps(struct child *child, size_t first)
{
    for (size_t i = first; i < sizeof steps / sizeof *steps; i++) {
        int error = steps[i].run(child->spawn);
        if (!error)
            continue;
        child->error = error;
        child->step = steps[i].step;
        break;
    }
    report(child, 0);
    _exit(127);
}

CHILD void run_followed(void *argument)
{
    run_steps(argument, 1); /* its descriptors are its own already, the follower's copied */
}

/* Where the kernel's vfork makes this one wait, too, the program's steps report as they always do:
 * the memory is the same for all three. */
CHILD void make_followed(struct child *child)
{
    const struct spawn_follow *follow = child->spawn->follow;
    static char *const no_environment[] = {NULL};
    struct clone3_arguments arguments = {
        .flags = CLONE_VM | CLONE_VFORK | CLONE_PARENT_SETTID | CLONE_CLEAR_SIGHAND,
        .parent_tid = (uint64_t)(uintptr_t)follow->first_pid,
        .exit_signal = SIGCHLD,
        .stack = (uint64_t)(uintptr_t)followed_stack,
        .stack_size = sizeof followed_stack,
    };
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    setsid(); /* no signal to the program's group or terminal is meant for it */
    pid_t pid = syscall_clone3(&arguments, run_followed, child);
    if (pid < 0) {
        child->error = -pid;
        child->step = STEP_CLONE;
        report(child, 0);
        return;
    }
    if (child->error) /* it has reported that itself */
        return;
    *follow->main_pid = pid;
    if (dup2(FD_ENTRIES, SPAWN_FD_FIRST) >= 0 && dup2(FD_BELL, SPAWN_FD_FIRST + 1) >= 0)
        execve(follow->argv[0], follow->argv, no_environment);
    child->error = errno;
    child->step = STEP_FOLLOW;
    report(child, 0);
    kill(pid, SIGKILL); /* a child of this one that nobody has waited for */
}

CHILD void run_child(void *argument)
{
    struct child *child = argument;
    int error = child->spawn->follow ? own_descriptors(child->spawn) : 0;
    if (!child->spawn->follow)
        run_steps(child, 0);
    if (error) {
        child->error = error;
        child->step = STEP_DESCRIPTORS;
        report(child, 0);
    } else {
        make_followed(child);
    }
    _exit(127);
}

/* ---- a child apart: its memory and descriptors are its own ---------------------------------- */

int spawn_open(const char *path, int flags)
{
    int fd = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int now = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, now & ~O_NONBLOCK);
    return fd;
}

static int open_path(const char *path, int flags, int number)
{
    int fd = spawn_open(path, flags);
    if (fd < 0)
        return fd;
    return dup3(fd, number, O_CLOEXEC) < 0 ? -errno : 0;
}

/* Moves the report to where neither the service's own descriptor nor a closing reaches it. */
static int place_report(struct child *child)
{
    const struct spawn *spawn = child->spawn;
    unsigned number = SPAWN_FD_LAST + 1 + (spawn->extra_number == SPAWN_FD_LAST + 1);
    if ((unsigned)child->report_fd != number && dup3(child->report_fd, (int)number, O_CLOEXEC) < 0)
        return -errno;
    child->report_fd = (int)number;
    report_number = number;
    return 0;
}

/* What a launcher does itself where nothing can hang. */
static int prepare_apart(struct child *child, struct spawn *spawn, struct spawn_failure *failure)
{
    int failed = place_report(child);
    *failure = (struct spawn_failure){STEP_DESCRIPTORS, -failed, 0};
    if (!failed && spawn->prepare)
        return spawn->prepare(spawn, failure);
    return failed;
}

static int open_apart(struct spawn *spawn, struct spawn_failure *failure)
{
    int failed = 0;
    if (spawn->tty_path)
        failed = open_path(spawn->tty_path, O_RDWR, FD_TTY);
    else if (spawn->stdin_path)
        failed = open_path(spawn->stdin_path, O_RDONLY, FD_STDIN);
    *failure = (struct spawn_failure){spawn->tty_path ? STEP_TTY : STEP_STDIN, -failed, 0};
    if (!failed && spawn->tty_path)
        spawn->tty_fd = FD_TTY;
    return failed;
}

/* Unlike a child that the launcher waits for, it can be ended by a signal while it hangs. */
static void run_apart(void *argument)
{
    struct child *child = argument;
    struct spawn *spawn = (struct spawn *)child->spawn;
    struct spawn_failure failure;
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int failed = prepare_apart(child, spawn, &failure);
    if (!failed)
        failed = open_apart(spawn, &failure);
    if (!failed)
        run_child(child);
    child->step = failure.step;
    child->error = failure.error;
    report(child, failure.code);
    _exit(127);
}

/* ---- the parent ---------------------------------------------------------------------------- */

static int fail(struct spawn_failure *ret_failure, enum start_step step, int error)
{
    *ret_failure = (struct spawn_failure){step, error, 0};
    return -error;
}

/* Puts what the child needs where it takes a copy of. Returns 0 or -errno. */
static int place_all(const struct spawn *spawn)
{
    int failed = place(FD_STDIN, spawn->stdin_fd);
    if (!failed)
        failed = place(FD_OUTPUT, spawn->output_fd);
    if (!failed)
        failed = place(FD_TTY, spawn->tty_fd);
    if (!failed)
        failed = place(FD_ENTRIES, spawn->follow ? spawn->follow->entries_fd : -1);
    if (!failed)
        failed = place(FD_BELL, spawn->follow ? spawn->follow->bell_fd : -1);
    if (!failed)
        failed = place(FD_EXTRA, spawn->extra_number ? spawn->extra_fd : -1);
    return failed;
}

int spawn_apart(struct spawn *spawn, int *ret_pidfd, int *ret_report_fd,
                struct spawn_failure *ret_failure)
{
    int pidfd = -1, fds[2], failed = place_all(spawn);
    if (!failed && pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
        failed = -errno;
    if (failed)
        return fail(ret_failure, STEP_DESCRIPTORS, -failed);
    struct child child = {.spawn = spawn, .report_fd = fds[1]};
    struct clone3_arguments arguments = {
        .flags = CLONE_PIDFD | CLONE_PARENT_SETTID | CLONE_CLEAR_SIGHAND,
        .pidfd = (uint64_t)(uintptr_t)&pidfd,
        .parent_tid = (uint64_t)(uintptr_t)spawn->parent_tid,
        .exit_signal = SIGCHLD,
    };
    if (spawn->cgroup_fd >= 0) {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = (uint64_t)spawn->cgroup_fd;
    }
    pid_t pid = syscall_clone3(&arguments, run_apart, &child);
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        *spawn->parent_tid = 0;
        return fail(ret_failure, STEP_CLONE, -pid);
    }
    *ret_pidfd = pidfd;
    *ret_report_fd = fds[0];
    return 0;
}

int spawn(const struct spawn *spawn, int *ret_pidfd, struct spawn_failure *ret_failure)
{
    int pidfd = -1, failed = place_all(spawn);
    if (failed)
        return fail(ret_failure, STEP_DESCRIPTORS, -failed);

    struct child child = {.spawn = spawn, .report_fd = -1};
    struct clone3_arguments arguments = {
        .flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_PARENT_SETTID | CLONE_FILES |
                 CLONE_CLEAR_SIGHAND,
        .pidfd = (uint64_t)(uintptr_t)&pidfd,
        .parent_tid = (uint64_t)(uintptr_t)spawn->parent_tid,
        .exit_signal = SIGCHLD,
        .stack = (uint64_t)(uintptr_t)child_stack,
        .stack_size = sizeof child_stack,
    };
    if (spawn->cgroup_fd >= 0) {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = (uint64_t)spawn->cgroup_fd;
    }
    pid_t pid = syscall_clone3(&arguments, run_child, &child);
    if (pid < 0) {
        *spawn->parent_tid = 0;
        return fail(ret_failure, STEP_CLONE, -pid);
    }
    if (!child.error) {
        *ret_pidfd = pidfd;
        return 0;
    }
    siginfo_t info;
    while (waitid(P_PID, (id_t)pid, &info, WEXITED) < 0 && errno == EINTR)
        ;
    close(pidfd);
    *spawn->parent_tid = 0;
    if (spawn->follow)
        *spawn->follow->first_pid = 0;
    return fail(ret_failure, child.step, child.error);
}
