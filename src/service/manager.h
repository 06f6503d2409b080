/* The manager: what is wanted against what is, settled over a queue. Pure but for the seam
 * `struct manager_ops`, so whole lifecycles run in tests with a fake kernel and clock.
 *
 * Every service has a state (machine.h) and a wish (`wanted`, and the flags of record.h). A change
 * of either marks its neighbours in the graph as dirty; manager_settle() first looks at each dirty
 * one's needs, until no wish changes any more, and only then gives the machine of each the event
 * that brings it nearer to its wish: START once nothing that comes first is still on its way, STOP
 * once nothing that must go first is still up. So nobody acts on a wish that is about to change.
 * Nobody calls down the graph: depth costs no stack.
 *
 * Rules (docs/ordering.md tells them to users):
 *   - A need that is RUNNING, DONE or SKIPPED counts as started. One that is FAILED, BROKEN,
 * stopped by hand or missing blocks: FAILED with the reason, or, where it ran, STOPPED with the
 * reason.
 *   - A blocked service comes back by itself when that need starts again.
 *   - wants and after only order: they wait while the other is on its way up, and no longer.
 */
#pragma once

#include "service/definition.h"
#include "service/graph.h"
#include "service/machine.h"
#include "service/record.h"

#include "base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct manager;
struct text;

struct service {
    uint32_t slot;           /* index in manager->services and of its record */
    bool dirty, due, in_use; /* dirty: in manager->queue; due: in manager->due */
    bool lingers; /* last words of the one before are on their way: not to be used for another */
    const struct definition *definition; /* NULL while broken */
    const char *errors;       /* broken: its errors, one a line; owned by the launcher; else NULL */
    uint32_t item_serial;     /* of the newest request that has it as an item */
    const char *cycle;        /* "in a cycle: …" while it is in one; else NULL; the manager's */
    const char *missing_need; /* the first of its needs that names nothing; NULL: none */
    uint8_t switched;         /* enum switched; the launcher's */
    bool from_template;       /* an instance without a file of its own */
    bool named;               /* an instance that others name: it stays though it is stopped */
    bool unbegun;             /* it came with a reload, and is to be started; the launcher's */
};

struct manager_ops {
    /* Carries out the actions of a transition (bits of enum service_action, without the
     * manager's own). Returns the event that follows at once, or EVENT_NONE. */
    enum service_event (*act)(void *context, struct service *service, unsigned actions);
    /* 1: all of `when` is met. Else the index of the one it is about in *ret_index, and 0: it is
     * not; -EINPROGRESS: that will be known later, and the service marked then; -ETIMEDOUT: nobody
     * has said in time whether it is. */
    int (*conditions_met)(void *context, const struct service *service, size_t *ret_index);
    uint64_t (*now_ns)(void *context);
    /* A number in 0 … bound-1, for jitter. */
    uint32_t (*random)(void *context, uint32_t bound);
    /* The state has changed: for logs, events and waiting requests. */
    void (*changed)(void *context, struct service *service, enum service_state before);
    /* An event that the machine calls impossible: a bug, to be logged. */
    void (*impossible)(void *context, struct service *service, enum service_event event);
    /* The machine is to go down because an essential service ended. */
    void (*essential_ended)(void *context, struct service *service, int exit_status);
};

enum request_verb {
    REQUEST_START,
    REQUEST_STOP,
    REQUEST_RESTART,
    REQUEST_RELOAD, /* the service reads its own files again */
    REQUEST_RESET,  /* failures are forgotten, a back-off ends; settled at once */
    REQUEST_VERBS
};

/* How a service named in a request stands. */
enum outcome {
    OUTCOME_PENDING,
    OUTCOME_DONE,
    OUTCOME_ALREADY,   /* there was nothing to do: it is running, done, skipped; or stopped */
    OUTCOME_FAILED,    /* the reason is the service's */
    OUTCOME_OVERTAKEN, /* by another request: `by` says which verb */
    OUTCOME_REFUSED,   /* not even begun: `why` says it */
};

/* Why one was not even begun: refusal_words() has it in words. The numbers are in the record of
 * requests (docs/state.md), so they are never reused. */
enum refusal {
    REFUSAL_NONE,
    REFUSAL_GOING_DOWN,
    REFUSAL_BROKEN,
    REFUSAL_CYCLE,
    REFUSAL_GONE,
    REFUSAL_NO_RELOAD,
    REFUSAL_NOT_RUNNING,
    REFUSAL_STOPPING,
    REFUSAL_ON_ITS_WAY,
    REFUSAL_NO_MEMORY,
    REFUSALS
};

const char *refusal_words(enum refusal refusal);

struct request_item {
    uint32_t slot;
    uint32_t serial;
    uint32_t reload; /* RELOAD: it is done when so many have ended */
    enum outcome outcome;
    enum request_verb by;
    enum refusal why; /* REFUSED */
    bool taken_along; /* not named by the client: it needs, or is needed by, one that was */
};

/* A client's wish about services. The caller owns it and calls manager_cancel() before it goes.
 * `items` is from malloc: the caller fills in the slots of the `count` services that were named and
 * frees it in the end; the manager may grow it to append those that are taken along. */
struct request {
    struct list link; /* in manager->requests while pending */
    enum request_verb verb;
    struct request_item *items;
    size_t count, pending;
    void (*on_done)(struct request *request); /* all items are settled; never called from inside
                                                 manager_request() */
    /* An item has settled, after manager_request(); NULL: nobody notes it. Nothing may be asked of
     * the manager in there. */
    void (*on_item)(struct request *request, const struct request_item *item);
    void *context;
};

/* A name and whose it is. */
struct manager_name {
    const char *name; /* its own or a provided one; NULL: a free place of the table */
    uint32_t slot;
};

struct manager {
    const struct manager_ops *ops;
    void *context;
    struct service *services;       /* [slots] */
    struct service_record *records; /* [slots], in the memfd */
    struct state_header *header;
    uint32_t slots;      /* used and free */
    uint32_t active;     /* services that are not idle */
    uint32_t coming;     /* services that wait to start, or are on their way up */
    uint32_t first_free; /* no free slot is below it */
    struct graph graph;
    struct manager_name *names; /* a hash table of a power of two places */
    uint32_t name_places, names_used;
    char *provided_names; /* the texts of provided names: a definition may go while they are here */
    char **cycle_texts;   /* what services' `cycle` points to */
    size_t cycle_count;
    uint32_t *queue; /* dirty slots, a ring of `slots` entries */
    uint32_t queue_begin, queue_count;
    uint32_t *due; /* slots whose wish is settled and that may have to act; such a ring too */
    uint32_t due_begin, due_count;
    struct list requests;
    bool shutting_down;
};

/* The live half of a service's record: read only: see manager_commit(). */
static inline const struct service_body *service_body(const struct manager *manager,
                                                      const struct service *service)
{
    const struct service_record *record = &manager->records[service->slot];
    return &record->body[record->live & 1];
}

static inline const char *service_name(const struct manager *manager, const struct service *service)
{
    return manager->records[service->slot].name;
}

static inline enum service_state service_state(const struct manager *manager,
                                               const struct service *service)
{
    return (enum service_state)service_body(manager, service)->state;
}

/* Whether it is to be started at boot, as far as that is asked. */
static inline bool service_is_enabled(const struct service *service)
{
    if (service->switched != SWITCHED_NOT)
        return service->switched == SWITCHED_ON;
    return service->definition && service->definition->enabled;
}

/* "stopped", "waiting" …: the public name of its state. */
const char *service_state_shown(const struct manager *manager, const struct service *service);

/* The reason in words ("needs db, which failed"); nothing is written where there is none. */
void service_reason(const struct manager *manager, const struct service *service,
                    struct text *text);

/* The same of a reason that is not, or not yet, that of its state. */
void service_reason_words(const struct manager *manager, const struct service *service,
                          const struct reason *reason, struct text *text);

/* "cannot execute its program": the words of an enum start_step. */
const char *service_step_words(unsigned step);

/* The service of that name, or that provides that name; NULL when there is none. */
struct service *manager_find(const struct manager *manager, const char *name);

/* ---- life ---------------------------------------------------------------------------------- */

/* `records` has `slots` entries and lives as long as the manager. Returns 0 or -ENOMEM. */
int manager_init(struct manager *manager, const struct manager_ops *ops, void *context,
                 struct state_header *header, struct service_record *records, uint32_t slots);
void manager_finish(struct manager *manager);

/* More slots (the records have grown in place). Returns 0 or -ENOMEM (nothing changed). */
int manager_grow(struct manager *manager, uint32_t slots);

/* Takes a free slot for a service of that name, which manager_find() finds from now on; NULL when
 * all are taken: manager_grow() first. */
struct service *manager_add(struct manager *manager, const char *name);

/* Forgets an idle service: its slot is free. Requests that wait for it have their answer in the
 * next manager_settle(). */
void manager_forget(struct manager *manager, struct service *service);

/* Whether a slot, free or not, is to be left alone by manager_add(): something of the service that
 * it was is still on its way. */
void manager_linger(struct manager *manager, uint32_t slot, bool lingers);

/* What names find, after definitions have changed; manager_resolve() does it too. Returns 0 or
 * -ENOMEM (nothing changed). */
int manager_index_names(struct manager *manager);

/* To be called after services were added, changed or forgotten: resolves names, builds the graph,
 * breaks the members of cycles, marks everything dirty. `order` is gonit's list of names, each
 * after the one before it (NULL-terminated, or NULL). `warn` is told what is odd but not wrong; may
 * be NULL. Returns 0, or -ENOMEM: then the old graph stays in force. */
int manager_resolve(struct manager *manager, char *const *order,
                    void (*warn)(void *context, const char *service, const char *text));

/* ---- wishes -------------------------------------------------------------------------------- */

/* Wants these slots up, with all they need and want, as the boot does: what a person stopped stays
 * down; of two that conflict the later in name order is refused. Returns 0 or -ENOMEM (nothing
 * changed). */
int manager_want(struct manager *manager, const uint32_t *slots, size_t count);

/* Wants up, gently, what the services that are wanted need: after their definitions have changed.
 * Returns 0 or -ENOMEM (nothing changed). */
int manager_want_again(struct manager *manager);

/* The same for a reload: nothing that runs is stopped for it. Of two that conflict the one that
 * does not run is refused; two that run, run on. */
int manager_want_gently(struct manager *manager, const uint32_t *slots, size_t count);

/* After a reload: what runs is not stopped by a need that is down already, and only by one that
 * goes down from now on. Everything must have been settled before the reload. */
void manager_keep_running(struct manager *manager);

/* Begins a request about the services of its items. Actions follow in the next manager_settle().
 * Returns how many items are pending: with 0 the request is settled, and on_done is not called. */
size_t manager_request(struct manager *manager, struct request *request);

/* Waits for the rest of a request that a former launcher began: items have all that was known of
 * them. Returns as manager_request(). */
size_t manager_resume(struct manager *manager, struct request *request);

/* Forgets a pending request: what it began goes on. */
void manager_cancel(struct manager *manager, struct request *request);

/* All services down, in order. Idempotent. */
void manager_shut_down(struct manager *manager);

/* ---- the machine --------------------------------------------------------------------------- */

/* Something happened to a service. The executor calls this. */
void manager_event(struct manager *manager, struct service *service, enum service_event event);

/* Looks at every dirty service until none is left, then tells the requests that are settled. */
void manager_settle(struct manager *manager);

/* Marks a service to be looked at in the next manager_settle(). */
void manager_mark(struct manager *manager, struct service *service);

/* Changes of the record that only the executor knows of. They become valid as one. */
struct service_body *manager_edit(struct manager *manager, struct service *service,
                                  struct service_body *storage);
void manager_commit(struct manager *manager, struct service *service,
                    const struct service_body *body);
