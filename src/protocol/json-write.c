/* The JSON writer. A string is copied in runs: only quotes, backslashes, control characters and
 * what is no UTF-8 (RFC 3629: no surrogates, nothing overlong) leave the straight way. */
#include "protocol/json-write.h"
#include "base/utf8.h"

#include <string.h>

void json_writer_init(struct json_writer *writer, struct buffer *out)
{
    *writer = (struct json_writer){.out = out};
}

static void put(struct json_writer *writer, const char *bytes, size_t count)
{
    if (!writer->failed && buffer_append(writer->out, bytes, count) < 0)
        writer->failed = true;
}

static void put_comma(struct json_writer *writer)
{
    if (writer->follows)
        put(writer, ",", 1);
    writer->follows = true;
}

void json_begin(struct json_writer *writer, char bracket)
{
    put_comma(writer);
    put(writer, &bracket, 1);
    writer->follows = false;
}

void json_end(struct json_writer *writer, char bracket)
{
    put(writer, &bracket, 1);
    writer->follows = true;
}

void json_put_key(struct json_writer *writer, const char *key)
{
    put_comma(writer);
    put(writer, "\"", 1);
    put(writer, key, strlen(key));
    put(writer, "\":", 2);
    writer->follows = false;
}

static void put_escaped(struct json_writer *writer, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

    if (c == '"' || c == '\\')
        put(writer, (char[]){'\\', (char)c}, 2);
    else if (c == '\n')
        put(writer, "\\n", 2);
    else if (c == '\t')
        put(writer, "\\t", 2);
    else
        put(writer, text, sizeof text);
}

void json_put_bytes(struct json_writer *writer, const char *bytes, size_t count)
{
    const unsigned char *at = (const unsigned char *)bytes, *end = at + count, *run = at;

    put_comma(writer);
    put(writer, "\"", 1);
    while (at < end) {
        size_t good = *at < 0x80 ? *at >= 0x20 && *at != '"' && *at != '\\'
                                 : utf8_length(at, (size_t)(end - at));
        if (good) {
            at += good;
            continue;
        }
        put(writer, (const char *)run, (size_t)(at - run));
        if (*at < 0x80)
            put_escaped(writer, *at);
        else
            put(writer, "\xef\xbf\xbd", 3);
        run = ++at;
    }
    put(writer, (const char *)run, (size_t)(at - run));
    put(writer, "\"", 1);
}

void json_put_string(struct json_writer *writer, const char *string)
{
    if (string)
        json_put_bytes(writer, string, strlen(string));
    else
        json_put_null(writer);
}

void json_put_number(struct json_writer *writer, int64_t number)
{
    char digits[21];
    size_t at = sizeof digits;
    uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;

    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (number < 0)
        digits[--at] = '-';
    put_comma(writer);
    put(writer, digits + at, sizeof digits - at);
}

void json_put_bool(struct json_writer *writer, bool value)
{
    put_comma(writer);
    put(writer, value ? "true" : "false", value ? 4 : 5);
}

void json_put_null(struct json_writer *writer)
{
    put_comma(writer);
    put(writer, "null", 4);
}

void json_add_string(struct json_writer *writer, const char *key, const char *string)
{
    json_put_key(writer, key);
    json_put_string(writer, string);
}

void json_add_number(struct json_writer *writer, const char *key, int64_t number)
{
    json_put_key(writer, key);
    json_put_number(writer, number);
}

void json_add_bool(struct json_writer *writer, const char *key, bool value)
{
    json_put_key(writer, key);
    json_put_bool(writer, value);
}

void json_add_strings(struct json_writer *writer, const char *key, const char *const *strings)
{
    json_put_key(writer, key);
    json_begin(writer, '[');
    for (; strings && *strings; strings++)
        json_put_string(writer, *strings);
    json_end(writer, ']');
}

void json_add_lines(struct json_writer *writer, const char *key, const char *lines)
{
    json_put_key(writer, key);
    json_begin(writer, '[');
    while (lines && *lines) {
        size_t bytes = strcspn(lines, "\n");
        json_put_bytes(writer, lines, bytes);
        lines += bytes + (lines[bytes] == '\n');
    }
    json_end(writer, ']');
}
