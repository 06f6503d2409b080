/* The manager's core: slots and records, the queue of dirty services, and the one place where the
 * machine is stepped and a state is written. */
#include "service/manager-internal.h"
#include "service/restart.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct reason reason_of(enum reason_code code, uint32_t slot, int32_t number)
{
    return (struct reason){.code = (uint16_t)code, .service = slot, .number = number};
}

/* ---- life ---------------------------------------------------------------------------------- */

int manager_init(struct manager *manager, const struct manager_ops *ops, void *context,
                 struct state_header *header, struct service_record *records, uint32_t slots)
{
    memset(manager, 0, sizeof *manager);
    manager->ops = ops;
    manager->context = context;
    manager->header = header;
    manager->records = records;
    list_init(&manager->requests);
    int failed = graph_init(&manager->graph, 0);
    if (!failed)
        failed = graph_build(&manager->graph);
    if (!failed)
        failed = manager_grow(manager, slots);
    if (failed)
        manager_finish(manager);
    return failed;
}

void manager_finish(struct manager *manager)
{
    for (size_t i = 0; i < manager->cycle_count; i++)
        free(manager->cycle_texts[i]);
    free(manager->cycle_texts);
    graph_finish(&manager->graph);
    free(manager->services);
    free(manager->queue);
    free(manager->due);
    free(manager->names);
    free(manager->provided_names);
    manager->services = NULL;
    manager->queue = manager->due = NULL;
    manager->names = NULL;
    manager->provided_names = NULL;
    manager->slots = 0;
}

/* The ring is unrolled into the new one, so that what is queued stays queued; nothing is due but
 * inside of manager_settle(). */
int manager_grow(struct manager *manager, uint32_t slots)
{
    struct service *services = reallocarray(manager->services, slots + 1, sizeof *services);
    if (!services)
        return -ENOMEM;
    manager->services = services;
    uint32_t *queue = calloc(slots + 1, sizeof *queue), *due = calloc(slots + 1, sizeof *due);
    if (!queue || !due) {
        free(queue);
        free(due);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < manager->queue_count; i++)
        queue[i] = manager->queue[(manager->queue_begin + i) % manager->slots];
    free(manager->queue);
    free(manager->due);
    manager->queue = queue;
    manager->due = due;
    manager->queue_begin = manager->due_begin = 0;
    for (uint32_t i = manager->slots; i < slots; i++)
        services[i] = (struct service){.slot = i, .in_use = manager->records[i].name[0] != 0};
    manager->slots = slots;
    return 0;
}

struct service *manager_add(struct manager *manager, const char *name)
{
    size_t length = strlen(name);
    if (length >= sizeof manager->records[0].name)
        return NULL;
    for (; manager->first_free < manager->slots; manager->first_free++) {
        struct service *service = &manager->services[manager->first_free];
        struct service_record *record = &manager->records[service->slot];
        if (service->in_use || service->lingers)
            continue;
        memset(record, 0, sizeof *record);
        record->body[0].state = STATE_BROKEN; /* until a definition loads */
        record->body[0].since_ns = manager->ops->now_ns(manager->context);
        /* The name makes the record count, so it comes last. */
        memcpy(record->name + 1, name + 1, length);
        __atomic_store_n(&record->name[0], name[0], __ATOMIC_RELEASE);
        *service = (struct service){
            .slot = service->slot, .dirty = service->dirty, .due = service->due, .in_use = true};
        if (manager_add_name(manager, service) < 0) {
            manager_forget(manager, service);
            return NULL;
        }
        manager->first_free++;
        return service;
    }
    return NULL;
}

/* A slot that is free, or another's, says nothing about what was asked of the one before. */
static void settle_forgotten(struct manager *manager, uint32_t slot)
{
    list_for_each(node, &manager->requests)
    {
        struct request *request = container_of(node, struct request, link);
        for (size_t i = 0; i < request->count; i++) {
            struct request_item *item = &request->items[i];
            if (item->slot == slot && item->outcome == OUTCOME_PENDING)
                settle_item(request, item,
                            request->verb == REQUEST_STOP ? OUTCOME_DONE : OUTCOME_FAILED);
        }
    }
}

void manager_forget(struct manager *manager, struct service *service)
{
    settle_forgotten(manager, service->slot);
    __atomic_store_n(&manager->records[service->slot].name[0], 0, __ATOMIC_RELEASE);
    *service = (struct service){.slot = service->slot,
                                .dirty = service->dirty,
                                .due = service->due,
                                .lingers = service->lingers};
    if (service->slot < manager->first_free)
        manager->first_free = service->slot;
}

void manager_linger(struct manager *manager, uint32_t slot, bool lingers)
{
    if (slot >= manager->slots)
        return;
    manager->services[slot].lingers = lingers;
    if (!lingers && slot < manager->first_free)
        manager->first_free = slot;
}

/* ---- the record ---------------------------------------------------------------------------- */

struct service_body *manager_edit(struct manager *manager, struct service *service,
                                  struct service_body *storage)
{
    *storage = *service_body(manager, service);
    return storage;
}

void manager_commit(struct manager *manager, struct service *service,
                    const struct service_body *body)
{
    struct service_record *record = &manager->records[service->slot];
    uint32_t other = !(record->live & 1);
    bool goes = must_go(manager, body);
    bool went = must_go(manager, &record->body[!other]);
    uint64_t down_from_ns = !goes  ? 0
                            : went ? record->body[!other].down_from_ns
                                   : manager->ops->now_ns(manager->context);
    record->body[other] = *body;
    record->body[other].down_from_ns = down_from_ns;
    __atomic_store_n(&record->live, other, __ATOMIC_RELEASE);
}

/* ---- the queue ----------------------------------------------------------------------------- */

void manager_mark(struct manager *manager, struct service *service)
{
    if (service->dirty || !service->in_use)
        return;
    service->dirty = true;
    manager->queue[(manager->queue_begin + manager->queue_count++) % manager->slots] =
        service->slot;
}

void manager_mark_around(struct manager *manager, struct service *service)
{
    size_t count;
    manager_mark(manager, service);
    const struct edge *edges = graph_after(&manager->graph, service->slot, &count);
    for (size_t i = 0; i < count; i++)
        manager_mark(manager, &manager->services[edges[i].slot]);
    edges = graph_before(&manager->graph, service->slot, &count);
    for (size_t i = 0; i < count; i++)
        manager_mark(manager, &manager->services[edges[i].slot]);
}

void manager_mark_all(struct manager *manager)
{
    for (uint32_t i = 0; i < manager->slots; i++)
        manager_mark(manager, &manager->services[i]);
}

static void settle_first_dirty(struct manager *manager)
{
    struct service *service = &manager->services[manager->queue[manager->queue_begin]];
    manager->queue_begin = (manager->queue_begin + 1) % manager->slots;
    manager->queue_count--;
    service->dirty = false;
    if (!service->in_use)
        return;
    settle_wish(manager, service);
    if (service->due)
        return;
    service->due = true;
    manager->due[(manager->due_begin + manager->due_count++) % manager->slots] = service->slot;
}

static void settle_first_due(struct manager *manager)
{
    struct service *service = &manager->services[manager->due[manager->due_begin]];
    manager->due_begin = (manager->due_begin + 1) % manager->slots;
    manager->due_count--;
    service->due = false;
    if (service->in_use)
        settle_action(manager, service);
}

void manager_settle(struct manager *manager)
{
    while (manager->queue_count || manager->due_count) {
        if (manager->queue_count)
            settle_first_dirty(manager);
        else
            settle_first_due(manager);
    }
    check_requests(manager);
}

void manager_shut_down(struct manager *manager)
{
    if (manager->shutting_down)
        return;
    manager->shutting_down = true;
    manager_mark_all(manager);
}

/* ---- the machine --------------------------------------------------------------------------- */

static struct reason reason_of_end(const struct definition *definition,
                                   const struct service_body *body)
{
    if (body->told == TOLD_STOPPING && body->timed_out == TIMED_OUT_STOP)
        return reason_of(REASON_STOP_TIME_OUT, SLOT_NONE, (int32_t)definition->stop.timeout_ms);
    if (body->failed_start && body->timed_out)
        return reason_of(body->timed_out == TIMED_OUT_READY ? REASON_READY_TIME_OUT
                                                            : REASON_START_TIME_OUT,
                         SLOT_NONE, (int32_t)definition->start_timeout_ms);
    if (body->timed_out == TIMED_OUT_WATCHDOG)
        return reason_of(body->watchdog_ms ? REASON_WATCHDOG : REASON_TRIGGER, SLOT_NONE,
                         (int32_t)body->watchdog_ms);
    if (body->failed_start)
        return body->reason; /* the executor wrote it */
    if (body->exit_kind == EXIT_UNKNOWN)
        return reason_of(REASON_EXIT_UNKNOWN, SLOT_NONE, 0);
    if (body->exit_kind == EXIT_SIGNAL)
        return reason_of(REASON_SIGNALED, SLOT_NONE, body->exit_value);
    if (body->exit_value)
        return reason_of(REASON_EXITED, SLOT_NONE, body->exit_value);
    return reason_of(REASON_NONE, SLOT_NONE, 0);
}

/* Decides how the run that has just ended counts, and notes it in the record. */
static enum service_event judge(struct manager *manager, struct service *service)
{
    struct service_body body;
    uint64_t now = manager->ops->now_ns(manager->context);
    manager_edit(manager, service, &body);
    bool asked = body.asked || must_go(manager, &body);
    struct verdict verdict = restart_judge(service->definition, &body, asked, now);

    if (verdict.event == EVENT_ENDED_ASKED)
        body.reason = body.timed_out == TIMED_OUT_STOP
                          ? reason_of(REASON_STOP_TIME_OUT, SLOT_NONE,
                                      (int32_t)service->definition->stop.timeout_ms)
                          : body.cause;
    else
        body.reason = reason_of_end(service->definition, &body);
    if (verdict.limit_reached) {
        body.cause =
            body.reason.code != REASON_NONE ? body.reason : reason_of(REASON_EXITED, SLOT_NONE, 0);
        body.reason = reason_of(REASON_LIMIT, SLOT_NONE, (int32_t)verdict.in_row);
    }
    body.restarts = verdict.restarts;
    body.in_row = verdict.in_row;
    if (verdict.event == EVENT_ENDED_AGAIN) {
        uint32_t random = manager->ops->random(manager->context, RESTART_RANDOM_BOUND);
        body.deadline_ns =
            now + NS_PER_MS * restart_delay_ms(&service->definition->restart, body.in_row, random);
    }
    manager_commit(manager, service, &body);
    return verdict.event;
}

static int exit_status_of(const struct service_body *body)
{
    if (body->exit_kind == EXIT_SIGNAL)
        return 128 + body->exit_value;
    if (body->exit_kind == EXIT_CODE && !body->failed_start)
        return body->exit_value;
    return 1;
}

/* An essential service that ended for good takes the system with it. One that is about to start
 * again, or was only switched to another definition, has not. */
static void check_essential(struct manager *manager, struct service *service,
                            const struct service_body *body)
{
    bool ended = body->state == STATE_DONE || body->state == STATE_FAILED ||
                 (body->state == STATE_STOPPED && (!body->wanted || body->blocked));
    if (!ended || manager->shutting_down || !service->definition->essential)
        return;
    manager->ops->essential_ended(manager->context, service, exit_status_of(body));
}

/* A reload has ended, and the service runs on: what its requests are told. The executor has written
 * why its command failed. */
static void end_reload(struct service *service, struct service_body *body, unsigned actions)
{
    if (actions & ACTION_TIMED_OUT)
        body->reason = reason_of(service->definition->reload_signal ? REASON_RELOAD_NOT_READY
                                                                    : REASON_RELOAD_TIME_OUT,
                                 SLOT_NONE, (int32_t)service->definition->start_timeout_ms);
    body->reloads++;
    body->reload_failed =
        body->reason.code != REASON_NONE && body->reason.code != REASON_WAITS_TO_END;
}

/* The first that is over says why the run ended; what follows is only its end. */
static enum timed_out timed_out_in(enum service_state state, const struct service_body *body)
{
    if (body->told == TOLD_STOPPING && !body->timed_out)
        return TIMED_OUT_STOP;
    if (state == STATE_RUNNING)
        return TIMED_OUT_WATCHDOG;
    if (state == STATE_STARTING)
        return TIMED_OUT_READY;
    if (machine_states[state].going_up)
        return TIMED_OUT_START;
    return body->timed_out ? (enum timed_out)body->timed_out : TIMED_OUT_STOP;
}

/* The only function that writes a state. */
static void enter(struct manager *manager, struct service *service, enum service_state next,
                  unsigned actions)
{
    struct service_body body;
    manager_edit(manager, service, &body);
    enum service_state before = body.state;
    const struct machine_state *old = &machine_states[before], *new = &machine_states[next];
    uint64_t now = manager->ops->now_ns(manager->context);

    body.state = (uint8_t)next;
    if (old->shown != new->shown)
        body.since_ns = now;
    if (actions & ACTION_BEGIN_RUN) {
        body.failed_start = body.timed_out = body.retry = body.asked = 0;
        body.ready_met = body.told = body.extended = 0;
        body.ready_ns = 0;
        body.ended = 0;
        body.invocation[0] = body.invocation[1] = 0; /* the run is not prepared yet */
        body.forked = FORK_FIRST;
        body.session = 0;
        body.by_mark = 0;
        body.type = (uint8_t)service->definition->type;
        body.needs_from_ns = body.begun_as = 0;
        body.reason = body.cause = reason_of(REASON_NONE, SLOT_NONE, 0);
    }
    if (actions & ACTION_HOOKS) /* with the state: else a next launcher would think them done */
        body.hook = 0;
    if (actions & ACTION_FAILED_START)
        body.failed_start = 1;
    if (actions & ACTION_TIMED_OUT && before != STATE_RELOADING)
        body.timed_out = (uint8_t)timed_out_in(before, &body);
    if (before == STATE_BROKEN && next == STATE_STOPPED) /* mended: it is not that any more */
        body.reason = reason_of(body.by_hand ? REASON_STOPPED : REASON_NONE, SLOT_NONE, 0);
    if (next == STATE_RUNNING && before == STATE_RELOADING)
        end_reload(service, &body, actions);
    else if (next == STATE_RUNNING || next == STATE_RELOADING)
        body.reason = reason_of(REASON_NONE, SLOT_NONE, 0);
    else
        body.reload = 0;
    if (next == STATE_RUNNING && before != STATE_RELOADING)
        body.ready_ns = now;
    manager_commit(manager, service, &body);
    manager->active += old->idle && !new->idle;
    manager->active -= !old->idle && new->idle;
    manager->coming += is_coming(next);
    manager->coming -= is_coming(before);
    if (before == next)
        return;
    manager->ops->changed(manager->context, service, before);
    manager_mark_around(manager, service);
    if (!old->idle && new->idle)
        check_essential(manager, service, &body);
}

void manager_event(struct manager *manager, struct service *service, enum service_event event)
{
    while (event != EVENT_NONE) {
        enum service_state state = service_state(manager, service);
        const struct machine_cell *cell = &machine_cells[state][event];
        if (cell->kind != CELL_MOVE) {
            if (cell->kind != CELL_IGNORE)
                manager->ops->impossible(manager->context, service, event);
            return;
        }
        unsigned own = ACTION_JUDGE | ACTION_FAILED_START | ACTION_TIMED_OUT;
        unsigned actions = cell->actions;
        enter(manager, service, cell->next, actions);
        event = EVENT_NONE;
        if (actions & ~own)
            event = manager->ops->act(manager->context, service, actions & ~own);
        if (actions & ACTION_JUDGE)
            event = judge(manager, service);
    }
}
