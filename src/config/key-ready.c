/* `ready` and `watchdog`: how the launcher knows that a service has started, and still works. */
#include "base/expression.h"
#include "base/host-port.h"
#include "config/parse.h"
#include "config/show.h"
#include "config/units.h"

#include <errno.h>
#include <string.h>
#include <sys/un.h>

#define SHOWN(node) 60, (node)->text
#define FD_FIRST    3 /* 0 to 2 are the standard ones */
#define FD_LAST     1023

/* ---- kinds --------------------------------------------------------------------------------- */

static bool value_fd(struct parse *p, const char *key, const struct node *value, void *field)
{
    struct ready *ready = field;
    uint64_t number;
    if (!value_need(p, key, value, NODE_TEXT, "3"))
        return false;
    if (text_parse_unsigned(value->text, &number) < 0 || number < FD_FIRST || number > FD_LAST)
        return parse_error(p, value,
                           "'%s' is the number of a descriptor, %d to %d, not '%.*s' (0 to 2 are "
                           "its standard ones): write 'ready: {fd: 3}'",
                           key, FD_FIRST, FD_LAST, SHOWN(value));
    ready->fd = (int)number;
    return true;
}

static bool value_ready_path(struct parse *p, const char *key, const struct node *value,
                             void *field)
{
    return value_path(p, key, value, &((struct ready *)field)->word);
}

static bool value_socket_path(struct parse *p, const char *key, const struct node *value,
                              void *field)
{
    struct ready *ready = field;
    if (!value_path(p, key, value, &ready->word))
        return false;
    if (strlen(ready->word) < sizeof((struct sockaddr_un *)NULL)->sun_path)
        return true;
    return parse_error(p, value, "'%s' has %zu bytes, and a socket's path at most %zu", key,
                       strlen(ready->word), sizeof((struct sockaddr_un *)NULL)->sun_path - 1);
}

static bool expand(struct parse *p, const char *key, const struct node *value, const char *example,
                   const char **field)
{
    size_t percent = 0;
    if (!value_need(p, key, value, NODE_TEXT, example))
        return false;
    char *text = value_expand(p, value, value->text, &percent);
    if (text)
        *field = text;
    return text != NULL;
}

static bool value_tcp(struct parse *p, const char *key, const struct node *value, void *field)
{
    struct ready *ready = field;
    struct host_port addresses[HOST_PORT_MAX];
    if (!expand(p, key, value, "'127.0.0.1:80'", &ready->word))
        return false;
    switch (host_port_parse(ready->word, addresses)) {
    case -EINVAL:
        return parse_error(p, value,
                           "'%s' is HOST:PORT, not '%.*s': write '127.0.0.1:80', '[::1]:80' or "
                           "'localhost:80'",
                           key, SHOWN(value));
    case -ERANGE:
        return parse_error(p, value, "'%s: %.*s': a port is 1 to 65535", key, SHOWN(value));
    case -ENOENT:
        return parse_error(p, value,
                           "'%s: %.*s': the host is a number or localhost, for names are not "
                           "looked up: write '127.0.0.1:80' or '[::1]:80'",
                           key, SHOWN(value));
    default:
        return true;
    }
}

static bool value_log(struct parse *p, const char *key, const struct node *value, void *field)
{
    struct ready *ready = field;
    char why[EXPRESSION_WHY_BYTES];
    regex_t regex;
    if (!expand(p, key, value, "listening on port", &ready->word))
        return false;
    switch (expression_compile(&regex, ready->word, why)) {
    case 0:
        regfree(&regex);
        return true;
    case -ENOMEM:
        return parse_no_memory(p);
    default:
        return parse_error(p, value, "'%s' is no POSIX extended regular expression: %s", key, why);
    }
}

static bool value_ready_command(struct parse *p, const char *key, const struct node *value,
                                void *field)
{
    return value_command(p, key, value, &((struct ready *)field)->command);
}

/* A mapping of one entry; `exec` and `notify` are words. */
static const struct {
    const char *name;
    value_parser *parse;
} kinds[READY_KINDS] = {
    [READY_EXEC] = {"exec", NULL},
    [READY_NOTIFY] = {"notify", NULL},
    [READY_FD] = {"fd", value_fd},
    [READY_PID_FILE] = {"pid-file", value_ready_path},
    [READY_FILE] = {"file", value_ready_path},
    [READY_TCP] = {"tcp", value_tcp},
    [READY_UNIX] = {"unix", value_socket_path},
    [READY_LOG] = {"log", value_log},
    [READY_COMMAND] = {"exec", value_ready_command},
};

static bool bad_kind(struct parse *p, const struct node *name)
{
    const char *names[READY_KINDS];
    for (size_t i = 0; i < READY_KINDS; i++)
        names[i] = kinds[i].name;
    const char *nearest = text_nearest(name->text, names, READY_KINDS);
    return parse_error(p, name, "'ready' knows no '%.*s'%s%s%s", SHOWN(name),
                       nearest ? ": did you mean '"
                               : ": write 'exec', 'notify', or one of 'fd', 'pid-file', 'file', "
                                 "'tcp', 'unix', 'log', 'exec' with its value",
                       nearest ? nearest : "", nearest ? "'?" : "");
}

static bool value_ready(struct parse *p, const char *key, const struct node *value, void *field)
{
    struct ready ready = {.kind = READY_EXEC};
    bool mapping = value->kind == NODE_MAPPING && value->count == 1;
    if (value->kind != NODE_TEXT && !mapping)
        return parse_error(p, value,
                           "'ready' is one word or one 'KIND: VALUE': write 'ready: notify' or "
                           "'ready: {tcp: \"127.0.0.1:80\"}'");
    const struct node *name = mapping ? value->first->key : value;
    for (size_t i = 0; i < READY_KINDS; i++) {
        if (strcmp(name->text, kinds[i].name) != 0 ||
            (mapping && !kinds[i].parse && i != READY_NOTIFY))
            continue;
        if (mapping && i == READY_NOTIFY)
            return parse_error(p, name, "'notify' takes no value: write 'ready: notify'");
        if (!mapping && kinds[i].parse)
            return parse_error(p, value, "'ready: %s' needs a value: write 'ready: {%s: …}'",
                               kinds[i].name, kinds[i].name);
        ready.kind = (enum ready_kind)i;
        char sub_key[24];
        text_format(sub_key, sizeof sub_key, "ready.%s", kinds[i].name);
        if (mapping && !kinds[i].parse(p, sub_key, value->first, &ready))
            return false;
        p->draft.ready = ready;
        return true;
    }
    return bad_kind(p, name);
}

static bool value_watchdog(struct parse *p, const char *key, const struct node *value, void *field)
{
    uint32_t time_ms;
    if (!value_time(p, key, value, &time_ms))
        return false;
    if (time_ms == 0)
        return parse_error(p, value, "'%s: 0' leaves no time to report: write 'never' for none",
                           key);
    p->draft.watchdog_ms = time_ms == TIME_NEVER_MS ? 0 : time_ms;
    return true;
}

void parse_check_ready(struct parse *p)
{
    const struct node *ready = p->values[KEY_READY], *watchdog = p->values[KEY_WATCHDOG];
    if (watchdog && p->draft.watchdog_ms && p->draft.ready.kind == READY_FD)
        parse_error(p, watchdog->key,
                    "'watchdog' is for a program that speaks sd_notify: write 'ready: notify' too, "
                    "instead of 'fd'");
    if (p->draft.type != TYPE_TASK)
        return;
    if (ready && p->draft.ready.kind != READY_EXEC)
        parse_error(p, ready->key,
                    "a task is ready when it has ended with 0: remove 'ready', or 'type: task'");
    if (watchdog && p->draft.watchdog_ms)
        parse_error(p, watchdog->key,
                    "'watchdog' has no meaning for a task, which is not to stay up: remove it, and "
                    "write 'start-timeout' for how long it may take");
}

/* ---- comparing, showing, packing ----------------------------------------------------------- */

static bool equal_ready(const struct definition *a, const struct definition *b, size_t offset)
{
    const struct ready *first = &a->ready, *second = &b->ready;
    (void)offset;
    return first->kind == second->kind && first->fd == second->fd &&
           text_same(first->word, second->word) && text_same_lists(first->command, second->command);
}

static void show_ready(const struct definition *definition, const void *field, struct text *text)
{
    const struct ready *ready = field;
    (void)definition;
    if (!kinds[ready->kind].parse) {
        show_string(text, kinds[ready->kind].name);
        return;
    }
    text_add_char(text, '{');
    show_key(text, kinds[ready->kind].name);
    if (ready->kind == READY_FD)
        text_add_signed(text, ready->fd);
    else if (ready->kind == READY_COMMAND)
        show_strings(text, ready->command);
    else
        show_string(text, ready->word);
    text_add_char(text, '}');
}

static void pack_ready(struct packer *packer, void *field)
{
    struct ready *ready = field;
    pack_text(packer, &ready->word);
    pack_texts(packer, &ready->command);
}

static bool equal_watchdog(const struct definition *a, const struct definition *b, size_t offset)
{
    (void)offset;
    return a->watchdog_ms == b->watchdog_ms;
}

static void show_watchdog(const struct definition *definition, const void *field, struct text *text)
{
    (void)field;
    text_add_char(text, '"');
    units_format_time(definition->watchdog_ms ? definition->watchdog_ms : TIME_NEVER_MS, text);
    text_add_char(text, '"');
}

const struct key_kind kind_ready = {value_ready, equal_ready, show_ready, pack_ready};
const struct key_kind kind_watchdog = {value_watchdog, equal_watchdog, show_watchdog, NULL};
