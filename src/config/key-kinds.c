/* The kinds of values: for each how it is compared, shown and packed. Several keys share one. */
#include "base/signals.h"
#include "config/parse.h"
#include "config/show.h"
#include "config/units.h"

#include <string.h>

#define FIELD(definition, type, offset) (*(type const *)((const char *)(definition) + (offset)))

#define ENV_NAME_SHOWN_BYTES 256 /* of a variable's name; a longer one is shown cut */

/* --- Comparing --- */

static bool equal_text(const struct definition *a, const struct definition *b, size_t offset)
{
    return text_same(FIELD(a, char *, offset), FIELD(b, char *, offset));
}

static bool equal_texts(const struct definition *a, const struct definition *b, size_t offset)
{
    return text_same_lists(FIELD(a, names_t, offset), FIELD(b, names_t, offset));
}

static bool equal_commands(const struct definition *a, const struct definition *b, size_t offset)
{
    commands_t first = FIELD(a, commands_t, offset), second = FIELD(b, commands_t, offset);
    if (!first || !second)
        return first == second;
    while (*first && *second && text_same_lists(*first, *second)) {
        first++;
        second++;
    }
    return !*first && !*second;
}

static bool equal_bool(const struct definition *a, const struct definition *b, size_t offset)
{
    return FIELD(a, bool, offset) == FIELD(b, bool, offset);
}

static bool equal_u32(const struct definition *a, const struct definition *b, size_t offset)
{
    return FIELD(a, uint32_t, offset) == FIELD(b, uint32_t, offset);
}

_Static_assert(sizeof(mode_t) == 4 && sizeof(enum service_type) == 4, "equal_u32 compares them");

static size_t count_words(argv_t argv)
{
    size_t count = 0;
    while (argv && argv[count])
        count++;
    return count;
}

/* The words of `exec`: argv without `args` at its end. None when a script runs. */
static size_t exec_count(const struct definition *definition)
{
    return definition->script ? 0 : count_words(definition->argv) - definition->args_count;
}

static bool equal_exec(const struct definition *a, const struct definition *b, size_t offset)
{
    size_t count = exec_count(a);
    if (count != exec_count(b))
        return false;
    for (size_t i = 0; i < count; i++)
        if (strcmp(a->argv[i], b->argv[i]) != 0)
            return false;
    return true;
}

static argv_t args_of(const struct definition *definition)
{
    return definition->argv + count_words(definition->argv) - definition->args_count;
}

static bool equal_args(const struct definition *a, const struct definition *b, size_t offset)
{
    return a->args_count == b->args_count &&
           (!a->args_count || text_same_lists(args_of(a), args_of(b)));
}

static bool equal_reload(const struct definition *a, const struct definition *b, size_t offset)
{
    return a->reload_signal == b->reload_signal &&
           text_same_lists(a->reload_command, b->reload_command);
}

static bool equal_when(const struct definition *a, const struct definition *b, size_t offset)
{
    if (a->when_count != b->when_count)
        return false;
    for (size_t i = 0; i < a->when_count; i++)
        if (a->when[i].kind != b->when[i].kind || a->when[i].negated != b->when[i].negated ||
            strcmp(a->when[i].word, b->when[i].word) != 0)
            return false;
    return true;
}

static bool equal_stop(const struct definition *a, const struct definition *b, size_t offset)
{
    return a->stop.signal == b->stop.signal && a->stop.timeout_ms == b->stop.timeout_ms &&
           a->stop.kill == b->stop.kill && text_same_lists(a->stop.exec, b->stop.exec);
}

static bool equal_restart(const struct definition *a, const struct definition *b, size_t offset)
{
    const struct restart *first = &a->restart, *second = &b->restart;
    return first->policy == second->policy && first->delay_ms == second->delay_ms &&
           first->max_ms == second->max_ms && first->reset_after_ms == second->reset_after_ms &&
           first->factor_percent == second->factor_percent &&
           first->jitter_percent == second->jitter_percent && first->limit == second->limit;
}

static bool equal_user(const struct definition *a, const struct definition *b, size_t offset)
{
    return text_same(a->user, b->user) && a->identity.uid == b->identity.uid &&
           text_same(a->identity.home, b->identity.home) &&
           text_same(a->identity.shell, b->identity.shell);
}

/* A group that changed because the user did is the user's change. */
static bool equal_group(const struct definition *a, const struct definition *b, size_t offset)
{
    return text_same(a->group, b->group) &&
           (a->identity.gid == b->identity.gid || !text_same(a->user, b->user));
}

static bool equal_groups(const struct definition *a, const struct definition *b, size_t offset)
{
    const struct identity *first = &a->identity, *second = &b->identity;
    if (!text_same_lists(a->groups, b->groups))
        return false;
    if (!text_same(a->user, b->user) || !text_same(a->group, b->group))
        return true;
    return first->group_count == second->group_count &&
           (!first->group_count ||
            memcmp(first->groups, second->groups, first->group_count * sizeof *first->groups) == 0);
}

static bool equal_limits(const struct definition *a, const struct definition *b, size_t offset)
{
    if (a->limit_count != b->limit_count)
        return false;
    for (size_t i = 0; i < a->limit_count; i++)
        if (a->limits[i].resource != b->limits[i].resource ||
            a->limits[i].soft != b->limits[i].soft || a->limits[i].hard != b->limits[i].hard)
            return false;
    return true;
}

/* --- Showing --- */

static void show_text(const struct definition *definition, const void *field, struct text *text)
{
    show_string(text, *(char *const *)field);
}

static void show_texts(const struct definition *definition, const void *field, struct text *text)
{
    show_strings(text, *(const names_t *)field);
}

static void show_commands(const struct definition *definition, const void *field, struct text *text)
{
    commands_t list = *(const commands_t *)field;
    text_add_char(text, '[');
    for (size_t i = 0; list && list[i]; i++) {
        if (i)
            text_add_char(text, ',');
        show_strings(text, list[i]);
    }
    text_add_char(text, ']');
}

static void show_type(const struct definition *definition, const void *field, struct text *text)
{
    show_string(text, service_type_names[definition->type]);
}

static void show_exec(const struct definition *definition, const void *field, struct text *text)
{
    if (definition->script || !definition->argv)
        text_add(text, "null");
    else
        show_some_strings(text, definition->argv, exec_count(definition));
}

static void show_args(const struct definition *definition, const void *field, struct text *text)
{
    show_strings(text, definition->args_count ? args_of(definition) : NULL);
}

static void show_bool(const struct definition *definition, const void *field, struct text *text)
{
    text_add(text, *(const bool *)field ? "true" : "false");
}

static void add_time(struct text *text, uint32_t time_ms)
{
    text_add_char(text, '"');
    units_format_time(time_ms, text);
    text_add_char(text, '"');
}

static void show_time(const struct definition *definition, const void *field, struct text *text)
{
    add_time(text, *(const uint32_t *)field);
}

static void show_reload(const struct definition *definition, const void *field, struct text *text)
{
    if (definition->reload_signal) {
        text_add(text, "\"signal ");
        signals_format(definition->reload_signal, text);
        text_add_char(text, '"');
    } else if (definition->reload_command) {
        show_strings(text, definition->reload_command);
    } else {
        text_add(text, "null");
    }
}

static void show_when(const struct definition *definition, const void *field, struct text *text)
{
    text_add_char(text, '[');
    for (size_t i = 0; i < definition->when_count; i++) {
        const struct condition *condition = &definition->when[i];
        text_add(text, i ? ",{" : "{");
        if (condition->negated) {
            show_key(text, "not");
            text_add_char(text, '{');
        }
        show_key(text, condition_names[condition->kind]);
        show_string(text, condition->word);
        text_add(text, condition->negated ? "}}" : "}");
    }
    text_add_char(text, ']');
}

static void show_stop(const struct definition *definition, const void *field, struct text *text)
{
    const struct stop *stop = &definition->stop;
    text_add_char(text, '{');
    show_key(text, "signal");
    text_add_char(text, '"');
    signals_format(stop->signal, text);
    text_add_char(text, '"');
    show_key(text, "timeout");
    add_time(text, stop->timeout_ms);
    show_key(text, "exec");
    if (stop->exec)
        show_strings(text, stop->exec);
    else
        text_add(text, "null");
    show_key(text, "kill");
    show_string(text, kill_mode_names[stop->kill]);
    text_add_char(text, '}');
}

static void show_restart(const struct definition *definition, const void *field, struct text *text)
{
    const struct restart *restart = &definition->restart;
    text_add_char(text, '{');
    show_key(text, "policy");
    show_string(text, restart_policy_names[restart->policy]);
    show_key(text, "delay");
    add_time(text, restart->delay_ms);
    show_key(text, "factor");
    units_format_factor(restart->factor_percent, text);
    show_key(text, "max");
    add_time(text, restart->max_ms);
    show_key(text, "jitter");
    text_printf(text, "\"%u%%\"", restart->jitter_percent);
    show_key(text, "reset-after");
    add_time(text, restart->reset_after_ms);
    show_key(text, "limit");
    if (restart->limit == RESTART_NO_LIMIT)
        text_add(text, "null");
    else
        text_add_unsigned(text, restart->limit);
    text_add_char(text, '}');
}

static void show_user(const struct definition *definition, const void *field, struct text *text)
{
    show_string(text, definition->user ? definition->user : "root");
}

static void show_group(const struct definition *definition, const void *field, struct text *text)
{
    if (definition->group || !definition->identity.set)
        show_string(text, definition->group ? definition->group : "root");
    else
        text_add_unsigned(text, definition->identity.gid);
}

/* As written, or the numbers of those that the user is in. */
static void show_groups(const struct definition *definition, const void *field, struct text *text)
{
    const struct identity *identity = &definition->identity;
    if (definition->groups) {
        show_strings(text, definition->groups);
        return;
    }
    text_add_char(text, '[');
    for (size_t i = 0; i < identity->group_count; i++) {
        if (i)
            text_add_char(text, ',');
        text_add_unsigned(text, identity->groups[i]);
    }
    text_add_char(text, ']');
}

static void show_path(const struct definition *definition, const void *field, struct text *text)
{
    const char *path = *(char *const *)field;
    show_string(text, path ? path : "/");
}

static void show_umask(const struct definition *definition, const void *field, struct text *text)
{
    text_printf(text, "\"%03o\"", definition->umask);
}

static void show_env(const struct definition *definition, const void *field, struct text *text)
{
    char *const *env = definition->env;
    text_add_char(text, '{');
    for (; env && *env; env++) {
        const char *equals = strchr(*env, '=');
        if (env != definition->env)
            text_add_char(text, ',');
        char name[ENV_NAME_SHOWN_BYTES];
        text_format(name, sizeof name, "%.*s", (int)(equals - *env), *env);
        show_string(text, name);
        text_add_char(text, ':');
        show_string(text, equals + 1);
    }
    text_add_char(text, '}');
}

static void show_stdin(const struct definition *definition, const void *field, struct text *text)
{
    show_string(text, definition->stdin_path ? definition->stdin_path
                      : definition->tty      ? "tty"
                                             : "null");
}

static void add_limit(struct text *text, uint64_t value)
{
    if (value == UINT64_MAX)
        text_add(text, "\"unlimited\"");
    else
        text_add_unsigned(text, value);
}

static void show_limits(const struct definition *definition, const void *field, struct text *text)
{
    text_add_char(text, '{');
    for (size_t i = 0; i < definition->limit_count; i++) {
        const struct limit *limit = &definition->limits[i];
        const char *name = "";
        for (size_t row = 0; row < UNITS_LIMITS; row++)
            if (units_limits[row].resource == limit->resource)
                name = units_limits[row].name;
        show_key(text, name);
        text_add_char(text, '[');
        add_limit(text, limit->soft);
        text_add_char(text, ',');
        add_limit(text, limit->hard);
        text_add_char(text, ']');
    }
    text_add_char(text, '}');
}

/* --- Packing: what is not one text or one list of texts --- */

static void pack_when(struct packer *packer, void *field)
{
    struct definition *definition =
        (struct definition *)((char *)field - offsetof(struct definition, when));
    pack_array(packer, field, definition->when_count * sizeof *definition->when);
    for (size_t i = 0; i < definition->when_count; i++)
        pack_text(packer, &definition->when[i].word);
}

static void pack_stop(struct packer *packer, void *field)
{
    struct stop *stop = field;
    pack_texts(packer, &stop->exec);
}

static void pack_limits(struct packer *packer, void *field)
{
    struct definition *definition =
        (struct definition *)((char *)field - offsetof(struct definition, limits));
    pack_array(packer, field, definition->limit_count * sizeof *definition->limits);
}

/* --- The kinds --- */

const struct key_kind kind_text = {value_text, equal_text, show_text, pack_text};
const struct key_kind kind_type = {value_type, equal_u32, show_type, NULL};
const struct key_kind kind_exec = {value_exec, equal_exec, show_exec, pack_texts};
const struct key_kind kind_args = {value_args, equal_args, show_args, NULL};
const struct key_kind kind_script = {value_script, equal_text, show_text, pack_text};
const struct key_kind kind_commands = {value_commands, equal_commands, show_commands,
                                       pack_commands};
const struct key_kind kind_reload = {value_reload, equal_reload, show_reload, pack_texts};
const struct key_kind kind_bool = {value_bool, equal_bool, show_bool, NULL};
const struct key_kind kind_names = {value_names, equal_texts, show_texts, pack_texts};
const struct key_kind kind_when = {value_when, equal_when, show_when, pack_when};
const struct key_kind kind_time = {value_start_timeout, equal_u32, show_time, NULL};
const struct key_kind kind_stop = {value_stop, equal_stop, show_stop, pack_stop};
const struct key_kind kind_restart = {value_restart, equal_restart, show_restart, NULL};
const struct key_kind kind_user = {value_user, equal_user, show_user, pack_text};
const struct key_kind kind_group = {value_user, equal_group, show_group, pack_text};
const struct key_kind kind_groups = {value_groups, equal_groups, show_groups, pack_texts};
const struct key_kind kind_path = {value_path, equal_text, show_path, pack_text};
const struct key_kind kind_umask = {value_umask, equal_u32, show_umask, NULL};
const struct key_kind kind_env = {value_env, equal_texts, show_env, pack_texts};
const struct key_kind kind_stdin = {value_stdin, equal_text, show_stdin, pack_text};
const struct key_kind kind_tty = {value_tty, equal_text, show_text, pack_text};
const struct key_kind kind_limits = {value_limits, equal_limits, show_limits, pack_limits};
