/* The reply to Reload. */
#include "service-launcher/control.h"

#include "config/keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

void control_write_report(struct json_writer *writer, const struct reload_report *report)
{
    varlink_begin_reply(writer, false);
    json_put_key(writer, "changes");
    json_begin(writer, '[');
    for (size_t i = 0; i < report->count; i++)
        show_change(writer, &report->entries[i]);
    json_end(writer, ']');
    json_add_lines(writer, "warnings", report->warnings);
    json_add_lines(writer, "errors", report->errors);
    json_add_lines(writer, "settings", report->settings);
    json_add_string(writer, "reading", NULL);
    varlink_end(writer);
}

void control_reply_reload(struct connection *connection, const struct reload_report *report,
                          const char *why)
{
    if (why) {
        control_reply_error(connection, CONTROL_INTERFACE ".ReloadFailed", "why", why);
        return;
    }
    struct json_writer writer = connection_writer(connection);
    control_write_report(&writer, report);
    if (writer.failed)
        connection_lack(connection, false);
}

/* What a reload's answer says of one service, as far as it is to be carried out. */
static struct reload_entry entry_of(const json_t *change)
{
    static const struct {
        const char *word;
        enum reload_change change;
    } rows[] = {{"new", RELOAD_NEW}, {"changed", RELOAD_CHANGED}, {"gone", RELOAD_GONE}};
    const char *word = json_string_value(json_object_get(change, "change"));
    struct reload_entry entry = {
        .change = RELOAD_UNCHANGED,
        .name = json_string_value(json_object_get(change, "name")),
        .needs_restart = json_is_true(json_object_get(change, "needs_restart")),
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (word && !strcmp(rows[i].word, word))
            entry.change = rows[i].change;
    return entry;
}

int control_finish_reload(struct launcher *launcher, const char *answer, bool start)
{
    struct varlink_reply reply;
    int failed = varlink_reply_parse(&reply, answer, strlen(answer));
    if (failed)
        return failed;
    const json_t *changes = json_object_get(reply.parameters, "changes");
    size_t count = json_array_size(changes);
    struct reload_report report = {.entries = calloc(count + 1, sizeof *report.entries)};

    for (size_t i = 0; report.entries && i < count; i++) {
        struct reload_entry entry = entry_of(json_array_get(changes, i));
        if (entry.name)
            report.entries[report.count++] = entry;
    }
    if (report.entries)
        launcher_finish_reload(launcher, &report, start);
    else
        failed = -ENOMEM;
    free(report.entries);
    varlink_reply_finish(&reply);
    return failed;
}

void control_reply_reading(struct connection *connection)
{
    struct json_writer writer = connection_writer(connection);
    const char *const none[] = {NULL};
    varlink_begin_reply(&writer, true);
    json_add_strings(&writer, "changes", none);
    json_add_strings(&writer, "warnings", none);
    json_add_strings(&writer, "errors", none);
    json_add_strings(&writer, "settings", none);
    json_add_string(&writer, "reading", launcher_reload_where(connection->control->launcher));
    connection_end_message(connection, &writer);
}
