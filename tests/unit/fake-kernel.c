/* A kernel and a clock that are made up. */
#include "fake-kernel.h"
#include "base/clock.h"
#include "base/text.h"

#include <string.h>

static struct fake_service *of(struct fake *fake, const struct service *service)
{
    return &fake->services[service->slot];
}

static void note(struct fake *fake, char sign, const struct service *service)
{
    struct text text = {fake->order, sizeof fake->order, strlen(fake->order), false};
    text_printf(&text, "%c%s ", sign, service_name(&fake->manager, service));
}

static void set_timer(struct fake *fake, struct service *service, uint64_t at_ns)
{
    of(fake, service)->timer_ns = at_ns;
}

static enum service_event act_signal(struct fake *fake, struct service *service)
{
    struct fake_service *s = of(fake, service);
    if (s->queued) {
        s->queued = false;
        return EVENT_SPAWN_FAILED;
    }
    if (!s->runs)
        return EVENT_EXITED;
    s->signalled = true;
    return EVENT_NONE;
}

static enum service_event act(void *context, struct service *service, unsigned actions)
{
    struct fake *fake = context;
    struct fake_service *s = of(fake, service);
    enum service_event event = EVENT_NONE;
    const struct service_body *body = service_body(&fake->manager, service);

    if (actions & ACTION_BEGIN_RUN) {
        if (fake->check)
            fake->check(fake, service, true);
        note(fake, '+', service);
        if (s->definition.start_timeout_ms != TIME_NEVER_MS)
            set_timer(fake, service, fake->now_ns + s->definition.start_timeout_ms * NS_PER_MS);
    }
    if (actions & ACTION_STOP_TIMER) {
        if (body->state != STATE_FINISHING) {
            if (fake->check)
                fake->check(fake, service, false);
            note(fake, '-', service);
        }
        set_timer(fake, service, fake->now_ns + s->definition.stop.timeout_ms * NS_PER_MS);
    }
    if (actions & ACTION_NO_TIMER)
        set_timer(fake, service, 0);
    if (actions & ACTION_RELOAD_TIMER)
        set_timer(fake, service, fake->now_ns + s->definition.start_timeout_ms * NS_PER_MS);
    if (actions & ACTION_HOOKS)
        event = body->state == STATE_RELOADING && s->slow_reload ? EVENT_NONE : EVENT_HOOKS_OK;
    if (actions & ACTION_SPAWN) {
        s->queued = s->definition.type != TYPE_TARGET;
        event = s->queued ? EVENT_NONE : EVENT_READY;
    }
    if (actions & ACTION_SIGNAL)
        event = act_signal(fake, service);
    if (actions & ACTION_KILL)
        s->signalled = true;
    if (actions & ACTION_SWEEP)
        event = EVENT_EMPTY;
    if (actions & ACTION_BACK_OFF)
        set_timer(fake, service, body->deadline_ns ? body->deadline_ns : 1);
    return event;
}

static int conditions_met(void *context, const struct service *service, size_t *ret_index)
{
    const struct fake *fake = context;
    (void)service;
    *ret_index = 0;
    return fake->look ? fake->look : !fake->skip;
}

static uint64_t now_ns(void *context)
{
    struct fake *fake = context;
    if (fake->crash_in && !--fake->crash_in)
        longjmp(fake->crash, 1);
    return fake->now_ns++;
}

static uint32_t no_random(void *context, uint32_t bound)
{
    (void)context;
    return bound / 2;
}

static void changed(void *context, struct service *service, enum service_state before)
{
    (void)context;
    (void)service;
    (void)before;
}

static void impossible(void *context, struct service *service, enum service_event event)
{
    (void)service;
    (void)event;
    ((struct fake *)context)->impossible++;
}

static void essential_ended(void *context, struct service *service, int exit_status)
{
    (void)service;
    ((struct fake *)context)->essential_status = exit_status;
}

static const struct manager_ops ops = {
    .act = act,
    .conditions_met = conditions_met,
    .now_ns = now_ns,
    .random = no_random,
    .changed = changed,
    .impossible = impossible,
    .essential_ended = essential_ended,
};

void fake_init(struct fake *fake)
{
    memset(fake, 0, sizeof *fake);
    fake->now_ns = NS_PER_SEC;
    fake->essential_status = -1;
    manager_init(&fake->manager, &ops, fake, &fake->header, fake->records, FAKE_SLOTS);
}

void fake_finish(struct fake *fake)
{
    manager_finish(&fake->manager);
}

struct service *fake_add(struct fake *fake, const char *name, enum service_type type)
{
    struct service *service = manager_add(&fake->manager, name);
    struct fake_service *s = of(fake, service);
    text_format(s->name, sizeof s->name, "%s", name);
    s->definition = (struct definition){
        .name = s->name,
        .type = type,
        .enabled = true,
        .start_timeout_ms = type == TYPE_TASK ? TIME_NEVER_MS : 90000,
        .stop = {.signal = 15, .timeout_ms = 10000},
        .restart = {.policy = type == TYPE_TASK ? RESTART_NEVER : RESTART_ALWAYS,
                    .delay_ms = 100,
                    .max_ms = 30000,
                    .reset_after_ms = 10000,
                    .factor_percent = 200,
                    .limit = RESTART_NO_LIMIT},
        .needs = s->lists[NEEDS],
        .wants = s->lists[WANTS],
        .after = s->lists[AFTER],
        .conflicts = s->lists[CONFLICTS],
        .before = s->lists[BEFORE],
        .provides = s->lists[PROVIDES],
    };
    service->definition = &s->definition;
    manager_event(&fake->manager, service, EVENT_LOADED);
    return service;
}

struct service *fake_find(struct fake *fake, const char *name)
{
    for (uint32_t i = 0; i < FAKE_SLOTS; i++)
        if (strcmp(fake->records[i].name, name) == 0)
            return &fake->manager.services[i];
    return NULL;
}

void fake_tie(struct fake *fake, const char *from, int list, const char *to)
{
    char **names = of(fake, fake_find(fake, from))->lists[list];
    size_t count = 0;
    while (names[count])
        count++;
    const struct service *other = fake_find(fake, to);
    names[count] = other ? of(fake, other)->name : (char *)to;
}

void fake_load(struct fake *fake)
{
    manager_resolve(&fake->manager, NULL, NULL);
    manager_settle(&fake->manager);
}

const char *fake_shown(struct fake *fake, const char *name)
{
    return service_state_shown(&fake->manager, fake_find(fake, name));
}

const char *fake_reason(struct fake *fake, const char *name)
{
    static char storage[256];
    struct text text;
    text_init(&text, storage, sizeof storage);
    service_reason(&fake->manager, fake_find(fake, name), &text);
    return storage;
}

void fake_boot(struct fake *fake)
{
    uint32_t slots[FAKE_SLOTS];
    size_t count = 0;
    for (uint32_t i = 0; i < FAKE_SLOTS; i++)
        if (fake->records[i].name[0] && fake->services[i].definition.enabled)
            slots[count++] = i;
    manager_want(&fake->manager, slots, count);
    manager_settle(&fake->manager);
}

static void end_main(struct fake *fake, struct service *service, enum exit_kind kind, int value)
{
    struct service_body body;
    manager_edit(&fake->manager, service, &body);
    body.exit_kind = (uint8_t)kind;
    body.exit_value = value;
    body.ended = 1;
    manager_commit(&fake->manager, service, &body);
    of(fake, service)->runs = of(fake, service)->signalled = false;
    manager_event(&fake->manager, service, EVENT_EXITED);
    manager_settle(&fake->manager);
}

void fake_exit(struct fake *fake, const char *name, enum exit_kind kind, int value)
{
    end_main(fake, fake_find(fake, name), kind, value);
}

bool fake_step(struct fake *fake, uint32_t slot)
{
    struct fake_service *s = &fake->services[slot];
    struct service *service = &fake->manager.services[slot];
    if (s->queued) {
        s->queued = false;
        s->runs = true;
        manager_event(&fake->manager, service, EVENT_SPAWNED);
        if (s->definition.type == TYPE_DAEMON)
            manager_event(&fake->manager, service, EVENT_READY);
        manager_settle(&fake->manager);
    } else if (fake->ends_reloads && s->slow_reload &&
               service_state(&fake->manager, service) == STATE_RELOADING) {
        manager_event(&fake->manager, service, EVENT_HOOKS_OK);
        manager_settle(&fake->manager);
    } else if (s->runs && s->signalled) {
        end_main(fake, service, EXIT_SIGNAL, 15);
    } else if (s->runs && s->definition.type == TYPE_TASK) {
        end_main(fake, service, EXIT_CODE, 0);
    } else {
        return false;
    }
    return true;
}

void fake_run(struct fake *fake)
{
    bool moved = true;
    manager_settle(&fake->manager);
    while (moved) {
        moved = false;
        for (uint32_t i = 0; i < FAKE_SLOTS; i++)
            moved |= fake_step(fake, i);
    }
}

static enum service_event resume(struct fake *fake, struct service *service)
{
    struct fake_service *s = of(fake, service);
    const struct service_body *body = service_body(&fake->manager, service);
    switch ((enum service_state)body->state) {
    case STATE_RELOADING:
        if (s->slow_reload)
            return EVENT_NONE;
        return EVENT_HOOKS_OK;
    case STATE_PREPARING:
    case STATE_SETTLING:
    case STATE_LEAVING:
    case STATE_FINISHING:
        return EVENT_HOOKS_OK;
    case STATE_STARTING:
        if (s->runs)
            return s->definition.type == TYPE_DAEMON ? EVENT_READY : EVENT_NONE;
        return act(fake, service, ACTION_SPAWN);
    case STATE_STOPPING:
        return act_signal(fake, service);
    case STATE_KILLING:
        s->signalled = true;
        return s->runs ? EVENT_NONE : EVENT_EXITED;
    case STATE_SWEEPING:
        return EVENT_EMPTY;
    default:
        return EVENT_NONE;
    }
}

/* A timer is what the state should have; the old launcher's went with it. */
static void resume_timer(struct fake *fake, struct service *service)
{
    struct fake_service *s = of(fake, service);
    const struct service_body *body = service_body(&fake->manager, service);
    const struct machine_state *state = &machine_states[body->state];
    s->timer_ns = 0;
    if (body->state == STATE_BACKING_OFF)
        s->timer_ns = body->deadline_ns ? body->deadline_ns : 1;
    else if ((state->going_up || body->state == STATE_RELOADING) &&
             s->definition.start_timeout_ms != TIME_NEVER_MS)
        s->timer_ns = fake->now_ns + s->definition.start_timeout_ms * NS_PER_MS;
    else if (body->state == STATE_LEAVING || body->state == STATE_STOPPING ||
             body->state == STATE_FINISHING)
        s->timer_ns = fake->now_ns + s->definition.stop.timeout_ms * NS_PER_MS;
}

/* Its process has ended, and the launcher was killed before the machine knew. */
static bool is_exit_owed(const struct fake_service *s, const struct service_body *body)
{
    return body->ended && !s->runs &&
           (body->state == STATE_STARTING || body->state == STATE_SETTLING ||
            body->state == STATE_RUNNING || body->state == STATE_RELOADING);
}

void fake_recover(struct fake *fake)
{
    manager_finish(&fake->manager);
    manager_init(&fake->manager, &ops, fake, &fake->header, fake->records, FAKE_SLOTS);
    for (uint32_t i = 0; i < FAKE_SLOTS; i++)
        if (fake->manager.services[i].in_use)
            fake->manager.services[i].definition = &fake->services[i].definition;
    manager_resolve(&fake->manager, NULL, NULL);
    for (uint32_t i = 0; i < FAKE_SLOTS; i++) {
        struct service *service = &fake->manager.services[i];
        if (!service->in_use)
            continue;
        fake->services[i].queued = false;
        resume_timer(fake, service);
        enum service_event event =
            is_exit_owed(&fake->services[i], service_body(&fake->manager, service))
                ? EVENT_EXITED
                : resume(fake, service);
        if (event != EVENT_NONE)
            manager_event(&fake->manager, service, event);
    }
    manager_settle(&fake->manager);
}

bool fake_next_timer(struct fake *fake)
{
    uint32_t first = FAKE_SLOTS;
    for (uint32_t i = 0; i < FAKE_SLOTS; i++)
        if (fake->services[i].timer_ns &&
            (first == FAKE_SLOTS || fake->services[i].timer_ns < fake->services[first].timer_ns))
            first = i;
    if (first == FAKE_SLOTS)
        return false;
    if (fake->now_ns < fake->services[first].timer_ns)
        fake->now_ns = fake->services[first].timer_ns;
    fake->services[first].timer_ns = 0;
    manager_event(&fake->manager, &fake->manager.services[first], EVENT_TIME_OUT);
    manager_settle(&fake->manager);
    return true;
}
