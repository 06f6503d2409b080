/* `ready: log`: a line of its output matches. The journal looks, which reads the output anyway; the
 * program is executed once it does, so that no line is missed, and none that was printed before
 * counts. */
#include "service-launcher/executor-internal.h"
#include "service-launcher/journal-client.h"

#include "base/expression.h"
#include "protocol/journal-link.h"

#include <errno.h>
#include <string.h>

_Static_assert(EXPRESSION_BYTES_MAX < JOURNAL_LINK_TEXT_BYTES, "an expression fits a message");

static const struct service_body *body_of(const struct process *process)
{
    return service_body(&process->executor->launcher->manager, process_service(process));
}

/* Whether this run waits for a line. */
static bool is_awaited(const struct process *process, const uint64_t run[2])
{
    const struct service *service = process_service(process);
    const struct service_body *body = body_of(process);
    return service->definition && service->definition->ready.kind == READY_LOG &&
           body->state == STATE_STARTING && !body->ready_met &&
           memcmp(body->invocation, run, sizeof body->invocation) == 0;
}

static int ask(struct process *process)
{
    return journal_client_match(process->executor->launcher->journal, process->slot,
                                body_of(process)->invocation,
                                process_service(process)->definition->ready.word);
}

static int prepare(struct process *process)
{
    const uint64_t *run = body_of(process)->invocation;
    if (memcmp(process->match_run, run, sizeof process->match_run) == 0)
        return 0;
    int failed = ask(process);
    if (failed)
        return failed;
    memcpy(process->match_run, run, sizeof process->match_run);
    process->matching = true;
    process->matched_early = false;
    executor_ready_awaited(process);
    return 0;
}

static void begin(struct process *process, bool again)
{
    if (again)
        executor_ready_log_ask(process);
    else if (process->matched_early)
        executor_ready_met(process);
}

static void end(struct process *process)
{
    journal_client_unmatch(process->executor->launcher->journal, process->slot,
                           body_of(process)->invocation);
}

void executor_ready_log_ask(struct process *process)
{
    if (!is_awaited(process, body_of(process)->invocation))
        return;
    int failed = ask(process);
    if (!failed)
        return;
    executor_ready_warn(process, "its output cannot be looked at yet", strerror(-failed));
    process->ready_later = true;
    executor_watch_later(process);
}

void executor_on_match_taken(struct executor *executor, uint32_t slot, const uint64_t run[2])
{
    struct process *process = executor_process(executor, slot);
    if (process && memcmp(process->match_run, run, sizeof process->match_run) == 0)
        process->matching = false;
}

void executor_on_matched(struct executor *executor, uint32_t slot, const uint64_t run[2])
{
    struct process *process = executor_process(executor, slot);
    if (!process || !is_awaited(process, run))
        return;
    if (list_empty(&process->spawn_link))
        executor_ready_met(process);
    else
        process->matched_early = true;
}

/* It has the state of the one before it, and with that what is waited for; where it has not, the
 * line may be still to come. */
void executor_on_new_journal(struct executor *executor)
{
    for (uint32_t slot = 0; slot < executor->slots; slot++)
        if (executor->processes[slot] && executor->processes[slot]->ready)
            executor_ready_log_ask(executor->processes[slot]);
}

const struct ready_way ready_log = {.prepare = prepare, .begin = begin, .end = end};
