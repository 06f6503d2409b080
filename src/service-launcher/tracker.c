/* What lives of a service: by its cgroup, below its follower, or by marks. */
#include "service-launcher/tracker.h"
#include "service-launcher/executor-internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/shortage.h"
#include "base/text.h"
#include "log/log.h"
#include "proc/processes.h"
#include "protocol/follow.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIDS_AT_FIRST 64
#define AGAIN_MS      200 /* until it is looked again where that could not be done, or watched */
#define DOUBTS_MAX    100 /* so often; then none is taken to be left */

static const struct service_body *body_of(const struct process *process)
{
    return service_body(&process->executor->launcher->manager, process_service(process));
}

static bool has_cgroup(const struct process *process)
{
    return process->cgroup_fd >= 0;
}

static bool has_follower(const struct process *process)
{
    return process_record(process)->follower_pid != 0;
}

/* ---- marks --------------------------------------------------------------------------------- */

struct marked {
    char entry[64];
    pid_t *pids; /* from malloc */
    size_t count, room;
    int failed;
};

static bool add_pid(struct marked *marked, pid_t pid)
{
    if (marked->count == marked->room) {
        size_t room = marked->room ? marked->room * 2 : PIDS_AT_FIRST;
        pid_t *grown = reallocarray(marked->pids, room, sizeof *grown);
        if (!grown) {
            marked->failed = -ENOMEM;
            return false;
        }
        marked->pids = grown;
        marked->room = room;
    }
    marked->pids[marked->count++] = pid;
    return true;
}

static bool add_marked(void *context, const struct process_stat *stat)
{
    struct marked *marked = context;
    bool lives = stat->state != 'Z' && stat->state != 'X' && stat->pid != getpid();
    int is_marked = lives ? process_has_environment(stat->pid, marked->entry) : 0;
    if (is_marked < 0)
        marked->failed = is_marked;
    return is_marked < 0 ? false : !is_marked || add_pid(marked, stat->pid);
}

static ssize_t find_marked(const struct process *process, pid_t **ret)
{
    const struct service_body *body = body_of(process);
    struct marked marked = {.count = 0};
    text_format(marked.entry, sizeof marked.entry, "INVOCATION_ID=%016llx%016llx",
                (unsigned long long)body->invocation[0], (unsigned long long)body->invocation[1]);
    int failed = processes_each(add_marked, &marked);
    if (failed >= 0)
        failed = marked.failed;
    if (failed < 0) {
        free(marked.pids);
        return failed;
    }
    *ret = marked.pids;
    return (ssize_t)marked.count;
}

/* ---- which --------------------------------------------------------------------------------- */

bool tracker_follows(const struct process *process)
{
    return has_cgroup(process) || has_follower(process) || body_of(process)->by_mark;
}

static ssize_t cgroup_pids(const struct process *process, pid_t **ret)
{
    size_t room = PIDS_AT_FIRST;
    for (;; room *= 2) {
        pid_t *pids = malloc(room * sizeof *pids);
        if (!pids)
            return -ENOMEM;
        int found = cgroup_processes(process->cgroup_fd, pids, room);
        if (found >= 0 && (size_t)found <= room) {
            *ret = pids;
            return found;
        }
        free(pids);
        if (found < 0)
            return found;
    }
}

ssize_t tracker_processes(const struct process *process, pid_t **ret)
{
    if (has_cgroup(process))
        return cgroup_pids(process, ret);
    if (has_follower(process))
        return processes_below(process_record(process)->follower_pid, ret);
    if (body_of(process)->by_mark)
        return find_marked(process, ret);
    return -ENOTSUP;
}

bool tracker_has(const struct process *process, pid_t pid)
{
    if (has_cgroup(process))
        return cgroup_contains(process->cgroup_fd, pid);
    if (!tracker_follows(process)) { /* then what is left is the session of the main process */
        struct process_stat stat;
        int32_t main_pid = process_record(process)->main_pid;
        int32_t session = body_of(process)->session;
        return main_pid && process_read_stat(pid, &stat) == 0 &&
               stat.session == (session ? session : main_pid);
    }
    AUTO_FREE pid_t *pids = NULL;
    ssize_t count = tracker_processes(process, &pids);
    for (ssize_t i = 0; i < count; i++)
        if (pids[i] == pid)
            return true;
    return false;
}

/* Between reading a number and opening the process it may have ended and the number be another's:
 * so the list is made again when all are open, and only who is in both gets the signal. */
static int signal_each(const struct process *process, int signal)
{
    AUTO_FREE pid_t *pids = NULL;
    AUTO_FREE pid_t *again = NULL;
    ssize_t count = tracker_processes(process, &pids), now;
    int reached = 0;
    if (count <= 0)
        return (int)count;
    AUTO_FREE struct pidref *refs = calloc((size_t)count, sizeof *refs);
    if (!refs)
        return -ENOMEM;
    for (ssize_t i = 0; i < count; i++) {
        refs[i] = PIDREF_NONE;
        pidref_open(pids[i], &refs[i]);
    }
    now = tracker_processes(process, &again);
    for (ssize_t i = 0; i < count; i++) {
        for (ssize_t k = 0; k < now; k++)
            if (again[k] == pids[i] && pidref_signal(&refs[i], signal) == 0) {
                reached++;
                break;
            }
        pidref_close(&refs[i]);
    }
    return reached;
}

int tracker_signal(const struct process *process, int signal)
{
    if (has_cgroup(process))
        return cgroup_signal(process->cgroup_fd, signal);
    return tracker_follows(process) ? signal_each(process, signal) : -ENOTSUP;
}

void tracker_thaw(const struct process *process)
{
    if (has_cgroup(process))
        cgroup_thaw(process->executor->cgroup_folder, process->cgroup_fd);
}

int tracker_kill(struct process *process)
{
    if (has_cgroup(process)) {
        process->cgroup_killed = true;
        return cgroup_kill(process->cgroup_fd);
    }
    if (has_follower(process) && pidref_is_set(&process->follower))
        return pidref_signal(&process->follower, FOLLOW_SIGNAL_KILL);
    if (body_of(process)->by_mark) {
        int reached = signal_each(process, SIGKILL);
        return reached < 0 ? reached : 0;
    }
    return -ENOTSUP;
}

/* ---- empty --------------------------------------------------------------------------------- */

static void on_event(struct loop_fd *source, uint32_t events)
{
    struct process *process = container_of(source, struct process, events_source);
    (void)events;
    if (body_of(process)->by_mark)
        tracker_unwatch(process); /* that one has ended: who is next? */
    executor_check_empty(process);
}

void tracker_unwatch(struct process *process)
{
    int fd = process->events_source.fd;
    loop_clear_timer(&process->executor->launcher->loop, &process->again_timer);
    process->doubts = 0;
    if (fd < 0)
        return;
    loop_remove(&process->executor->launcher->loop, &process->events_source);
    close(fd);
}

/* What could not be seen or watched was not killed either. */
static void on_again(struct loop_timer *timer)
{
    struct process *process = container_of(timer, struct process, again_timer);
    if (process->sweeping)
        tracker_kill(process);
    executor_check_empty(process);
}

static void look_again(struct process *process)
{
    loop_set_timer(&process->executor->launcher->loop, &process->again_timer,
                   clock_now_ns() + AGAIN_MS * NS_PER_MS, on_again);
}

/* What is known of those that are left; a -errno: nothing. */
enum { LEFT_NONE, LEFT_SOME };

/* A cgroup that is gone, or a /proc that is not ours, has nobody to show; that we have no
 * descriptor or memory, or may not look, says nothing. */
static int left_by_error(int error)
{
    bool passing = is_shortage(error) || error == -EINTR || error == -EAGAIN || error == -EIO ||
                   error == -EACCES;
    return passing ? error : LEFT_NONE;
}

static void watch_fd(struct process *process, int fd, uint32_t events)
{
    if (fd >= 0 && loop_add(&process->executor->launcher->loop, &process->events_source, fd, events,
                            on_event) == 0)
        return;
    if (fd >= 0)
        close(fd);
    look_again(process);
}

static int left_in_cgroup(const struct process *process)
{
    int populated = cgroup_is_populated(process->cgroup_fd);
    return populated < 0 ? left_by_error(populated) : populated ? LEFT_SOME : LEFT_NONE;
}

static int watch_cgroup(struct process *process)
{
    int left = left_in_cgroup(process);
    if (left != LEFT_SOME || process->events_source.fd >= 0)
        return left;
    watch_fd(process, cgroup_open_events(process->cgroup_fd), EPOLLPRI | EPOLLERR);
    /* It may have become empty before it was watched. */
    return left_in_cgroup(process);
}

/* The first that is found is waited for, then it is looked again. */
static int watch_marked(struct process *process)
{
    AUTO_FREE pid_t *pids = NULL;
    if (process->events_source.fd >= 0)
        return LEFT_SOME;
    ssize_t count = find_marked(process, &pids);
    if (count < 0)
        return left_by_error((int)count);
    for (ssize_t i = 0; i < count; i++) {
        struct pidref one = PIDREF_NONE;
        if (process->sweeping)
            signal_each(process, SIGKILL); /* what was born meanwhile */
        if (pidref_open(pids[i], &one) == -ESRCH)
            continue;
        watch_fd(process, one.fd, EPOLLIN);
        return LEFT_SOME;
    }
    if (count == 0)
        return LEFT_NONE;
    look_again(process); /* those that have just ended may have left children */
    return LEFT_SOME;
}

static int look(struct process *process)
{
    if (has_cgroup(process))
        return watch_cgroup(process);
    if (has_follower(process)) /* its end is watched anyway, and tells */
        return LEFT_SOME;
    return body_of(process)->by_mark ? watch_marked(process) : LEFT_NONE;
}

bool tracker_watch(struct process *process)
{
    int left = look(process);
    const char *name = process_record(process)->name;
    if (left >= 0) {
        process->doubts = 0;
        return left == LEFT_NONE;
    }
    if (process->doubts == 0)
        LOG(WARNING, "It cannot be seen what is left of a service: trying again",
            TEXT("service", name), TEXT("error", strerror(-left)));
    if (process->doubts++ < DOUBTS_MAX) {
        look_again(process);
        return false;
    }
    LOG(ERROR, "It could not be seen what is left of a service: going on as if nothing were",
        TEXT("service", name), TEXT("error", strerror(-left)));
    process->doubts = 0;
    return true;
}

void tracker_renew(struct process *process)
{
    if (process->cgroup_fd < 0 ||
        (!process->cgroup_killed && !cgroup_is_divided(process->cgroup_fd)))
        return;
    process->cgroup_killed = false;
    int fd = cgroup_renew(process->executor->cgroup_folder, process_record(process)->name);
    if (fd < 0) {
        LOG(ERROR, "Cannot make a cgroup anew: what starts in it may be killed at once",
            TEXT("service", process_record(process)->name), TEXT("error", strerror(-fd)));
        return;
    }
    close(process->cgroup_fd);
    process->cgroup_fd = fd;
    process->limited = false;
}
