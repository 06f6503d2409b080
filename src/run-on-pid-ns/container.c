/* How what runs inside hears of where it is: systemd's container interface, the environment, and
 * the socket for sd_notify(3). */
#include "base/cleanup.h"
#include "base/text.h"
#include "run-on-pid-ns/steps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MANAGER      "conit"
#define COPY_BYTES   4096
#define COPY_AT_MOST 65536
#define LISTEN_FIRST 3 /* SD_LISTEN_FDS_START */

/* ---- /run/host ----------------------------------------------------------------------------- */

/* That of the outside: it says what the container's manager runs on. None is no error. */
int step_open_description(struct run *run, const struct step *step, int *fd)
{
    *fd = open("/etc/os-release", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0)
        *fd = open("/usr/lib/os-release", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    return 0;
}

static int copy_to(const char *path, int from_fd)
{
    char bytes[COPY_BYTES];
    ssize_t got;
    AUTO_CLOSE int to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0444);
    if (to < 0)
        return -errno;
    for (size_t all = 0; all < COPY_AT_MOST; all += (size_t)got) {
        got = read(from_fd, bytes, sizeof bytes);
        if (got <= 0)
            return got < 0 ? -errno : 0;
        ssize_t put = write(to, bytes, (size_t)got);
        if (put != got)
            return put < 0 ? -errno : -ENOSPC;
    }
    return 0;
}

int step_describe(struct run *run, const struct step *step, int *fd)
{
    static const char name[] = MANAGER "\n";
    if (mkdir(step->target, 0755) < 0)
        return -errno;
    AUTO_CLOSE int manager =
        open("/run/host/container-manager", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0444);
    if (manager < 0 || write(manager, name, strlen(name)) < 0)
        return -errno;
    int failed = *fd < 0 ? 0 : copy_to("/run/host/os-release", *fd);
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    return failed;
}

/* ---- the environment ----------------------------------------------------------------------- */

/* The descriptors that our LISTEN_FDS names (sd_listen_fds(3)) are for us as it is. */
void keep_own_descriptors(void)
{
    uint64_t pid, count;
    const char *pid_text = getenv("LISTEN_PID"), *count_text = getenv("LISTEN_FDS");
    if (!pid_text || !count_text || text_parse_unsigned(pid_text, &pid) < 0 ||
        text_parse_unsigned(count_text, &count) < 0 || pid != (uint64_t)getpid())
        return;
    for (uint64_t fd = LISTEN_FIRST; fd < LISTEN_FIRST + count; fd++)
        if (fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
            return;
}

void forget_own_environment(void)
{
    static const char *const ours[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
                                       "LISTEN_FDS",    "LISTEN_PID",    "LISTEN_FDNAMES"};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        unsetenv(ours[i]);
}

int step_clean_environment(struct run *run, const struct step *step, int *fd)
{
    forget_own_environment();
    if (setenv("container", MANAGER, 1) < 0)
        return -errno;
    return run->options->notify && setenv("NOTIFY_SOCKET", PLAN_NOTIFY_SOCKET, 1) < 0 ? -errno : 0;
}

int step_set_environment(struct run *run, const struct step *step, int *fd)
{
    const char *equals = strchr(step->source, '=');
    if (!equals)
        return unsetenv(step->source) < 0 ? -errno : 0;
    AUTO_FREE char *name = strndup(step->source, (size_t)(equals - step->source));
    if (!name)
        return -ENOMEM;
    return setenv(name, equals + 1, 1) < 0 ? -errno : 0;
}

/* ---- the notify socket --------------------------------------------------------------------- */

int step_notify(struct run *run, const struct step *step, int *fd)
{
    static const int on = 1;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    AUTO_CLOSE int socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (socket_fd < 0 || setsockopt(socket_fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0)
        return -errno;
    text_format(address.sun_path, sizeof address.sun_path, "%s", step->target);
    if (bind(socket_fd, (struct sockaddr *)&address, sizeof address) < 0)
        return -errno;
    if (chmod(step->target, 0666) < 0)
        return -errno;
    return hand_out(run, HANDED_NOTIFY, socket_fd);
}
