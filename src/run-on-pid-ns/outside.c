/* The outer process: it passes signals in and the exit status out. See pid_namespaces(7),
 * reboot(2). */
#include "run-on-pid-ns/outside.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "log/log.h"
#include "run-on-pid-ns/start.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_SIGNAL 128 /* + its number */

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

int outside_run(const struct options *options)
{
    AUTO_CLOSE int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct inside inside;
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    int failed = start_inside(options, &inside);
    if (failed)
        return failed;
    int status = run_outside(proc, inside.process.pid);
    inside_finish(&inside);
    return status;
}
