/* Four processes: the outer one, the maker, process 1, and its guard. */
#include "run-on-pid-ns/start.h"
#include "base/cleanup.h"
#include "base/signals.h"
#include "log/log.h"
#include "run-on-pid-ns/guard.h"
#include "run-on-pid-ns/steps.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int fail(const char *what, int error)
{
    LOG(ERROR, what, TEXT("error", strerror(error)));
    return EXIT_OWN_FAILURE;
}

static const struct step *find_step(const struct plan *plan, enum step_kind kind)
{
    const struct step *step = plan->steps;
    while (step->kind != kind)
        step++;
    return step;
}

/* ---- process 1 ----------------------------------------------------------------------------- */

/* It was said why the command is not executed. */
static int __attribute__((noreturn)) give_up(const struct run *run, int status)
{
    const char kind = HANDED_NOT_EXECUTED;
    (void)send(run->outer_fd, &kind, 1, MSG_NOSIGNAL);
    _exit(status);
}

/* What can fail before the command is executed is said by this process itself. */
static int __attribute__((noreturn)) run_inside(struct run *run)
{
    char byte;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (read(run->outer_fd, &byte, 1) != 1)
        _exit(EXIT_OWN_FAILURE); /* the outer one is gone, perhaps before it was watched */
    mode_t mask = umask(0);
    if (steps_run(run, WHO_INSIDE) < 0)
        give_up(run, EXIT_OWN_FAILURE);
    umask(mask);
    signals_reset();
    execvp(run->options->command[0], run->options->command);
    int error = errno;
    run->hint = NULL;
    step_failed(run, find_step(run->plan, STEP_EXECUTE), error);
    give_up(run, error == ENOENT || error == ENOTDIR ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
}

/* ---- the maker ----------------------------------------------------------------------------- */

/* Process 1 is a child of the outer process, which hears of its number here. */
static int make(struct run *run)
{
    if (steps_run(run, WHO_MAKER) < 0)
        return EXIT_OWN_FAILURE;
    const struct step *step = find_step(run->plan, STEP_NEW_PROCESS);
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_PARENT | step->number, NULL, NULL, NULL, NULL);
    if (pid < 0) {
        step_failed(run, step, errno);
        return EXIT_OWN_FAILURE;
    }
    if (pid == 0)
        run_inside(run);
    if (send(run->outer_fd, &pid, sizeof pid, MSG_NOSIGNAL) < 0)
        return fail("Could not tell which process 1 was made", errno);
    return 0;
}

/* ---- the outer process --------------------------------------------------------------------- */

static int reap(pid_t child)
{
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

/* Starts the maker, and waits until it has made process 1. Returns its pid, or 0: then it was said
 * why there is none. One that was made and could not be told of ends by itself once our end is
 * closed. */
static pid_t run_maker(struct run *run, int own_fd, int other_fd)
{
    pid_t pid = 0;
    pid_t maker = fork();
    if (maker < 0) {
        fail("Could not start a process", errno);
        return 0;
    }
    if (maker == 0) {
        close(own_fd);
        run->outer_fd = other_fd;
        _exit(make(run));
    }
    close(other_fd);
    int status = reap(maker);
    /* Process 1 holds the other end: without a message from the maker there is none to wait for. */
    bool made = recv(own_fd, &pid, sizeof pid, MSG_DONTWAIT) == sizeof pid;
    if (!made && WIFSIGNALED(status))
        LOG(ERROR, "What was to make the namespaces was ended", NUMBER("signal", WTERMSIG(status)));
    return made ? pid : 0;
}

/* Where a descriptor goes that process 1 has handed out. */
static int *place_of(struct inside *inside, enum handed what)
{
    return what == HANDED_CONSOLE         ? &inside->console_fd
           : what == HANDED_CONSOLE_SLAVE ? &inside->slave_fd
                                          : &inside->notify_fd;
}

/* One message of process 1. Returns 0 when there are no more: it executes the command, or has said
 * that it does not, or has been killed, which looks as if it did; -EMFILE when its descriptor could
 * not be taken; else 1. */
static int take_message(struct inside *inside, int own_fd)
{
    char kind = 0;
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {.iov_base = &kind, .iov_len = 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof control.room};
    ssize_t got = recvmsg(own_fd, &message, MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EINTR)
        return 1;
    inside->executed = got == 0;
    if (got <= 0 || kind == HANDED_NOT_EXECUTED)
        return 0;
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (!header || header->cmsg_type != SCM_RIGHTS)
        return -EMFILE;
    memcpy(place_of(inside, (enum handed)kind), CMSG_DATA(header), sizeof(int));
    return 1;
}

/* Waits for a message of process 1, or for its end. Returns false when something wants to end us:
 * what process 1 waits for may never come (a file system that hangs), and it is to be killed then.
 */
static bool wait_for_message(int own_fd, int ending_fd)
{
    struct pollfd ready[] = {{.fd = own_fd, .events = POLLIN}, {.fd = ending_fd, .events = POLLIN}};
    while (poll(ready, 2, -1) < 0 && errno == EINTR) {
    }
    return ready[0].revents; /* what has come counts first: it executes, perhaps */
}

/* With process 1 made: lets it begin, and waits until it executes or ends. */
static int wait_for_command(struct inside *inside, pid_t pid, int own_fd)
{
    sigset_t ending;
    int failed = pidref_open(pid, &inside->process);
    if (failed)
        return fail("Could not open process 1", -failed);
    failed = guard_start(&inside->process, &inside->guard);
    if (failed) {
        pidref_kill_child(&inside->process);
        return fail("Could not start the guard of process 1", -failed);
    }
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGHUP);
    sigaddset(&ending, SIGQUIT);
    /* Never read: the signal stays for the caller. */
    AUTO_CLOSE int ending_fd = signalfd(-1, &ending, SFD_CLOEXEC);
    /* If it has died already its status says of what. */
    int more = send(own_fd, "x", 1, MSG_NOSIGNAL) == 1;
    while (more > 0 && wait_for_message(own_fd, ending_fd))
        more = take_message(inside, own_fd);
    if (more >= 0)
        return 0;
    pidref_kill_child(&inside->process);
    return fail("Could not take a descriptor of process 1", -more);
}

int start_inside(const struct options *options, struct inside *ret)
{
    int ends[2];
    struct plan plan;
    struct run run;

    *ret = (struct inside){.process = PIDREF_NONE,
                           .guard = PIDREF_NONE,
                           .console_fd = -1,
                           .slave_fd = -1,
                           .notify_fd = -1};
    ret->cgroup = CGROUP_PLACE_NONE;
    plan_make(&plan, options);
    run_init(&run, options, &plan, &ret->cgroup);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return fail("Could not make a socket pair", errno);
    AUTO_CLOSE int own = ends[0];
    if (steps_run(&run, WHO_OUTER) < 0) {
        close(ends[1]);
        inside_finish(ret);
        return EXIT_OWN_FAILURE;
    }
    pid_t pid = run_maker(&run, own, ends[1]);
    int failed = pid ? wait_for_command(ret, pid, own) : EXIT_OWN_FAILURE;
    if (failed) {
        close(take_fd(&own)); /* process 1 ends, for it was not told to begin */
        if (pid)
            reap(pid);
        inside_finish(ret);
    }
    return failed;
}

void inside_finish(struct inside *inside)
{
    pidref_close(&inside->process);
    if (pidref_is_set(&inside->guard))
        pidref_kill_child(&inside->guard);
    pidref_close(&inside->guard);
    for (enum handed what = HANDED_CONSOLE; what < HANDED_NOT_EXECUTED; what++) {
        int *fd = place_of(inside, what);
        if (*fd >= 0)
            close(*fd);
        *fd = -1;
    }
    cgroup_place_finish(&inside->cgroup);
}
