/* Values that are common to several keys of a service file: from a node to a field.
 * Each message says what is wrong and what to write instead. */
#include "base/signals.h"
#include "config/parse.h"
#include "config/units.h"
#include "config/words.h"
#include "service/name.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define WORD_MAX_BYTES     131071     /* MAX_ARG_STRLEN without its NUL, execve(2) */
#define EXPANDED_MAX_BYTES (4u << 20) /* what % may add to one definition */
#define WORDS_MAX          32         /* of a table of words */
#define SHOWN_BYTES        60         /* of a value, in a message */

__attribute__((format(printf, 4, 0))) static bool
noted(struct parse *p, const struct node *node, size_t at, const char *format, va_list arguments)
{
    unsigned line, column;
    p->failed = true;
    if (p->errors_left == 0 || node->bad)
        return false;
    p->errors_left--;
    nodes_place(&p->text, node, at, &line, &column);
    if (error_list_add_v(p->errors, p->text.path, line, column, format, arguments) < 0)
        p->no_memory = true;
    return false;
}

bool parse_error_inside(struct parse *p, const struct node *node, size_t at, const char *format,
                        ...)
{
    va_list arguments;
    va_start(arguments, format);
    noted(p, node, at, format, arguments);
    va_end(arguments);
    return false;
}

bool parse_error(struct parse *p, const struct node *at, const char *format, ...)
{
    /* The place of the node itself, in front of its quotes. */
    struct node place = {.kind = NODE_LIST, .line = at->line, .column = at->column, .bad = at->bad};
    va_list arguments;
    va_start(arguments, format);
    noted(p, &place, 0, format, arguments);
    va_end(arguments);
    return false;
}

bool parse_no_memory(struct parse *p)
{
    p->no_memory = p->failed = true;
    return false;
}

/* A value as it is shown in a message: its beginning. */
#define SHOWN(node) SHOWN_BYTES, (node)->text

bool value_need(struct parse *p, const char *key, const struct node *value, enum node_kind kind,
                const char *example)
{
    static const char *const kinds[] = {"one value", "a list", "a mapping"};
    if (node_is_nothing(value))
        return parse_error(p, value, "'%s' has no value: write one, as in '%s: %s', or remove it",
                           key, key, example);
    if (value->kind != kind)
        return parse_error(p, value, "'%s' is %s, not %s: write '%s: %s'", key, kinds[kind],
                           kinds[value->kind], key, example);
    return true;
}

static bool keep_text(struct parse *p, const char *text, size_t length, const char **field)
{
    const char *copy = arena_copy(p->arena, text, length);
    if (!copy)
        return parse_no_memory(p);
    *field = copy;
    return true;
}

/* In a template % stands for what it does elsewhere; else a percent sign is one. */
bool value_text(struct parse *p, const char *key, const struct node *value, void *field)
{
    size_t percent = 0;
    if (!value_need(p, key, value, NODE_TEXT, "some words"))
        return false;
    if (!service_name_instance(p->source->name))
        return keep_text(p, value->text, value->length, field);
    const char *text = value_expand(p, value, value->text, &percent);
    if (text)
        *(const char **)field = text;
    return text != NULL;
}

bool value_user(struct parse *p, const char *key, const struct node *value, void *field)
{
    return value_need(p, key, value, NODE_TEXT, "www-data") &&
           keep_text(p, value->text, value->length, field);
}

bool value_groups(struct parse *p, const char *key, const struct node *value, void *field)
{
    return value_need(p, key, value, NODE_LIST, "[audio, video]") &&
           value_words(p, key, value, field);
}

bool value_bool(struct parse *p, const char *key, const struct node *value, void *field)
{
    if (!value_need(p, key, value, NODE_TEXT, "yes"))
        return false;
    if (value->style != STYLE_PLAIN || units_parse_bool(value->text, field) < 0)
        return parse_error(p, value,
                           "'%s' is yes or no, not '%.*s': write '%s: yes' without quotes", key,
                           SHOWN(value), key);
    return true;
}

bool value_time(struct parse *p, const char *key, const struct node *value, void *field)
{
    if (!value_need(p, key, value, NODE_TEXT, "10s"))
        return false;
    int failed = units_parse_time(value->text, field);
    if (failed == -ERANGE)
        return parse_error(p, value, "'%s: %.*s' is too long: at most 49d, or never", key,
                           SHOWN(value));
    if (failed)
        return parse_error(p, value,
                           "'%s' is a time, not '%.*s': write 200ms, 5s, 2min, 1h, 1d, a number "
                           "of seconds, or never",
                           key, SHOWN(value));
    return true;
}

bool value_signal(struct parse *p, const char *key, const struct node *value, void *field)
{
    if (!value_need(p, key, value, NODE_TEXT, "TERM"))
        return false;
    if (signals_parse(value->text, field) < 0)
        return parse_error(p, value,
                           "'%s' is a signal, and '%.*s' is none: write its name, as TERM, HUP or "
                           "RTMIN+1, or its number",
                           key, SHOWN(value));
    return true;
}

bool value_word(struct parse *p, const char *key, const struct node *value,
                const char *const *words, size_t word_count, unsigned *ret)
{
    char storage[200];
    struct text list;

    text_init(&list, storage, sizeof storage);
    text_add_choice(&list, words, word_count);
    if (!value_need(p, key, value, NODE_TEXT, words[0]))
        return false;
    for (size_t i = 0; i < word_count; i++) {
        if (strcmp(value->text, words[i]) != 0)
            continue;
        *ret = (unsigned)i;
        return true;
    }
    const char *nearest = text_nearest(value->text, words, word_count);
    return parse_error(p, value, "'%s' is %s, not '%.*s'%s%s%s", key, list.data, SHOWN(value),
                       nearest ? ": did you mean '" : "", nearest ? nearest : "",
                       nearest ? "'?" : "");
}

/* --- % --- */

/* What %c stands for, or NULL. */
static const char *find_percent(const struct parse *p, char c, size_t *ret_length)
{
    const char *name = p->source->name, *at = strchr(name, '@');
    *ret_length = strlen(name);
    switch (c) {
    case 'n':
        return name;
    case 'p':
        *ret_length = at ? (size_t)(at - name) : strlen(name);
        return name;
    case 'i':
        *ret_length = at ? strlen(at + 1) : 0;
        return at ? at + 1 : NULL;
    case '%':
        *ret_length = 1;
        return "%";
    default:
        return NULL;
    }
}

static bool bad_percent(struct parse *p, const struct node *node, size_t index, char c)
{
    /* Splitting a text into words keeps each '%', in order, so the count finds it again. */
    size_t place = strcspn(node->text, "%");
    while (index-- && node->text[place])
        place += 1 + strcspn(node->text + place + 1, "%");
    if (c == 'i')
        return parse_error_inside(p, node, place,
                                  "'%%i' is the instance of a template, and '%s' is none: remove "
                                  "it, or write '%%%%i' for the two characters",
                                  p->source->name);
    if (c > ' ' && c < 0x7f)
        return parse_error_inside(p, node, place,
                                  "'%%%c' stands for nothing: write '%%%%' for a percent sign; "
                                  "%%n is the service's name",
                                  c);
    return parse_error_inside(p, node, place, "write '%%%%' for a percent sign");
}

/* How long `text` will be, -1 when an error was noted. */
static ssize_t measure_expanded(struct parse *p, const struct node *node, const char *text,
                                size_t *percent)
{
    size_t bytes = 0, length;
    for (; *text; text++) {
        if (*text != '%') {
            bytes++;
            continue;
        }
        text++;
        if (!find_percent(p, *text, &length)) {
            bad_percent(p, node, *percent, *text);
            return -1;
        }
        *percent += *text == '%' ? 2 : 1;
        bytes += length;
        p->expanded_bytes += length;
    }
    if (bytes > WORD_MAX_BYTES) {
        parse_error(p, node, "a word here has %zu bytes; the kernel takes at most %d in one", bytes,
                    WORD_MAX_BYTES);
        return -1;
    }
    if (p->expanded_bytes > EXPANDED_MAX_BYTES) {
        parse_error(p, node, "'%%n' and '%%p' make this file too large: write them less often");
        return -1;
    }
    return (ssize_t)bytes;
}

char *value_expand(struct parse *p, const struct node *node, const char *text, size_t *percent)
{
    size_t length;
    ssize_t bytes = measure_expanded(p, node, text, percent);
    if (bytes < 0)
        return NULL;
    char *word = arena_take_bytes(p->arena, (size_t)bytes + 1), *out = word;
    if (!word) {
        parse_no_memory(p);
        return NULL;
    }
    for (; *text; text++) {
        if (*text != '%') {
            *out++ = *text;
            continue;
        }
        const char *meaning = find_percent(p, *++text, &length);
        memcpy(out, meaning, length);
        out += length;
    }
    *out = 0;
    return word;
}

bool parse_check_path(struct parse *p, const char *key, const struct node *node, const char *path)
{
    size_t length = strlen(path);
    if (length < PATH_MAX)
        return true;
    return parse_error(p, node, "'%s' has %zu bytes, and a path at most %d", key, length,
                       PATH_MAX - 1);
}

bool value_path(struct parse *p, const char *key, const struct node *value, void *field)
{
    size_t percent = 0;
    if (!value_need(p, key, value, NODE_TEXT, "/a/path"))
        return false;
    if (value->text[0] != '/')
        return parse_error(p, value, "'%s' is a whole path, from '/', not '%.*s'", key,
                           SHOWN(value));
    char *path = value_expand(p, value, value->text, &percent);
    if (!path || !parse_check_path(p, key, value, path))
        return false;
    *(const char **)field = path;
    return true;
}

/* --- Lists --- */

/* Whether the name is one of another instance of the service's own template, made out of this one's
 * and longer: each would name a next one. */
static bool grows(const struct parse *p, const char *name)
{
    const char *own = p->source->name, *mark = strchr(own, '@');
    return mark && strncmp(name, own, (size_t)(mark + 1 - own)) == 0 && strlen(name) > strlen(own);
}

/* One name of a list, with % replaced; NULL when it noted an error. */
static char *name_of(struct parse *p, const char *key, const struct node *entry)
{
    size_t at, percent = 0;
    bool has_percent = strchr(entry->text, '%') != NULL;
    char *name = has_percent ? value_expand(p, entry, entry->text, &percent)
                             : arena_copy(p->arena, entry->text, entry->length);
    if (!name) {
        if (!has_percent)
            parse_no_memory(p);
        return NULL;
    }
    const char *problem = service_name_problem(name, strlen(name), &at);
    bool makes_one = strcmp(key, "needs") == 0 || strcmp(key, "wants") == 0;
    if (problem && has_percent)
        parse_error(p, entry, "the name '%.*s', out of '%.*s', %s", SHOWN_BYTES, name, SHOWN(entry),
                    problem);
    else if (problem)
        parse_error_inside(p, entry, at, "the name '%.*s' %s", SHOWN(entry), problem);
    else if (strcmp(name, p->source->name) == 0)
        parse_error(p, entry, "'%s' names the service itself: remove '%.*s'", key, SHOWN(entry));
    else if (has_percent && makes_one && grows(p, name))
        parse_error(p, entry,
                    "'%.*s' names an instance of this same template with a longer name, which "
                    "would name a next one, without end: name one that is fixed",
                    SHOWN(entry));
    else
        return name;
    return NULL;
}

bool value_names(struct parse *p, const char *key, const struct node *value, void *field)
{
    bool good = true;
    size_t used = 0;
    if (!value_need(p, key, value, NODE_LIST, "[networking]"))
        return false;
    char **list = arena_take(p->arena, (value->count + 1) * sizeof *list);
    if (!list)
        return parse_no_memory(p);
    for (const struct node *entry = value->first; entry; entry = entry->next) {
        if (entry->kind != NODE_TEXT || node_is_nothing(entry)) {
            good = parse_error(p, entry, "'%s' is a list of names: write '%s: [networking]'", key,
                               key);
            continue;
        }
        list[used] = name_of(p, key, entry);
        if (p->no_memory)
            return false;
        good = good && list[used];
        used += list[used] != NULL;
    }
    list[used] = NULL;
    if (good)
        *(names_t *)field = used ? list : NULL;
    return good;
}

bool value_words(struct parse *p, const char *key, const struct node *value, void *field)
{
    bool good = true;
    size_t used = 0;
    if (!value_need(p, key, value, NODE_LIST, "[\"-v\", \"a word\"]"))
        return false;
    char **list = arena_take(p->arena, (value->count + 1) * sizeof *list);
    if (!list)
        return parse_no_memory(p);
    for (const struct node *entry = value->first; entry; entry = entry->next) {
        size_t percent = 0;
        if (entry->kind != NODE_TEXT || node_is_nothing(entry)) {
            good = parse_error(p, entry,
                               "a value of '%s' is one word: write '\"\"' for an empty one", key);
            continue;
        }
        char *word = value_expand(p, entry, entry->text, &percent);
        if (word)
            list[used++] = word;
        else
            good = false;
    }
    list[used] = NULL;
    if (good)
        *(argv_t *)field = list;
    return good;
}

static bool split_command(struct parse *p, const char *key, const struct node *value,
                          struct words *ret)
{
    static const char *const messages[] = {
        [WORDS_OPEN_SINGLE_QUOTE] =
            "in '%s' a ' is opened here and never closed: close it, or write \\' for the character",
        [WORDS_OPEN_DOUBLE_QUOTE] =
            ("in '%s' a \" is opened here and never closed: close it, or write \\\" for the "
             "character"),
        [WORDS_LAST_BACKSLASH] =
            "'%s' ends in a backslash with nothing behind it: remove it, or write two",
    };
    enum words_error error;
    size_t at, percent = 0;
    int failed = words_split(value->text, p->arena, ret, &at, &error);
    if (failed == -ENOMEM)
        return parse_no_memory(p);
    if (failed) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        return parse_error_inside(p, value, at, messages[error], key);
#pragma GCC diagnostic pop
    }
    if (!strchr(value->text, '%'))
        return true;
    for (size_t i = 0; i < ret->count; i++)
        if (!(ret->list[i] = value_expand(p, value, ret->list[i], &percent)))
            return false;
    return true;
}

bool value_command(struct parse *p, const char *key, const struct node *value, void *field)
{
    struct words words = {0};
    if (value->kind == NODE_LIST) {
        argv_t list = NULL;
        if (!value_words(p, key, value, &list))
            return false;
        words.list = list;
        words.count = value->count;
    } else {
        if (node_is_nothing(value))
            return value_need(p, key, value, NODE_TEXT, "/bin/program -v");
        if (value->kind == NODE_MAPPING)
            return parse_error(
                p, value,
                "'%s' is a command line, or a list of words: write '%s: /bin/program "
                "-v'",
                key, key);
        if (!split_command(p, key, value, &words))
            return false;
        for (size_t i = 0; i < words.count; i++)
            if (strlen(words.list[i]) > WORD_MAX_BYTES)
                return parse_error(p, value,
                                   "a word of '%s' has more than %d bytes, which the "
                                   "kernel does not take",
                                   key, WORD_MAX_BYTES);
    }
    if (!words.list[0] || !words.list[0][0])
        return parse_error(p, value, "'%s' names no program: write '%s: /bin/program'", key, key);
    *(argv_t *)field = words.list;
    return true;
}

bool value_commands(struct parse *p, const char *key, const struct node *value, void *field)
{
    bool good = true;
    size_t used = 0, count = value->kind == NODE_LIST ? value->count : 1;
    argv_t *list = arena_take(p->arena, (count + 1) * sizeof *list);
    if (!list)
        return parse_no_memory(p);
    if (value->kind != NODE_LIST) {
        good = value_command(p, key, value, &list[used++]);
    } else {
        for (const struct node *entry = value->first; entry; entry = entry->next)
            if (!value_command(p, key, entry, &list[used++]))
                good = false;
    }
    list[used] = NULL;
    if (good)
        *(commands_t *)field = used ? list : NULL;
    return good;
}

/* --- Mappings --- */

static char *join_env(struct parse *p, const struct node *entry)
{
    size_t percent = 0, key_length = entry->key->length;
    char *value = value_expand(p, entry, node_is_nothing(entry) ? "" : entry->text, &percent);
    if (!value)
        return NULL;
    size_t value_length = strlen(value);
    char *joined = arena_take_bytes(p->arena, key_length + value_length + 2);
    if (!joined) {
        parse_no_memory(p);
        return NULL;
    }
    memcpy(joined, entry->key->text, key_length);
    joined[key_length] = '=';
    memcpy(joined + key_length + 1, value, value_length + 1);
    return joined;
}

bool value_env(struct parse *p, const char *key, const struct node *value, void *field)
{
    bool good = true;
    size_t used = 0;
    if (!value_need(p, key, value, NODE_MAPPING, "{LANG: C}"))
        return false;
    char **list = arena_take(p->arena, (value->count + 1) * sizeof *list);
    if (!list)
        return parse_no_memory(p);
    for (const struct node *entry = value->first; entry; entry = entry->next) {
        if (entry->key->length == 0 || strchr(entry->key->text, '='))
            good = parse_error(p, entry->key,
                               "'%.*s' is no name for a variable: use letters, "
                               "digits and '_', and no '='",
                               SHOWN(entry->key));
        else if (entry->kind != NODE_TEXT)
            good =
                parse_error(p, entry, "the variable '%.*s' is a text, not %s: write '%.*s: text'",
                            SHOWN(entry->key), node_kind_name(entry), SHOWN(entry->key));
        else if (!(list[used++] = join_env(p, entry)))
            good = false;
    }
    list[used] = NULL;
    if (good)
        *(names_t *)field = used ? list : NULL;
    return good;
}

static bool unknown_sub_key(struct parse *p, const char *key, const struct node *name,
                            const struct sub_key *rows, size_t row_count)
{
    const char *names[WORDS_MAX];
    char storage[200];
    struct text list;

    for (size_t i = 0; i < row_count; i++)
        names[i] = rows[i].name + strlen(key) + 1;
    const char *nearest = text_nearest(name->text, names, row_count);
    if (nearest)
        return parse_error(p, name, "'%s' has no key '%.*s': did you mean '%s'?", key, SHOWN(name),
                           nearest);
    text_init(&list, storage, sizeof storage);
    text_add_choice(&list, names, row_count);
    return parse_error(p, name, "'%s' has no key '%.*s': write %s, or remove it", key, SHOWN(name),
                       list.data);
}

bool value_mapping(struct parse *p, const char *key, const struct node *value,
                   const struct sub_key *rows, size_t row_count, void *base)
{
    bool good = true;
    for (const struct node *entry = value->first; entry; entry = entry->next) {
        size_t row = 0;
        while (row < row_count && strcmp(rows[row].name + strlen(key) + 1, entry->key->text) != 0)
            row++;
        if (row == row_count)
            good = unknown_sub_key(p, key, entry->key, rows, row_count);
        else if (!rows[row].parse(p, rows[row].name, entry, (char *)base + rows[row].offset))
            good = false;
    }
    return good;
}
