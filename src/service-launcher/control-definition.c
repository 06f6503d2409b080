/* The reply to Show: definitions in force, each key with where its value comes from. */
#include "service-launcher/control.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "config/keys.h"

#include <limits.h>
#include <stdlib.h>

#define VALUE_BYTES     4096       /* first try; most values are shorter */
#define VALUE_MAX_BYTES (16 << 20) /* a file has at most 1 MiB, and each byte becomes 6 at most */

/* Adds the key's value as a text of JSON. Returns false without memory. */
static bool put_value(struct json_writer *writer, unsigned row, const struct definition *definition)
{
    for (size_t size = VALUE_BYTES; size <= VALUE_MAX_BYTES; size *= 4) {
        AUTO_FREE char *storage = malloc(size);
        struct text text;
        if (!storage)
            return false;
        text_init(&text, storage, size);
        definition_show(row, definition, &text);
        if (!text.cut) {
            json_add_string(writer, "value", storage);
            return true;
        }
    }
    return false;
}

static void put_source(struct show *show, unsigned row, const struct service *service)
{
    const struct launcher *launcher = show->control->launcher;
    char path[PATH_MAX];

    if (row == KEY_ENABLED && service->switched != SWITCHED_NOT) {
        text_format(path, sizeof path, "%s/%s/%s", launcher->options.etc,
                    service->switched == SWITCHED_ON ? "enabled" : "disabled",
                    service_name(&launcher->manager, service));
        json_add_string(show->writer, "from", path);
    } else {
        json_add_string(show->writer, "from",
                        service->definition->keys_given & KEY_BIT(row) ? service->definition->path
                                                                       : NULL);
    }
}

/* The environment may hold secrets: it is for those who may change the service. */
static bool put_key(struct connection *connection, struct show *show, unsigned row,
                    const struct service *service)
{
    bool hidden = row == KEY_ENV && !connection->peer.may_change && service->definition->env;
    bool good = true;

    json_begin(show->writer, '{');
    json_add_string(show->writer, "key", keys[row].name);
    if (hidden)
        json_add_string(show->writer, "value", NULL);
    else if (row == KEY_ENABLED)
        json_add_string(show->writer, "value", service_is_enabled(service) ? "true" : "false");
    else
        good = put_value(show->writer, row, service->definition);
    put_source(show, row, service);
    json_add_bool(show->writer, "hidden", hidden);
    json_end(show->writer, '}');
    return good;
}

static void put_definition(struct connection *connection, struct show *show,
                           const struct service *service)
{
    const struct definition *definition = service->definition;
    const struct manager *manager = &show->control->launcher->manager;

    json_begin(show->writer, '{');
    json_add_string(show->writer, "name", service_name(manager, service));
    json_add_string(show->writer, "file", definition ? definition->path : NULL);
    json_add_lines(show->writer, "errors", service->errors);
    json_put_key(show->writer, "keys");
    json_begin(show->writer, '[');
    for (unsigned row = 0; definition && row < KEY_COUNT; row++)
        if ((keys[row].for_target || definition->type != TYPE_TARGET) &&
            !put_key(connection, show, row, service))
            connection_lack(connection, true);
    json_end(show->writer, ']');
    json_end(show->writer, '}');
}

void control_show_definitions(struct connection *connection, const struct arguments *arguments)
{
    struct json_writer writer = connection_writer(connection);
    struct show show = show_begin(connection->control, &writer);
    struct service **services;
    ssize_t count = control_services_named(connection, arguments->names, &services);

    if (count < 0)
        return;
    varlink_begin_reply(&writer, false);
    json_put_key(&writer, "services");
    json_begin(&writer, '[');
    for (ssize_t i = 0; i < count; i++)
        put_definition(connection, &show, services[i]);
    json_end(&writer, ']');
    connection_end_message(connection, &writer);
    free(services);
}
