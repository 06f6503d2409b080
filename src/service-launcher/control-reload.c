/* The reply to Reload. */
#include "service-launcher/control.h"

#include "config/keys.h"

static void show_change(struct json_writer *writer, const struct reload_entry *entry)
{
    static const char *const words[] = {
        [RELOAD_NEW] = "new",       [RELOAD_CHANGED] = "changed",     [RELOAD_GONE] = "gone",
        [RELOAD_BROKEN] = "broken", [RELOAD_UNCHANGED] = "unchanged",
    };
    const char *names[KEY_COUNT + 1] = {NULL};
    enum reload_change change = entry->dropped ? RELOAD_GONE : entry->change;
    size_t count = 0;

    for (unsigned row = 0; change == RELOAD_CHANGED && row < KEY_COUNT; row++)
        if (entry->keys & KEY_BIT(row))
            names[count++] = keys[row].name;
    json_begin(writer, '{');
    json_add_string(writer, "name", entry->name);
    json_add_string(writer, "change", words[change]);
    json_add_strings(writer, "keys", names);
    json_add_bool(writer, "needs_restart", change == RELOAD_CHANGED && entry->needs_restart);
    json_add_lines(writer, "errors", change == RELOAD_BROKEN ? entry->errors : NULL);
    json_add_string(writer, "reason", entry->reason);
    json_add_lines(writer, "cycle", entry->cycle);
    json_add_lines(writer, "warnings", entry->warnings);
    json_end(writer, '}');
}

void control_reply_reload(struct connection *connection, const struct reload_report *report,
                          const char *why)
{
    if (why) {
        control_reply_error(connection, CONTROL_INTERFACE ".ReloadFailed", "why", why);
        return;
    }
    struct json_writer writer = connection_writer(connection);
    varlink_begin_reply(&writer, false);
    json_put_key(&writer, "changes");
    json_begin(&writer, '[');
    for (size_t i = 0; i < report->count; i++)
        show_change(&writer, &report->entries[i]);
    json_end(&writer, ']');
    json_add_lines(&writer, "warnings", report->warnings);
    json_add_string(&writer, "reading", NULL);
    connection_end_message(connection, &writer);
}

void control_reply_reading(struct connection *connection)
{
    struct json_writer writer = connection_writer(connection);
    const char *const none[] = {NULL};
    varlink_begin_reply(&writer, true);
    json_add_strings(&writer, "changes", none);
    json_add_strings(&writer, "warnings", none);
    json_add_string(&writer, "reading", launcher_reload_where(connection->control->launcher));
    connection_end_message(connection, &writer);
}
