/* Recovery: a new launcher goes on where a dead one was. Every service of the state is taken up as
 * its record says; what the dead one may have left undone is done again, and harms nobody then. */
#include "service-launcher/executor-internal.h"
#include "service-launcher/follow.h"
#include "service-launcher/journal-client.h"

#include "base/clock.h"
#include "log/log.h"
#include "protocol/journal-link.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* What may be left undone in a state. Where a process runs that the state waits for, nothing is. */
static const unsigned undone[SERVICE_STATES] = {
    [STATE_PREPARING] = ACTION_HOOKS, [STATE_STARTING] = ACTION_SPAWN,
    [STATE_SETTLING] = ACTION_HOOKS,  [STATE_LEAVING] = ACTION_HOOKS,
    [STATE_RELOADING] = ACTION_HOOKS, [STATE_STOPPING] = ACTION_SIGNAL,
    [STATE_KILLING] = ACTION_KILL,    [STATE_SWEEPING] = ACTION_SWEEP,
    [STATE_FINISHING] = ACTION_HOOKS, [STATE_BACKING_OFF] = ACTION_BACK_OFF,
};

void executor_expect_pipe(struct executor *executor, uint32_t slot)
{
    struct manager *manager = &executor->launcher->manager;
    if (slot < manager->slots && !manager->records[slot].name[0])
        manager_linger(manager, slot, true);
}

void executor_take_pipe(struct executor *executor, uint32_t slot, int fd)
{
    const struct manager *manager = &executor->launcher->manager;
    struct process *process = NULL;
    if (slot < manager->slots && manager->records[slot].name[0])
        process = executor_need_process(executor, slot);
    else /* of a service that the former launcher has forgotten */
        executor_keep_last_words(executor, slot);
    if (!process || process->pipe_fd >= 0) {
        close(fd);
        return;
    }
    process->pipe_fd = fd;
}

void executor_take_ready(struct executor *executor, uint32_t slot, int fd)
{
    struct process *process = NULL;
    if (slot < executor->launcher->manager.slots)
        process = executor_need_process(executor, slot);
    if (!process || process->ready_fd >= 0) {
        close(fd);
        return;
    }
    process->ready_fd = fd;
    process->ready_stored = true;
}

/* Opens a recorded process. Its number cannot be another's: while no launcher works nobody reaps,
 * and where init had to, it says so and ENDED comes. Returns -ESRCH when it is gone. */
static int adopt(struct process *process, bool hook)
{
    const struct service_record *record = process_record(process);
    int failed = executor_watch(process, hook);
    if (failed && failed != -ESRCH)
        LOG(ERROR, "Cannot watch a process that was running yet", TEXT("service", record->name),
            NUMBER("pid", hook ? record->hook_pid : record->main_pid),
            TEXT("error", strerror(-failed)));
    return failed;
}

/* What cannot be opened now is tried again by its number, when it is watched. */
static void open_recorded(struct pidref *which, int32_t pid)
{
    if (pid && !pidref_is_set(which) && pidref_open(pid, which) < 0)
        *which = PIDREF_NONE;
}

void executor_open_recorded(struct executor *executor)
{
    struct manager *manager = &executor->launcher->manager;
    for (uint32_t slot = 0; slot < manager->slots; slot++) {
        const struct service *service = &manager->services[slot];
        const struct service_record *record = &manager->records[slot];
        bool any = record->main_pid || record->hook_pid || record->follower_pid;
        struct process *process =
            service->in_use && any ? executor_need_process(executor, slot) : NULL;
        if (!process)
            continue;
        open_recorded(&process->hook, record->hook_pid);
        open_recorded(&process->follower, record->follower_pid);
        /* Else main_pid was the first process's, or is not believed yet. */
        if (service_body(manager, service)->forked != FORK_LOOKING)
            open_recorded(&process->main, record->main_pid);
    }
}

static void open_service_cgroup(struct process *process)
{
    struct executor *executor = process->executor;
    if (executor->cgroup_folder < 0)
        return;
    int fd = cgroup_open(executor->cgroup_folder, process_record(process)->name);
    process->cgroup_fd = fd < 0 ? -1 : fd;
    /* The former launcher may have killed it in one of these. */
    enum service_state state =
        service_state(&executor->launcher->manager, process_service(process));
    process->cgroup_killed =
        state == STATE_KILLING || state == STATE_ENDING || state == STATE_SWEEPING;
}

/* The journal may not have heard of it; if it has, this changes nothing. */
static void register_again(struct process *process)
{
    struct launcher *launcher = process->executor->launcher;
    const struct service *service = process_service(process);
    if (process->pipe_fd < 0)
        return;
    journal_client_register(launcher->journal, service->slot,
                            service_name(&launcher->manager, service), service->definition->logs,
                            service->definition->console ? JOURNAL_FLAG_CONSOLE : 0,
                            &service->definition->quota, JOURNAL_CLIENT_OPEN_PIPE);
}

/* The event that takes the machine on; EVENT_NONE when a process that runs will. */
static enum service_event resume(struct process *process)
{
    struct launcher *launcher = process->executor->launcher;
    struct service *service = process_service(process);
    const struct service_record *record = process_record(process);
    const struct service_body *body = service_body(&launcher->manager, service);
    enum service_state state = (enum service_state)body->state;

    /* The exit was noted, and not yet acted on: it is not to run twice. */
    if (body->ended && !record->main_pid &&
        (state == STATE_STARTING || state == STATE_SETTLING || state == STATE_RUNNING ||
         state == STATE_RELOADING || state == STATE_ENDING))
        return EVENT_EXITED;
    if (state == STATE_STARTING && executor_has_begun(process)) {
        executor_ready_begin(process, true);
        /* Else its follower is about to make the first process. */
        if (executor_is_leaderless(process) &&
            service_state(&launcher->manager, service) == STATE_STARTING)
            executor_look_for_main(process);
        return EVENT_NONE;
    }
    if (record->hook_pid && state != STATE_SWEEPING && state != STATE_KILLING)
        return EVENT_NONE;
    if (state == STATE_PREPARING && !body->invocation[0] && !body->invocation[1])
        return executor_act(launcher, service, ACTION_BEGIN_RUN | ACTION_HOOKS);
    if (state == STATE_PREPARING && body->reason.code == REASON_HOOK_FAILED)
        return EVENT_HOOKS_FAILED; /* its end was noted, and not yet acted on */
    /* A list of hooks goes on at its place, it does not begin again. */
    if (undone[state] == ACTION_HOOKS)
        return executor_next_hook(process);
    if (!undone[state])
        return EVENT_NONE;
    return executor_act(launcher, service, undone[state]);
}

/* The state and its timer are two writes: a timer may be a former state's, or not set yet. */
static void resume_timer(struct process *process, const struct service_body *body)
{
    const struct definition *definition = process_service(process)->definition;
    uint32_t time_out_ms = TIME_NEVER_MS;
    switch ((enum service_state)body->state) {
    case STATE_PREPARING:
    case STATE_STARTING:
    case STATE_SETTLING:
    case STATE_RELOADING:
        time_out_ms = definition->start_timeout_ms;
        break;
    case STATE_LEAVING:
    case STATE_STOPPING:
    case STATE_FINISHING:
        time_out_ms = definition->stop.timeout_ms;
        break;
    case STATE_ENDING:
    case STATE_BACKING_OFF:
        executor_resume_timer(process, body->deadline_ns);
        return;
    case STATE_RUNNING:
        if (body->watchdog_ms)
            time_out_ms = (uint32_t)body->watchdog_ms;
        break;
    default: /* no other state has one */
        break;
    }
    if (body->told == TOLD_STOPPING &&
        (machine_states[body->state].going_up || body->state == STATE_RUNNING))
        time_out_ms = definition->stop.timeout_ms;
    if (body->deadline_ns && body->extended == body->state + 1) {
        executor_resume_timer(process, body->deadline_ns); /* the service has put it off */
        return;
    }
    uint64_t latest_ns =
        time_out_ms == TIME_NEVER_MS ? 0 : clock_now_ns() + time_out_ms * NS_PER_MS;
    bool good = body->deadline_ns && body->deadline_ns <= latest_ns;
    executor_set_deadline(process, good ? body->deadline_ns : latest_ns);
}

/* Whether the hook that runs is one that this state waits for; any other was killed. */
static bool waits_for_hook(const struct service_record *record, const struct service_body *body)
{
    switch ((enum service_state)body->state) {
    case STATE_PREPARING:
    case STATE_SETTLING:
    case STATE_RELOADING:
    case STATE_LEAVING:
    case STATE_FINISHING:
        return true;
    case STATE_STARTING:
        return true;     /* the command of `ready` */
    case STATE_STOPPING: /* it was told to stop in the middle of before-start */
    case STATE_KILLING:
        return !record->main_pid;
    default:
        return false;
    }
}

static void recover_one(struct executor *executor, struct service *service)
{
    struct manager *manager = &executor->launcher->manager;
    const struct service_body *body = service_body(manager, service);
    struct service_record *record = &manager->records[service->slot];

    record->spawning = 0;
    if (record->hook_pid && record->hook_pid == body->hook_ended) /* only its zombie was left */
        record->hook_pid = 0;
    if (machine_states[body->state].idle && body->state != STATE_BACKING_OFF && !record->hook_pid) {
        executor_rest(executor, service);
        return;
    }
    struct process *process = executor_need_process(executor, service->slot);
    if (!process || !service->definition) {
        LOG(ERROR, "Cannot take up a service", TEXT("service", record->name),
            TEXT("why", process ? "its definition is lost" : "no memory"));
        return;
    }
    open_service_cgroup(process);
    /* The former launcher may have been in the middle of changing them, and has told what it could
     * not. */
    process->limits_told = true;
    executor_limit(process);
    register_again(process);
    process->hook_cancelled = record->hook_pid && !waits_for_hook(record, body);
    if (body->forked == FORK_LOOKING) /* main_pid was the first process's, or not believed yet */
        record->main_pid = 0;
    follow_watch(process);
    bool gone = adopt(process, false) == -ESRCH;
    adopt(process, true);
    resume_timer(process, body);
    if (executor_notifies(process))
        executor_notify_watch_on(process);
    if (gone && executor_notifies(process)) {
        executor_watch_again(process); /* it may have handed over: what it sent counts first */
    } else if (gone) {
        executor_main_gone(process);
        enum service_state now = service_state(manager, service);
        /* Else its hooks go on; or a first process has gone, of a service that is still starting,
         * and whether anybody was waiting for it to be ready is not known. */
        if (now != STATE_LEAVING && now != STATE_STARTING)
            return;
    }
    enum service_event event = resume(process);
    if (event != EVENT_NONE)
        manager_event(manager, service, event);
}

void executor_recover(struct executor *executor)
{
    struct manager *manager = &executor->launcher->manager;
    for (uint32_t i = 0; i < manager->slots; i++)
        if (manager->services[i].in_use)
            recover_one(executor, &manager->services[i]);
}
