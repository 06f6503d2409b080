/* Services that go to the background by themselves: which process is the main one once the first
 * has ended, and which one after that.
 *
 * What must survive a crash is in the record: `forked` says whose number main_pid is, and is
 * changed after it. So a launcher that is killed between the two only looks again. */
#include "service-launcher/executor-internal.h"
#include "service-launcher/follow.h"
#include "service-launcher/journal-client.h"
#include "service-launcher/tracker.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "log/log.h"
#include "proc/processes.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

/* Nobody is told when a program executes another one, of the right name perhaps, nor when one forks
 * and ends just while it is looked for. */
#define LOOK_AGAIN_MS 50
/* How often at once, while those that were listed are ending: each may be a look at all of /proc.
 */
#define LOOKS_STARTING 5    /* it is looked again later */
#define PID_LOOKED_FOR (-1) /* apart: it will be known later */
#define LOOKS_RUNNING  100  /* there is no later: none is the end of the service */

enum doubt {
    DOUBT_NONE,
    DOUBT_STALE,
    DOUBT_NO_NUMBER,
    DOUBT_NO_FILE,
    DOUBT_ENDED,
    DOUBT_FOREIGN,
    DOUBT_NAME,
    DOUBT_UNREADABLE,
    DOUBTS
};

static const char *const doubt_words[DOUBTS] = {
    [DOUBT_STALE] = "it is older than this start",
    [DOUBT_NO_NUMBER] = "there is no process number in it",
    [DOUBT_NO_FILE] = "it is no plain file",
    [DOUBT_ENDED] = "the process it names has ended",
    [DOUBT_FOREIGN] = "the process it names is not one of this service",
    [DOUBT_NAME] = "the process it names is another program than forks.main says",
    [DOUBT_UNREADABLE] = "it cannot be read",
};

static const struct service_body *body_of(const struct process *process)
{
    return service_body(manager_of(process), process_service(process));
}

static const struct definition *definition_of(const struct process *process)
{
    return process_service(process)->definition;
}

static bool forks(const struct process *process)
{
    return body_of(process)->type == TYPE_FORKING;
}

/* ---- adopting ------------------------------------------------------------------------------ */

static void former_destroy(struct former *former)
{
    loop_remove(&former->executor->launcher->loop, &former->source);
    list_remove(&former->link);
    pidref_close(&former->process);
    free(former);
}

static void on_former_ended(struct loop_fd *source, uint32_t events)
{
    struct former *former = container_of(source, struct former, source);
    (void)events;
    pidref_reap(&former->process);
    former_destroy(former);
}

/* One that is the main process once more: how it ends is not a former's to take away. */
static void forget_former(struct executor *executor, pid_t pid)
{
    list_for_each(node, &executor->formers)
    {
        struct former *former = container_of(node, struct former, link);
        if (former->process.pid != pid)
            continue;
        former_destroy(former);
        return;
    }
}

/* A main process that lives on as an ordinary one: if it is our child, its zombie will be ours. */
static void let_go_of_main(struct process *process)
{
    struct executor *executor = process->executor;
    int code, status;
    loop_remove(&executor->launcher->loop, &process->main_source);
    if (!pidref_is_set(&process->main))
        return;
    int state = pidref_peek(&process->main, &code, &status);
    struct former *former = state == -EAGAIN ? calloc(1, sizeof *former) : NULL;
    if (state == 0)
        pidref_reap(&process->main);
    if (former) {
        *former = (struct former){.executor = executor, .process = process->main, .source.fd = -1};
        if (loop_add(&executor->launcher->loop, &former->source, former->process.fd, EPOLLIN,
                     on_former_ended) == 0) {
            list_append(&executor->formers, &former->link);
            process->main = PIDREF_NONE;
            return;
        }
        free(former);
    }
    pidref_close(&process->main);
}

/* Where nothing follows it, its session is what is known of a service: no longer by its leader. */
static void keep_session(struct process *process, pid_t pid)
{
    struct process_stat stat;
    struct service_body body;
    if (tracker_follows(process) || process_read_stat(pid, &stat) < 0)
        return;
    manager_edit(manager_of(process), process_service(process), &body);
    body.session = stat.session;
    manager_commit(manager_of(process), process_service(process), &body);
}

int executor_adopt_main(struct process *process, pid_t pid, enum fork_stage stage)
{
    struct service_record *record = process_record(process);
    struct service_body body;
    struct pidref found;

    if (pid == record->main_pid && body_of(process)->forked >= FORK_FOUND)
        return 0;
    int failed = pidref_open(pid, &found);
    if (failed)
        return failed;
    /* Opened first: from here on the number cannot become another's unseen. */
    struct pollfd ended = {.fd = found.fd, .events = POLLIN};
    bool has = pid != record->hook_pid && executor_owns(process, pid);
    if (poll(&ended, 1, 0) != 0)
        failed = -ESRCH;
    else if (!has)
        failed = -EPERM;
    if (failed) {
        pidref_close(&found);
        return failed;
    }
    keep_session(process, pid);
    follow_set_main(process, pid);
    let_go_of_main(process);
    forget_former(process->executor, pid);
    process->main = found;
    __atomic_store_n(&record->main_pid, pid, __ATOMIC_RELEASE);
    manager_edit(manager_of(process), process_service(process), &body);
    body.forked = (uint8_t)stage;
    manager_commit(manager_of(process), process_service(process), &body);
    executor_stop_looking(process);
    failed = executor_watch(process, false);
    if (failed)
        LOG(ERROR, "Cannot watch a main process yet", TEXT("service", record->name),
            NUMBER("pid", pid), TEXT("error", strerror(-failed)));
    return 0;
}

/* ---- by the pid file ----------------------------------------------------------------------- */

int executor_forks_prepare(struct process *process)
{
    const char *path = definition_of(process)->forks.pid_file;
    struct look_answer found = {.error = 0};
    struct service_body body;
    int failed =
        path ? look_at(process->executor, process->slot, LOOK_AT_STALE_FILE, path, &found) : 0;
    if (failed == -EINPROGRESS)
        return failed;
    manager_edit(manager_of(process), process_service(process), &body);
    if (file_mark_equal(&body.pid_file, &found.mark))
        return 0;
    body.pid_file = found.mark; /* none where it cannot be looked at */
    manager_commit(manager_of(process), process_service(process), &body);
    return 0;
}

static enum doubt doubt_of_reading(int failed)
{
    switch (failed) {
    case -ENODATA:
    case -EINVAL:
        return DOUBT_NO_NUMBER;
    case -EISDIR:
        return DOUBT_NO_FILE;
    default:
        return DOUBT_UNREADABLE;
    }
}

/* The main process by its pid file. Returns DOUBT_NONE with *ret_pid, which is 0 while there is
 * nothing to be doubted yet, or PID_LOOKED_FOR; else why it is not believed. */
static enum doubt ask_pid_file(const struct process *process, pid_t *ret_pid)
{
    const struct forks *forks = &definition_of(process)->forks;
    struct look_answer found;
    struct pidref ref;

    *ret_pid = 0;
    int failed = look_at(process->executor, process->slot, LOOK_AT_MAIN, forks->pid_file, &found);
    if (failed == -EINPROGRESS)
        *ret_pid = PID_LOOKED_FOR;
    if (failed == -EINPROGRESS)
        return DOUBT_NONE;
    look_done(process->executor, process->slot);
    if (failed)
        return DOUBT_UNREADABLE;
    if (file_mark_is_set(&found.mark) && file_mark_equal(&found.mark, &body_of(process)->pid_file))
        return DOUBT_STALE;
    if (found.pid_error)
        return found.pid_error == -ENOENT ? DOUBT_NONE : doubt_of_reading(found.pid_error);
    pid_t pid = found.pid;
    if (pidref_open(pid, &ref) < 0)
        return DOUBT_ENDED;
    pidref_close(&ref);
    if (!tracker_has(process, pid)) {
        struct process_stat stat;
        bool zombie = process_read_stat(pid, &stat) == 0 && stat.state == 'Z';
        return zombie ? DOUBT_ENDED : DOUBT_FOREIGN;
    }
    if (forks->main && !process_is_called(pid, forks->main))
        return DOUBT_NAME;
    *ret_pid = pid;
    return DOUBT_NONE;
}

static void warn_once(struct process *process, enum doubt doubt)
{
    const char *path = definition_of(process)->forks.pid_file;
    struct looking *looking = process->looking;
    if (doubt == DOUBT_NONE || !looking || looking->warned & 1u << doubt)
        return;
    looking->warned |= 1u << doubt;
    LOG(WARNING, "A pid file is not believed: waiting for another one",
        TEXT("service", process_record(process)->name), TEXT("file", path),
        TEXT("why", doubt_words[doubt]));
    journal_client_event(process->executor->launcher->journal, process->slot, 4,
                         "%s is not believed: %s", path, doubt_words[doubt]);
}

/* ---- by looking ---------------------------------------------------------------------------- */

struct candidate {
    struct process_stat stat;
    bool found, has_parent;
};

static bool is_older(const struct candidate *a, const struct candidate *b)
{
    if (a->stat.start_ticks != b->stat.start_ticks)
        return a->stat.start_ticks < b->stat.start_ticks;
    /* Born in the same hundredth of a second: the child is not the older one. */
    if (a->has_parent != b->has_parent)
        return !a->has_parent;
    return a->stat.pid < b->stat.pid;
}

static bool is_among(const pid_t *pids, ssize_t count, pid_t pid)
{
    for (ssize_t i = 0; i < count; i++)
        if (pids[i] == pid)
            return true;
    return false;
}

/* One look for find_oldest. *ret_ended: one has ended between being listed and being looked at. */
static pid_t look_for_oldest(const struct process *process, pid_t other_than, bool *ret_guess,
                             bool *ret_ended)
{
    const char *name = definition_of(process)->forks.main;
    struct candidate oldest = {.found = false};
    AUTO_FREE pid_t *pids = NULL;
    ssize_t count = tracker_processes(process, &pids);
    size_t roots = 0;

    *ret_ended = false;

    for (ssize_t i = 0; i < count; i++) {
        struct candidate one = {.found = true, .stat.pid = pids[i]};
        if (pids[i] == other_than || pids[i] == process_record(process)->hook_pid)
            continue;
        int failed = process_read_stat(pids[i], &one.stat);
        if ((failed && failed != -ENXIO) || one.stat.state == 'Z') {
            *ret_ended = true;
            continue; /* with a foreign /proc the lowest number has to do */
        }
        one.has_parent = one.stat.parent != other_than && is_among(pids, count, one.stat.parent);
        roots += !one.has_parent;
        if (name && !process_is_called(pids[i], name))
            continue;
        if (!oldest.found || is_older(&one, &oldest))
            oldest = one;
    }
    *ret_guess = !name && roots > 1;
    return oldest.found ? oldest.stat.pid : 0;
}

/* The oldest that lives (of the right name), but for `other_than`. Returns 0 when there is none, or
 * *looks are used up. It is only a guess where several have no parent among them. */
static pid_t find_oldest(const struct process *process, pid_t other_than, int *looks,
                         bool *ret_guess)
{
    bool ended = true;
    pid_t pid = 0;
    while (!pid && ended && (*looks)-- > 0)
        pid = look_for_oldest(process, other_than, ret_guess, &ended);
    return pid; /* one that has ended may have left a child that was not listed yet */
}

static void on_pid_file(struct watch_path *watch)
{
    executor_look_for_main(container_of(watch, struct looking, pid_file)->process);
}

static void on_look_time(struct loop_timer *timer)
{
    executor_look_for_main(container_of(timer, struct looking, timer)->process);
}

void executor_stop_looking(struct process *process)
{
    struct looking *looking = process->looking;
    if (!looking)
        return;
    watch_path_end(&looking->pid_file);
    loop_clear_timer(&process->executor->launcher->loop, &looking->timer);
    process->looking = NULL;
    free(looking);
    if (!process->sweeping)
        tracker_unwatch(process);
}

/* Watches what may tell of the main process before it is looked for, so that nothing is missed. */
static void begin_looking(struct process *process)
{
    const struct forks *forks = &definition_of(process)->forks;
    struct looking *looking = calloc(1, sizeof *looking);
    if (!looking) {
        executor_watch_later(process);
        return;
    }
    looking->process = process;
    process->looking = looking;
    if (forks->pid_file)
        watch_path_begin(&process->executor->paths, &looking->pid_file, forks->pid_file,
                         on_pid_file);
}

bool executor_is_leaderless(const struct process *process)
{
    return forks(process) && body_of(process)->forked == FORK_LOOKING &&
           !process_record(process)->main_pid;
}

static void nothing_left(struct process *process)
{
    struct service_body body;
    executor_stop_looking(process);
    manager_edit(manager_of(process), process_service(process), &body);
    body.reason = (struct reason){.code = REASON_NOTHING_LEFT, .service = SLOT_NONE};
    body.retry = 1; /* a program that did not come up may do so next time */
    body.ended = 1;
    body.exit_kind = EXIT_CODE; /* that of the first process */
    body.exit_value = 0;
    manager_commit(manager_of(process), process_service(process), &body);
    journal_client_run_ended(process->executor->launcher->journal, process->slot, 0, 0, "");
    manager_event(manager_of(process), process_service(process), EVENT_SPAWN_FAILED);
}

/* Returns whether the main process was found. */
static bool find_main(struct process *process)
{
    const struct forks *forks = &definition_of(process)->forks;
    for (int looks = LOOKS_STARTING;;) {
        bool guess = false;
        pid_t pid = 0;
        if (forks->pid_file)
            warn_once(process, ask_pid_file(process, &pid));
        else
            pid = find_oldest(process, 0, &looks, &guess);
        if (pid <= 0)
            return false;
        int failed = executor_adopt_main(process, pid, guess ? FORK_GUESSED : FORK_FOUND);
        if (failed != -ESRCH) /* else it has ended since: who is next? */
            return failed == 0;
        if (forks->pid_file)
            return false;
    }
}

void executor_look_for_main(struct process *process)
{
    const struct service_body *body = body_of(process);
    if (body->state != STATE_STARTING || !executor_is_leaderless(process))
        return;
    const struct forks *forks = &definition_of(process)->forks;
    if (!process->looking)
        begin_looking(process);
    if (!process->looking)
        return; /* what is watched without it would be watched for ever */
    bool empty = tracker_watch(process);
    if (!empty && find_main(process)) {
        executor_ready_settle(process);
        return;
    }
    if (empty || tracker_watch(process))
        nothing_left(process);
    else if (process->looking && (forks->main || !forks->pid_file))
        loop_set_timer(&process->executor->launcher->loop, &process->looking->timer,
                       clock_now_ns() + LOOK_AGAIN_MS * NS_PER_MS, on_look_time);
}

bool executor_main_is_known(const struct process *process)
{
    return !forks(process) || body_of(process)->forked >= FORK_FOUND;
}

/* ---- ends ---------------------------------------------------------------------------------- */

static void first_ended(struct process *process)
{
    struct service_body body;
    manager_edit(manager_of(process), process_service(process), &body);
    body.forked = FORK_LOOKING;
    manager_commit(manager_of(process), process_service(process), &body);
    executor_release_main(process);
    executor_look_for_main(process);
}

/* While the pid file is looked at apart nobody knows whether that was the end. */
static void hold_end(struct process *process, enum exit_kind kind, int value)
{
    process->end_held = true;
    process->held_kind = kind;
    process->held_value = value;
    /* Its zombie would tell again and again. */
    loop_remove(&process->executor->launcher->loop, &process->main_source);
}

/* Whether another process is the main one from here on, or may be. A pid file that names another is
 * believed whatever the end was: that is how a program replaces itself. Without one, the oldest
 * that is left follows one that ended with 0 (it went to the background once more), and one that
 * was not more than any other. */
static bool take_over(struct process *process, enum exit_kind kind, int value)
{
    const struct service_body *body = body_of(process);
    pid_t former = process_record(process)->main_pid, pid = 0;
    enum fork_stage stage = (enum fork_stage)body->forked;
    bool guess = false;
    int looks = LOOKS_RUNNING;

    for (;;) {
        if (definition_of(process)->forks.pid_file)
            ask_pid_file(process, &pid);
        else if (stage == FORK_GUESSED || (kind == EXIT_CODE && value == 0))
            pid = find_oldest(process, former, &looks, &guess);
        if (pid == PID_LOOKED_FOR) {
            hold_end(process, kind, value);
            return true;
        }
        if (!pid || pid == former)
            return false;
        int failed = executor_adopt_main(process, pid, guess ? FORK_GUESSED : FORK_FOUND);
        if (failed == 0)
            break;
        if (failed != -ESRCH || definition_of(process)->forks.pid_file)
            return false;
    }
    LOG(INFO, "Another process is the main one now", TEXT("service", process_record(process)->name),
        NUMBER("former", former), NUMBER("pid", pid));
    journal_client_event(process->executor->launcher->journal, process->slot, 6,
                         "process %d has ended, the main one is %d now", (int)former, (int)pid);
    return true;
}

void executor_forks_looked(struct process *process)
{
    if (process->looking)
        executor_look_for_main(process);
    if (!process->end_held)
        return;
    process->end_held = false;
    executor_main_ended(process, process->held_kind, process->held_value);
}

bool executor_forks_goes_on(struct process *process, enum exit_kind kind, int value)
{
    const struct service_body *body = body_of(process);
    bool up = body->state == STATE_STARTING || body->state == STATE_SETTLING ||
              body->state == STATE_RUNNING;
    if (!forks(process) || !up)
        return false;
    if (body->forked >= FORK_FOUND)
        return take_over(process, kind, value);
    if (body->state != STATE_STARTING || body->forked != FORK_FIRST || kind != EXIT_CODE ||
        value != 0)
        return false;
    first_ended(process);
    return true;
}
