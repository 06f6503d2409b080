/* Hooks: which commands belong to which state, run one after the other. The place in the list is
 * in the record, so that a new launcher goes on where the old one was. */
#include "service-launcher/executor-internal.h"
#include "service-launcher/journal-client.h"

#include "base/clock.h"
#include "log/log.h"

#include <stddef.h>

/* How long one with `ready: notify` that was sent the signal of its `reload` has to say
 * RELOADING=1: what says nothing of the kind has been told, and that is all that can be known of
 * it. */
#define NOTICE_MS 1000

/* A task that ended well has not been stopped: what follows it is `after-start`. */
static bool ended_well(const struct service_body *body)
{
    return body->type == TYPE_TASK && !body->asked && !body->failed_start &&
           body->exit_kind == EXIT_CODE && body->exit_value == 0;
}

static commands_t list_of(const struct definition *definition, const struct service_body *body)
{
    switch ((enum service_state)body->state) {
    case STATE_PREPARING:
        return definition->before_start;
    case STATE_SETTLING:
        return definition->after_start;
    case STATE_LEAVING:
        return definition->before_stop;
    case STATE_FINISHING:
        return ended_well(body) ? definition->after_start : definition->after_stop;
    default:
        return NULL;
    }
}

/* The command that comes after all of the list: `stop.exec` is the last thing before the signal. */
static argv_t last_of(const struct definition *definition, const struct service_body *body)
{
    if (body->state == STATE_LEAVING)
        return definition->stop.exec;
    return body->state == STATE_RELOADING ? definition->reload_command : NULL;
}

argv_t executor_hook_command(const struct process *process)
{
    const struct manager *manager = &process->executor->launcher->manager;
    const struct service *service = process_service(process);
    const struct service_body *body = service_body(manager, service);
    commands_t list = list_of(service->definition, body);
    uint32_t count = 0;

    if (body->state == STATE_STARTING) /* `ready: exec` is run like one */
        return service->definition->ready.command;

    while (list && list[count]) {
        if (count == body->hook)
            return list[count];
        count++;
    }
    return body->hook == count ? last_of(service->definition, body) : NULL;
}

bool executor_awaits_notice(const struct process *process)
{
    const struct service *service = process_service(process);
    return service_state(manager_of(process), service) == STATE_RELOADING && service->definition &&
           service->definition->reload_signal && service->definition->ready.kind == READY_NOTIFY;
}

/* What of the signal of a reload is in body->hook. */
enum { SIGNAL_TO_SEND, SIGNAL_SENT, SIGNAL_BEING_SENT };

static void note_signal(struct process *process, uint32_t hook, enum reason_code why)
{
    struct service_body body;
    manager_edit(manager_of(process), process_service(process), &body);
    if (executor_awaits_notice(process) && body.told == TOLD_RELOADING) /* of itself, before */
        body.told = TOLD_NOTHING;
    body.hook = hook;
    body.reason = (struct reason){.code = (uint16_t)why, .service = SLOT_NONE};
    manager_commit(manager_of(process), process_service(process), &body);
}

/* Sends the signal, once: a new launcher goes on waiting. Where the former one was killed in the
 * middle of it, it is said that it is not known, as of `slc signal`: some signals mean something
 * else when they come twice. Returns an event, or EVENT_NONE. */
static enum service_event reload_by_signal(struct process *process)
{
    struct service *service = process_service(process);
    uint32_t start_ms = service->definition->start_timeout_ms;
    bool waits = executor_awaits_notice(process);
    uint32_t hook = service_body(manager_of(process), service)->hook;

    if (hook == SIGNAL_BEING_SENT) {
        note_signal(process, SIGNAL_SENT, REASON_RELOAD_UNKNOWN);
        return EVENT_HOOKS_FAILED;
    }
    if (hook)
        return waits ? EVENT_NONE : EVENT_HOOKS_OK;
    note_signal(process, SIGNAL_BEING_SENT, REASON_NONE);
    pidref_signal(&process->main, service->definition->reload_signal);
    note_signal(process, SIGNAL_SENT, REASON_NONE);
    if (!waits)
        return EVENT_HOOKS_OK;
    executor_set_time_out(process, start_ms < NOTICE_MS ? start_ms : NOTICE_MS);
    return EVENT_NONE;
}

enum service_event executor_next_hook(struct process *process)
{
    const struct service *service = process_service(process);
    if (service_state(&process->executor->launcher->manager, service) == STATE_RELOADING &&
        service->definition->reload_signal)
        return reload_by_signal(process);
    if (!executor_hook_command(process))
        return EVENT_HOOKS_OK;
    process->spawn_hook = true;
    executor_queue_spawn(process);
    return EVENT_NONE;
}

static void note_end(struct process *process, struct service_body *body, enum exit_kind kind,
                     int value)
{
    bool failed = kind != EXIT_CODE || value != 0;
    body->hook++;
    body->hook_ended = process_record(process)->hook_pid;
    if (failed && body->state == STATE_PREPARING)
        body->reason = (struct reason){
            .code = REASON_HOOK_FAILED, .service = SLOT_NONE, .number = (int32_t)body->hook};
    if (failed && body->state == STATE_RELOADING)
        body->reason = (struct reason){.code = kind == EXIT_SIGNAL ? REASON_RELOAD_SIGNALED
                                                                   : REASON_RELOAD_EXITED,
                                       .service = SLOT_NONE,
                                       .number = value};
    manager_commit(manager_of(process), process_service(process), body);
}

void executor_hook_ended(struct process *process, enum exit_kind kind, int value)
{
    struct launcher *launcher = process->executor->launcher;
    struct service *service = process_service(process);
    const char *name = service_name(&launcher->manager, service);
    bool failed = kind != EXIT_CODE || value != 0;
    struct service_body body;

    manager_edit(&launcher->manager, service, &body);
    if (body.state == STATE_STARTING) {
        executor_release_hook(process);
        executor_ready_command_ended(process, !failed);
        return;
    }
    bool decides = failed && body.state == STATE_PREPARING;
    argv_t command = executor_hook_command(process);
    /* First into the record, so that it is not run again by a next launcher; then the zombie goes.
     */
    note_end(process, &body, kind, value);
    executor_release_hook(process);
    bool stopped = body.state == STATE_STOPPING || body.state == STATE_KILLING; /* by us */
    if (failed && !stopped && body.state != STATE_RELOADING) { /* that one's reason is told */
        LOG(WARNING, "A hook failed", TEXT("service", name),
            TEXT("command", command ? command[0] : "?"),
            NUMBER(kind == EXIT_CODE ? "exit" : "signal", value));
        journal_client_event(launcher->journal, service->slot, 4, "hook %s failed: %s %d",
                             command ? command[0] : "?", kind == EXIT_CODE ? "exit" : "signal",
                             value);
    }
    enum service_event event = decides ? EVENT_HOOKS_FAILED : EVENT_HOOKS_OK;
    /* A stop that came while the hook ran goes on from its end, whatever is left in the list. */
    if (!decides && !stopped)
        event = executor_next_hook(process);
    if (event != EVENT_NONE)
        manager_event(&launcher->manager, service, event);
}
