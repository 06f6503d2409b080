/* Readiness: which way a service is waited for, and the one place where all ways meet.
 *
 * That it was met is in the record, so that a launcher that is killed right after does not wait for
 * what was seen already. */
#include "service-launcher/executor-internal.h"
#include "service-launcher/journal-client.h"

#include "base/cleanup.h"
#include "log/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct ready_way *const ways[READY_KINDS] = {
    [READY_NOTIFY] = &ready_notify,     [READY_FD] = &ready_fd,
    [READY_PID_FILE] = &ready_pid_file, [READY_FILE] = &ready_file,
    [READY_TCP] = &ready_tcp,           [READY_UNIX] = &ready_unix,
    [READY_LOG] = &ready_log,           [READY_COMMAND] = &ready_command,
};

static const struct service_body *body_of(const struct process *process)
{
    return service_body(manager_of(process), process_service(process));
}

static const struct ready_way *way_of(const struct process *process)
{
    return ways[process_service(process)->definition->ready.kind];
}

void executor_ready_warn(struct process *process, const char *what, const char *why)
{
    struct launcher *launcher = process->executor->launcher;
    LOG(WARNING, "A service is not ready yet", TEXT("service", process_record(process)->name),
        TEXT("what", what), TEXT("why", why));
    journal_client_event(launcher->journal, process->slot, 4, "%s: %s", what, why);
}

int executor_ready_prepare(struct process *process)
{
    const struct ready_way *way = way_of(process);
    if (executor_notifies(process)) {
        int failed = executor_notify_open(process);
        if (failed)
            return failed;
    }
    if (process->spawn_hook || process_record(process)->main_pid)
        return 0;
    int failed = executor_forks_prepare(process);
    int also = way && way->prepare ? way->prepare(process) : 0;
    if (!failed)
        failed = also;
    if (failed != -EINPROGRESS)
        look_done(process->executor, process->slot);
    return failed;
}

static void set_reason(struct process *process, enum reason_code code)
{
    struct service_body body;
    manager_edit(manager_of(process), process_service(process), &body);
    body.reason = (struct reason){.code = (uint16_t)code, .service = SLOT_NONE};
    manager_commit(manager_of(process), process_service(process), &body);
}

bool executor_has_begun(const struct process *process)
{
    const struct service_record *record = process_record(process);
    return record->main_pid || record->follower_pid || executor_is_leaderless(process);
}

void executor_ready_awaited(struct process *process)
{
    if (body_of(process)->reason.code == REASON_NONE)
        set_reason(process, REASON_NOT_READY);
}

void executor_ready_begin(struct process *process, bool again)
{
    const struct service_body *body = body_of(process);
    const struct ready_way *way = way_of(process);

    if (body->state != STATE_STARTING || body->type == TYPE_TASK || process->ready)
        return;
    if (body->ready_met) {
        executor_ready_settle(process);
        return;
    }
    if (!way) {
        executor_ready_met(process);
        return;
    }
    executor_ready_awaited(process);
    process->ready = calloc(1, sizeof *process->ready);
    process->ready_later = !process->ready;
    if (process->ready_later) {
        executor_ready_warn(process, "it is waited for later", strerror(ENOMEM));
        executor_watch_later(process);
        return;
    }
    process->ready->process = process;
    process->ready->source.fd = -1;
    if (way->begin)
        way->begin(process, again);
}

void executor_ready_late(struct process *process)
{
    if (!process->ready_later || !process_service(process)->definition)
        return;
    process->ready_later = false;
    if (!process->ready)
        executor_ready_begin(process, true);
    else if (way_of(process)->begin)
        way_of(process)->begin(process, true);
}

void executor_ready_settle(struct process *process)
{
    const struct service_body *body = body_of(process);
    if (body->state != STATE_STARTING || !body->ready_met)
        return;
    if (!executor_main_is_known(process)) {
        if (body->reason.code == REASON_NONE)
            set_reason(process, REASON_NOT_READY);
        return;
    }
    if (body->reason.code == REASON_NOT_READY)
        set_reason(process, REASON_NONE);
    manager_event(manager_of(process), process_service(process), EVENT_READY);
}

void executor_ready_met(struct process *process)
{
    struct service_body body;
    manager_edit(manager_of(process), process_service(process), &body);
    if (body.state != STATE_STARTING)
        return;
    body.ready_met = 1;
    manager_commit(manager_of(process), process_service(process), &body);
    executor_ready_end(process);
    executor_ready_settle(process);
}

void executor_ready_end(struct process *process)
{
    struct loop *loop = &process->executor->launcher->loop;
    struct ready_wait *wait = process->ready;
    process->ready_later = false;
    if (!wait)
        return;
    process->ready = NULL;
    int fd = wait->source.fd;
    loop_remove(loop, &wait->source);
    if (fd >= 0)
        close(fd);
    loop_clear_timer(loop, &wait->timer);
    watch_path_end(&wait->path);
    free(wait);
    const struct ready_way *way = process_service(process)->definition ? way_of(process) : NULL;
    if (way && way->end)
        way->end(process);
}

void executor_ready_give_back(struct process *process)
{
    uint32_t key = KEY_READY_FIRST + process->slot;
    if (process->ready_fd < 0)
        return;
    executor_notify_close(process); /* where it is that */
    loop_remove(&process->executor->launcher->loop, &process->ready_source);
    close(process->ready_fd);
    process->ready_fd = -1;
    if (process->ready_stored)
        init_link_drop(process->executor->launcher->init_link, OWNER_LAUNCHER, &key, 1);
    process->ready_stored = false;
}
