/* The fields of sd_notify(3) that mean something to us. */
#include "base/notify-message.h"

#include "base/utf8.h"

#include <limits.h>
#include <string.h>

static bool parse_number(const char *value, size_t bytes, uint64_t *ret)
{
    uint64_t number = 0;
    if (!bytes || bytes > 19) /* no overflow below this */
        return false;
    for (size_t i = 0; i < bytes; i++) {
        if (value[i] < '0' || value[i] > '9')
            return false;
        number = number * 10 + (uint64_t)(value[i] - '0');
    }
    *ret = number;
    return true;
}

static bool is_text(const char *value, size_t bytes, const char *text)
{
    return bytes == strlen(text) && memcmp(value, text, bytes) == 0;
}

static void take_flag(struct notify_message *message, size_t offset, const char *value,
                      size_t bytes)
{
    if (is_text(value, bytes, "1"))
        *(bool *)((char *)message + offset) = true;
}

static void take_status(struct notify_message *message, const char *value, size_t bytes)
{
    message->status = value;
    message->status_bytes = bytes;
}

static void take_main_pid(struct notify_message *message, const char *value, size_t bytes)
{
    uint64_t number;
    message->bad_main_pid = !parse_number(value, bytes, &number) || number <= 1 || number > INT_MAX;
    message->main_pid = message->bad_main_pid ? 0 : (pid_t)number;
}

static void take_extend(struct notify_message *message, const char *value, size_t bytes)
{
    if (parse_number(value, bytes, &message->extend_usec))
        message->has_extend = true;
}

static void take_watchdog(struct notify_message *message, const char *value, size_t bytes)
{
    message->watchdog = message->watchdog || is_text(value, bytes, "1");
    message->trigger = message->trigger || is_text(value, bytes, "trigger");
}

static void take_watchdog_usec(struct notify_message *message, const char *value, size_t bytes)
{
    if (parse_number(value, bytes, &message->watchdog_usec))
        message->has_watchdog_usec = true;
}

static const struct {
    const char *key;
    void (*take)(struct notify_message *message, const char *value, size_t bytes);
    size_t flag;
} fields[] = {
    {"READY", NULL, offsetof(struct notify_message, ready)},
    {"RELOADING", NULL, offsetof(struct notify_message, reloading)},
    {"STOPPING", NULL, offsetof(struct notify_message, stopping)},
    {"STATUS", take_status, 0},
    {"MAINPID", take_main_pid, 0},
    {"EXTEND_TIMEOUT_USEC", take_extend, 0},
    {"WATCHDOG", take_watchdog, 0},
    {"WATCHDOG_USEC", take_watchdog_usec, 0},
};

static void take_line(struct notify_message *message, const char *line, size_t bytes)
{
    const char *sign = memchr(line, '=', bytes);
    if (!sign)
        return;
    const char *value = sign + 1;
    size_t value_bytes = bytes - (size_t)(value - line);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (!is_text(line, (size_t)(sign - line), fields[i].key))
            continue;
        if (fields[i].take)
            fields[i].take(message, value, value_bytes);
        else
            take_flag(message, fields[i].flag, value, value_bytes);
    }
}

void notify_message_parse(const char *bytes, size_t count, struct notify_message *ret)
{
    struct notify_message message = {0};
    for (size_t at = 0; at < count;) {
        size_t end = at;
        while (end < count && bytes[end] != '\n' && bytes[end] != 0)
            end++;
        take_line(&message, bytes + at, end - at);
        at = end + 1;
    }
    *ret = message;
}

void notify_status_clean(const char *bytes, size_t count, char *storage, size_t size_bytes)
{
    size_t used = 0;
    for (size_t at = 0; at < count;) {
        const unsigned char *here = (const unsigned char *)bytes + at;
        size_t length = utf8_length(here, count - at);
        /* Control characters: below a blank, DEL, and U+0080 to U+009F. */
        bool control = length == 1   ? *here < ' ' || *here == 0x7f
                       : length == 2 ? here[0] == 0xc2 && here[1] < 0xa0
                                     : false;
        size_t put = length && !control ? length : 1;
        if (used + put >= size_bytes)
            break;
        if (length && !control)
            memcpy(storage + used, here, length);
        else
            storage[used] = '?';
        used += put;
        at += length ? length : 1;
    }
    storage[used] = 0;
}
