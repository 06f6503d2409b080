/* The console inside: a pseudo terminal of the devpts that is there, whose other side goes to the
 * outer process. See pty(7), ioctl_tty(2). */
#include "base/cleanup.h"
#include "base/text.h"
#include "log/console.h"
#include "run-on-pid-ns/steps.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#define LOG_FD_LEAST 3

/* The size is that of the terminal we were started on, from the beginning. */
static void take_size(int master)
{
    struct winsize size;
    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
        ioctl(master, TIOCSWINSZ, &size);
}

/* It becomes what the command reads and writes, and ours no longer: what fails from here on is
 * still said where we were started. */
static int take_over(struct run *run, int slave)
{
    int log_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, LOG_FD_LEAST);
    if (log_fd >= 0)
        console_init(log_fd, true);
    if (setsid() < 0 && getpid() != getsid(0))
        return -errno;
    if (ioctl(slave, TIOCSCTTY, 0) < 0)
        return -errno;
    for (int fd = 0; fd < 3; fd++)
        if (dup2(slave, fd) < 0)
            return -errno;
    return 0;
}

int step_console(struct run *run, const struct step *step, int *fd)
{
    static const int unlocked = 0;
    char path[32];
    unsigned number;
    AUTO_CLOSE int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0) {
        run->hint = "there is no usable /dev/ptmx: --dev makes a /dev with one";
        return -errno;
    }
    if (ioctl(master, TIOCSPTLCK, &unlocked) < 0 || ioctl(master, TIOCGPTN, &number) < 0)
        return -errno;
    take_size(master);
    text_format(path, sizeof path, "/dev/pts/%u", number);
    AUTO_CLOSE int slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        return -errno;
    int failed = make_place(run, step->target, false);
    if (failed)
        return failed;
    if (mount(path, step->target, NULL, MS_BIND, NULL) < 0)
        return -errno;
    failed = hand_out(run, HANDED_CONSOLE, master);
    failed = failed ? failed : hand_out(run, HANDED_CONSOLE_SLAVE, slave);
    return failed ? failed : take_over(run, slave);
}
