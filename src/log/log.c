/* The one line format of every message of ours, and where the lines go. */
#include "log/log.h"
#include "base/clock.h"

#include <errno.h>
#include <string.h>

/* The message takes 44 columns, and two blanks stand before the first field. */
#define MESSAGE_COLUMNS 45
#define SINKS_MAX       2

static const struct {
    const char *name, *word;
    unsigned syslog;
} levels[LOG_LEVELS] = {
    [LOG_FATAL] = {"FATL", "fatal", 2},  [LOG_ERROR] = {"ERRO", "error", 3},
    [LOG_WARNING] = {"WARN", "warn", 4}, [LOG_INFO] = {"INFO", "info", 6},
    [LOG_DEBUG] = {"DEBG", "debug", 7},
};

static struct {
    log_sink *write;
    void *context;
    enum log_level least;
} sinks[SINKS_MAX];

static bool as_json;

static void add_padded(struct text *text, uint64_t number, unsigned digits)
{
    uint64_t bound = 1;
    for (unsigned i = 1; i < digits; i++) {
        bound *= 10;
    }
    for (; bound > 1 && number < bound; bound /= 10)
        text_add_char(text, '0');
    text_add_unsigned(text, number);
}

/* Quotes and escapes as JSON does, which logfmt readers understand too. */
static void add_quoted(struct text *text, const char *value)
{
    static const char hex[] = "0123456789abcdef";
    text_add_char(text, '"');
    for (const unsigned char *at = (const unsigned char *)value; *at; at++) {
        if (*at == '"' || *at == '\\') {
            text_add_char(text, '\\');
            text_add_char(text, (char)*at);
        } else if (*at == '\n') {
            text_add(text, "\\n");
        } else if (*at == '\t') {
            text_add(text, "\\t");
        } else if (*at < 0x20 || *at == 0x7f) {
            text_add(text, "\\u00");
            text_add_char(text, hex[*at >> 4]);
            text_add_char(text, hex[*at & 15]);
        } else {
            text_add_char(text, (char)*at);
        }
    }
    text_add_char(text, '"');
}

static bool needs_quotes(const char *value)
{
    if (!*value)
        return true;
    for (const unsigned char *at = (const unsigned char *)value; *at; at++)
        if (*at <= ' ' || *at == '"' || *at == '=' || *at == '\\' || *at == 0x7f)
            return true;
    return false;
}

static void add_value(struct text *text, const struct log_field *field, bool json)
{
    if (!field->text)
        text_add_signed(text, field->number);
    else if (json || needs_quotes(field->text))
        add_quoted(text, field->text);
    else
        text_add(text, field->text);
}

/* Puts the fields in the order of their keys. Few fields: an insertion sort needs no memory. */
static size_t sort_fields(const struct log_field **sorted, const struct log_field *fields,
                          size_t count)
{
    if (count > LOG_FIELDS_MAX)
        count = LOG_FIELDS_MAX;
    for (size_t i = 0; i < count; i++) {
        size_t at = i;
        for (; at > 0 && strcmp(sorted[at - 1]->key, fields[i].key) > 0; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = &fields[i];
    }
    return count;
}

static void format_json(struct text *text, enum log_level level, uint64_t ms, const char *message,
                        const struct log_field *const *sorted, size_t count)
{
    text_add(text, "{\"level\":\"");
    text_add(text, levels[level].word);
    text_add(text, "\",\"uptime\":");
    text_add_unsigned(text, ms / 1000);
    text_add_char(text, '.');
    add_padded(text, ms % 1000, 3);
    text_add(text, ",\"message\":");
    add_quoted(text, message);
    for (size_t i = 0; i < count; i++) {
        text_add_char(text, ',');
        add_quoted(text, sorted[i]->key);
        text_add_char(text, ':');
        add_value(text, sorted[i], true);
    }
    text_add_char(text, '}');
}

/* A message is one line: what breaks lines or steers a terminal becomes a question mark. */
static void add_message(struct text *text, const char *message)
{
    for (; *message; message++)
        text_add_bytes(text, (unsigned char)*message < ' ' || *message == 0x7f ? "?" : message, 1);
}

void log_format(struct text *text, enum log_level level, uint64_t boottime_ns, bool json,
                const char *message, const struct log_field *fields, size_t count)
{
    const struct log_field *sorted[LOG_FIELDS_MAX];
    uint64_t ms = boottime_ns / NS_PER_MS;

    count = sort_fields(sorted, fields, count);
    if (json) {
        format_json(text, level, ms, message, sorted, count);
    } else {
        text_add(text, levels[level].name);
        text_add_char(text, '[');
        add_padded(text, ms / 1000, 4);
        text_add_char(text, '.');
        add_padded(text, ms % 1000, 3);
        text_add(text, "] ");
        size_t begin = text->used_bytes;
        add_message(text, message);
        while (count && text->used_bytes - begin < MESSAGE_COLUMNS && !text->cut)
            text_add_char(text, ' ');
        for (size_t i = 0; i < count; i++) {
            text_add_char(text, ' ');
            text_add(text, sorted[i]->key);
            text_add_char(text, '=');
            add_value(text, sorted[i], false);
        }
    }
    if (text->cut || text->used_bytes + 1 >= text->size_bytes) {
        text->used_bytes = text->size_bytes - 5;
        text->cut = false;
        text_add(text, "...");
    }
    text_add_char(text, '\n');
}

void log_add_sink(log_sink *sink, void *context, enum log_level least)
{
    for (size_t i = 0; i < SINKS_MAX; i++) {
        if (sinks[i].write)
            continue;
        sinks[i].write = sink;
        sinks[i].context = context;
        sinks[i].least = least;
        return;
    }
}

void log_set_level(log_sink *sink, enum log_level least)
{
    for (size_t i = 0; i < SINKS_MAX; i++)
        if (sinks[i].write == sink)
            sinks[i].least = least;
}

void log_set_json(bool json)
{
    as_json = json;
}

unsigned log_syslog_level(enum log_level level)
{
    return (unsigned)level < LOG_LEVELS ? levels[level].syslog : levels[LOG_INFO].syslog;
}

int log_parse_level(const char *word, enum log_level *ret)
{
    for (size_t i = 0; i < LOG_LEVELS; i++) {
        if (strcmp(levels[i].word, word) == 0) {
            *ret = (enum log_level)i;
            return 0;
        }
    }
    return -EINVAL;
}

void log_write(enum log_level level, const char *message, const struct log_field *fields,
               size_t count)
{
    char storage[LOG_LINE_BYTES];
    struct text text;
    int saved = errno;
    bool wanted = false;

    for (size_t i = 0; i < SINKS_MAX; i++)
        wanted = wanted || (sinks[i].write && level <= sinks[i].least);
    if (!wanted)
        return;
    text_init(&text, storage, sizeof storage);
    log_format(&text, level, clock_now_ns(), as_json, message, fields, count);
    for (size_t i = 0; i < SINKS_MAX; i++)
        if (sinks[i].write && level <= sinks[i].least)
            sinks[i].write(sinks[i].context, level, text.data, text.used_bytes);
    errno = saved;
}
