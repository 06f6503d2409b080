/* Signals to services, by name. They are sent at once, so there is nothing to wait for: what a
 * service makes of one is seen in its state. */
#include "service-launcher/control.h"

#include "service-launcher/request-store.h"

#include "base/signals.h"
#include "base/text.h"
#include "log/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *why_not_sent(int failed, bool all)
{
    if (failed == -ESRCH)
        return all ? "no process of it runs" : "its main process does not run";
    return strerror(-failed);
}

/* How far one is, in the request's record: so that a launcher which is killed in between leaves a
 * next one that never sends it twice. */
enum signal_standing { TO_SEND, SENDING, SENT };

static const char unsure[] =
    "the launcher was killed while it sent the signal: whether it was sent is not known";

/* One service of the call. */
struct target {
    const char *name;
    const struct service *service; /* NULL: there is none any more */
    int failed;                    /* errno that it could not be sent for, negative; 0 */
    bool unsure;
};

static void put_result(struct show *show, const struct target *target, bool all)
{
    const struct manager *manager = &show->control->launcher->manager;
    const struct service *service = target->service;

    json_begin(show->writer, '{');
    json_add_string(show->writer, "name", target->name);
    json_add_string(show->writer, "outcome",
                    target->unsure   ? "failed"
                    : target->failed ? "refused"
                                     : "done");
    json_add_string(show->writer, "state",
                    service ? service_state_shown(manager, service) : "stopped");
    if (target->unsure)
        json_add_string(show->writer, "reason", unsure);
    else if (target->failed)
        json_add_string(show->writer, "reason", why_not_sent(target->failed, all));
    else if (service)
        show_reason(show, service);
    else
        json_add_string(show->writer, "reason", NULL);
    json_add_string(show->writer, "by", NULL);
    json_add_bool(show->writer, "taken_along", false);
    json_end(show->writer, '}');
}

static int send_one(struct connection *connection, const struct service *service, int number,
                    bool all)
{
    struct launcher *launcher = connection->control->launcher;
    int failed = executor_signal(launcher->executor, service->slot, number, all);
    char name[32];
    struct text text;

    text_init(&text, name, sizeof name);
    signals_format(number, &text);
    if (!failed)
        LOG(INFO, "Sent a signal to a service",
            TEXT("service", service_name(&launcher->manager, service)), TEXT("signal", name),
            NUMBER("uid", connection->peer.uid));
    return failed;
}

/* The services that are named, as items of the request. Returns how many, or -1: it is answered. */
static ssize_t list_items(struct connection *connection, const json_t *names,
                          struct request_item_record **ret)
{
    const struct manager *manager = &connection->control->launcher->manager;
    struct service **services;
    ssize_t count = control_services_named(connection, names, &services);

    if (count < 0)
        return -1;
    struct request_item_record *items = calloc((size_t)count + 1, sizeof *items);
    for (ssize_t i = 0; items && i < count; i++) {
        items[i] = (struct request_item_record){.slot = services[i]->slot, .standing = TO_SEND};
        text_format(items[i].name, sizeof items[i].name, "%s", service_name(manager, services[i]));
    }
    free(services);
    if (!items) {
        connection_lack(connection, true);
        return -1;
    }
    kept_begin(connection, items, (size_t)count);
    *ret = items;
    return count;
}

static struct target send_to_item(struct connection *connection,
                                  const struct request_item_record *item, size_t index, int number,
                                  bool all)
{
    const struct service *service = control_find(connection->control, item->name);
    struct target target = {.name = item->name, .service = service};

    switch (item->standing & 0xff) {
    case TO_SEND:
        kept_note(connection, index, SENDING);
        target.failed = service ? send_one(connection, service, number, all) : -ESRCH;
        kept_note(connection, index, SENT | (uint32_t)-target.failed << 8);
        break;
    case SENT:
        target.failed = -(int)(item->standing >> 8);
        break;
    default:
        target.unsure = true;
    }
    return target;
}

void control_send_signal(struct connection *connection, const struct arguments *arguments)
{
    struct request_item_record *items = NULL;
    int number;

    if (!json_array_size(arguments->names) || signals_parse(arguments->signal, &number) < 0) {
        control_reply_error(connection, "org.varlink.service.InvalidParameter", "parameter",
                            json_array_size(arguments->names) ? "signal" : "names");
        return;
    }
    ssize_t count = kept_items(connection, &items);
    if (count == 0)
        count = list_items(connection, arguments->names, &items);
    else if (count < 0)
        connection->failed = true;
    if (count < 0)
        return;
    struct json_writer writer = connection_writer(connection);
    struct show show = show_begin(connection->control, &writer);
    varlink_begin_reply(&writer, false);
    json_put_key(&writer, "results");
    json_begin(&writer, '[');
    for (ssize_t i = 0; i < count; i++) {
        struct target target =
            send_to_item(connection, &items[i], (size_t)i, number, arguments->all);
        put_result(&show, &target, arguments->all);
    }
    json_end(&writer, ']');
    connection_end_message(connection, &writer);
    free(items);
}
