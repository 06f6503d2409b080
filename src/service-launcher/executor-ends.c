/* The ends of processes: how a main process or a hook ended is found, or waited for, and becomes
 * the event that follows. Some are our own children; those of a launcher before us are init's,
 * which says how they ended. */
#include "service-launcher/executor-internal.h"
#include "service-launcher/follow.h"
#include "service-launcher/journal-client.h"
#include "service-launcher/tracker.h"

#include "base/clock.h"
#include "base/signals.h"
#include "base/text.h"
#include "proc/processes.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define WATCH_AGAIN_MS 1000 /* until what could not be watched is tried again */

void executor_forget_pid(struct process *process, struct pidref *which, struct loop_fd *source)
{
    loop_remove(&process->executor->launcher->loop, source);
    pidref_close(which);
}

void executor_note_exit(struct process *process, enum exit_kind kind, int value)
{
    struct service_body body;
    manager_edit(manager_of(process), process_service(process), &body);
    body.exit_kind = (uint8_t)kind;
    body.exit_value = value;
    body.ended = 1;
    manager_commit(manager_of(process), process_service(process), &body);
}

static enum exit_kind kind_of_code(int code)
{
    return code == CLD_EXITED ? EXIT_CODE : EXIT_SIGNAL;
}

void executor_release_main(struct process *process)
{
    process_record(process)->main_pid = 0;
    if (pidref_is_set(&process->main))
        pidref_reap(&process->main);
    executor_forget_pid(process, &process->main, &process->main_source);
}

static void tell_end(struct process *process, enum exit_kind kind, int value)
{
    int32_t pid = process_record(process)->main_pid;
    char storage[64];
    struct text text;
    text_init(&text, storage, sizeof storage);
    text_printf(&text, "ended pid=%d ", (int)pid);
    if (kind == EXIT_CODE)
        text_printf(&text, "exit=%d", value);
    else if (kind == EXIT_SIGNAL) {
        text_add(&text, "signal=");
        signals_format(value, &text);
    } else
        text_add(&text, "exit=unknown");
    journal_client_run_ended(process->executor->launcher->journal, process->slot, pid, 6, storage);
}

/* The main process has ended, and how is known, or never will be: first into the record, then the
 * zombie goes. */
void executor_end_main(struct process *process, enum exit_kind kind, int value)
{
    struct launcher *launcher = process->executor->launcher;
    /* Where nothing follows it, its group is all we know of; the zombie still keeps the group's
     * number from being anybody else's. */
    if (!tracker_follows(process) && pidref_is_set(&process->main) &&
        pidref_signal(&process->main, 0) == 0) {
        pid_t group = getpgid(process->main.pid);
        if (group > 1 && group != getpgrp())
            kill(-group, SIGKILL);
    }
    /* Told before it is noted: a launcher that is killed in between takes it for told. */
    tell_end(process, kind, value);
    executor_note_exit(process, kind, value);
    executor_release_main(process);
    manager_event(&launcher->manager, process_service(process), EVENT_EXITED);
}

void executor_main_ended(struct process *process, enum exit_kind kind, int value)
{
    if (!executor_notify_hands_over(process) && !executor_forks_goes_on(process, kind, value))
        executor_end_main(process, kind, value);
}

void executor_main_lost(struct process *process)
{
    enum service_state state = service_state(manager_of(process), process_service(process));
    if (state == STATE_STARTING && !executor_is_leaderless(process))
        executor_end_main(process, EXIT_UNKNOWN, 0);
}

static void main_ended_with(struct process *process, int status)
{
    if (WIFEXITED(status))
        executor_main_ended(process, EXIT_CODE, WEXITSTATUS(status));
    else
        executor_main_ended(process, EXIT_SIGNAL, WTERMSIG(status));
}

static void on_main_ended(struct loop_fd *source, uint32_t events)
{
    struct process *process = container_of(source, struct process, main_source);
    int code, status, failed = pidref_peek(&process->main, &code, &status);
    (void)events;

    if (failed == -EAGAIN)
        return;
    if (executor_apart_failed(process, false) && process_record(process)->follower_pid) {
        executor_forget_pid(process, &process->main, &process->main_source);
        return; /* its follower ends by the same */
    }
    if (process->apart_failed && !process->apart_hook && executor_fail_apart(process, false))
        return;
    if (!failed)
        executor_main_ended(process, kind_of_code(code), status);
    else
        executor_main_gone(process);
}

/* Whether somebody who has not said it yet will say how the main process ended. */
static bool end_will_be_told(const struct process *process)
{
    const struct service *service = process_service(process);
    const struct service_body *body = service_body(manager_of(process), service);
    bool up = body->state == STATE_STARTING || body->state == STATE_SETTLING ||
              body->state == STATE_RUNNING;
    /* Where a service forks the status decides whether this is its end at all. */
    return process_record(process)->follower_pid || (body->type == TYPE_FORKING && up);
}

/* Nobody has said it: nobody ever will. */
static void on_untold(struct loop_timer *timer)
{
    struct process *process = container_of(timer, struct process, watch_timer);
    if (process_record(process)->main_pid && process->main_source.fd < 0)
        executor_main_ended(process, EXIT_UNKNOWN, 0);
}

void executor_main_gone(struct process *process)
{
    int status;
    if (executor_notify_hands_over(process))
        return;
    if (follow_knows_end(process, &status) ||
        (pidref_is_set(&process->main) && pidref_end_status(&process->main, &status) == 0)) {
        main_ended_with(process, status);
        return;
    }
    executor_forget_pid(process, &process->main, &process->main_source);
    if (end_will_be_told(process)) {
        loop_set_timer(&process->executor->launcher->loop, &process->watch_timer,
                       clock_now_ns() + STATUS_WAIT_MS * NS_PER_MS, on_untold);
        return;
    }
    manager_event(manager_of(process), process_service(process), EVENT_GONE);
    if (service_state(manager_of(process), process_service(process)) == STATE_ENDING)
        executor_set_time_out(process, STATUS_WAIT_MS);
}

void executor_release_hook(struct process *process)
{
    process_record(process)->hook_pid = 0;
    if (pidref_is_set(&process->hook))
        pidref_reap(&process->hook);
    executor_forget_pid(process, &process->hook, &process->hook_source);
}

static void end_hook(struct process *process, enum exit_kind kind, int value)
{
    bool cancelled = process->hook_cancelled;
    bool unexecuted = executor_apart_failed(process, true);
    process->hook_cancelled = false;
    if (unexecuted && !cancelled && !process->sweeping && executor_fail_apart(process, true)) {
        executor_rest(process->executor, process_service(process));
        return;
    }
    process->apart_failed = false;
    if (process->sweeping || cancelled)
        executor_release_hook(process);
    if (process->sweeping)
        executor_check_empty(process);
    else if (!cancelled)
        executor_hook_ended(process, kind, value);
    executor_rest(process->executor, process_service(process));
}

static void on_hook_ended(struct loop_fd *source, uint32_t events)
{
    struct process *process = container_of(source, struct process, hook_source);
    int code, status, failed = pidref_peek(&process->hook, &code, &status);
    (void)events;

    if (failed == -EAGAIN)
        return;
    if (!failed)
        end_hook(process, kind_of_code(code), status);
    else /* adopted: init will say how */
        executor_forget_pid(process, &process->hook, &process->hook_source);
}

static void on_watch_time(struct loop_timer *timer)
{
    struct process *process = container_of(timer, struct process, watch_timer);
    executor_watch(process, true);
    if (executor_notifies(process))
        executor_notify_watch_on(process);
    executor_ready_late(process);
    executor_look_for_main(process);
    if (executor_watch(process, false) == -ESRCH)
        executor_main_gone(process);
}

void executor_watch_later(struct process *process)
{
    loop_set_timer(&process->executor->launcher->loop, &process->watch_timer,
                   clock_now_ns() + WATCH_AGAIN_MS * NS_PER_MS, on_watch_time);
}

void executor_watch_again(struct process *process)
{
    loop_set_timer(&process->executor->launcher->loop, &process->watch_timer, clock_now_ns(),
                   on_watch_time);
}

/* A pidfd stays readable: one that is watched late misses nothing. */
int executor_watch(struct process *process, bool hook)
{
    struct loop *loop = &process->executor->launcher->loop;
    const struct service_record *record = process_record(process);
    struct pidref *which = hook ? &process->hook : &process->main;
    struct loop_fd *source = hook ? &process->hook_source : &process->main_source;
    int32_t pid = hook ? record->hook_pid : record->main_pid;
    if (!pid || source->fd >= 0)
        return 0;
    int failed = pidref_is_set(which) ? 0 : pidref_open(pid, which);
    if (!failed)
        failed = loop_add(loop, source, which->fd, EPOLLIN, hook ? on_hook_ended : on_main_ended);
    if (failed && failed != -ESRCH)
        executor_watch_later(process);
    return failed;
}

/* init reaps only what is not ours: a child of our own with that number is another process. */
static bool is_own_child(const struct pidref *process)
{
    int code, status;
    return pidref_is_set(process) && pidref_peek(process, &code, &status) != -ECHILD;
}

void executor_on_ended(struct executor *executor, pid_t pid, int status)
{
    struct manager *manager = &executor->launcher->manager;
    enum exit_kind kind = WIFEXITED(status) ? EXIT_CODE : EXIT_SIGNAL;
    int value = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);

    for (uint32_t slot = 0; slot < manager->slots; slot++) {
        const struct service_record *record = &manager->records[slot];
        struct process *process = executor_process(executor, slot);
        if (!process || !record->name[0])
            continue;
        if (record->main_pid == pid && !is_own_child(&process->main))
            executor_main_ended(process, kind, value);
        else if (record->hook_pid == pid && !is_own_child(&process->hook))
            end_hook(process, kind, value);
        else
            continue;
        return;
    }
}
