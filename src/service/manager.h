/* The manager: what is wanted against what is, settled over a queue. Pure but for the seam
 * `struct manager_ops`, so whole lifecycles run in tests with a fake kernel and clock.
 *
 * Every service has a state (machine.h) and a wish (`wanted`, and the flags of record.h). A change
 * of either marks its neighbours in the graph as dirty; manager_settle() looks at each dirty one
 * and gives the machine the event that brings it nearer to its wish: START once nothing that comes
 * first is still on its way, STOP once nothing that must go first is still up. Nobody calls down
 * the graph: depth costs no stack.
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
    uint32_t slot; /* index in manager->services and of its record */
    bool dirty, in_use;
    const struct definition *definition; /* NULL while broken */
    const char *errors;      /* broken: its errors, one a line; owned by the launcher; else NULL */
    uint32_t request_serial; /* of the newest request that named it */
    uint8_t request_verb;    /* of that request: enum request_verb */
};

struct manager_ops {
    /* Carries out the actions of a transition (bits of enum service_action, without the
     * manager's own). Returns the event that follows at once, or EVENT_NONE. */
    enum service_event (*act)(void *context, struct service *service, unsigned actions);
    /* Whether all of `when` is met; else the index of the first that is not in *ret_index. */
    bool (*conditions_met)(void *context, const struct definition *definition, size_t *ret_index);
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

enum request_verb { REQUEST_START, REQUEST_STOP, REQUEST_RESTART, REQUEST_VERBS };

/* How a service named in a request stands. */
enum outcome {
    OUTCOME_PENDING,
    OUTCOME_DONE,
    OUTCOME_ALREADY,   /* there was nothing to do: it is running, done, skipped; or stopped */
    OUTCOME_FAILED,    /* the reason is the service's */
    OUTCOME_OVERTAKEN, /* by another request: `by` says which verb */
    OUTCOME_REFUSED,   /* not even begun: `why` says it */
};

struct request_item {
    uint32_t slot;
    uint32_t serial;
    enum outcome outcome;
    enum request_verb by;
    const char *why;  /* REFUSED: a constant */
    bool taken_along; /* not named by the client: it needs, or is needed by, one that was */
};

/* A client's wish about services. The caller owns it and calls manager_cancel() before it goes. */
struct request {
    struct list link; /* in manager->requests while pending */
    enum request_verb verb;
    struct request_item *items; /* the caller's array, `named` of them filled in by it */
    size_t count, pending;
    void (*on_done)(struct request *request); /* all items are settled; never called from inside
                                                 manager_request() */
    void *context;
};

struct manager {
    const struct manager_ops *ops;
    void *context;
    struct service *services;       /* [slots] */
    struct service_record *records; /* [slots], in the memfd */
    struct state_header *header;
    uint32_t slots; /* used and free */
    struct graph graph;
    uint32_t *queue; /* dirty slots, a ring of `slots` entries */
    uint32_t queue_begin, queue_count;
    struct list requests;
    uint32_t next_serial;
    bool shutting_down;
};

/* The live half of a service's record: read only. Only the manager's set_body writes. */
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

/* "stopped", "waiting" …: the public name of its state. */
const char *service_state_shown(const struct manager *manager, const struct service *service);

/* The reason in words ("needs db, which failed"); nothing is written where there is none. */
void service_reason(const struct manager *manager, const struct service *service,
                    struct text *text);

/* The service of that name, or that provides that name; NULL when there is none. */
struct service *manager_find(struct manager *manager, const char *name);

/* Begins a request about the services of its items (their slots are filled in). What is to be
 * done at once is done by the next manager_settle(). Returns how many items are pending: with 0
 * the request is settled, on_done will not be called. */
size_t manager_request(struct manager *manager, struct request *request);

/* Forgets a pending request: what it began goes on. */
void manager_cancel(struct manager *manager, struct request *request);

/* All services down, in order. Idempotent. */
void manager_shut_down(struct manager *manager);
