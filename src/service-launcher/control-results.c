/* What a request has come to, or is waiting for, as its client is told. */
#include "service-launcher/control-call.h"

#include "base/text.h"
#include "service/name.h"

#include <string.h>

#define PROGRESS_ITEMS_MAX 20 /* services that one names */

static const char *outcome_word(const struct call *call, const struct request_item *item,
                                bool waited)
{
    static const char *const words[] = {
        [OUTCOME_DONE] = "done",       [OUTCOME_ALREADY] = "already",
        [OUTCOME_FAILED] = "failed",   [OUTCOME_OVERTAKEN] = "overtaken",
        [OUTCOME_REFUSED] = "refused",
    };
    if (item->outcome == OUTCOME_PENDING)
        return waited ? "timed-out" : "begun";
    return words[item->outcome];
}

/* Why it was not even begun; where its file does not load, or it is in a cycle, with the first of
 * its errors. */
static void put_refusal(struct show *show, const struct service *service, const char *why)
{
    const char *errors = service ? service->cycle ? service->cycle : service->errors : NULL;
    char words[1000];

    if (service && service->cycle) /* which begins "in a cycle" */
        text_format(words, sizeof words, "it is %s", errors);
    else
        text_format(words, sizeof words, "%s%s%.*s", why, errors ? ": " : "",
                    errors ? (int)strcspn(errors, "\n") : 0, errors ? errors : "");
    json_add_string(show->writer, "reason", words);
}

static void put_result(struct show *show, const struct call *call, size_t index, bool waited)
{
    static const char *const verbs[REQUEST_VERBS] = {
        [REQUEST_START] = "start",   [REQUEST_STOP] = "stop",   [REQUEST_RESTART] = "restart",
        [REQUEST_RELOAD] = "reload", [REQUEST_RESET] = "reset",
    };
    const struct manager *manager = manager_of(call);
    const struct request_item *item = &call->request.items[index];
    const struct service *service = &manager->services[item->slot];
    bool there = service->in_use && !strcmp(service_name(manager, service), call->names[index]);

    json_begin(show->writer, '{');
    json_add_string(show->writer, "name", call->names[index]);
    json_add_string(show->writer, "outcome", outcome_word(call, item, waited));
    json_add_string(show->writer, "state",
                    there ? service_state_shown(manager, service) : "stopped");
    if (item->outcome == OUTCOME_REFUSED)
        put_refusal(show, there ? service : NULL, refusal_words(item->why));
    else if (there)
        show_reason(show, service);
    else /* an instance is forgotten once it has stopped */
        json_add_string(show->writer, "reason",
                        service_name_instance(call->names[index]) ? NULL : "its file was removed");
    json_add_string(show->writer, "by",
                    item->outcome == OUTCOME_OVERTAKEN ? verbs[item->by] : NULL);
    json_add_bool(show->writer, "taken_along", item->taken_along);
    json_end(show->writer, '}');
}

void call_reply_results(struct call *call, bool waited)
{
    struct json_writer writer = connection_writer(call->connection);
    struct show show = show_begin(call->connection->control, &writer);

    varlink_begin_reply(&writer, false);
    json_put_key(&writer, "results");
    json_begin(&writer, '[');
    for (size_t i = 0; i < call->request.count; i++)
        put_result(&show, call, i, waited);
    json_end(&writer, ']');
    connection_end_message(call->connection, &writer);
}

void call_reply_progress(struct call *call)
{
    struct json_writer writer = connection_writer(call->connection);
    struct show show = show_begin(call->connection->control, &writer);
    const struct manager *manager = manager_of(call);
    size_t shown = 0;

    varlink_begin_reply(&writer, true);
    json_put_key(&writer, "progress");
    json_begin(&writer, '[');
    for (size_t i = 0; i < call->request.count && shown < PROGRESS_ITEMS_MAX; i++) {
        const struct request_item *item = &call->request.items[i];
        const struct service *service = &manager->services[item->slot];
        if (item->outcome != OUTCOME_PENDING)
            continue;
        shown++;
        json_begin(&writer, '{');
        json_add_string(&writer, "name", call->names[i]);
        json_add_string(&writer, "state", service_state_shown(manager, service));
        show_reason(&show, service);
        show_time(&show, "since", service_body(manager, service)->since_ns);
        json_end(&writer, '}');
    }
    json_end(&writer, ']');
    json_add_number(&writer, "pending", (int64_t)call->request.pending);
    connection_end_message(call->connection, &writer);
}
