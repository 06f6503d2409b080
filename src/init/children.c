/* Starting the launcher and the journal, and starting them again however often they end. */
#include "init/children.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/signals.h"
#include "base/syscall.h"
#include "init/ended.h"
#include "init/init.h"
#include "init/stage2-hand-over.h"
#include "log/log.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define FIRST_DELAY_MS   100 /* before the third start in a row; the second comes at once */
#define LONGEST_DELAY_MS 5000
#define RESCUE_AFTER     5 /* failures in a row */
#define ENTRIES_MAX      (OPTIONS_ARGUMENTS_MAX + 4)
/* Room for a burst: 64 spawns a turn store 64 descriptors, and a replay is 4 messages a thousand.
 */
#define SOCKET_BYTES (1 << 20)
#define ERROR_FD     5 /* in the child, until it executes */
#define COPIES_FROM  16

extern char **environ;

/* ---- in the child -------------------------------------------------------------------------- */

/* What the child says when it cannot execute. */
struct start_error {
    int32_t error;
    int32_t path; /* index into the two places looked at */
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

/* Executes the program from the first place that has it. Only returns what failed. */
static struct start_error execute(const struct child *child, char **arguments)
{
    char path[sizeof child->init->folder + 32];
    struct start_error error = {ENOENT, 1};
    const char *folders[2] = {child->init->folder, CONIT_LIBEXEC};

    for (int i = 0; i < 2 && error.error == ENOENT; i++) {
        if (!*folders[i])
            continue;
        text_format(path, sizeof path, "%s/%s", folders[i], child->program);
        execve(path, arguments, environ);
        error = (struct start_error){errno, i};
    }
    return error;
}

static void __attribute__((noreturn))
become(const struct child *child, int link, int middle, int error_fd)
{
    char *arguments[ENTRIES_MAX] = {(char *)child->program};
    const struct options *options = &child->init->options;
    size_t count = 1;

    link = fcntl(link, F_DUPFD, COPIES_FROM);
    middle = fcntl(middle, F_DUPFD, COPIES_FROM);
    error_fd = fcntl(error_fd, F_DUPFD, COPIES_FROM);
    struct start_error error = {errno, 0};
    if (link >= 0 && middle >= 0 && error_fd >= 0) {
        setsid();
        empty_stdin();
        dup2(link, CHILD_FD_INIT);
        dup2(middle, CHILD_FD_LINK);
        dup3(error_fd, ERROR_FD, O_CLOEXEC);
        error_fd = ERROR_FD;
        syscall_close_range(ERROR_FD + 1, ~0u, 0);
        setrlimit(RLIMIT_NOFILE, &child->init->child_files);
        signals_reset();
        for (size_t i = 0; i < options->argument_count; i++)
            arguments[count++] = (char *)options->arguments[i];
        if (child->init->container)
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
    child_start(container_of(timer, struct child, restart));
}

static int make_pair(int pair[2])
{
    int bytes = SOCKET_BYTES;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return -errno;
    for (int i = 0; i < 2; i++)
        if (setsockopt(pair[i], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) < 0)
            setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    return 0;
}

void children_init(struct init *init)
{
    static const struct {
        const char *program;
        uint32_t owner;
    } rows[CHILDREN] = {
        [CHILD_LAUNCHER] = {"service-launcher", OWNER_LAUNCHER},
        [CHILD_JOURNAL] = {"service-journal", OWNER_JOURNAL},
    };
    for (int i = 0; i < CHILDREN; i++) {
        init->middle[i] = -1;
        init->children[i] = (struct child){.init = init,
                                           .program = rows[i].program,
                                           .owner = rows[i].owner,
                                           .link.fd = -1,
                                           .link_fd = -1,
                                           .error_fd = -1};
    }
}

static void schedule(struct child *child)
{
    if (child->init->phase != PHASE_NONE && child->init->phase < PHASE_CLOSE &&
        child->owner == OWNER_JOURNAL && child->failures > 1)
        return; /* the machine ends: a journal that fails twice is not waited for */
    loop_set_timer(&child->init->loop, &child->restart,
                   clock_now_ns() + delay_ms(child->failures) * NS_PER_MS, on_restart);
}

static void open_rescue(struct init *init);

static void count_failure(struct child *child)
{
    child->failures++;
    if (child->failures >= RESCUE_AFTER && child->owner == OWNER_LAUNCHER)
        open_rescue(child->init);
    schedule(child);
}

/* Everything a start needs, or a negative errno and nothing of it. */
static int open_ends(struct child *child, int link[2], int errors[2])
{
    struct init *init = child->init;
    int failed = 0;
    if (init->middle[0] < 0)
        failed = make_pair(init->middle);
    if (failed)
        return failed;
    failed = make_pair(link);
    if (failed)
        return failed;
    if (pipe2(errors, O_CLOEXEC | O_NONBLOCK) < 0) {
        failed = -errno;
        close(link[0]);
        close(link[1]);
    }
    return failed;
}

/* Starts the process. Returns its pid and our end of its pair, or -errno. */
static pid_t spawn(struct child *child, int *ret_link)
{
    struct init *init = child->init;
    int link[2], errors[2];

    int failed = open_ends(child, link, errors);
    if (failed)
        return failed;
    pid_t pid = fork();
    if (pid == 0)
        become(child, link[1], init->middle[child - init->children], errors[1]);
    failed = pid < 0 ? -errno : 0;
    close(link[1]);
    close(errors[1]);
    if (failed) {
        close(link[0]);
        close(errors[0]);
        return failed;
    }
    child->error_fd = errors[0];
    *ret_link = link[0];
    return pid;
}

void child_start(struct child *child)
{
    int link = -1;
    if (child->pid > 0)
        return;
    pid_t pid = spawn(child, &link);
    if (pid < 0) {
        LOG(ERROR, "Could not start a part of conit", TEXT("program", child->program),
            TEXT("error", strerror(-pid)));
        count_failure(child);
        return;
    }
    child->pid = pid;
    child->ready = false;
    LOG(DEBUG, "Started", TEXT("program", child->program), NUMBER("pid", pid));
    hand_over_begin(child, link);
}

void child_close_link(struct child *child)
{
    if (child->link_fd < 0)
        return;
    if (child->link.fd >= 0)
        loop_remove(&child->init->loop, &child->link);
    close(child->link_fd);
    child->link_fd = -1;
    child->replaying = false;
    child->refused_count = 0;
}

static void log_end(struct child *child, pid_t pid, int status)
{
    struct start_error error;
    if (child->error_fd >= 0 && read(child->error_fd, &error, sizeof error) == sizeof error) {
        char path[sizeof child->init->folder + 32];
        text_format(path, sizeof path, "%s/%s",
                    error.path == 0 ? child->init->folder : CONIT_LIBEXEC, child->program);
        LOG(ERROR, "Could not execute a part of conit", TEXT("program", child->program),
            TEXT("path", path), TEXT("error", strerror(error.error)),
            TEXT("beside", child->init->folder));
    } else if (WIFSIGNALED(status)) {
        LOG(ERROR, "A part of conit was killed and is started again",
            TEXT("program", child->program), NUMBER("signal", WTERMSIG(status)), NUMBER("pid", pid),
            NUMBER("failures", child->failures + 1));
    } else {
        LOG(ERROR, "A part of conit ended and is started again", TEXT("program", child->program),
            NUMBER("code", WEXITSTATUS(status)), NUMBER("pid", child->pid),
            NUMBER("failures", child->failures + 1));
    }
}

void child_ended(struct child *child, pid_t pid, int status)
{
    struct init *init = child->init;
    child_close_link(child);
    bool wanted = init->phase == PHASE_NONE ||
                  (child->owner == OWNER_JOURNAL && init->phase < PHASE_CLOSE && !init->drained);
    if (wanted)
        log_end(child, pid, status);
    if (child->error_fd >= 0)
        close(child->error_fd);
    child->error_fd = -1;
    child->ready = false;
    if (wanted)
        count_failure(child);
}

void child_is_ready(struct child *child)
{
    child->ready = true;
    child->failures = 0;
    if (child->error_fd >= 0)
        close(child->error_fd);
    child->error_fd = -1;
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
    syscall_close_range(3, ~0u, 0);
    setrlimit(RLIMIT_NOFILE, &init->child_files);
    signals_reset();
    for (size_t i = 0; i < sizeof shells / sizeof shells[0]; i++)
        execl(shells[i].path, shells[i].path, shells[i].argument, (char *)NULL);
    _exit(127);
}

/* One at a time, and none in a container: its console belongs to the outside. */
static void open_rescue(struct init *init)
{
    if (init->container || init->rescue_pid > 0 || init->phase != PHASE_NONE)
        return;
    LOG(FATAL, "The launcher does not get ready: here is a shell, and it is tried again meanwhile");
    pid_t pid = fork();
    if (pid == 0)
        become_rescue(init);
    if (pid < 0)
        LOG(ERROR, "Could not open a rescue shell", TEXT("error", strerror(errno)));
    else
        init->rescue_pid = pid;
}

void rescue_ended(struct init *init)
{
    init->rescue_pid = 0;
    LOG(WARNING, "The rescue shell has ended");
}
