/* Namespaces that the maker enters, and what is set in those of process 1. See user_namespaces(7),
 * time_namespaces(7). */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/syscall.h"
#include "base/text.h"
#include "log/log.h"
#include "run-on-pid-ns/steps.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int write_file(const char *path, const char *content)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return write(fd, content, strlen(content)) < 0 ? -errno : 0;
}

/* ---- users --------------------------------------------------------------------------------- */

/* The one user and the one group that there are inside: setgroups(2) has to be given up for the
 * group, where a kernel has it (3.19). */
int step_new_user(struct run *run, const struct step *step, int *fd)
{
    char users[40], groups[40];
    text_format(users, sizeof users, "0 %u 1\n", (unsigned)geteuid());
    text_format(groups, sizeof groups, "0 %u 1\n", (unsigned)getegid());
    if (unshare(CLONE_NEWUSER) < 0)
        return -errno;
    int failed = write_file("/proc/self/setgroups", "deny");
    if (failed && failed != -ENOENT)
        return failed;
    failed = write_file("/proc/self/gid_map", groups);
    if (!failed)
        failed = write_file("/proc/self/uid_map", users);
    if (failed == -ENOENT)
        run->hint = "/proc has to be mounted outside";
    return failed;
}

/* ---- the clocks ---------------------------------------------------------------------------- */

/* The line of /proc/self/timens_offsets that makes a clock read `uptime_ms` now: what it is set off
 * by already, less what it shows. Nanoseconds are never negative there. */
static void add_offset(struct text *text, const char *name, clockid_t clock, const char *offsets,
                       uint64_t uptime_ms)
{
    uint64_t now = clock_read_ns(clock);
    const char *line = strstr(offsets, name); /* "boottime  0  0" */
    int64_t seconds = 0, ns = 0;
    if (line) {
        char *rest;
        seconds = strtoll(line + strlen(name), &rest, 10);
        ns = strtoll(rest, &rest, 10);
    }
    seconds += (int64_t)(uptime_ms / 1000) - (int64_t)(now / NS_PER_SEC);
    ns += (int64_t)(uptime_ms % 1000 * NS_PER_MS) - (int64_t)(now % NS_PER_SEC);
    for (; ns < 0; seconds--)
        ns += (int64_t)NS_PER_SEC;
    for (; ns >= (int64_t)NS_PER_SEC; seconds++)
        ns -= (int64_t)NS_PER_SEC;
    text_printf(text, "%s %lld %lld\n", name, (long long)seconds, (long long)ns);
}

/* Call after unshare(CLONE_NEWTIME), before the first child. Returns 0 or -errno. */
static int begin_clocks(uint64_t uptime_ms)
{
    char old[256], new[256];
    struct text text;
    ssize_t bytes = file_read(AT_FDCWD, "/proc/self/timens_offsets", old, sizeof old);
    if (bytes < 0)
        return (int)bytes;
    text_init(&text, new, sizeof new);
    add_offset(&text, "monotonic", CLOCK_MONOTONIC, old, uptime_ms);
    add_offset(&text, "boottime", CLOCK_BOOTTIME, old, uptime_ms);
    return write_file("/proc/self/timens_offsets", new);
}

/* A kernel without time namespaces only costs the uptime, unless that is asked for. Who may not
 * make one may make no other either. */
int step_new_time(struct run *run, const struct step *step, int *fd)
{
    int failed = unshare(CLONE_NEWTIME) < 0 ? -errno : 0;
    if (failed == -EPERM)
        return failed;
    if (!failed)
        failed = begin_clocks(step->number);
    if (!failed || failed == -ERANGE || run->options->time == TIME_REQUIRED)
        return failed;
    LOG(WARNING, "The uptime inside is the outside's", TEXT("error", strerror(-failed)));
    return 0;
}

/* ---- names and networks -------------------------------------------------------------------- */

int step_hostname(struct run *run, const struct step *step, int *fd)
{
    return sethostname(step->source, strlen(step->source)) < 0 ? -errno : 0;
}

int step_loopback(struct run *run, const struct step *step, int *fd)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    AUTO_CLOSE int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (control < 0)
        return -errno;
    return ioctl(control, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}
