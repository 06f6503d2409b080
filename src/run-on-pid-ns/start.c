/* Three processes: the outer one, the maker, and process 1. */
#include "run-on-pid-ns/start.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/signals.h"
#include "base/syscall.h"
#include "base/text.h"
#include "log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int fail(const char *what, int error)
{
    LOG(ERROR, what, TEXT("error", strerror(error)));
    return EXIT_OWN_FAILURE;
}

/* ---- the clocks ---------------------------------------------------------------------------- */

/* The line of /proc/self/timens_offsets that makes a clock read zero now: what it is set off by
 * already, less what it shows. Nanoseconds are never negative there. */
static void add_offset(struct text *text, const char *name, clockid_t clock, int64_t old_seconds,
                       int64_t old_ns)
{
    uint64_t now = clock_read_ns(clock);
    int64_t seconds = old_seconds - (int64_t)(now / NS_PER_SEC);
    int64_t ns = old_ns - (int64_t)(now % NS_PER_SEC);
    if (ns < 0) {
        ns += (int64_t)NS_PER_SEC;
        seconds--;
    }
    text_printf(text, "%s %lld %lld\n", name, (long long)seconds, (long long)ns);
}

/* The offset of one clock as the file has it: "boottime  0  0". */
static void read_offset(const char *offsets, const char *name, int64_t *ret_seconds,
                        int64_t *ret_ns)
{
    const char *line = strstr(offsets, name);
    char *rest;
    *ret_seconds = *ret_ns = 0;
    if (!line)
        return;
    *ret_seconds = strtoll(line + strlen(name), &rest, 10);
    *ret_ns = strtoll(rest, &rest, 10);
}

/* Call after unshare(CLONE_NEWTIME), before the first child. Returns 0 or -errno. */
static int begin_clocks(void)
{
    char old[256], new[256];
    struct text text;
    int64_t seconds, ns;
    AUTO_CLOSE int reading = open("/proc/self/timens_offsets", O_RDONLY | O_CLOEXEC);
    AUTO_CLOSE int writing = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
    if (reading < 0 || writing < 0)
        return -errno;
    ssize_t got = read(reading, old, sizeof old - 1);
    old[got > 0 ? got : 0] = 0;
    text_init(&text, new, sizeof new);
    read_offset(old, "monotonic", &seconds, &ns);
    add_offset(&text, "monotonic", CLOCK_MONOTONIC, seconds, ns);
    read_offset(old, "boottime", &seconds, &ns);
    add_offset(&text, "boottime", CLOCK_BOOTTIME, seconds, ns);
    return write(writing, text.data, text.used_bytes) < 0 ? -errno : 0;
}

/* A kernel without time namespaces only costs the uptime. */
static void enter_time_namespace(void)
{
    int failed = unshare(CLONE_NEWTIME) < 0 ? -errno : begin_clocks();
    if (failed)
        LOG(WARNING, "The uptime does not begin at zero", TEXT("error", strerror(-failed)));
}

/* ---- process 1 ------------------------------------------------------------------------------- */

static int __attribute__((noreturn)) run_inside(const struct options *options, int outer)
{
    char byte;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (read(outer, &byte, 1) != 1)
        _exit(EXIT_OWN_FAILURE); /* the outer one is gone, perhaps before it was watched */
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        _exit(fail("Could not keep mounts from leaking out", errno));
    if (!options->keep_proc &&
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        _exit(fail("Could not mount /proc (--keep-proc leaves it as it is)", errno));
    signals_reset();
    execvp(options->command[0], options->command);
    int error = errno;
    LOG(ERROR, "Could not execute the command", TEXT("command", options->command[0]),
        TEXT("error", strerror(error)));
    _exit(error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
}

/* ---- the maker ------------------------------------------------------------------------------- */

/* Process 1 is a child of the outer process, which hears of its number here. */
static int make(const struct options *options, int outer)
{
    enter_time_namespace();
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_PARENT | CLONE_NEWPID | CLONE_NEWNS, NULL, NULL,
                               NULL, NULL);
    if (pid < 0)
        return fail("Could not make the namespaces", errno);
    if (pid == 0)
        run_inside(options, outer);
    return send(outer, &pid, sizeof pid, MSG_NOSIGNAL) < 0 ? EXIT_OWN_FAILURE : 0;
}

/* ---- the outer process ----------------------------------------------------------------------- */

int start_inside(const struct options *options, struct inside *ret)
{
    int ends[2], status;
    struct inside inside = {.process = PIDREF_NONE, .console_fd = -1, .notify_fd = -1};
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return fail("Could not make a socket pair", errno);
    AUTO_CLOSE int own = ends[0];
    AUTO_CLOSE int other = ends[1];
    pid_t maker = fork();
    if (maker < 0)
        return fail("Could not start a process", errno);
    if (maker == 0) {
        close(own);
        _exit(make(options, other));
    }
    close(take_fd(&other));
    bool made = recv(own, &pid, sizeof pid, 0) == sizeof pid;
    while (waitpid(maker, &status, 0) < 0 && errno == EINTR) {
    }
    if (!made)
        return WIFEXITED(status) && WEXITSTATUS(status)
                   ? EXIT_OWN_FAILURE
                   : fail("What was to make the namespaces was ended", EINTR);
    int failed = pidref_open(pid, &inside.process);
    if (failed)
        return fail("Could not open process 1", -failed);
    if (send(own, "x", 1, MSG_NOSIGNAL) < 0) /* it has died already: its status says of what */
        LOG(DEBUG, "Process 1 ended at once");
    char byte;
    while (recv(own, &byte, 1, 0) > 0) {
    }
    *ret = inside;
    return 0;
}

void inside_finish(struct inside *inside)
{
    pidref_close(&inside->process);
    for (size_t i = 0; i < 2; i++) {
        int *fd = i ? &inside->console_fd : &inside->notify_fd;
        if (*fd >= 0)
            close(*fd);
        *fd = -1;
    }
}
