/* A call that waits: what control-requests.c and control-results.c share. Nobody else includes it.
 */
#pragma once

#include "service-launcher/control.h"

enum call_kind { CALL_REQUEST, CALL_DRAIN, CALL_MONITOR, CALL_RELOAD, CALL_UPGRADE };

struct call {
    enum call_kind kind;
    struct connection *connection;
    struct list link; /* in control->calls, of requests with `more` and monitors */
    struct loop_timer timer;
    uint64_t give_up_at_ns;  /* 0: never */
    uint64_t progress_at_ns; /* the next one at the latest; 0: the client wants none */
    uint64_t told_at_ns;     /* the last one */
    bool done;               /* the request has settled, the journal has drained */
    bool changed;            /* something has happened since the last progress */
    struct request request;
    char **names; /* of the request's items: a service may be forgotten before its reply */
    size_t name_count;
    struct journal_drain drain;
    struct reload_request *reload; /* NULL once it has answered */
    json_t *patterns;              /* of a monitor; a reference of ours, or NULL */
};

static inline struct manager *manager_of(const struct call *call)
{
    return &call->connection->control->launcher->manager;
}

/* The last reply of a request: what came of each service. `waited`: what has not settled was waited
 * for in vain, and is not only begun. */
void call_reply_results(struct call *call, bool waited);

/* What the request waits for: of its services those that have not settled, with what they say
 * themselves ("waits for db"). */
void call_reply_progress(struct call *call);
