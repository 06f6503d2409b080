/* The executor: the actions of the machine as system calls, one function an action.
 *
 * A service that is not idle has a `struct process`: what is watched for it. What must survive this
 * program is in its record, not here. */
#include "service-launcher/executor-internal.h"
#include "service-launcher/follow.h"
#include "service-launcher/journal-client.h"
#include "service-launcher/tracker.h"

#include "base/clock.h"
#include "log/log.h"
#include "proc/cgroup-limits.h"
#include "proc/processes.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct service *process_service(const struct process *process)
{
    return &process->executor->launcher->manager.services[process->slot];
}

struct service_record *process_record(const struct process *process)
{
    return &process->executor->launcher->manager.records[process->slot];
}

/* ---- life ---------------------------------------------------------------------------------- */

static bool path_may_hang(void *context, const char *path)
{
    return look_may_hang(context, path);
}

int executor_create(struct launcher *launcher, const struct rlimit *nofile, struct executor **ret)
{
    struct executor *executor = calloc(1, sizeof *executor);
    if (!executor)
        return -ENOMEM;
    executor->launcher = launcher;
    executor->nofile = *nofile;
    executor->cgroup_folder = executor->follow_fd = executor->bell_fd = -1;
    executor->bell_source.fd = -1;
    mounts_open(&executor->mounts);
    looks_init(&executor->looks);
    watch_paths_init(&executor->paths, &launcher->loop);
    executor->paths.may_hang = path_may_hang;
    executor->paths.context = executor;
    executor->random_state = clock_read_ns(CLOCK_MONOTONIC) ^ (uint64_t)getpid() << 32;
    list_init(&executor->spawn_queue);
    list_init(&executor->rest_queue);
    list_init(&executor->last_words);
    list_init(&executor->formers);
    *ret = executor;
    return 0;
}

struct watch_paths *executor_watch_paths(struct executor *executor)
{
    return &executor->paths;
}

struct process *executor_process(const struct executor *executor, uint32_t slot)
{
    return slot < executor->slots ? executor->processes[slot] : NULL;
}

/* The process of a slot, made where there is none; NULL without memory. */
struct process *executor_need_process(struct executor *executor, uint32_t slot)
{
    if (slot >= executor->slots) {
        uint32_t slots = executor->launcher->manager.slots;
        struct process **grown = reallocarray(executor->processes, slots, sizeof *grown);
        if (!grown)
            return NULL;
        memset(grown + executor->slots, 0, (slots - executor->slots) * sizeof *grown);
        executor->processes = grown;
        executor->slots = slots;
    }
    struct process *process = executor->processes[slot];
    if (process)
        return process;
    process = calloc(1, sizeof *process);
    if (!process)
        return NULL;
    process->executor = executor;
    process->slot = slot;
    process->main = process->hook = process->follower = PIDREF_NONE;
    process->main_source.fd = process->hook_source.fd = -1;
    process->follower_source.fd = process->events_source.fd = -1;
    process->output_fd = process->pipe_fd = process->cgroup_fd = -1;
    process->ready_fd = process->ready_give_fd = process->ready_source.fd = -1;
    process->report_source.fd = -1;
    list_init(&process->spawn_link);
    list_init(&process->rest_link);
    executor->processes[slot] = process;
    return process;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void destroy_process(struct process *process)
{
    struct executor *executor = process->executor;
    executor_forget_pid(process, &process->main, &process->main_source);
    executor_forget_pid(process, &process->hook, &process->hook_source);
    executor_forget_apart(process);
    look_forget(executor, process->slot);
    follow_forget(process);
    executor_stop_looking(process);
    tracker_unwatch(process);
    loop_clear_timer(&executor->launcher->loop, &process->timer);
    loop_clear_timer(&executor->launcher->loop, &process->watch_timer);
    list_remove(&process->spawn_link);
    list_remove(&process->rest_link);
    close_fd(&process->output_fd);
    close_fd(&process->pipe_fd);
    close_fd(&process->cgroup_fd);
    executor_ready_end(process);
    executor_notify_close(process);
    loop_remove(&executor->launcher->loop, &process->ready_source);
    close_fd(&process->ready_fd);
    close_fd(&process->ready_give_fd);
    executor->processes[process->slot] = NULL;
    free(process);
}

void executor_set_cgroup_folder(struct executor *executor, int fd)
{
    close_fd(&executor->cgroup_folder);
    executor->cgroup_folder = fd;
    executor->controllers = fd >= 0 && cgroup_has_controllers(fd);
}

int executor_cgroup_path(const struct executor *executor, char *ret, size_t size_bytes)
{
    return executor->cgroup_folder < 0
               ? -ENOENT
               : cgroup_folder_paths(executor->cgroup_folder, ret, size_bytes);
}

void executor_rest(struct executor *executor, struct service *service)
{
    struct process *process = executor_process(executor, service->slot);
    if (!process)
        return;
    list_remove(&process->rest_link);
    list_append(&executor->rest_queue, &process->rest_link);
    process->rest_sequence = journal_client_said(executor->launcher->journal);
}

/* Keys that init is to hold no more, sent in batches. */
struct dropped {
    struct executor *executor;
    size_t count;
    uint32_t keys[HAND_OVER_KEYS_MAX];
};

static void send_dropped(struct dropped *dropped)
{
    if (dropped->count)
        init_link_drop(dropped->executor->launcher->init_link, OWNER_LAUNCHER | OWNER_JOURNAL,
                       dropped->keys, dropped->count);
    dropped->count = 0;
}

static void drop_key(struct dropped *dropped, uint32_t key)
{
    if (dropped->count == HAND_OVER_KEYS_MAX)
        send_dropped(dropped);
    dropped->keys[dropped->count++] = key;
}

static bool has_pipe(const struct process *process)
{
    return process->output_fd >= 0 || process->pipe_fd >= 0;
}

static bool is_at_rest(const struct process *process)
{
    enum service_state state = service_state(manager_of(process), process_service(process));
    return machine_states[state].idle && state != STATE_BACKING_OFF && state != STATE_WAITING &&
           !process_record(process)->hook_pid; /* it was killed: its end brings us here again */
}

/* What a service has printed last is in its pipe, and nowhere else once we let go of it, until the
 * journal has heard that the run is over: a journal that is killed before would take it along. The
 * writing end closes with us; the journal reads what children may print yet, then sees the end. */
void executor_rest_all(struct executor *executor)
{
    const struct journal_client *journal = executor->launcher->journal;
    struct dropped dropped = {.executor = executor};
    while (!list_empty(&executor->last_words)) {
        struct last_words *last =
            container_of(list_first(&executor->last_words), struct last_words, node);
        if (!journal_client_has_heard(journal, last->sequence))
            break;
        drop_key(&dropped, KEY_SERVICE_FIRST + last->slot);
        manager_linger(&executor->launcher->manager, last->slot, false);
        list_remove(&last->node);
        free(last);
    }
    while (!list_empty(&executor->rest_queue)) {
        struct process *process =
            container_of(list_first(&executor->rest_queue), struct process, rest_link);
        if (is_at_rest(process) && has_pipe(process) &&
            !journal_client_has_heard(journal, process->rest_sequence))
            break; /* nor has it heard of those behind */
        list_remove(&process->rest_link);
        if (!is_at_rest(process))
            continue;
        if (has_pipe(process))
            drop_key(&dropped, KEY_SERVICE_FIRST + process->slot);
        if (process->ready_stored)
            drop_key(&dropped, KEY_READY_FIRST + process->slot);
        destroy_process(process);
    }
    send_dropped(&dropped);
}

void executor_keep_last_words(struct executor *executor, uint32_t slot)
{
    struct last_words *last = malloc(sizeof *last);
    if (!last) {
        struct dropped dropped = {.executor = executor};
        drop_key(&dropped, KEY_SERVICE_FIRST + slot);
        send_dropped(&dropped);
        manager_linger(&executor->launcher->manager, slot, false);
        return;
    }
    *last = (struct last_words){.slot = slot,
                                .sequence = journal_client_said(executor->launcher->journal)};
    list_init(&last->node);
    list_append(&executor->last_words, &last->node);
    manager_linger(&executor->launcher->manager, slot, true);
}

void executor_forget(struct executor *executor, struct service *service)
{
    struct process *process = executor_process(executor, service->slot);
    struct dropped dropped = {.executor = executor};
    bool had_pipe = process && has_pipe(process);
    if (process && process->ready_stored)
        drop_key(&dropped, KEY_READY_FIRST + process->slot);
    if (process)
        destroy_process(process);
    send_dropped(&dropped);
    look_forget(executor, service->slot);
    if (executor->cgroup_folder >= 0)
        cgroup_remove(executor->cgroup_folder, service_name(&executor->launcher->manager, service));
    journal_client_forget(executor->launcher->journal, service->slot);
    if (had_pipe)
        executor_keep_last_words(executor, service->slot);
}

void executor_remove_cgroups(struct executor *executor)
{
    if (executor->cgroup_folder < 0)
        return;
    cgroup_leave_leaf(executor->cgroup_folder);
    cgroup_remove_folder(executor->cgroup_folder);
}

/* ---- random -------------------------------------------------------------------------------- */

/* splitmix64: for jitter and invocation ids, where nobody must not guess. */
uint64_t executor_random_number(struct executor *executor)
{
    uint64_t z = executor->random_state += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

/* ---- timers -------------------------------------------------------------------------------- */

static void on_time(struct loop_timer *timer)
{
    struct process *process = container_of(timer, struct process, timer);
    struct service *service = process_service(process);
    struct service_body body;
    manager_edit(manager_of(process), service, &body);
    body.deadline_ns = 0;
    manager_commit(manager_of(process), service, &body);
    if (body.state == STATE_ENDING)
        executor_end_main(process, EXIT_UNKNOWN, 0); /* it counts as a failure */
    else if (executor_awaits_notice(process) && body.told == TOLD_NOTHING)
        manager_event(manager_of(process), service, EVENT_HOOKS_OK); /* it says nothing of that */
    else
        manager_event(manager_of(process), service, EVENT_TIME_OUT);
}

void executor_resume_timer(struct process *process, uint64_t at_ns)
{
    struct loop *loop = &process->executor->launcher->loop;
    if (at_ns)
        loop_set_timer(loop, &process->timer, at_ns, on_time);
    else
        loop_clear_timer(loop, &process->timer);
}

void executor_set_deadline(struct process *process, uint64_t at_ns)
{
    struct service *service = process_service(process);
    struct service_body body;
    manager_edit(manager_of(process), service, &body);
    if (body.deadline_ns != at_ns) {
        body.deadline_ns = at_ns;
        body.extended = 0;
        manager_commit(manager_of(process), service, &body);
    }
    executor_resume_timer(process, at_ns);
}

void executor_set_time_out(struct process *process, uint32_t time_out_ms)
{
    executor_set_deadline(
        process, time_out_ms == TIME_NEVER_MS ? 0 : clock_now_ns() + time_out_ms * NS_PER_MS);
}

void executor_feed_watchdog(struct process *process)
{
    const struct service_body *body = service_body(manager_of(process), process_service(process));
    if (body->state == STATE_RUNNING && body->told != TOLD_STOPPING)
        executor_set_deadline(
            process, body->watchdog_ms ? clock_now_ns() + body->watchdog_ms * NS_PER_MS : 0);
}

/* ---- actions ------------------------------------------------------------------------------- */

static enum service_event act_begin_run(struct process *process)
{
    struct executor *executor = process->executor;
    struct service *service = process_service(process);
    struct service_body body;
    process->sweeping = process->limited = process->limits_told = process->end_held = false;
    look_forget(executor, process->slot);
    manager_edit(manager_of(process), service, &body);
    body.invocation[0] = executor_random_number(executor);
    body.invocation[1] = executor_random_number(executor);
    body.watchdog_ms = service->definition->watchdog_ms;
    process_record(process)->status[0] = 0;
    process->notify_warned = false;
    process->main_pid_doubts = process->main_pid_changes = 0;
    manager_commit(manager_of(process), service, &body);
    executor_set_time_out(process, service->definition->start_timeout_ms);
    return EVENT_NONE;
}

static enum service_event act_hooks(struct process *process)
{
    return executor_next_hook(process);
}

static enum service_event act_spawn(struct process *process)
{
    if (!executor_begin_program(process))
        return EVENT_READY;
    executor_queue_spawn(process);
    return EVENT_NONE;
}

static enum service_event act_stop_timer(struct process *process)
{
    executor_set_time_out(process, process_service(process)->definition->stop.timeout_ms);
    return EVENT_NONE;
}

static enum service_event act_reload_timer(struct process *process)
{
    executor_set_time_out(process, process_service(process)->definition->start_timeout_ms);
    return EVENT_NONE;
}

/* Also one that is still to be spawned, and one that has ended and init has not said how. */
static enum service_event act_kill_hook(struct process *process)
{
    if (process->spawn_hook)
        list_remove(&process->spawn_link);
    process->spawn_hook = false;
    if (!process_record(process)->hook_pid)
        return EVENT_NONE;
    process->hook_cancelled = true;
    /* With what it has started, which is its group. */
    if (pidref_is_set(&process->hook) && pidref_signal(&process->hook, 0) == 0)
        kill(-process->hook.pid, SIGKILL);
    return EVENT_NONE;
}

/* Sends a signal to as much of the service as `mode` says. Returns whether anybody could get it. */
static bool send_signal(struct process *process, int signal, enum kill_mode mode)
{
    bool hook = pidref_is_set(&process->hook) && !process->hook_cancelled;
    const struct pidref *main = &process->main;

    if ((mode == KILL_ALL || executor_is_leaderless(process)) &&
        tracker_signal(process, signal) > 0)
        return true;
    if (hook)
        pidref_signal(&process->hook, signal);
    if (!pidref_is_set(main))
        return hook;
    /* While its zombie is not reaped its number, and so its group's, is nobody else's. */
    pid_t group = mode != KILL_MAIN && pidref_signal(main, 0) == 0 ? getpgid(main->pid) : 0;
    if (group > 1 && group != getpgrp())
        kill(-group, signal);
    else
        pidref_signal(main, signal);
    return true;
}

/* Whether a main process or a hook is there whose end will be an event. */
static bool has_process(const struct process *process)
{
    return process_record(process)->main_pid ||
           (pidref_is_set(&process->hook) && !process->hook_cancelled);
}

/* One that its watchdog ends is to leave a picture of itself. */
static int signal_of(const struct process *process)
{
    const struct service *service = process_service(process);
    bool watchdog = service_body(manager_of(process), service)->timed_out == TIMED_OUT_WATCHDOG;
    return watchdog ? SIGABRT : service->definition->stop.signal;
}

static enum service_event act_signal(struct process *process)
{
    const struct stop *stop = &process_service(process)->definition->stop;
    if (!list_empty(&process->spawn_link)) {
        list_remove(&process->spawn_link);
        process->spawn_hook = false;
        return EVENT_SPAWN_FAILED; /* it was still to come: there is nothing to end */
    }
    executor_stop_looking(process);
    tracker_thaw(process);
    if (executor_is_leaderless(process) && !tracker_watch(process)) {
        send_signal(process, stop->signal, KILL_ALL);
        send_signal(process, SIGCONT, KILL_ALL);
        return EVENT_NONE; /* executor_check_empty() tells when none is left */
    }
    if (!has_process(process))
        return EVENT_EXITED; /* what may be left of it is swept */
    /* Adopted, and its end was seen: its status is on its way. */
    if (!send_signal(process, signal_of(process), stop->kill))
        return EVENT_GONE;
    send_signal(process, SIGCONT, stop->kill); /* a stopped one could not obey */
    return EVENT_NONE;
}

int executor_signal(struct executor *executor, uint32_t slot, int signal, bool all)
{
    struct process *process = executor_process(executor, slot);
    if (!process)
        return -ESRCH;
    if (all)
        return send_signal(process, signal, KILL_ALL) ? 0 : -ESRCH;
    return pidref_is_set(&process->main) ? pidref_signal(&process->main, signal) : -ESRCH;
}

static enum service_event act_kill(struct process *process)
{
    if (!has_process(process) && !executor_is_leaderless(process))
        return EVENT_EXITED;
    if (tracker_kill(process) < 0)
        send_signal(process, SIGKILL, KILL_GROUP);
    else /* it may have left its cgroup */
        pidref_signal(&process->main, SIGKILL);
    return executor_is_leaderless(process) && tracker_watch(process) ? EVENT_EXITED : EVENT_NONE;
}

/* Whether nothing of the service is left; else it is watched until there is nothing. */
static bool is_empty(struct process *process)
{
    if (pidref_is_set(&process->hook) || process_record(process)->hook_pid)
        return false;
    return tracker_watch(process);
}

/* What comes next, a hook or another run, needs a cgroup that was never killed. */
static void end_sweep(struct process *process)
{
    process->sweeping = false;
    tracker_unwatch(process);
    tracker_renew(process);
}

/* The run of a service that has no main process ends when nothing is left of it. */
static void check_leaderless(struct process *process)
{
    enum service_state state = service_state(manager_of(process), process_service(process));
    if (state == STATE_STARTING) {
        executor_look_for_main(process);
        return;
    }
    if ((state != STATE_STOPPING && state != STATE_KILLING) || !tracker_watch(process))
        return;
    executor_note_exit(process, EXIT_CODE, 0); /* that of the first process */
    journal_client_run_ended(process->executor->launcher->journal, process->slot, 0, 0, "");
    manager_event(manager_of(process), process_service(process), EVENT_EXITED);
}

void executor_check_empty(struct process *process)
{
    if (!process->sweeping && executor_is_leaderless(process))
        check_leaderless(process);
    if (!process->sweeping || !is_empty(process))
        return;
    end_sweep(process);
    manager_event(manager_of(process), process_service(process), EVENT_EMPTY);
}

static enum service_event act_sweep(struct process *process)
{
    process->sweeping = true;
    if (pidref_is_set(&process->hook))
        pidref_signal(&process->hook, SIGKILL);
    executor_stop_looking(process);
    if (!tracker_watch(process))
        tracker_kill(process);
    if (!is_empty(process))
        return EVENT_NONE;
    end_sweep(process);
    return EVENT_EMPTY;
}

static enum service_event act_back_off(struct process *process)
{
    uint64_t at_ns = service_body(manager_of(process), process_service(process))->deadline_ns;
    if (at_ns <= clock_now_ns())
        return EVENT_TIME_OUT;
    executor_set_deadline(process, at_ns);
    return EVENT_NONE;
}

static enum service_event act_no_timer(struct process *process)
{
    const struct service_body *body = service_body(manager_of(process), process_service(process));
    if (body->state == STATE_RUNNING && body->told == TOLD_STOPPING)
        return EVENT_NONE; /* the time it has to end goes on */
    if (body->state == STATE_RUNNING && body->watchdog_ms)
        executor_feed_watchdog(process);
    else
        executor_set_time_out(process,
                              body->state == STATE_ENDING ? STATUS_WAIT_MS : TIME_NEVER_MS);
    return EVENT_NONE;
}

/* In the order of enum service_action: what follows at once is the last one's answer. */
static const struct {
    enum service_action action;
    enum service_event (*act)(struct process *process);
} actions_table[] = {
    {ACTION_BEGIN_RUN, act_begin_run},
    {ACTION_STOP_TIMER, act_stop_timer},
    {ACTION_RELOAD_TIMER, act_reload_timer},
    {ACTION_NO_TIMER, act_no_timer},
    {ACTION_KILL_HOOK, act_kill_hook},
    {ACTION_HOOKS, act_hooks},
    {ACTION_SPAWN, act_spawn},
    {ACTION_SIGNAL, act_signal},
    {ACTION_KILL, act_kill},
    {ACTION_SWEEP, act_sweep},
    {ACTION_BACK_OFF, act_back_off},
};

/* A service without a process has nothing to end: each action has its end at once. */
static enum service_event without_memory(struct launcher *launcher, struct service *service,
                                         unsigned actions)
{
    struct manager *manager = &launcher->manager;
    LOG(ERROR, "No memory for a service", TEXT("service", service_name(manager, service)),
        TEXT("error", strerror(ENOMEM)));
    if (actions & ACTION_SWEEP)
        return EVENT_EMPTY;
    if (actions & ACTION_BEGIN_RUN || actions & ACTION_SPAWN) {
        struct service_body body;
        manager_edit(manager, service, &body);
        body.retry = true;
        body.reason = (struct reason){
            .code = REASON_STEP_FAILED, .step = STEP_CLONE, .service = SLOT_NONE, .number = ENOMEM};
        manager_commit(manager, service, &body);
        return EVENT_SPAWN_FAILED;
    }
    return actions & ACTION_HOOKS ? EVENT_HOOKS_OK : EVENT_NONE;
}

enum service_event executor_act(void *context, struct service *service, unsigned actions)
{
    struct launcher *launcher = context;
    struct process *process = executor_need_process(launcher->executor, service->slot);
    enum service_event event = EVENT_NONE;

    if (!process)
        return without_memory(launcher, service, actions);
    if (service_state(&launcher->manager, service) != STATE_STARTING)
        executor_ready_end(process);
    for (size_t i = 0; i < sizeof actions_table / sizeof *actions_table; i++)
        if (actions & actions_table[i].action)
            event = actions_table[i].act(process);
    return event;
}
