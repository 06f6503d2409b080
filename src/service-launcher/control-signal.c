/* Signals to services, by name. They are sent at once, so there is nothing to wait for: what a
 * service makes of one is seen in its state. */
#include "service-launcher/control.h"

#include "base/signals.h"
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

static void put_result(struct show *show, const struct service *service, int failed, bool all)
{
    const struct manager *manager = &show->control->launcher->manager;

    json_begin(show->writer, '{');
    json_add_string(show->writer, "name", service_name(manager, service));
    json_add_string(show->writer, "outcome", failed ? "refused" : "done");
    json_add_string(show->writer, "state", service_state_shown(manager, service));
    if (failed)
        json_add_string(show->writer, "reason", why_not_sent(failed, all));
    else
        show_reason(show, service);
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

void control_send_signal(struct connection *connection, const struct arguments *arguments)
{
    struct json_writer writer = connection_writer(connection);
    struct show show = show_begin(connection->control, &writer);
    struct service **services;
    int number;

    if (!json_array_size(arguments->names) || signals_parse(arguments->signal, &number) < 0) {
        control_reply_error(connection, "org.varlink.service.InvalidParameter", "parameter",
                            json_array_size(arguments->names) ? "signal" : "names");
        return;
    }
    ssize_t count = control_services_named(connection, arguments->names, &services);
    if (count < 0)
        return;
    varlink_begin_reply(&writer, false);
    json_put_key(&writer, "results");
    json_begin(&writer, '[');
    for (ssize_t i = 0; i < count; i++)
        put_result(&show, services[i], send_one(connection, services[i], number, arguments->all),
                   arguments->all);
    json_end(&writer, ']');
    connection_end_message(connection, &writer);
    free(services);
}
