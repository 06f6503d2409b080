/* Starting the launcher and the journal, and starting them again however often they end. */
#include "init/children.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/signals.h"
#include "init/crash.h"
#include "init/ended.h"
#include "init/init.h"
#include "init/process.h"
#include "init/stage2-hand-over.h"
#include "init/upgrade.h"
#include "log/log.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define FIRST_DELAY_MS   100 /* before the third start in a row; the second comes at once */
#define LONGEST_DELAY_MS 5000
#define RESCUE_AFTER     5 /* failures in a row */
#define ENTRIES_MAX      (OPTIONS_ARGUMENTS_MAX + 4)
/* Room for a burst: 64 spawns a turn store 64 descriptors, and a replay is 4 messages a thousand.
 */
#define SOCKET_BYTES (1 << 20)
#define ERROR_FD     5 /* in the child, until it executes */
#define PROGRAM_FD   6
#define COPIES_FROM  16
#define DOUBT_FROM   3 /* failures in a row: from then on the former program is tried in turn */

extern char **environ;

/* ---- in the child -------------------------------------------------------------------------- */

/* What the child says when it cannot execute, or executes what was ready before. */
struct start_error {
    int32_t error; /* 0: nothing is wrong with the file but that it does not get ready */
    int32_t path;  /* index into the two places looked at */
    int32_t former;
};

/* A standard input that has nothing: /dev/null, else the end of a pipe nobody writes to. */
static void empty_stdin(void)
{
    int pipes[2];
    int fd = open("/dev/null", O_RDONLY | O_NOCTTY);
    if (fd < 0 && pipe(pipes) == 0) {
        fd = pipes[0];
        close(pipes[1]);
    }
    if (fd > 0) {
        dup2(fd, 0);
        close(fd);
    }
}

void children_limit_files(const struct init *init)
{
    struct rlimit files = {init->own->child_files_soft, init->own->child_files_hard};
    setrlimit(RLIMIT_NOFILE, &files);
}

/* Executes the program from the first place that has it. Only returns what failed. */
static struct start_error execute_file(const struct child *child, char **arguments)
{
    char path[sizeof child->init->folder + 32];
    struct start_error error = {ENOENT, 1, false};
    const char *folders[2] = {child->init->folder, CONIT_LIBEXEC};

    for (int i = 0; i < 2 && error.error == ENOENT; i++) {
        if (!*folders[i])
            continue;
        text_format(path, sizeof path, "%s/%s", folders[i], child->program);
        execve(path, arguments, environ);
        error = (struct start_error){errno, i, false};
    }
    return error;
}

/* The program that was ready last, whatever has become of its file. Only returns where there is
 * none, or it cannot be executed either. */
static void execute_former(const struct child *child, char **arguments, struct start_error error)
{
    error.former = true;
    if (child->kept->program_fd <= 0 || write(ERROR_FD, &error, sizeof error) < 0)
        return;
    syscall(SYS_execveat, PROGRAM_FD, "", arguments, environ, AT_EMPTY_PATH);
}

static struct start_error execute(const struct child *child, char **arguments)
{
    unsigned failures = child->kept->failures;
    if (failures >= DOUBT_FROM && failures % 2)
        execute_former(child, arguments, (struct start_error){0, 0, true});
    struct start_error error = execute_file(child, arguments);
    execute_former(child, arguments, error);
    return error;
}

static void __attribute__((noreturn))
become(const struct child *child, int link, int middle, int error_fd)
{
    char *arguments[ENTRIES_MAX] = {(char *)child->program};
    const struct options *options = &child->init->options;
    size_t count = 1;

    link = fcntl(link, F_DUPFD, COPIES_FROM);
    middle = link < 0 ? -1 : fcntl(middle, F_DUPFD, COPIES_FROM);
    int copy = middle < 0 ? -1 : fcntl(error_fd, F_DUPFD, COPIES_FROM);
    struct start_error error = {errno, 0, false};
    if (copy >= 0) {
        error_fd = copy;
        setsid();
        empty_stdin();
        dup2(link, CHILD_FD_INIT);
        dup2(middle, CHILD_FD_LINK);
        dup3(error_fd, ERROR_FD, O_CLOEXEC);
        error_fd = ERROR_FD;
        if (child->kept->program_fd > 0)
            dup3(child->kept->program_fd, PROGRAM_FD, O_CLOEXEC);
        process_close_from(PROGRAM_FD + (child->kept->program_fd > 0));
        children_limit_files(child->init);
        signals_reset();
        for (size_t i = 0; i < options->argument_count; i++)
            arguments[count++] = (char *)options->arguments[i];
        if (child->init->own->container)
            arguments[count++] = (char *)"--container";
        error = execute(child, arguments);
    }
    if (error_fd >= 0 && write(error_fd, &error, sizeof error) < 0) { /* the status says enough */
    }
    _exit(127);
}

/* ---- in init ------------------------------------------------------------------------------- */

static unsigned delay_ms(unsigned failures)
{
    unsigned delay = failures > 1 ? FIRST_DELAY_MS : 0;
    for (unsigned i = 2; i < failures && delay < LONGEST_DELAY_MS; i++)
        delay *= 2;
    return delay < LONGEST_DELAY_MS ? delay : LONGEST_DELAY_MS;
}

static void on_restart(struct loop_timer *timer)
{
    struct child *child = container_of(timer, struct child, restart);
    child->kept->restart_at_ns = 0;
    child_start(child);
}

static void restart_at(struct child *child, uint64_t at_ns)
{
    child->kept->restart_at_ns = at_ns;
    loop_set_timer(&child->init->loop, &child->restart, at_ns, on_restart);
}

void child_start_no_more(struct child *child)
{
    child->kept->restart_at_ns = 0;
    loop_clear_timer(&child->init->loop, &child->restart);
}

/* It hangs, as far as anybody can tell. The next one is the program that was ready last. Where none
 * was, this may be the boot of a machine with a slow disk, and another one would be as slow. */
static void on_late(struct loop_timer *timer)
{
    struct child *child = container_of(timer, struct child, late);
    bool has_former = child->kept->program_fd > 0;
    LOG(ERROR,
        has_former ? "A part of conit does not get ready: it is killed, and what ran before is "
                     "started"
                   : "A part of conit does not get ready, and nothing ran before it: it is waited "
                     "for. If it hangs, kill it, and it is started anew from its file",
        TEXT("program", child->program), NUMBER("pid", child->kept->pid),
        NUMBER("seconds", child->init->options.start_timeout_s));
    if (!has_former)
        return;
    if (child->kept->failures < DOUBT_FROM - 1)
        child->kept->failures = DOUBT_FROM - 1; /* and its end is one more */
    kill(child->kept->pid, SIGKILL);
}

static uint64_t late_from_now_ns(const struct child *child)
{
    return clock_now_ns() + child->init->options.start_timeout_s * NS_PER_SEC;
}

static void wait_until_ready(struct child *child)
{
    if (!child->kept->ready_until_ns) /* an init that did not know of this has started it */
        child->kept->ready_until_ns = late_from_now_ns(child);
    loop_set_timer(&child->init->loop, &child->late, child->kept->ready_until_ns, on_late);
}

bool child_is_late(const struct child *child)
{
    return child->kept->pid > 0 && !child->kept->ready &&
           clock_now_ns() >= child->kept->ready_until_ns;
}

static int make_pair(int pair[2])
{
    int bytes = SOCKET_BYTES;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair) < 0)
        return -errno;
    for (int i = 0; i < 2; i++)
        if (setsockopt(pair[i], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) < 0)
            setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    return 0;
}

void children_forget(struct kept *kept)
{
    for (int i = 0; i < CHILDREN; i++)
        kept->own.middle[i] = -1;
    for (int i = 0; i < CHILDREN_ALL; i++)
        kept->children[i] = (struct kept_child){.link_fd = -1, .error_fd = -1};
}

void children_init(struct init *init)
{
    static const struct {
        const char *program;
        uint32_t owner;
    } rows[CHILDREN_ALL] = {
        [CHILD_LAUNCHER] = {"service-launcher", OWNER_LAUNCHER},
        [CHILD_JOURNAL] = {"service-journal", OWNER_JOURNAL},
        [CHILD_TRIAL] = {"", 0}, /* what it is tried as */
    };
    for (int i = 0; i < CHILDREN_ALL; i++)
        init->children[i] = (struct child){.init = init,
                                           .kept = &init->kept->children[i],
                                           .program = rows[i].program,
                                           .owner = rows[i].owner,
                                           .link.fd = -1};
}

static void schedule(struct child *child)
{
    if (child->init->ending->phase != PHASE_NONE && child->kept->failures > 1)
        return; /* the machine ends: a journal that fails twice is not waited for */
    restart_at(child, clock_now_ns() + delay_ms(child->kept->failures) * NS_PER_MS);
}

static void open_rescue(struct init *init);

static void count_failure(struct child *child)
{
    child->kept->failures++;
    if (child->kept->failures >= RESCUE_AFTER && child->owner == OWNER_LAUNCHER)
        open_rescue(child->init);
    schedule(child);
}

/* Makes a pair and notes both ends as one: what is noted is not lost by a fault of ours. */
static int make_middle(struct init *init)
{
    int pair[2];
    int failed = init->own->middle[0] < 0 ? make_pair(pair) : 0;
    if (!failed && init->own->middle[0] < 0) {
        init->own->middle[1] = pair[1];
        init->own->middle[0] = pair[0];
    }
    return failed;
}

/* Everything a start needs, or a negative errno and nothing of it. */
static int open_ends(struct child *child, int *ret_link, int *ret_errors)
{
    int link[2], errors[2];
    int failed = make_middle(child->init);
    if (failed)
        return failed;
    failed = make_pair(link);
    if (failed)
        return failed;
    if (pipe2(errors, O_CLOEXEC | O_NONBLOCK) < 0) {
        failed = -errno;
        close(link[0]);
        close(link[1]);
        return failed;
    }
    fcntl(errors[0], F_SETFD, 0);
    child->kept->link_fd = link[0];
    child->kept->error_fd = errors[0];
    *ret_link = link[1];
    *ret_errors = errors[1];
    return 0;
}

static void close_errors(struct child *child)
{
    int fd = child->kept->error_fd;
    child->kept->error_fd = -1;
    if (fd >= 0)
        close(fd);
}

/* Starts the process. Returns 0 or -errno. */
static int spawn(struct child *child)
{
    struct init *init = child->init;
    int link = -1, errors = -1;

    int failed = open_ends(child, &link, &errors);
    if (failed)
        return failed;
    child->kept->ready = child->kept->cursor = child->kept->refused_count = 0;
    child->kept->sending = child->kept->yield = 0;
    child->kept->ready_until_ns = late_from_now_ns(child);
    child->kept->replaying = true;
    pid_t pid = process_fork(&child->kept->pid);
    if (pid == 0)
        become(child, link, init->own->middle[child->owner == OWNER_LAUNCHER ? 0 : 1], errors);
    close(link);
    close(errors);
    CRASH_POINT("spawned");
    if (pid > 0)
        return 0;
    child_close_link(child);
    close_errors(child);
    return pid;
}

void child_start(struct child *child)
{
    if (child->kept->pid > 0)
        return;
    int failed = spawn(child);
    if (failed) {
        LOG(ERROR, "Could not start a part of conit", TEXT("program", child->program),
            TEXT("error", strerror(-failed)));
        count_failure(child);
        return;
    }
    LOG(DEBUG, "Started", TEXT("program", child->program), NUMBER("pid", child->kept->pid));
    wait_until_ready(child);
    hand_over_begin(child);
}

void child_of_trial(struct child *trial, const struct child *old)
{
    trial->program = old->program;
    trial->owner = old->owner;
}

void child_forget_trial(struct child *trial)
{
    *trial->kept = (struct kept_child){.link_fd = -1, .error_fd = -1};
}

void child_drop_trial(struct child *trial)
{
    child_close_link(trial);
    close_errors(trial);
    child_forget_trial(trial);
}

void child_start_trial(struct child *trial, const struct child *old)
{
    child_of_trial(trial, old);
    child_forget_trial(trial);
    int failed = spawn(trial);
    if (failed)
        text_format(trial->init->kept->upgrade.why, sizeof trial->init->kept->upgrade.why,
                    "it cannot be started: %s", strerror(-failed));
    else
        hand_over_begin(trial);
}

/* Whether its process, or another one in its place, has said what it could not execute. */
static bool read_error(const struct child *child, struct start_error *ret)
{
    return read(child->kept->error_fd, ret, sizeof *ret) == sizeof *ret;
}

void child_why_ended(const struct child *child, int status, char *why, size_t size_bytes)
{
    struct start_error error;
    if (read_error(child, &error))
        text_format(why, size_bytes, "it cannot be executed: %s", strerror(error.error));
    else if (WIFSIGNALED(status))
        text_format(why, size_bytes, "it was ended by signal %d", WTERMSIG(status));
    else
        text_format(why, size_bytes, "it ended with %d", WEXITSTATUS(status));
}

void child_close_link(struct child *child)
{
    int fd = child->kept->link_fd;
    if (fd < 0)
        return;
    if (child->link.fd >= 0)
        loop_remove(&child->init->loop, &child->link);
    child->kept->link_fd = -1;
    close(fd);
    child->kept->replaying = child->kept->sending = 0;
    child->kept->refused_count = 0;
}

static void log_end(struct child *child, pid_t pid, int status)
{
    struct start_error error;
    if (read_error(child, &error)) {
        char path[sizeof child->init->folder + 32];
        text_format(path, sizeof path, "%s/%s",
                    error.path == 0 ? child->init->folder : CONIT_LIBEXEC, child->program);
        LOG(ERROR, "Could not execute a part of conit", TEXT("program", child->program),
            TEXT("path", path), TEXT("error", strerror(error.error)),
            TEXT("beside", child->init->folder));
    } else if (WIFSIGNALED(status)) {
        LOG(ERROR, "A part of conit was killed and is started again",
            TEXT("program", child->program), NUMBER("signal", WTERMSIG(status)), NUMBER("pid", pid),
            NUMBER("failures", child->kept->failures + 1));
    } else {
        LOG(ERROR, "A part of conit ended and is started again", TEXT("program", child->program),
            NUMBER("code", WEXITSTATUS(status)), NUMBER("pid", pid),
            NUMBER("failures", child->kept->failures + 1));
    }
}

void child_ended(struct child *child, pid_t pid, int status)
{
    struct init *init = child->init;
    child_close_link(child);
    bool wanted = !upgrade_is_beside(child) &&
                  (init->ending->phase == PHASE_NONE ||
                   (child->owner == OWNER_JOURNAL && init->ending->phase < PHASE_CLOSE &&
                    !init->ending->drained));
    if (wanted)
        log_end(child, pid, status);
    close_errors(child);
    loop_clear_timer(&child->init->loop, &child->late);
    child->kept->ready = child->kept->yield = 0;
    if (wanted)
        count_failure(child);
}

/* Keeps the program that runs as it is: an O_PATH descriptor, which nothing has to be read for.
 * What is no program of ours is an interpreter, which means nothing without its script. */
static void keep_program(struct child *child)
{
    char path[40], target[512];
    int proc_fd = child->init->proc_fd;
    text_format(path, sizeof path, "%s%d/exe", proc_fd < 0 ? "/proc/" : "", (int)child->kept->pid);
    ssize_t bytes = readlinkat(proc_fd, path, target, sizeof target - 1);
    target[bytes > 0 ? bytes : 0] = 0;
    const char *slash = strrchr(target, '/');
    if (!slash || strncmp(slash + 1, child->program, strlen(child->program)) != 0)
        return;
    int fd = openat(proc_fd, path, O_PATH | O_CLOEXEC);
    int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD, COPIES_FROM), former = child->kept->program_fd;
    if (fd >= 0)
        close(fd);
    if (high < 0)
        return;
    child->kept->program_fd = high;
    if (former > 0)
        close(former);
}

static void say_former(const struct child *child)
{
    struct start_error error;
    if (!read_error(child, &error) || !error.former)
        return;
    LOG(WARNING, "The file of a part of conit is no good: the program that ran before runs again",
        TEXT("program", child->program),
        TEXT("error", error.error ? strerror(error.error) : "what it starts does not get ready"));
}

void child_is_ready(struct child *child)
{
    child->kept->ready = true;
    child->kept->failures = 0;
    loop_clear_timer(&child->init->loop, &child->late);
    say_former(child);
    close_errors(child);
    keep_program(child);
}

void child_resume(struct child *child)
{
    struct kept_child *kept = child->kept;
    const struct kept_ending *ending = child->init->ending;
    bool wanted = ending->phase == PHASE_NONE ||
                  (child->owner == OWNER_JOURNAL && ending->phase < PHASE_CLOSE);
    if (kept->pid > 0 && kept->ready)
        keep_program(child);
    else if (kept->pid > 0)
        wait_until_ready(child);
    if (kept->pid > 0 || !wanted || upgrade_is_beside(child))
        return;
    child_close_link(child);
    close_errors(child);
    restart_at(child, kept->restart_at_ns ? kept->restart_at_ns : clock_now_ns());
}

/* ---- the rescue shell ---------------------------------------------------------------------- */

static void __attribute__((noreturn)) become_rescue(struct init *init)
{
    static const struct {
        const char *path, *argument;
    } shells[] = {
        {"/sbin/sulogin", NULL}, {"/usr/sbin/sulogin", NULL}, {"/bin/sh", "-i"},
        {"/usr/bin/sh", "-i"},   {"/bin/busybox", "sh"},
    };
    setsid();
    int console = open("/dev/console", O_RDWR | O_NOCTTY | O_NONBLOCK);
    if (console < 0)
        _exit(1);
    fcntl(console, F_SETFL, O_RDWR);
    ioctl(console, TIOCSCTTY, 1);
    for (int i = 0; i < 3; i++)
        dup2(console, i);
    process_close_from(3);
    children_limit_files(init);
    signals_reset();
    for (size_t i = 0; i < sizeof shells / sizeof shells[0]; i++)
        execl(shells[i].path, shells[i].path, shells[i].argument, (char *)NULL);
    _exit(127);
}

/* One at a time, and none in a container: its console belongs to the outside. */
static void open_rescue(struct init *init)
{
    if (init->own->container || init->own->rescue_pid > 0)
        return;
    LOG(FATAL, "The launcher does not get ready: here is a shell, and it is tried again meanwhile");
    pid_t pid = process_fork(&init->own->rescue_pid);
    if (pid == 0)
        become_rescue(init);
    if (pid < 0)
        LOG(ERROR, "Could not open a rescue shell", TEXT("error", strerror(-pid)));
}

void rescue_ended(struct init *init)
{
    init->own->rescue_pid = 0;
    LOG(WARNING, "The rescue shell has ended");
}
