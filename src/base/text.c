/* Bounded text on the caller's storage, and strict number parsing. */
#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void text_init(struct text *text, char *storage, size_t size_bytes)
{
    *text = (struct text){.data = storage, .size_bytes = size_bytes};
    storage[0] = 0;
}

void text_add_bytes(struct text *text, const void *bytes, size_t count)
{
    size_t room = text->size_bytes - 1 - text->used_bytes;
    if (count > room) {
        count = room;
        text->cut = true;
    }
    memcpy(text->data + text->used_bytes, bytes, count);
    text->used_bytes += count;
    text->data[text->used_bytes] = 0;
}

void text_add(struct text *text, const char *string)
{
    text_add_bytes(text, string, strlen(string));
}

void text_add_char(struct text *text, char c)
{
    text_add_bytes(text, &c, 1);
}

void text_add_unsigned(struct text *text, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    text_add_bytes(text, digits + at, sizeof digits - at);
}

void text_add_signed(struct text *text, int64_t number)
{
    if (number < 0)
        text_add_char(text, '-');
    text_add_unsigned(text, number < 0 ? -(uint64_t)number : (uint64_t)number);
}

void text_vprintf(struct text *text, const char *format, va_list arguments)
{
    size_t room = text->size_bytes - text->used_bytes;
    int wanted = vsnprintf(text->data + text->used_bytes, room, format, arguments);
    if (wanted < 0) { /* what it had written until then is none of it */
        text->data[text->used_bytes] = 0;
        return;
    }
    if ((size_t)wanted >= room) {
        text->used_bytes = text->size_bytes - 1;
        text->cut = true;
    } else {
        text->used_bytes += (size_t)wanted;
    }
}

void text_printf(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    text_vprintf(text, format, arguments);
    va_end(arguments);
}

void text_add_choice(struct text *text, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        text_add(text, i == 0 ? "" : i + 1 < count ? ", " : " or ");
        text_add(text, words[i]);
    }
}

bool text_format(char *storage, size_t size_bytes, const char *format, ...)
{
    struct text text;
    va_list arguments;
    text_init(&text, storage, size_bytes);
    va_start(arguments, format);
    text_vprintf(&text, format, arguments);
    va_end(arguments);
    return !text.cut;
}

void text_add_rate(struct text *text, uint32_t count, uint32_t interval_ms)
{
    static const struct {
        uint32_t ms;
        const char *name;
    } units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "min"}, {1000, "s"}, {1, "ms"}};
    size_t i = 0;

    while (interval_ms % units[i].ms)
        i++;
    text_add_unsigned(text, count);
    text_add_char(text, '/');
    if (interval_ms != units[i].ms)
        text_add_unsigned(text, interval_ms / units[i].ms);
    text_add(text, units[i].name);
}

int text_refuse(char *why, size_t size_bytes, const char *format, ...)
{
    struct text text;
    va_list arguments;

    text_init(&text, why, size_bytes);
    va_start(arguments, format);
    text_vprintf(&text, format, arguments);
    va_end(arguments);
    return -EINVAL;
}

int text_parse_unsigned(const char *string, uint64_t *ret)
{
    uint64_t number = 0;
    if (!*string)
        return -EINVAL;
    for (; *string; string++) {
        if (*string < '0' || *string > '9')
            return -EINVAL;
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*string - '0'), &number))
            return -ERANGE;
    }
    *ret = number;
    return 0;
}

bool text_starts_with(const char *string, const char *prefix, const char **ret_rest)
{
    size_t length = strlen(prefix);
    if (strncmp(string, prefix, length) != 0)
        return false;
    if (ret_rest)
        *ret_rest = string + length;
    return true;
}

bool text_same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool text_same_lists(char *const *a, char *const *b)
{
    if (!a || !b)
        return (!a || !*a) && (!b || !*b);
    while (*a && *b && strcmp(*a, *b) == 0) {
        a++;
        b++;
    }
    return !*a && !*b;
}

void text_unescape(char *string)
{
    char *out = string;
    for (const char *at = string; *at; at++) {
        if (at[0] == '\\' && at[1] >= '0' && at[1] <= '3' && at[2] >= '0' && at[2] <= '7' &&
            at[3] >= '0' && at[3] <= '7') {
            *out++ = (char)((at[1] - '0') * 64 + (at[2] - '0') * 8 + (at[3] - '0'));
            at += 3;
        } else {
            *out++ = *at;
        }
    }
    *out = 0;
}

#define DISTANCE_MAX_BYTES 64

unsigned text_distance(const char *a, const char *b)
{
    size_t a_length = strnlen(a, DISTANCE_MAX_BYTES), b_length = strnlen(b, DISTANCE_MAX_BYTES);
    unsigned rows[3][DISTANCE_MAX_BYTES + 1];
    unsigned *before_last = rows[0], *last = rows[1], *row = rows[2];

    for (size_t j = 0; j <= b_length; j++)
        last[j] = (unsigned)j;
    for (size_t i = 1; i <= a_length; i++) {
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_length; j++) {
            unsigned best = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before_last[j - 2] + 1 < best)
                best = before_last[j - 2] + 1;
            row[j] = best;
        }
        unsigned *free_row = before_last;
        before_last = last;
        last = row;
        row = free_row;
    }
    return last[b_length];
}

const char *text_nearest(const char *word, const char *const *candidates, size_t count)
{
    unsigned limit = (unsigned)strnlen(word, DISTANCE_MAX_BYTES) / 3;
    const char *nearest = NULL;
    if (limit < 2)
        limit = 2;
    for (size_t i = 0; i < count; i++) {
        unsigned distance = text_distance(word, candidates[i]);
        /* A candidate that shares nothing with the word is no help, however short both are. */
        if (distance <= limit && distance < strlen(candidates[i])) {
            limit = distance ? distance - 1 : 0;
            nearest = candidates[i];
            if (distance == 0)
                break;
        }
    }
    return nearest;
}
