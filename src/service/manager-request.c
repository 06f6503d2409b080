/* Wishes: what the boot and what people want, and when they have got it.
 *
 * A wish is spread at once over all it touches (needs and wants of what is to start), with an
 * explicit stack; what follows from it is the settling's business. Every service remembers the
 * newest request that named it, so an older one knows when it was overtaken. */
#include "service/manager-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- who asked last ------------------------------------------------------------------------- */

/* In the record, so that a request which overtook another has done so for the next launcher too. */
static uint32_t asked_serial(const struct manager *manager, const struct service *service)
{
    return (uint32_t)(manager->records[service->slot].asked >> 8);
}

static enum request_verb asked_verb(const struct manager *manager, const struct service *service)
{
    return (enum request_verb)(manager->records[service->slot].asked & 0xff);
}

static void note_asked(struct manager *manager, const struct service *service, uint32_t serial,
                       enum request_verb verb)
{
    __atomic_store_n(&manager->records[service->slot].asked, (uint64_t)serial << 8 | verb,
                     __ATOMIC_RELEASE);
}

/* ---- wanting up ---------------------------------------------------------------------------- */

struct wave {
    struct manager *manager;
    uint32_t serial;
    enum request_verb verb;
    bool by_person;
    bool gentle;     /* stops nothing that is up */
    uint32_t *stack; /* [slots]: each slot is pushed at most once in a wave */
    size_t depth;
};

/* Runs, or has done what it is there for: a start that is to stop nothing leaves it so. */
static bool is_up(const struct service_body *body)
{
    return !is_idle(body) || machine_states[body->state].up;
}

/* A conflict ends with one of the two wanted: the one that is being started, or, when both are, the
 * one that comes first by name. NULL: neither. */
static struct service *find_loser(const struct wave *wave, struct service *service,
                                  struct service *other, bool both)
{
    struct manager *manager = wave->manager;
    bool up = is_up(service_body(manager, service));
    bool other_up = is_up(service_body(manager, other));

    if (wave->gentle && (up || other_up))
        return !up ? service : !other_up ? other : NULL;
    if (both && strcmp(service_name(manager, service), service_name(manager, other)) > 0)
        return service;
    return other;
}

/* Returns false when `service` is the one that loses. */
static bool win_conflict(struct wave *wave, struct service *service, struct service *other)
{
    struct manager *manager = wave->manager;
    struct service_body body;
    bool both =
        asked_serial(manager, other) == wave->serial && service_body(manager, other)->wanted;
    struct service *loser = find_loser(wave, service, other, both);
    struct service *winner = loser == service ? other : service;

    if (!loser)
        return true;
    manager_edit(manager, loser, &body);
    if (!body.wanted && is_idle(&body)) /* then it is the other one */
        return true;
    body.wanted = 0;
    body.cause = reason_of(REASON_CONFLICT, winner->slot, 0);
    if (is_idle(&body))
        body.reason = body.cause;
    manager_commit(manager, loser, &body);
    note_asked(manager, loser, wave->serial, REQUEST_STOP);
    manager_mark_around(manager, loser);
    if ((both || loser == service) && (body.state == STATE_STOPPED || body.state == STATE_WAITING))
        manager_event(manager, loser, EVENT_BLOCKED);
    return loser != service;
}

static bool win_conflicts(struct wave *wave, struct service *service)
{
    const struct graph *graph = &wave->manager->graph;
    struct service *services = wave->manager->services;
    size_t count;
    const struct edge *edges = graph_after(graph, service->slot, &count);
    for (size_t i = 0; i < count; i++)
        if (edges[i].kind == EDGE_CONFLICT &&
            !win_conflict(wave, service, &services[edges[i].slot]))
            return false;
    edges = graph_before(graph, service->slot, &count);
    for (size_t i = 0; i < count; i++)
        if (edges[i].kind == EDGE_CONFLICT &&
            !win_conflict(wave, service, &services[edges[i].slot]))
            return false;
    return true;
}

/* A person's start forgets what has failed, and ends a back-off at once. */
static void start_afresh(struct manager *manager, struct service *service)
{
    struct service_body body;
    manager_edit(manager, service, &body);
    if (body.state != STATE_FAILED && body.state != STATE_BACKING_OFF &&
        body.state != STATE_STOPPED)
        return;
    body.restarts = body.in_row = 0;
    body.reason = body.cause = reason_of(REASON_NONE, SLOT_NONE, 0);
    manager_commit(manager, service, &body);
    if (body.state != STATE_STOPPED)
        manager_event(manager, service, EVENT_WAIT);
}

static void push(struct wave *wave, struct service *service)
{
    if (asked_serial(wave->manager, service) == wave->serial)
        return;
    note_asked(wave->manager, service, wave->serial, wave->verb);
    wave->stack[wave->depth++] = service->slot;
}

static void want(struct wave *wave, struct service *service)
{
    struct manager *manager = wave->manager;
    struct service_body body;
    size_t count;

    if (!service->definition || service_state(manager, service) == STATE_BROKEN)
        return;
    manager_edit(manager, service, &body);
    body.wanted = 1;
    body.by_hand = 0;
    /* Its needs get another look, as they do without a person when one of them changes: asked for
     * by nobody, what was stopped with its need is not made a failure. */
    bool kept = wave->by_person && is_idle(&body) && body.blocked;
    if (kept)
        body.blocked = 0;
    manager_commit(manager, service, &body);
    if (!win_conflicts(wave, service))
        return;
    note_asked(manager, service, wave->serial, wave->verb); /* another may have stopped it */
    if (kept && body.state == STATE_FAILED)
        manager_event(manager, service, EVENT_WAIT);
    if (wave->by_person)
        start_afresh(manager, service);
    manager_mark_around(manager, service);

    const struct edge *edges = graph_after(&manager->graph, service->slot, &count);
    for (size_t i = 0; i < count; i++) {
        struct service *other = &manager->services[edges[i].slot];
        bool by_hand = service_body(manager, other)->by_hand;
        /* Only a person's start brings back what a person stopped, and only where it is needed. */
        if (edges[i].kind == EDGE_NEED && (!by_hand || wave->by_person))
            push(wave, other);
        else if (edges[i].kind == EDGE_WANT && !by_hand)
            push(wave, other);
    }
}

static void run_wave(struct wave *wave)
{
    while (wave->depth)
        want(wave, &wave->manager->services[wave->stack[--wave->depth]]);
}

static int want_all(struct manager *manager, const uint32_t *slots, size_t count, bool gentle)
{
    struct wave wave = {.manager = manager,
                        .serial = ++manager->header->next_serial,
                        .verb = REQUEST_START,
                        .gentle = gentle,
                        .stack = calloc(manager->slots + 1, sizeof *wave.stack)};
    if (!wave.stack)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        struct service *service = &manager->services[slots[i]];
        if (service_body(manager, service)->by_hand)
            continue;
        push(&wave, service);
        run_wave(&wave);
    }
    free(wave.stack);
    return 0;
}

int manager_want(struct manager *manager, const uint32_t *slots, size_t count)
{
    return want_all(manager, slots, count, false);
}

int manager_want_gently(struct manager *manager, const uint32_t *slots, size_t count)
{
    return want_all(manager, slots, count, true);
}

int manager_want_again(struct manager *manager)
{
    size_t count = 0;
    uint32_t *slots = calloc(manager->slots + 1, sizeof *slots);
    if (!slots)
        return -ENOMEM;
    for (uint32_t i = 0; i < manager->slots; i++)
        if (manager->services[i].in_use && service_body(manager, &manager->services[i])->wanted)
            slots[count++] = i;
    int failed = manager_want_gently(manager, slots, count);
    free(slots);
    return failed;
}

/* ---- requests ------------------------------------------------------------------------------ */

static void want_down(struct manager *manager, struct service *service)
{
    struct service_body body;
    manager_edit(manager, service, &body);
    body.wanted = 0;
    body.by_hand = 1;
    body.blocked = body.restarting = 0;
    body.cause = reason_of(REASON_STOPPED, SLOT_NONE, 0);
    bool calm = body.state == STATE_FAILED || body.state == STATE_SKIPPED;
    if (calm || body.state == STATE_STOPPED)
        body.reason = body.cause;
    manager_commit(manager, service, &body);
    if (calm)
        manager_event(manager, service, EVENT_STOP);
    manager_mark_around(manager, service);
}

static void want_again(struct manager *manager, struct service *service)
{
    struct service_body body;
    manager_edit(manager, service, &body);
    body.restarts = body.in_row = 0;
    if (body.state == STATE_SKIPPED) {
        manager_commit(manager, service, &body);
        manager_event(manager, service, EVENT_WAIT);
    } else {
        body.restarting = !is_idle(&body) || body.state == STATE_DONE;
        manager_commit(manager, service, &body);
    }
    manager_mark_around(manager, service);
}

/* One that is under way may have read its files already, so the next one answers this. */
static void want_reload(struct manager *manager, struct service *service, struct request_item *item)
{
    struct service_body body;
    manager_edit(manager, service, &body);
    item->reload = body.reloads + (body.state == STATE_RELOADING ? 2 : 1);
    body.reload = 1;
    manager_commit(manager, service, &body);
    manager_mark(manager, service);
}

/* Forgets failures: one that failed is stopped, one that backs off is tried again at once and with
 * its first delay. Returns whether there was anything to forget. */
static bool reset(struct manager *manager, struct service *service)
{
    struct service_body body;
    manager_edit(manager, service, &body);
    bool ends = body.state == STATE_FAILED || body.state == STATE_BACKING_OFF;
    bool anything = ends || body.restarts; /* as many as there were in a row, or more */

    body.restarts = body.in_row = 0;
    if (ends && !body.blocked) /* a need that is not there is no failure to be forgotten */
        body.reason = body.cause = reason_of(REASON_NONE, SLOT_NONE, 0);
    if (body.state == STATE_FAILED && !body.blocked)
        body.wanted = 0;
    manager_commit(manager, service, &body);
    if (ends)
        manager_event(manager, service, body.state == STATE_FAILED ? EVENT_STOP : EVENT_WAIT);
    manager_mark_around(manager, service);
    return anything;
}

/* Adds to the request every service that needs one of its items and runs: it goes down with it. */
static void take_along(struct manager *manager, struct request *request)
{
    size_t room = request->count;
    for (size_t at = 0; at < request->count; at++) {
        size_t count;
        const struct edge *edges = graph_before(&manager->graph, request->items[at].slot, &count);
        for (size_t i = 0; i < count; i++) {
            struct service *service = &manager->services[edges[i].slot];
            const struct service_body *body = service_body(manager, service);
            if (edges[i].kind != EDGE_NEED || is_idle(body) || !body->wanted ||
                service->item_serial == manager->header->next_serial)
                continue;
            if (request->count == room) {
                struct request_item *grown =
                    reallocarray(request->items, room * 2 + 1, sizeof *grown);
                if (!grown)
                    return; /* it is stopped all the same, it is only not told */
                request->items = grown;
                room = room * 2 + 1;
            }
            service->item_serial = manager->header->next_serial;
            note_asked(manager, service, manager->header->next_serial, request->verb);
            request->items[request->count++] = (struct request_item){
                .slot = service->slot, .serial = manager->header->next_serial, .taken_along = true};
        }
    }
}

const char *refusal_words(enum refusal refusal)
{
    static const char *const words[REFUSALS] = {
        [REFUSAL_NONE] = "",
        [REFUSAL_GOING_DOWN] = "the system is going down",
        [REFUSAL_BROKEN] = "its file does not load",
        [REFUSAL_CYCLE] = "it is in a cycle",
        [REFUSAL_GONE] = ("its file is gone: it would not come back; put the file back and use "
                          "`slc reload`, or use `slc stop`"),
        [REFUSAL_NO_RELOAD] = ("its file does not say how: write `reload: signal HUP` or a command "
                               "there, then `slc reload`; or use `slc restart`"),
        [REFUSAL_NOT_RUNNING] = "it does not run: use `slc start`",
        [REFUSAL_STOPPING] = "it is being stopped",
        [REFUSAL_ON_ITS_WAY] = "it is on its way, and reads its files by that",
        [REFUSAL_NO_MEMORY] = "out of memory",
    };
    return words[refusal];
}

/* Why it cannot be told to read its own files again. */
static enum refusal why_no_reload(const struct manager *manager, const struct service *service)
{
    const struct service_body *body = service_body(manager, service);
    const struct definition *definition = service->definition;

    if (!definition->reload_signal && !definition->reload_command)
        return REFUSAL_NO_RELOAD;
    if (is_idle(body))
        return REFUSAL_NOT_RUNNING;
    if (must_go(manager, body))
        return REFUSAL_STOPPING;
    return is_running(body) ? REFUSAL_NONE : REFUSAL_ON_ITS_WAY;
}

/* Nothing that runs is in its way; what does not run cannot come back without a file. */
static bool would_need_file(const struct service_body *body, enum request_verb verb)
{
    return body->gone && (verb == REQUEST_RESTART || (verb == REQUEST_START && !is_running(body)));
}

static enum refusal why_refused(const struct manager *manager, const struct service *service,
                                enum request_verb verb)
{
    if (verb == REQUEST_RESET)
        return REFUSAL_NONE;
    if (manager->shutting_down && verb != REQUEST_STOP)
        return REFUSAL_GOING_DOWN;
    if (!service->definition && verb != REQUEST_STOP)
        return REFUSAL_BROKEN;
    if (service->cycle && verb != REQUEST_STOP)
        return REFUSAL_CYCLE;
    if (would_need_file(service_body(manager, service), verb))
        return REFUSAL_GONE;
    return verb == REQUEST_RELOAD ? why_no_reload(manager, service) : REFUSAL_NONE;
}

static bool nothing_to_do(const struct service_body *body, enum request_verb verb)
{
    if (verb == REQUEST_START)
        return machine_states[body->state].up && body->wanted && !body->restarting &&
               !body->blocked;
    if (verb == REQUEST_STOP)
        return (body->state == STATE_STOPPED || body->state == STATE_BROKEN) && !body->wanted;
    return false;
}

typedef void begin_verb(struct manager *manager, struct wave *wave, struct service *service,
                        struct request_item *item);

static void begin_stop(struct manager *manager, struct wave *wave, struct service *service,
                       struct request_item *item)
{
    (void)item;
    note_asked(manager, service, wave->serial, REQUEST_STOP);
    want_down(manager, service);
}

static void begin_start(struct manager *manager, struct wave *wave, struct service *service,
                        struct request_item *item)
{
    (void)manager;
    if (item->outcome == OUTCOME_ALREADY)
        return;
    push(wave, service);
    run_wave(wave);
}

static void begin_restart(struct manager *manager, struct wave *wave, struct service *service,
                          struct request_item *item)
{
    begin_start(manager, wave, service, item);
    want_again(manager, service);
}

static void begin_reload(struct manager *manager, struct wave *wave, struct service *service,
                         struct request_item *item)
{
    (void)wave;
    want_reload(manager, service, item);
}

static void begin_reset(struct manager *manager, struct wave *wave, struct service *service,
                        struct request_item *item)
{
    (void)wave;
    item->outcome = reset(manager, service) ? OUTCOME_DONE : OUTCOME_ALREADY;
}

static begin_verb *const verbs[REQUEST_VERBS] = {
    [REQUEST_START] = begin_start,     [REQUEST_STOP] = begin_stop,
    [REQUEST_RESTART] = begin_restart, [REQUEST_RELOAD] = begin_reload,
    [REQUEST_RESET] = begin_reset,
};

static void begin(struct manager *manager, struct request *request, struct wave *wave,
                  struct request_item *item)
{
    struct service *service = &manager->services[item->slot];
    item->serial = wave->serial;
    item->why = why_refused(manager, service, request->verb);
    item->outcome = item->why ? OUTCOME_REFUSED : OUTCOME_PENDING;
    if (item->why)
        return;
    if (nothing_to_do(service_body(manager, service), request->verb))
        item->outcome = OUTCOME_ALREADY;
    verbs[request->verb](manager, wave, service, item);
}

/* Of a request that came later: it is about whether the service is up, not about what it reads. */
static bool is_overtaken(const struct manager *manager, const struct service *service,
                         const struct request_item *item, enum request_verb verb)
{
    uint32_t serial = asked_serial(manager, service);
    enum request_verb by = asked_verb(manager, service);

    if (verb == REQUEST_RELOAD)
        return (int32_t)(serial - item->serial) > 0 && by != REQUEST_START;
    return serial != item->serial && (by == REQUEST_STOP) != (verb == REQUEST_STOP);
}

static enum outcome outcome_of_reload(const struct service_body *body,
                                      const struct request_item *item)
{
    if ((int32_t)(body->reloads - item->reload) >= 0)
        return body->reload_failed ? OUTCOME_FAILED : OUTCOME_DONE;
    return is_running(body) ? OUTCOME_PENDING : OUTCOME_FAILED;
}

/* How an item stands now. */
static enum outcome outcome_of(const struct manager *manager, struct request_item *item,
                               enum request_verb verb)
{
    const struct service *service = &manager->services[item->slot];
    const struct service_body *body = service_body(manager, service);

    if (!service->in_use) /* it was stopped, and its file is gone */
        return verb == REQUEST_STOP ? OUTCOME_DONE : OUTCOME_FAILED;
    if (is_overtaken(manager, service, item, verb)) {
        item->by = asked_verb(manager, service);
        return OUTCOME_OVERTAKEN;
    }
    if (verb == REQUEST_RELOAD)
        return outcome_of_reload(body, item);
    if (verb == REQUEST_STOP) {
        bool down = is_idle(body) && (item->taken_along || body->state != STATE_DONE);
        return down && body->state != STATE_WAITING ? OUTCOME_DONE : OUTCOME_PENDING;
    }
    if (body->restarting)
        return OUTCOME_PENDING;
    if (machine_states[body->state].up && !must_go(manager, body))
        return OUTCOME_DONE;
    if (body->state == STATE_FAILED || body->state == STATE_BROKEN ||
        body->state == STATE_BACKING_OFF)
        return OUTCOME_FAILED;
    if (body->state != STATE_STOPPED || !must_go(manager, body))
        return OUTCOME_PENDING;
    /* What a restart has taken down comes back when its need has, whether it was named or not. */
    return is_taken_along(body) ? OUTCOME_PENDING : OUTCOME_FAILED;
}

void settle_item(struct request *request, struct request_item *item, enum outcome outcome)
{
    bool news = item->outcome != outcome;
    item->outcome = outcome;
    if (news && request->on_item)
        request->on_item(request, item);
}

/* When a stop was overtaken before it began, what it would have taken along goes on. */
static void let_go_on(const struct manager *manager, struct request *request)
{
    for (size_t i = 0; i < request->count; i++) {
        struct request_item *item = &request->items[i];
        const struct service_body *body = service_body(manager, &manager->services[item->slot]);
        if (item->outcome != OUTCOME_PENDING || must_go(manager, body))
            continue;
        item->by = REQUEST_START;
        settle_item(request, item, OUTCOME_OVERTAKEN);
        request->pending--;
    }
}

static void check_request(struct manager *manager, struct request *request)
{
    size_t named = 0;
    request->pending = 0;
    for (size_t i = 0; i < request->count; i++) {
        struct request_item *item = &request->items[i];
        if (item->outcome == OUTCOME_PENDING)
            settle_item(request, item, outcome_of(manager, item, request->verb));
        request->pending += item->outcome == OUTCOME_PENDING;
        named += item->outcome == OUTCOME_PENDING && !item->taken_along;
    }
    if (!named && request->pending && request->verb == REQUEST_STOP)
        let_go_on(manager, request);
}

size_t manager_request(struct manager *manager, struct request *request)
{
    struct wave wave = {.manager = manager,
                        .serial = ++manager->header->next_serial,
                        .verb = request->verb,
                        .by_person = true,
                        .stack = calloc(manager->slots + 1, sizeof *wave.stack)};
    list_init(&request->link);
    request->pending = 0;
    for (size_t i = 0; i < request->count; i++)
        manager->services[request->items[i].slot].item_serial = wave.serial;
    if (request->verb == REQUEST_STOP || request->verb == REQUEST_RESTART)
        take_along(manager, request);
    for (size_t i = 0; i < request->count; i++) {
        struct request_item *item = &request->items[i];
        item->outcome = OUTCOME_PENDING;
        if (!wave.stack) {
            item->outcome = OUTCOME_REFUSED;
            item->why = REFUSAL_NO_MEMORY;
        } else if (!item->taken_along) {
            begin(manager, request, &wave, item);
        }
        request->pending += item->outcome == OUTCOME_PENDING;
    }
    free(wave.stack);
    if (request->pending)
        list_append(&manager->requests, &request->link);
    return request->pending;
}

size_t manager_resume(struct manager *manager, struct request *request)
{
    list_init(&request->link);
    request->pending = 0;
    for (size_t i = 0; i < request->count; i++)
        request->pending += request->items[i].outcome == OUTCOME_PENDING;
    if (request->pending)
        list_append(&manager->requests, &request->link);
    return request->pending;
}

void manager_cancel(struct manager *manager, struct request *request)
{
    (void)manager;
    list_remove(&request->link);
}

/* on_done may cancel other requests, so the walk begins again after each call. */
void check_requests(struct manager *manager)
{
    bool again = true;
    while (again) {
        again = false;
        list_for_each(node, &manager->requests)
        {
            struct request *request = container_of(node, struct request, link);
            check_request(manager, request);
            if (request->pending)
                continue;
            list_remove(&request->link);
            request->on_done(request);
            again = true;
            break;
        }
    }
}
