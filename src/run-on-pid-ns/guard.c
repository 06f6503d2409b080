/* Waits for the end of the outer process. */
#include "run-on-pid-ns/guard.h"
#include "base/cleanup.h"
#include "base/syscall.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAME "pid-ns-guard"

/* The two descriptors it needs: no other is to be held open by it. */
enum { PROCESS_FD, OUTER_FD, FDS };

/* In a session of its own: what is sent to the group of the outer one, such as the SIGKILL that
 * ends it, is not to end this one first. */
static _Noreturn void watch(const struct pidref *process, int outer_fd)
{
    struct pollfd end = {.fd = OUTER_FD, .events = POLLIN};
    setsid();
    prctl(PR_SET_NAME, NAME);
    if (dup2(process->fd, PROCESS_FD) < 0 || dup2(outer_fd, OUTER_FD) < 0)
        _exit(1);
    (void)syscall_close_range(FDS, UINT_MAX, 0);
    while (poll(&end, 1, -1) < 0 && errno == EINTR) {
    }
    (void)syscall_pidfd_send_signal(PROCESS_FD, SIGKILL);
    _exit(0);
}

int guard_start(const struct pidref *process, struct pidref *ret)
{
    AUTO_CLOSE int outer = syscall_pidfd_open(getpid(), 0);
    if (outer < 0)
        return outer;
    pid_t child = fork();
    if (child < 0)
        return -errno;
    if (child == 0)
        watch(process, outer);
    int failed = pidref_open(child, ret);
    if (failed) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    return failed;
}
