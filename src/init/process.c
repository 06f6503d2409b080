/* Children of init. What init holds stays open in what it executes, because that may be init
 * itself: so a child closes it. */
#include "init/process.h"
#include "base/syscall.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static const struct record *kept_away;

void process_use(const struct record *record)
{
    kept_away = record;
}

/* clone(2) as fork(2) calls it, without what a C library does for programs with threads. The
 * order of the last two arguments depends on the machine; both are 0. */
static pid_t fork_telling(int32_t *at)
{
    long pid = syscall(SYS_clone, SIGCHLD | (at ? CLONE_PARENT_SETTID : 0), 0, at, 0, 0);
    return pid < 0 ? -errno : (pid_t)pid;
}

pid_t process_fork(int32_t *at)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE};
    pid_t pid = fork_telling(at);
    if (pid == 0) {
        for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
            signal(faults[i], SIG_DFL);
        if (kept_away)
            record_keep_apart(kept_away);
    }
    return pid;
}

void process_close_from(int first)
{
    struct rlimit files;
    if (syscall_close_range((unsigned)first, ~0u, 0) == 0)
        return;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0) /* a kernel before 5.9 */
        return;
    for (int fd = first; (rlim_t)fd < files.rlim_cur; fd++)
        close(fd);
}
