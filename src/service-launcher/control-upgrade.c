/* What came of an upgrade, as JSON: from the state, for it may have been another launcher that was
 * asked. */
#include "service-launcher/control.h"

#include "base/clock.h"
#include "base/text.h"

#include <string.h>

static const struct {
    enum hand_over_part part;
    const char *name;
} parts[] = {{PART_INIT, "init"}, {PART_JOURNAL, "journal"}, {PART_LAUNCHER, "launcher"}};

/* The rest of the line "NAME: …" of a text, in `line`; NULL where it has none. */
static const char *find_reason(const char *text, const char *name, char *line, size_t size_bytes)
{
    size_t length = strlen(name);
    for (const char *at = text; *at;) {
        size_t bytes = strcspn(at, "\n");
        if (bytes > length + 2 && !strncmp(at, name, length) && !strncmp(at + length, ": ", 2)) {
            text_format(line, size_bytes, "%.*s", (int)(bytes - length - 2), at + length + 2);
            return line;
        }
        at += bytes + (at[bytes] == '\n');
    }
    return NULL;
}

static void put_part(struct json_writer *writer, const struct state_header *header, size_t number)
{
    char line[UPGRADE_TEXT_BYTES];
    bool done = header->upgrade_done & parts[number].part;
    const char *reason =
        done ? NULL : find_reason(header->upgrade_text, parts[number].name, line, sizeof line);
    if (!done && !reason)
        reason = header->upgrade_failed & parts[number].part ? "init did not say why"
                                                             : "it was not tried";
    json_begin(writer, '{');
    json_add_string(writer, "name", parts[number].name);
    json_add_string(writer, "outcome", done ? "upgraded" : "kept");
    json_add_string(writer, "reason", reason);
    json_end(writer, '}');
}

void control_reply_upgraded(struct connection *connection)
{
    const struct state_header *header = connection->control->launcher->manager.header;
    struct json_writer writer = connection_writer(connection);

    varlink_begin_reply(&writer, false);
    json_put_key(&writer, "parts");
    json_begin(&writer, '[');
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        put_part(&writer, header, i);
    json_end(&writer, ']');
    json_add_string(&writer, "before", header->upgrade_from);
    json_add_string(&writer, "version", CONIT_VERSION);
    connection_end_message(connection, &writer);
}

void control_reply_upgrading(struct connection *connection)
{
    const struct state_header *header = connection->control->launcher->manager.header;
    struct json_writer writer = connection_writer(connection);
    struct show show = show_begin(connection->control, &writer);

    varlink_begin_reply(&writer, true);
    show_time(&show, "since", header->upgrade_at_ns);
    connection_end_message(connection, &writer);
}
