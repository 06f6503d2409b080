/* run-on-pid-ns: runs a command as PID 1 of new PID, time and mount namespaces.
 *
 * Nothing is confined: no capability is dropped, no file hidden. /proc is mounted anew (unless
 * --keep-proc), mounts inside do not leak out, the uptime begins at zero. This process stays
 * outside, passes signals in and the exit status out, and takes everything inside along when it
 * dies. See pid_namespaces(7), time_namespaces(7), reboot(2). */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/signals.h"
#include "base/syscall.h"
#include "base/text.h"
#include "log/console.h"
#include "log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_WRONG_USAGE    2
#define EXIT_OWN_FAILURE    125
#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND      127
#define EXIT_SIGNAL         128 /* + its number */

extern char **environ;

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

/* ---- inside -------------------------------------------------------------------------------- */

static int __attribute__((noreturn)) run_inside(char **command, bool keep_proc, int alive)
{
    char byte;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (read(alive, &byte, 1) != 1)
        _exit(EXIT_OWN_FAILURE); /* the outer one is gone, perhaps before it was watched */
    if (!keep_proc && mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        _exit(fail("Could not mount /proc (--keep-proc leaves it as it is)", errno));
    signals_reset();
    execvp(command[0], command);
    int error = errno;
    LOG(ERROR, "Could not execute the command", TEXT("command", command[0]),
        TEXT("error", strerror(error)));
    _exit(error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
}

/* ---- outside ------------------------------------------------------------------------------- */

static bool is_in_mask(const char *status, const char *name, int signal)
{
    const char *line = strstr(status, name);
    char *rest;
    return line && strtoull(line + strlen(name), &rest, 16) >> (signal - 1) & 1;
}

/* Whether the process would be ended by the signal, were it not PID 1: for that one the kernel
 * drops what it has no handler for. */
static bool would_end_by(int proc, pid_t pid, int signal)
{
    char path[40], status[4096];
    text_format(path, sizeof path, "%d/status", (int)pid);
    if (file_read(proc, path, status, sizeof status) <= 0)
        return false;
    return !is_in_mask(status, "\nSigCgt:", signal) && !is_in_mask(status, "\nSigIgn:", signal) &&
           !is_in_mask(status, "\nSigBlk:", signal);
}

/* Passes a signal on. Returns the exit status when the command is being ended by it, else 0. */
static int pass_on(int proc, pid_t pid, const siginfo_t *info)
{
    static const int ending[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT};
    if (info->si_code == SI_KERNEL)
        return 0; /* typed on the terminal: it went to the whole group, the command included */
    for (size_t i = 0; i < sizeof ending / sizeof ending[0]; i++) {
        if (ending[i] != info->si_signo || !would_end_by(proc, pid, info->si_signo))
            continue;
        LOG(INFO, "The command has no handler for the signal and is killed",
            NUMBER("signal", info->si_signo));
        kill(pid, SIGKILL);
        return EXIT_SIGNAL + info->si_signo;
    }
    kill(pid, info->si_signo);
    return 0;
}

/* The exit status for a wait status. A PID 1 dies of SIGHUP or SIGINT only by reboot(2). */
static int exit_status(int status)
{
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    if (WTERMSIG(status) == SIGHUP)
        LOG(INFO, "The system inside asked for a reboot");
    else if (WTERMSIG(status) == SIGINT)
        LOG(INFO, "The system inside has halted or powered off");
    return EXIT_SIGNAL + WTERMSIG(status);
}

static int run_outside(int proc, pid_t pid)
{
    sigset_t all;
    siginfo_t info;
    int status, killed_by = 0;

    sigfillset(&all);
    for (;;) {
        int signal = sigwaitinfo(&all, &info);
        if (signal == SIGCHLD) {
            if (waitpid(pid, &status, WNOHANG) != pid)
                continue;
            bool killed = killed_by && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
            return killed ? killed_by : exit_status(status);
        }
        int killed = signal > 0 ? pass_on(proc, pid, &info) : 0;
        killed_by = killed ? killed : killed_by;
    }
}

static int run(char **command, bool keep_proc)
{
    /* Kept open: the child mounts another one over it, which shows this process nothing. */
    AUTO_CLOSE int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int alive[2];
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    if (unshare(CLONE_NEWPID | CLONE_NEWNS) < 0)
        return fail("Could not make the namespaces", errno);
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return fail("Could not keep mounts from leaking out", errno);
    enter_time_namespace();
    if (pipe2(alive, O_CLOEXEC) < 0)
        return fail("Could not make a pipe", errno);
    pid_t pid = fork();
    if (pid < 0)
        return fail("Could not start a process", errno);
    if (pid == 0) {
        close(alive[1]);
        run_inside(command, keep_proc, alive[0]);
    }
    close(alive[0]);
    if (write(alive[1], "x", 1) < 0) /* the child has died already: its status says of what */
        LOG(DEBUG, "The child ended at once");
    return run_outside(proc, pid);
}

static void print_help(void)
{
    printf("run-on-pid-ns [--keep-proc] COMMAND [ARGUMENT…]\n\n"
           "Runs a command, such as another init, as PID 1 of new PID, time and mount namespaces.\n"
           "\n  --keep-proc  leave /proc as it is: it shows the processes outside\n"
           "  -h, --help   this text\n"
           "  --version    the version\n\n"
           "Ends as the command does: its status, 128 + the signal that ended it (129: it asked "
           "for a\nreboot, 130: it powered off), 125 when the namespaces cannot be had, 126 when "
           "the command\ncannot be executed, 127 when it is not found, 2 for wrong usage.\n");
}

int main(int argc, char **argv)
{
    bool keep_proc = false;
    int i = 1;

    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        } else if (strcmp(argv[i], "--keep-proc") == 0) {
            keep_proc = true;
        } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help();
            return 0;
        } else if (strcmp(argv[i], "--version") == 0) {
            printf("run-on-pid-ns (conit) %s\n", CONIT_VERSION);
            return 0;
        } else {
            fprintf(stderr, "run-on-pid-ns: %s: no such option (--help lists them)\n", argv[i]);
            return EXIT_WRONG_USAGE;
        }
    }
    if (i >= argc) {
        fprintf(stderr, "run-on-pid-ns: no command given (--help says how)\n");
        return EXIT_WRONG_USAGE;
    }
    console_init(2, true);
    log_add_sink(console_sink, NULL, LOG_INFO);
    /* Not by return: what looks for leaks at the exit starts a process, which would land inside. */
    _exit(run(argv + i, keep_proc));
}
