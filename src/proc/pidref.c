/* A process is a pid and a pidfd together. */
#include "proc/pidref.h"
#include "base/syscall.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define GONE_MS 1000

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

int pidref_open(pid_t pid, struct pidref *ret)
{
    int fd = syscall_pidfd_open(pid, 0);
    if (fd < 0)
        return fd;
    *ret = (struct pidref){.pid = pid, .fd = fd};
    return 0;
}

int pidref_signal(const struct pidref *process, int signal)
{
    if (!pidref_is_set(process))
        return -ESRCH;
    return syscall_pidfd_send_signal(process->fd, signal);
}

void pidref_close(struct pidref *process)
{
    if (process->fd >= 0)
        close(process->fd);
    *process = PIDREF_NONE;
}

int pidref_peek(const struct pidref *process, int *ret_code, int *ret_status)
{
    siginfo_t info = {0};
    if (waitid((idtype_t)P_PIDFD, (id_t)process->fd, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
        return -errno;
    if (!info.si_pid)
        return -EAGAIN;
    *ret_code = info.si_code;
    *ret_status = info.si_status;
    return 0;
}

void pidref_reap(const struct pidref *process)
{
    siginfo_t info;
    waitid((idtype_t)P_PIDFD, (id_t)process->fd, &info, WEXITED | WNOHANG);
}

void pidref_kill_child(const struct pidref *process)
{
    struct pollfd end = {.fd = process->fd, .events = POLLIN};
    pidref_signal(process, SIGKILL);
    poll(&end, 1, GONE_MS);
    pidref_reap(process);
}
