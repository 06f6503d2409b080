/* What the manager's own files share. Nobody else includes this. */
#pragma once

#include "service/manager.h"

/* What a need is worth to a service that needs it. */
enum standing { STANDS_UP, STANDS_COMING, STANDS_GONE };

/* Whether a service is to be down now. */
static inline bool must_go(const struct manager *manager, const struct service_body *body)
{
    return manager->shutting_down || !body->wanted || body->blocked || body->restarting;
}

static inline bool is_idle(const struct service_body *body)
{
    return machine_states[body->state].idle;
}

/* It is running, also while it reads its own files again. */
static inline bool is_running(const struct service_body *body)
{
    return body->state == STATE_RUNNING || body->state == STATE_RELOADING;
}

/* Whether it was only taken along by a restart, of a need or of a need's need: it comes up again.
 */
static inline bool is_taken_along(const struct service_body *body)
{
    return body->wanted && body->blocked && body->cause.code == REASON_NEED_RESTARTED;
}

static inline bool is_coming(enum service_state state)
{
    return state == STATE_WAITING || machine_states[state].going_up;
}

/* Marks a service and all that are tied to it in the graph. */
void manager_mark_around(struct manager *manager, struct service *service);

/* Marks every service. */
void manager_mark_all(struct manager *manager);

/* Makes manager_find() find a service that was added. Returns 0 or -ENOMEM. */
int manager_add_name(struct manager *manager, const struct service *service);

/* manager-settle.c: settles whether a service is kept down by its needs; and, once that is known of
 * all, gives it the event that follows from its wish. */
void settle_wish(struct manager *manager, struct service *service);
void settle_action(struct manager *manager, struct service *service);

/* Gives an item of a pending request its outcome: manager-request.c. */
void settle_item(struct request *request, struct request_item *item, enum outcome outcome);

/* Looks whether pending requests are settled: manager-request.c. */
void check_requests(struct manager *manager);

struct reason reason_of(enum reason_code code, uint32_t slot, int32_t number);
