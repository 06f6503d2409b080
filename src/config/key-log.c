/* The key `log`: how much of a service's journal is kept, and how much is taken. */
#include "config/parse.h"
#include "config/show.h"
#include "config/units.h"

#include <errno.h>
#include <string.h>

#define COUNT(array)    (sizeof(array) / sizeof((array)[0]))
#define SHOWN(node)     60, (node)->text
#define SIZE_LEAST      65536u         /* a line is that long at most */
#define SIZE_MOST       (1ull << 50)   /* what file systems take, and more than any disk has */
#define KEEP_MOST       10000u         /* names that are read when a file is sealed */
#define RATE_LINES_MOST 1000000000u    /* in any time */
#define RATE_MOST_MS    (24 * 3600000) /* how long an interval may be */

static bool value_max_size(struct parse *p, const char *key, const struct node *value, void *field)
{
    uint64_t bytes;
    if (!value_need(p, key, value, NODE_TEXT, "16M"))
        return false;
    int failed = units_parse_size(value->text, &bytes);
    if (failed == -EINVAL)
        return parse_error(p, value,
                           "'%s' is a size, not '%.*s': write 16M, 1G, or a number of "
                           "bytes",
                           key, SHOWN(value));
    if (failed || bytes > SIZE_MOST)
        return parse_error(p, value, "'%s: %.*s' is too much: at most 1048576G", key, SHOWN(value));
    if (bytes < SIZE_LEAST)
        return parse_error(p, value, "'%s: %.*s' is too little: at least 64K", key, SHOWN(value));
    *(uint64_t *)field = bytes;
    return true;
}

static bool value_keep(struct parse *p, const char *key, const struct node *value, void *field)
{
    uint64_t count;
    if (!value_need(p, key, value, NODE_TEXT, "4"))
        return false;
    if (text_parse_unsigned(value->text, &count) < 0 || count > KEEP_MOST)
        return parse_error(p, value,
                           "'%s' is how many sealed files are kept beside the current one, 0 to "
                           "%u, not '%.*s'",
                           key, KEEP_MOST, SHOWN(value));
    *(uint32_t *)field = (uint32_t)count;
    return true;
}

static bool value_max_age(struct parse *p, const char *key, const struct node *value, void *field)
{
    uint32_t age_s;
    if (!value_need(p, key, value, NODE_TEXT, "30d"))
        return false;
    int failed = units_parse_age(value->text, &age_s);
    if (failed == -EINVAL)
        return parse_error(p, value,
                           "'%s' is a time in whole seconds, not '%.*s': write 12h, 30d, 730d, or "
                           "never",
                           key, SHOWN(value));
    if (failed)
        return parse_error(p, value, "'%s: %.*s' is too long: at most 49710d, or never", key,
                           SHOWN(value));
    if (age_s == 0)
        return parse_error(p, value, "'%s: 0' keeps nothing: write 'never' for no limit", key);
    *(uint32_t *)field = age_s == AGE_NEVER_S ? 0 : age_s;
    return true;
}

static bool value_rate(struct parse *p, const char *key, const struct node *value, void *field)
{
    struct quota *quota = field;
    uint32_t lines, interval_ms;
    if (!value_need(p, key, value, NODE_TEXT, "1000/s"))
        return false;
    if (strcmp(value->text, "none") == 0) {
        quota->rate_lines = quota->rate_interval_ms = 0;
        return true;
    }
    int failed = units_parse_rate(value->text, &lines, &interval_ms);
    if (failed == -EINVAL)
        return parse_error(p, value,
                           "'%s' is lines in a time, not '%.*s': write 1000/s, 5000/10s or "
                           "100/min, or none",
                           key, SHOWN(value));
    if (failed || lines > RATE_LINES_MOST || interval_ms > RATE_MOST_MS)
        return parse_error(p, value, "'%s: %.*s' is too much: at most 1000000000 lines, in a day",
                           key, SHOWN(value));
    if (!lines || !interval_ms)
        return parse_error(p, value,
                           "'%s: %.*s' would drop every line: write at least 1/d, or none", key,
                           SHOWN(value));
    quota->rate_lines = lines;
    quota->rate_interval_ms = interval_ms;
    return true;
}

static bool value_log(struct parse *p, const char *key, const struct node *value, void *field)
{
    static const struct sub_key rows[] = {
        {"log.max-size", value_max_size, offsetof(struct quota, max_size_bytes)},
        {"log.keep", value_keep, offsetof(struct quota, keep)},
        {"log.max-age", value_max_age, offsetof(struct quota, max_age_s)},
        {"log.rate", value_rate, 0},
    };
    if (!value_need(p, key, value, NODE_MAPPING, "{max-size: 16M, keep: 4}"))
        return false;
    return value_mapping(p, key, value, rows, COUNT(rows), &p->draft.quota);
}

static bool equal_log(const struct definition *a, const struct definition *b, size_t offset)
{
    return quota_equal(&a->quota, &b->quota);
}

static void show_log(const struct definition *definition, const void *field, struct text *text)
{
    const struct quota *quota = &definition->quota;
    text_add_char(text, '{');
    show_key(text, "max-size");
    text_add_char(text, '"');
    units_format_size(quota->max_size_bytes, text);
    text_add_char(text, '"');
    show_key(text, "keep");
    text_add_unsigned(text, quota->keep);
    show_key(text, "max-age");
    text_add_char(text, '"');
    units_format_age(quota->max_age_s ? quota->max_age_s : AGE_NEVER_S, text);
    text_add_char(text, '"');
    show_key(text, "rate");
    text_add_char(text, '"');
    if (quota->rate_lines)
        units_format_rate(quota->rate_lines, quota->rate_interval_ms, text);
    else
        text_add(text, "none");
    text_add(text, "\"}");
}

const struct key_kind kind_log = {value_log, equal_log, show_log, NULL};
