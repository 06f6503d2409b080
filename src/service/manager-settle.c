/* Settling: one service is looked at, with its neighbours' states and wishes. First whether its
 * needs keep it down, settle_wish(); once that is known of all that are dirty, it is given the
 * event that brings it nearer to its own wish, settle_action(). Each rule is a small function. */
#include "service/manager-internal.h"

#include <errno.h>

static struct service *other_of(const struct manager *manager, const struct edge *edge)
{
    return &manager->services[edge->slot];
}

/* ---- needs --------------------------------------------------------------------------------- */

/* What `need` is worth to the service whose body is `of`. */
static enum standing standing(const struct manager *manager, const struct service_body *of,
                              const struct service *need)
{
    const struct service_body *body = service_body(manager, need);

    if (body->state == STATE_BROKEN)
        return STANDS_GONE;
    /* A done task that is to run again goes down first, as what runs does. */
    if (body->restarting && body->wanted && !body->blocked)
        return is_idle(body) && body->state != STATE_DONE ? STANDS_COMING : STANDS_GONE;
    if (!body->wanted || body->blocked)
        return STANDS_GONE;
    /* A daemon that ended well counts as started, but not for those that it took down by it. */
    if (body->state == STATE_DONE && of->blocked && of->cause.code == REASON_NEED_DONE &&
        of->cause.service == need->slot)
        return STANDS_GONE;
    if (machine_states[body->state].up)
        return STANDS_UP;
    return body->state == STATE_FAILED ? STANDS_GONE : STANDS_COMING;
}

static struct reason why_gone(const struct manager *manager, const struct service *need)
{
    const struct service_body *body = service_body(manager, need);
    enum reason_code code = REASON_NEED_STOPPED;

    if (body->state == STATE_BROKEN)
        code = REASON_NEED_BROKEN;
    else if (body->restarting || is_taken_along(body))
        code = REASON_NEED_RESTARTED;
    else if (body->state == STATE_FAILED)
        code = REASON_NEED_FAILED;
    else if (body->state == STATE_DONE && body->wanted)
        code = REASON_NEED_DONE;
    else if (body->blocked && !machine_states[body->state].idle)
        code = REASON_NEED_BLOCKED;
    return reason_of(code, need->slot, 0);
}

/* A daemon that ended well takes down what ran on it, but not what was started later. */
static bool ended_under(const struct manager *manager, const struct service *need,
                        const struct service_body *dependant)
{
    const struct service_body *body = service_body(manager, need);
    return body->state == STATE_DONE && body->type != TYPE_TASK &&
           body->since_ns > dependant->since_ns && body->since_ns > dependant->needs_from_ns;
}

/* It was down, or on its way there, when a reload brought the need to one that ran: nothing is
 * stopped by that. */
static bool was_down(const struct manager *manager, const struct service_body *need,
                     const struct service_body *dependant)
{
    if (must_go(manager, need))
        return need->down_from_ns <= dependant->needs_from_ns;
    return is_idle(need) && !machine_states[need->state].up &&
           need->since_ns <= dependant->needs_from_ns;
}

/* The first need that is gone; one that is gone for good before one that comes back by itself. */
static bool find_gone_need(const struct manager *manager, const struct service *service,
                           const struct service_body *body, struct reason *ret_why)
{
    size_t count;
    bool found = false;
    const struct edge *edges = graph_after(&manager->graph, service->slot, &count);
    bool active = !is_idle(body);

    if (service->missing_need && !active) {
        *ret_why = reason_of(REASON_NEED_MISSING, SLOT_NONE, 0);
        return true;
    }
    for (size_t i = 0; i < count; i++) {
        if (edges[i].kind != EDGE_NEED)
            continue;
        const struct service *need = other_of(manager, &edges[i]);
        if (active && was_down(manager, service_body(manager, need), body))
            continue;
        if (standing(manager, body, need) == STANDS_GONE ||
            (active && ended_under(manager, need, body))) {
            struct reason why = why_gone(manager, need);
            if (!found || why.code != REASON_NEED_RESTARTED)
                *ret_why = why;
            if (why.code != REASON_NEED_RESTARTED)
                return true;
            found = true;
        }
    }
    return found;
}

void manager_keep_running(struct manager *manager)
{
    struct reason why;
    uint64_t now = manager->ops->now_ns(manager->context);
    for (uint32_t i = 0; i < manager->slots; i++) {
        struct service *service = &manager->services[i];
        struct service_body body;
        if (!service->in_use)
            continue;
        manager_edit(manager, service, &body);
        if (is_idle(&body) || must_go(manager, &body) ||
            !find_gone_need(manager, service, &body, &why))
            continue;
        body.needs_from_ns = now;
        manager_commit(manager, service, &body);
    }
}

/* A run of its own has been judged, or it has nothing to start: needs mean nothing to it now. */
static bool needs_matter(const struct service_body *body)
{
    switch ((enum service_state)body->state) {
    case STATE_DONE:
    case STATE_SKIPPED:
        return false;
    case STATE_FAILED:
        return body->blocked;
    default:
        return true;
    }
}

/* Sets or clears `blocked`, and gives an idle service the event that follows from it. */
static void settle_needs(struct manager *manager, struct service *service)
{
    struct service_body body;
    struct reason why;
    manager_edit(manager, service, &body);

    if (!body.wanted || manager->shutting_down || !needs_matter(&body))
        return;
    if (find_gone_need(manager, service, &body, &why)) {
        bool was_blocked = body.blocked, other_cause = body.cause.code != why.code;
        body.blocked = 1;
        body.cause = why;
        if (is_idle(&body))
            body.reason = why;
        manager_commit(manager, service, &body);
        if (!was_blocked || other_cause) /* it is what others are told, too */
            manager_mark_around(manager, service);
        if (!was_blocked && is_idle(&body))
            manager_event(manager, service, EVENT_BLOCKED);
    } else if (body.blocked) {
        body.blocked = 0;
        body.reason = body.cause = reason_of(REASON_NONE, SLOT_NONE, 0);
        manager_commit(manager, service, &body);
        manager_mark_around(manager, service);
        if (body.state == STATE_FAILED || body.state == STATE_STOPPED)
            manager_event(manager, service, EVENT_WAIT);
    }
}

/* ---- up ------------------------------------------------------------------------------------ */

/* Whether an order edge to `other` still holds a start back: it is on its way up, or still on its
 * way down from where it is to come up again. One that backs off has had its try. */
static bool is_coming_up(const struct manager *manager, const struct service *other)
{
    const struct service_body *body = service_body(manager, other);
    if (must_go(manager, body) && !(body->restarting && body->wanted && !body->blocked) &&
        !is_taken_along(body))
        return false;
    return machine_states[body->state].going_up || machine_states[body->state].going_down ||
           body->state == STATE_WAITING || body->state == STATE_STOPPED || body->restarting;
}

/* The first service this one has to wait for before it starts; SLOT_NONE: none. */
static uint32_t waits_for(const struct manager *manager, const struct service *service,
                          const struct service_body *body)
{
    size_t count;
    const struct edge *edges = graph_after(&manager->graph, service->slot, &count);
    for (size_t i = 0; i < count; i++) {
        const struct service *other = other_of(manager, &edges[i]);
        bool wait;
        if (edges[i].kind == EDGE_NEED)
            wait = standing(manager, body, other) != STANDS_UP;
        else if (edges[i].kind == EDGE_CONFLICT)
            wait = !is_idle(service_body(manager, other));
        else
            wait = is_coming_up(manager, other);
        if (wait)
            return other->slot;
    }
    edges = graph_before(&manager->graph, service->slot, &count);
    for (size_t i = 0; i < count; i++)
        if (edges[i].kind == EDGE_CONFLICT &&
            !is_idle(service_body(manager, other_of(manager, &edges[i]))))
            return edges[i].slot;
    return SLOT_NONE;
}

/* A start ends who conflicts with it. Who runs all the same was left running by a reload that
 * brought the conflict, and stays: SLOT_NONE where there is nobody like that. */
static uint32_t find_rival(const struct manager *manager, const struct service *service)
{
    size_t count = 0;
    for (int before = 0; before < 2; before++) {
        const struct edge *edges =
            (before ? graph_before : graph_after)(&manager->graph, service->slot, &count);
        for (size_t i = 0; i < count; i++) {
            const struct service_body *other = service_body(manager, other_of(manager, &edges[i]));
            if (edges[i].kind == EDGE_CONFLICT && !is_idle(other) && !must_go(manager, other))
                return edges[i].slot;
        }
    }
    return SLOT_NONE;
}

static void lose_to(struct manager *manager, struct service *service, uint32_t rival)
{
    struct service_body body;
    manager_edit(manager, service, &body);
    body.wanted = 0;
    body.cause = body.reason = reason_of(REASON_CONFLICT, rival, 0);
    manager_commit(manager, service, &body);
    manager_mark_around(manager, service);
    manager_event(manager, service, EVENT_BLOCKED);
}

/* A condition is not met, or that is not known yet, or will never be. */
static void hold_back(struct manager *manager, struct service *service, int met, int32_t condition)
{
    bool asked = met == -EINPROGRESS;
    struct service_body body;
    manager_edit(manager, service, &body);
    if (asked && body.state == STATE_WAITING && body.reason.code == REASON_WHEN_ASKED)
        return;
    enum reason_code code = !met ? REASON_WHEN : asked ? REASON_WHEN_ASKED : REASON_WHEN_TIME_OUT;
    body.reason = reason_of(code, SLOT_NONE, condition);
    manager_commit(manager, service, &body);
    manager_event(manager, service, !met ? EVENT_SKIP : asked ? EVENT_WAIT : EVENT_BLOCKED);
}

static void settle_start(struct manager *manager, struct service *service)
{
    struct service_body body;
    size_t condition = 0;
    manager_edit(manager, service, &body);
    uint32_t other = waits_for(manager, service, &body);
    uint32_t rival = find_rival(manager, service);

    if (rival != SLOT_NONE) {
        lose_to(manager, service, rival);
        return;
    }
    if (other != SLOT_NONE) {
        if (body.state == STATE_WAITING && body.reason.code == REASON_WAITS_FOR &&
            body.reason.service == other)
            return;
        body.reason = reason_of(REASON_WAITS_FOR, other, 0);
        manager_commit(manager, service, &body);
        if (body.state != STATE_WAITING)
            manager_event(manager, service, EVENT_WAIT);
        return;
    }
    int met = manager->ops->conditions_met(manager->context, service, &condition);
    if (met > 0)
        manager_event(manager, service, EVENT_START);
    else
        hold_back(manager, service, met, (int32_t)condition);
}

/* ---- down ---------------------------------------------------------------------------------- */

/* A task that has run has nothing to stop but what its file says is to be run then. */
static bool has_stop_hooks(const struct service *service)
{
    const struct definition *definition = service->definition;
    return definition && (definition->stop.exec || definition->before_stop);
}

/* Whether `other`, which comes after, has to be down before the one before it may stop. */
static bool holds_up_stop(const struct manager *manager, const struct service *other,
                          enum edge_kind kind)
{
    const struct service_body *body = service_body(manager, other);
    if (kind == EDGE_CONFLICT)
        return false;
    if (body->state == STATE_DONE)
        return manager->shutting_down && has_stop_hooks(other);
    /* Whose wish is settled, and who is to stay up, is not held by a need that goes. */
    return !is_idle(body) && (must_go(manager, body) || machine_states[body->state].going_down);
}

static uint32_t waits_to_end(const struct manager *manager, const struct service *service)
{
    size_t count;
    const struct edge *edges = graph_before(&manager->graph, service->slot, &count);
    for (size_t i = 0; i < count; i++)
        if (holds_up_stop(manager, other_of(manager, &edges[i]), edges[i].kind))
            return edges[i].slot;
    return SLOT_NONE;
}

static struct reason why_down(const struct manager *manager, const struct service_body *body)
{
    if (manager->shutting_down)
        return reason_of(REASON_SHUT_DOWN, SLOT_NONE, 0);
    if (body->blocked)
        return body->cause;
    if (body->restarting)
        return reason_of(REASON_RESTARTING, SLOT_NONE, 0);
    if (body->cause.code == REASON_CONFLICT)
        return body->cause;
    return reason_of(REASON_STOPPED, SLOT_NONE, 0);
}

static void settle_stop(struct manager *manager, struct service *service)
{
    struct service_body body;
    manager_edit(manager, service, &body);
    uint32_t other = waits_to_end(manager, service);

    if (other != SLOT_NONE) {
        if (body.reason.code == REASON_WAITS_TO_END && body.reason.service == other)
            return;
        body.reason = reason_of(REASON_WAITS_TO_END, other, 0);
        manager_commit(manager, service, &body);
        return;
    }
    body.cause = body.reason = why_down(manager, &body);
    body.asked = 1;
    manager_commit(manager, service, &body);
    manager_event(manager, service, EVENT_STOP);
}

/* An idle service that is to be down. What failed or was skipped keeps saying so. */
static void settle_idle_down(struct manager *manager, struct service *service,
                             const struct service_body *body)
{
    bool done_by_wish = body->state == STATE_DONE && (!body->wanted || body->restarting);

    if (done_by_wish || (body->state == STATE_DONE && has_stop_hooks(service)))
        settle_stop(manager, service);
    else if (body->state == STATE_WAITING || body->state == STATE_BACKING_OFF)
        settle_stop(manager, service);
}

/* ---- all ----------------------------------------------------------------------------------- */

static void forget_reason(struct manager *manager, struct service *service)
{
    struct service_body body;
    manager_edit(manager, service, &body);
    body.reason = reason_of(REASON_NONE, SLOT_NONE, 0);
    manager_commit(manager, service, &body);
}

static void end_restarting(struct manager *manager, struct service *service)
{
    struct service_body body;
    manager_edit(manager, service, &body);
    body.restarting = 0;
    manager_commit(manager, service, &body);
    manager_mark_around(manager, service);
}

static void settle_reload(struct manager *manager, struct service *service)
{
    struct service_body body;
    manager_edit(manager, service, &body);
    body.reload = 0;
    manager_commit(manager, service, &body);
    manager_event(manager, service, EVENT_RELOAD);
}

/* A member of a cycle that is idle is broken, whatever it was. */
static void break_member(struct manager *manager, struct service *service)
{
    struct service_body body;
    manager_edit(manager, service, &body);
    body.reason = reason_of(REASON_CYCLE, SLOT_NONE, 0);
    body.restarting = 0; /* nobody is to wait for that any more */
    manager_commit(manager, service, &body);
    manager_event(manager, service, EVENT_BROKEN);
}

/* One that is not in the graph yet, or has nothing to start, is left alone. */
static bool can_settle(const struct manager *manager, const struct service *service)
{
    return service->slot < manager->graph.nodes && service->definition &&
           service_state(manager, service) != STATE_BROKEN;
}

void settle_wish(struct manager *manager, struct service *service)
{
    if (service->slot >= manager->graph.nodes)
        return;
    if (service->cycle && is_idle(service_body(manager, service)) &&
        service_state(manager, service) != STATE_BROKEN) {
        break_member(manager, service);
        return;
    }
    if (!can_settle(manager, service))
        return;
    settle_needs(manager, service);

    const struct service_body *body = service_body(manager, service);
    if (is_idle(body) && body->restarting && body->state != STATE_DONE)
        end_restarting(manager, service);
}

void settle_action(struct manager *manager, struct service *service)
{
    if (!can_settle(manager, service))
        return;
    const struct service_body *body = service_body(manager, service);
    bool idle = is_idle(body);
    if (must_go(manager, body) && idle)
        settle_idle_down(manager, service, body);
    else if (must_go(manager, body) && !machine_states[body->state].going_down)
        settle_stop(manager, service);
    else if (is_running(body) && body->reason.code == REASON_WAITS_TO_END)
        forget_reason(manager, service); /* it was to stop, and is not any more */
    else if (body->state == STATE_RUNNING && body->reload)
        settle_reload(manager, service);
    else if (body->state == STATE_STOPPED || body->state == STATE_WAITING)
        settle_start(manager, service);
}
