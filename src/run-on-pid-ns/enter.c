/* A command that is run inside. Nothing is entered that we are in already: that would need rights
 * over it, and fails for a user namespace. */
#include "run-on-pid-ns/enter.h"
#include "base/cleanup.h"
#include "base/signals.h"
#include "base/syscall.h"
#include "base/text.h"
#include "log/log.h"
#include "run-on-pid-ns/steps.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATH_INSIDE "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static const struct {
    const char *name;
    int flag;
} kinds[] = {
    {"user", CLONE_NEWUSER}, {"mnt", CLONE_NEWNS},        {"pid", CLONE_NEWPID},
    {"uts", CLONE_NEWUTS},   {"ipc", CLONE_NEWIPC},       {"net", CLONE_NEWNET},
    {"time", CLONE_NEWTIME}, {"cgroup", CLONE_NEWCGROUP},
};

/* The kinds of which process 1 has another one than we. */
static int others_of(pid_t pid)
{
    int flags = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct stat own, its;
        char path[48];
        text_format(path, sizeof path, "/proc/%d/ns/%s", (int)pid, kinds[i].name);
        if (stat(path, &its) < 0)
            continue;
        text_format(path, sizeof path, "/proc/self/ns/%s", kinds[i].name);
        if (stat(path, &own) == 0 && (own.st_ino != its.st_ino || own.st_dev != its.st_dev))
            flags |= kinds[i].flag;
    }
    return flags;
}

static _Noreturn void fail(const char *what, int error)
{
    LOG(ERROR, what, TEXT("error", strerror(error)));
    _exit(ENTER_FAILED);
}

/* The descriptors of ours are closed by execvp. */
static _Noreturn void execute(char *const *argv)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0)
        dup2(null, 0);
    signals_reset();
    forget_own_environment();
    setenv("PATH", PATH_INSIDE, 1);
    execvp(argv[0], argv);
    int error = errno;
    LOG(ERROR, "Could not execute the stop command", TEXT("command", argv[0]),
        TEXT("error", strerror(error)));
    _exit(error == ENOENT ? ENTER_NOT_FOUND : ENTER_NOT_EXECUTABLE);
}

static int status_of(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return ENTER_FAILED;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static _Noreturn void enter(const struct pidref *process, char *const *argv, pid_t parent)
{
    char path[40];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(ENTER_FAILED);
    text_format(path, sizeof path, "/proc/%d/root", (int)process->pid);
    AUTO_CLOSE int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        fail("Could not open the root inside", errno);
    if (setns(process->fd, others_of(process->pid)) < 0)
        fail("Could not enter the namespaces", errno);
    if (fchdir(root) < 0 || chroot(".") < 0)
        fail("Could not enter the root inside", errno);
    pid_t child = fork(); /* only a child is in the PID namespace */
    if (child < 0)
        fail("Could not start a process inside", errno);
    if (child == 0)
        execute(argv);
    _exit(status_of(child));
}

int enter_run(const struct pidref *process, char *const *argv, struct pidref *ret)
{
    pid_t parent = getpid(), child = fork();
    if (child < 0)
        return -errno;
    if (child == 0)
        enter(process, argv, parent);
    int failed = pidref_open(child, ret);
    if (failed) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    return failed;
}
