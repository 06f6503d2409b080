/* The one line format of every message of ours, and where the lines go.
 *
 *   LEVL[ssss.mmm] message                                       key=value key="two words"
 *
 * Level, seconds since boot, the message padded to 44 columns when fields follow, then the fields
 * sorted by key and quoted as logfmt does. With json one object a line. Only programs log. */
#pragma once

#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_FATAL, LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG, LOG_LEVELS };

/* One field: text, or a number when `text` is NULL. Nothing is owned. */
struct log_field {
    const char *key;
    const char *text;
    int64_t number;
};

#define LOG_LINE_BYTES 1024 /* a longer line is cut; its end says so */
#define LOG_FIELDS_MAX 12

/* Writes one line with its newline into `text`. Pure. */
void log_format(struct text *text, enum log_level level, uint64_t boottime_ns, bool json,
                const char *message, const struct log_field *fields, size_t count);

/* Where lines go: called with a whole line, newline included. Must not block, and must not log. */
typedef void log_sink(void *context, enum log_level level, const char *line, size_t bytes);

/* At most two sinks (console, journal). `least` is the least severe level that is passed on. */
void log_add_sink(log_sink *sink, void *context, enum log_level least);
void log_set_level(log_sink *sink, enum log_level least);
void log_set_json(bool json);

/* The level in syslog's numbers (syslog(3)), 2 to 7; a level that is none counts as info. */
unsigned log_syslog_level(enum log_level level);

/* Reads "debug" "info" "warn" "error"; 0 or -EINVAL. */
int log_parse_level(const char *word, enum log_level *ret);

void log_write(enum log_level level, const char *message, const struct log_field *fields,
               size_t count);

/* LOG(INFO, "Started service", TEXT("service", name), NUMBER("pid", pid)); */
#define LOG(level, message, ...)                                                                   \
    log_write(LOG_##level, message, (const struct log_field[]){{0}, ##__VA_ARGS__} + 1,            \
              sizeof((const struct log_field[]){{0}, ##__VA_ARGS__}) / sizeof(struct log_field) -  \
                  1)
#define TEXT(key_, text_)     ((struct log_field){.key = (key_), .text = (text_)})
#define NUMBER(key_, number_) ((struct log_field){.key = (key_), .number = (int64_t)(number_)})
