/* Values of one key each: from a node to the fields of the draft. */
#include "base/signals.h"
#include "config/parse.h"
#include "config/units.h"

#include <errno.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SHOWN(node)  60, (node)->text

bool value_type(struct parse *p, const char *key, const struct node *value, void *field)
{
    unsigned type;
    if (!value_word(p, key, value, service_type_names, SERVICE_TYPES, &type))
        return false;
    p->draft.type = (enum service_type)type;
    return true;
}

bool value_exec(struct parse *p, const char *key, const struct node *value, void *field)
{
    return value_command(p, key, value, &p->exec);
}

bool value_args(struct parse *p, const char *key, const struct node *value, void *field)
{
    return value_words(p, key, value, &p->args);
}

bool value_script(struct parse *p, const char *key, const struct node *value, void *field)
{
    size_t percent = 0;
    if (!value_need(p, key, value, NODE_TEXT, "echo hello"))
        return false;
    if (value->text[strspn(value->text, " \t\n")] == 0)
        return parse_error(p, value, "'script' is empty: write the commands, or remove it");
    char *script = value_expand(p, value, value->text, &percent);
    if (script)
        p->draft.script = script;
    return script != NULL;
}

/* `signal HUP`, or a command. */
bool value_reload(struct parse *p, const char *key, const struct node *value, void *field)
{
    const char *name;
    int signal;
    if (value->kind == NODE_TEXT && signals_parse(value->text, &signal) == 0)
        return parse_error(
            p, value,
            "'%s: %.*s' is a command: write 'signal %.*s', or the program's path for "
            "a command",
            key, SHOWN(value), SHOWN(value));
    if (value->kind != NODE_TEXT || !text_starts_with(value->text, "signal", &name) ||
        (*name && *name != ' '))
        return value_command(p, key, value, &p->draft.reload_command);
    if (signals_parse(name + strspn(name, " "), &p->draft.reload_signal) < 0)
        return parse_error(p, value,
                           "'%s: %.*s' names no signal: write 'signal HUP', or the program's path "
                           "for a command",
                           key, SHOWN(value));
    return true;
}

/* --- when --- */

static value_parser *const condition_parsers[WHEN_KINDS] = {
    [WHEN_EXISTS] = value_path,
    [WHEN_KERNEL_ARG] = value_text,
    [WHEN_EXECUTABLE] = value_path,
};

static bool bad_condition(struct parse *p, const struct node *at)
{
    return parse_error(
        p, at,
        "a condition is 'exists: /path', 'executable: /path', 'kernel-arg: word', or "
        "'not: {exists: /path}'");
}

static bool parse_condition(struct parse *p, const struct node *value, struct condition *ret)
{
    struct condition condition = {0};
    while (value->kind == NODE_MAPPING && value->count == 1 &&
           strcmp(value->first->key->text, "not") == 0) {
        condition.negated = !condition.negated;
        value = value->first;
    }
    if (value->kind != NODE_MAPPING || value->count != 1)
        return bad_condition(p, value);
    const struct node *entry = value->first;
    for (size_t i = 0; i < WHEN_KINDS; i++) {
        if (strcmp(entry->key->text, condition_names[i]) != 0)
            continue;
        condition.kind = (enum condition_kind)i;
        if (!condition_parsers[i](p, condition_names[i], entry, &condition.word))
            return false;
        *ret = condition;
        return true;
    }
    return bad_condition(p, entry->key);
}

bool value_when(struct parse *p, const char *key, const struct node *value, void *field)
{
    bool good = true;
    if (!value_need(p, key, value, NODE_LIST, "[{exists: /path}]"))
        return false;
    struct condition *list = arena_take(p->arena, (value->count + 1) * sizeof *list);
    if (!list)
        return parse_no_memory(p);
    size_t used = 0;
    for (const struct node *entry = value->first; entry; entry = entry->next)
        if (!parse_condition(p, entry, &list[used++]))
            good = false;
    p->draft.when = used ? list : NULL;
    p->draft.when_count = used;
    return good;
}

/* --- start-timeout --- */

bool value_start_timeout(struct parse *p, const char *key, const struct node *value, void *field)
{
    uint32_t time_ms;
    if (!value_time(p, key, value, &time_ms))
        return false;
    if (time_ms == 0)
        return parse_error(p, value, "'%s: 0' leaves no time to start: write 'never' for no limit",
                           key);
    p->draft.start_timeout_ms = time_ms;
    return true;
}

/* --- stop --- */

static bool value_kill(struct parse *p, const char *key, const struct node *value, void *field)
{
    unsigned mode;
    if (!value_word(p, key, value, kill_mode_names, KILL_MODES, &mode))
        return false;
    *(enum kill_mode *)field = (enum kill_mode)mode;
    return true;
}

bool value_stop(struct parse *p, const char *key, const struct node *value, void *field)
{
    static const struct sub_key rows[] = {
        {"stop.signal", value_signal, offsetof(struct stop, signal)},
        {"stop.timeout", value_time, offsetof(struct stop, timeout_ms)},
        {"stop.exec", value_command, offsetof(struct stop, exec)},
        {"stop.kill", value_kill, offsetof(struct stop, kill)},
    };
    if (!value_need(p, key, value, NODE_MAPPING, "{signal: TERM, timeout: 10s}"))
        return false;
    return value_mapping(p, key, value, rows, COUNT(rows), &p->draft.stop);
}

/* --- restart --- */

static bool value_policy(struct parse *p, const char *key, const struct node *value, void *field)
{
    unsigned policy;
    if (!value_word(p, key, value, restart_policy_names, RESTART_POLICIES, &policy))
        return false;
    *(enum restart_policy *)field = (enum restart_policy)policy;
    return true;
}

static bool value_delay(struct parse *p, const char *key, const struct node *value, void *field)
{
    uint32_t time_ms;
    if (!value_time(p, key, value, &time_ms))
        return false;
    if (time_ms == TIME_NEVER_MS)
        return parse_error(p, value,
                           "'%s' cannot be never: write a time, or 'restart: never' for "
                           "no restart",
                           key);
    *(uint32_t *)field = time_ms;
    return true;
}

static bool value_restart_max(struct parse *p, const char *key, const struct node *value,
                              void *field)
{
    p->restart_max = value;
    return value_delay(p, key, value, field);
}

static bool value_factor(struct parse *p, const char *key, const struct node *value, void *field)
{
    uint32_t percent;
    if (!value_need(p, key, value, NODE_TEXT, "2"))
        return false;
    if (units_parse_factor(value->text, &percent) < 0 || percent < 100 || percent > 100000)
        return parse_error(p, value, "'%s' is a number from 1 to 1000, as 2 or 1.5, not '%.*s'",
                           key, SHOWN(value));
    *(uint32_t *)field = percent;
    return true;
}

static bool value_percent(struct parse *p, const char *key, const struct node *value, void *field)
{
    if (!value_need(p, key, value, NODE_TEXT, "10%"))
        return false;
    if (units_parse_percent(value->text, field) < 0)
        return parse_error(p, value, "'%s' is a part in percent, 0 to 100, as '10%%', not '%.*s'",
                           key, SHOWN(value));
    return true;
}

static bool value_restart_limit(struct parse *p, const char *key, const struct node *value,
                                void *field)
{
    uint64_t limit;
    if (!value_need(p, key, value, NODE_TEXT, "5"))
        return false;
    if (text_parse_unsigned(value->text, &limit) < 0 || limit >= RESTART_NO_LIMIT)
        return parse_error(p, value,
                           "'%s' is how many restarts in a row there may be, not '%.*s': "
                           "write a number, or remove it for no limit",
                           key, SHOWN(value));
    *(uint32_t *)field = (uint32_t)limit;
    return true;
}

bool value_restart(struct parse *p, const char *key, const struct node *value, void *field)
{
    static const struct sub_key rows[] = {
        {"restart.policy", value_policy, offsetof(struct restart, policy)},
        {"restart.delay", value_delay, offsetof(struct restart, delay_ms)},
        {"restart.factor", value_factor, offsetof(struct restart, factor_percent)},
        {"restart.max", value_restart_max, offsetof(struct restart, max_ms)},
        {"restart.jitter", value_percent, offsetof(struct restart, jitter_percent)},
        {"restart.reset-after", value_time, offsetof(struct restart, reset_after_ms)},
        {"restart.limit", value_restart_limit, offsetof(struct restart, limit)},
    };
    struct restart *restart = &p->draft.restart;
    if (value->kind == NODE_LIST)
        return parse_error(p, value,
                           "'restart' is a word or a mapping, not a list: write 'restart: "
                           "on-failure' or 'restart: {policy: on-failure, delay: 1s}'");
    if (value->kind == NODE_TEXT)
        return value_policy(p, key, value, &restart->policy);
    if (!value_mapping(p, key, value, rows, COUNT(rows), restart))
        return false;
    if (restart->delay_ms <= restart->max_ms)
        return true;
    if (p->restart_max)
        return parse_error(p, p->restart_max,
                           "'restart.max' is less than 'restart.delay': write a longer one");
    restart->max_ms = restart->delay_ms;
    return true;
}

/* --- umask, stdin, tty, limits --- */

bool value_umask(struct parse *p, const char *key, const struct node *value, void *field)
{
    unsigned mode;
    if (!value_need(p, key, value, NODE_TEXT, "022"))
        return false;
    if (units_parse_umask(value->text, &mode) < 0)
        return parse_error(p, value, "'%s' is octal, 0 to 777, as 022, not '%.*s'", key,
                           SHOWN(value));
    p->draft.umask = (mode_t)mode;
    return true;
}

bool value_stdin(struct parse *p, const char *key, const struct node *value, void *field)
{
    p->draft.stdin_path = NULL;
    if (value->kind == NODE_TEXT &&
        (strcmp(value->text, "null") == 0 || strcmp(value->text, "tty") == 0))
        return true;
    if (value->kind == NODE_TEXT && value->text[0] == '/')
        return value_path(p, key, value, &p->draft.stdin_path);
    return parse_error(p, value,
                       "'stdin' is null, tty or a whole path, from '/': write 'stdin: "
                       "null'");
}

/* A device's path; a name without a slash is one in /dev. */
bool value_tty(struct parse *p, const char *key, const struct node *value, void *field)
{
    size_t percent = 0;
    if (!value_need(p, key, value, NODE_TEXT, "/dev/tty1"))
        return false;
    if (value->text[0] == '/')
        return value_path(p, key, value, &p->draft.tty);
    if (strchr(value->text, '/') || !value->length)
        return parse_error(p, value, "'tty' is a device, as /dev/tty1 or tty1, not '%.*s'",
                           SHOWN(value));
    char *name = value_expand(p, value, value->text, &percent);
    if (!name)
        return false;
    size_t bytes = sizeof "/dev/" + strlen(name);
    char *path = arena_take_bytes(p->arena, bytes);
    if (!path)
        return parse_no_memory(p);
    text_format(path, bytes, "/dev/%s", name);
    p->draft.tty = path;
    return true;
}

static bool parse_limit_value(struct parse *p, const struct units_limit *limit,
                              const struct node *value, uint64_t *ret)
{
    int failed = -EINVAL;
    if (value->kind == NODE_TEXT && strcmp(value->text, "unlimited") == 0) {
        *ret = UINT64_MAX;
        return true;
    }
    if (value->kind == NODE_TEXT)
        failed = limit->bytes ? units_parse_size(value->text, ret)
                              : text_parse_unsigned(value->text, ret);
    if (failed == 0 && *ret != UINT64_MAX)
        return true;
    return parse_error(p, value,
                       "'limits.%s' is %s, as %s, or unlimited, or two of them as "
                       "[soft, hard]",
                       limit->name, limit->bytes ? "a size in bytes" : "a number",
                       limit->bytes ? "16M" : "1024");
}

static bool parse_limit(struct parse *p, const struct node *entry, struct limit *ret)
{
    const struct units_limit *limit = units_limits;
    const char *names[UNITS_LIMITS];

    for (size_t i = 0; i < UNITS_LIMITS; i++)
        names[i] = units_limits[i].name;
    while (limit < units_limits + UNITS_LIMITS && strcmp(limit->name, entry->key->text) != 0)
        limit++;
    if (limit == units_limits + UNITS_LIMITS) {
        const char *nearest = text_nearest(entry->key->text, names, UNITS_LIMITS);
        return parse_error(p, entry->key, "there is no limit '%.*s'%s%s%s", SHOWN(entry->key),
                           nearest ? ": did you mean '" : ": write one of ulimit's, as nofile",
                           nearest ? nearest : "", nearest ? "'?" : "");
    }
    ret->resource = limit->resource;
    if (entry->kind == NODE_LIST && entry->count == 2) {
        if (!parse_limit_value(p, limit, entry->first, &ret->soft) ||
            !parse_limit_value(p, limit, entry->first->next, &ret->hard))
            return false;
        if (ret->soft > ret->hard)
            return parse_error(p, entry,
                               "'limits.%s': the soft limit is above the hard one: write "
                               "the smaller first",
                               limit->name);
        return true;
    }
    if (!parse_limit_value(p, limit, entry, &ret->soft))
        return false;
    ret->hard = ret->soft;
    return true;
}

bool value_limits(struct parse *p, const char *key, const struct node *value, void *field)
{
    bool good = true;
    size_t used = 0;
    if (!value_need(p, key, value, NODE_MAPPING, "{nofile: 1024}"))
        return false;
    struct limit *list = arena_take(p->arena, (value->count + 1) * sizeof *list);
    if (!list)
        return parse_no_memory(p);
    for (const struct node *entry = value->first; entry; entry = entry->next)
        if (!parse_limit(p, entry, &list[used++]))
            good = false;
    p->draft.limits = used ? list : NULL;
    p->draft.limit_count = used;
    return good;
}
