/* `ready: file` and `ready: pid-file`: told by inotify, and judged by a mark that was taken before
 * the program ran. */
#include "service-launcher/executor-internal.h"

#include "base/clock.h"
#include "base/shortage.h"

#include <errno.h>
#include <string.h>

static const char *path_of(const struct process *process)
{
    return process_service(process)->definition->ready.word;
}

static struct file_mark mark_before(const struct process *process)
{
    const struct manager *manager = &process->executor->launcher->manager;
    return service_body(manager, process_service(process))->ready_mark;
}

static int prepare(struct process *process)
{
    struct manager *manager = &process->executor->launcher->manager;
    struct service_body body;
    struct look_answer found;
    int failed =
        look_at(process->executor, process->slot, LOOK_AT_READY_MARK, path_of(process), &found);
    if (failed || found.error)
        return failed ? failed : found.error;
    manager_edit(manager, process_service(process), &body);
    body.ready_mark = found.mark;
    manager_commit(manager, process_service(process), &body);
    return 0;
}

static void on_file_again(struct loop_timer *timer)
{
    struct ready_wait *wait = container_of(timer, struct ready_wait, timer);
    wait->path.on_change(&wait->path);
}

/* Looks, or finds what was seen apart. Returns 0 or -errno; -EINPROGRESS: executor_looked() calls
 * again. */
static int look(struct process *process, struct look_answer *ret)
{
    int failed =
        look_at(process->executor, process->slot, LOOK_AT_READY_FILE, path_of(process), ret);
    if (failed != -EINPROGRESS)
        look_done(process->executor, process->slot);
    return failed ? failed : ret->error;
}

/* Nothing tells when it can be looked at again. */
static void look_later(struct ready_wait *wait)
{
    loop_set_timer(&wait->process->executor->launcher->loop, &wait->timer,
                   clock_now_ns() + SHORTAGE_RETRY_MS * NS_PER_MS, on_file_again);
}

static void on_file(struct watch_path *path)
{
    struct ready_wait *wait = container_of(path, struct ready_wait, path);
    struct file_mark before = mark_before(wait->process);
    struct look_answer now;
    int failed = look(wait->process, &now);
    if (failed == -EINPROGRESS)
        return;
    if (failed)
        look_later(wait);
    else if (file_mark_is_set(&now.mark) && !file_mark_equal(&now.mark, &before))
        executor_ready_met(wait->process); /* there, and not as it was */
}

static void begin_file(struct process *process, bool again)
{
    (void)again;
    watch_path_begin(&process->executor->paths, &process->ready->path, path_of(process), on_file);
    on_file(&process->ready->path);
}

/* ---- pid-file ------------------------------------------------------------------------------ */

/* Why a pid file is not believed, as a -errno; 0: it is. */
static int doubt(struct process *process)
{
    struct file_mark before = mark_before(process);
    struct look_answer now;
    int failed = look(process, &now);
    if (failed)
        return failed;
    if (file_mark_is_set(&now.mark) && file_mark_equal(&now.mark, &before))
        return -ESTALE;
    if (now.pid_error)
        return now.pid_error;
    struct pidref found;
    failed = pidref_open(now.pid, &found);
    if (failed)
        return failed;
    pidref_close(&found);
    return executor_owns(process, now.pid) ? 0 : -EPERM;
}

static const struct {
    int doubt;
    const char *words;
} doubts[] = {
    {-ESTALE, "it is older than this start"},
    {-EINVAL, "there is no process number in it"},
    {-EISDIR, "it is no plain file"},
    {-ESRCH, "the process it names has ended"},
    {-EPERM, "the process it names is not one of this service"},
};
#define DOUBTS (sizeof doubts / sizeof *doubts)

/* Each is said once a start: a file that is written again and again must not fill the journal. */
static void say_doubt(struct process *process, struct ready_wait *wait, int doubt)
{
    size_t i = 0;
    while (i < DOUBTS && doubts[i].doubt != doubt)
        i++;
    if (wait->doubted & 1u << i)
        return;
    wait->doubted |= 1u << i;
    executor_ready_warn(process, path_of(process), i < DOUBTS ? doubts[i].words : strerror(-doubt));
}

static void on_pid_file(struct watch_path *path)
{
    struct ready_wait *wait = container_of(path, struct ready_wait, path);
    struct process *process = wait->process;
    int why = doubt(process);
    if (why == -EINPROGRESS)
        return;
    if (!why) {
        executor_ready_met(process);
        return;
    }
    /* One that is not there, or is being written, is what is waited for. */
    if (why != -ENOENT && why != -ENOTDIR && why != -ENODATA)
        say_doubt(process, wait, why);
    if (why == -EIO || why == -ETIMEDOUT || is_shortage(why))
        look_later(wait);
}

static void begin_pid_file(struct process *process, bool again)
{
    (void)again;
    watch_path_begin(&process->executor->paths, &process->ready->path, path_of(process),
                     on_pid_file);
    on_pid_file(&process->ready->path);
}

const struct ready_way ready_file = {.prepare = prepare, .begin = begin_file};
const struct ready_way ready_pid_file = {.prepare = prepare, .begin = begin_pid_file};
