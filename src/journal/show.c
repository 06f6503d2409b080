/* How entries are shown. Bytes that need nothing are copied in runs, so that a line of plain text
 * costs one look at each byte. */
#include "journal/show.h"
#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

#define MICROS_BEGIN 20 /* in "2026-11-22T13:54:00.123456Z" */
#define MICROS_END   26

static int put(struct buffer *out, const char *text)
{
    return buffer_append(out, text, strlen(text));
}

static int put_hex(struct buffer *out, const char *before, unsigned char byte)
{
    static const char digits[] = "0123456789abcdef";
    const char hex[] = {digits[byte >> 4], digits[byte & 15]};
    int failed = put(out, before);
    return failed ? failed : buffer_append(out, hex, sizeof hex);
}

static bool is_between(const unsigned char *at, const char *prefix, unsigned char first,
                       unsigned char last)
{
    size_t length = strlen(prefix);
    return !memcmp(at, prefix, length) && at[length] >= first && at[length] <= last;
}

static bool is_obeyed(const unsigned char *at, size_t length)
{
    if (length == 1)
        return (*at < ' ' && *at != '\t') || *at == 0x7f;
    if (length == 2) /* U+0080 to U+009F, U+061C */
        return is_between(at, "\xc2", 0x80, 0x9f) || is_between(at, "\xd8", 0x9c, 0x9c);
    return length == 3 && /* U+200E, U+200F; U+2028 to U+202E; U+2066 to U+2069 */
           (is_between(at, "\xe2\x80", 0x8e, 0x8f) || is_between(at, "\xe2\x80", 0xa8, 0xae) ||
            is_between(at, "\xe2\x81", 0xa6, 0xa9));
}

/* How many bytes from here on are ASCII and no controls, looked at eight at once; it may stop a
 * little early. Each byte of `odd` has its high bit set where that of `eight` is below 0x20, is
 * 0x7f, or is no ASCII; a byte behind such a one may be wrong, which is early, too. */
static size_t count_plain(const unsigned char *at, size_t count)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    size_t plain = 0;
    uint64_t eight;

    for (; count - plain >= sizeof eight; plain += sizeof eight) {
        memcpy(&eight, at + plain, sizeof eight);
        uint64_t odd = eight | (eight - 0x20 * ones) | (eight + ones);
        if (odd & highs)
            break;
    }
    return plain;
}

int journal_show_escaped(struct buffer *out, const char *bytes, size_t count)
{
    const unsigned char *at = (const unsigned char *)bytes, *end = at + count, *run = at;
    int failed = 0;

    while (at < end && !failed) {
        at += count_plain(at, (size_t)(end - at));
        if (at == end)
            break;
        size_t length = utf8_length(at, (size_t)(end - at));
        if (length && !is_obeyed(at, length)) {
            at += length;
            continue;
        }
        failed = buffer_append(out, run, (size_t)(at - run));
        if (!length)
            length = 1;
        for (size_t i = 0; i < length && !failed; i++)
            failed = put_hex(out, "\\x", at[i]);
        run = at += length;
    }
    return failed ? failed : buffer_append(out, run, (size_t)(at - run));
}

static int put_json_escape(struct buffer *out, unsigned char byte)
{
    static const char letters[][2] = {{'"', '"'},  {'\\', '\\'}, {'\n', 'n'}, {'\t', 't'},
                                      {'\r', 'r'}, {'\b', 'b'},  {'\f', 'f'}};
    for (size_t i = 0; i < sizeof letters / sizeof letters[0]; i++)
        if (letters[i][0] == (char)byte)
            return buffer_append(out, (const char[]){'\\', letters[i][1]}, 2);
    return put_hex(out, "\\u00", byte);
}

int journal_show_json_string(struct buffer *out, const char *bytes, size_t count, bool *ret_damaged)
{
    const unsigned char *at = (const unsigned char *)bytes, *end = at + count, *run = at;
    bool damaged = false;
    int failed = put(out, "\"");

    while (at < end && !failed) {
        size_t length = utf8_length(at, (size_t)(end - at));
        if (length > 1 || (length && *at >= ' ' && *at != '"' && *at != '\\' && *at != 0x7f)) {
            at += length;
            continue;
        }
        failed = buffer_append(out, run, (size_t)(at - run));
        if (!failed)
            failed = length ? put_json_escape(out, *at) : put(out, "\xef\xbf\xbd");
        damaged = damaged || !length;
        run = ++at;
    }
    if (!failed)
        failed = buffer_append(out, run, (size_t)(at - run));
    *ret_damaged = damaged;
    return failed ? failed : put(out, "\"");
}

int journal_show_base64(struct buffer *out, const char *bytes, size_t count)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    const unsigned none = 64; /* the '=' */
    const unsigned char *at = (const unsigned char *)bytes;
    int failed = 0;

    for (size_t i = 0; i < count && !failed; i += 3) {
        size_t rest = count - i;
        uint32_t group = (uint32_t)at[i] << 16 | (rest > 1 ? (uint32_t)at[i + 1] << 8 : 0) |
                         (rest > 2 ? at[i + 2] : 0);
        const char four[] = {digits[group >> 18], digits[group >> 12 & 63],
                             digits[rest > 1 ? group >> 6 & 63 : none],
                             digits[rest > 2 ? group & 63 : none]};
        failed = buffer_append(out, four, sizeof four);
    }
    return failed;
}

/* Entries that follow each other mostly have the same second. Returns how long it is. */
static size_t format_time(char text[static CLOCK_LOCAL_BYTES], uint64_t time_ns)
{
    static _Thread_local char last[CLOCK_LOCAL_BYTES];
    static _Thread_local uint64_t last_second = UINT64_MAX;
    static _Thread_local size_t bytes;
    const uint64_t second = time_ns / NS_PER_SEC;
    unsigned micros = (unsigned)(time_ns % NS_PER_SEC / 1000);

    if (second != last_second)
        bytes = clock_format_local(last, time_ns);
    last_second = second;
    memcpy(text, last, sizeof last);
    for (char *at = text + MICROS_END; at > text + MICROS_BEGIN; micros /= 10)
        *--at = (char)('0' + micros % 10);
    return bytes;
}

int journal_show_short(struct buffer *out, const char *service, const struct journal_entry *entry)
{
    /* On disk TIME is as long as this one, which only holds its place. */
    static const char none[CLOCK_RFC3339_BYTES] = "";
    char time[CLOCK_LOCAL_BYTES] = "-", prefix[JOURNAL_PREFIX_BYTES];
    size_t time_bytes = entry->time_ns ? format_time(time, entry->time_ns) : 1;
    size_t bytes = journal_format_prefix(prefix, none, entry->mark, entry->level);
    int failed = buffer_append(out, time, time_bytes);

    if (service && !failed)
        failed = put(out, " ");
    if (service && !failed)
        failed = journal_show_escaped(out, service, strlen(service)); /* a folder's name */
    if (!failed)
        failed = buffer_append(out, prefix + JOURNAL_TIME_BYTES, bytes - JOURNAL_TIME_BYTES);
    if (!failed)
        failed = journal_show_escaped(out, entry->text, entry->bytes);
    return failed ? failed : put(out, "\n");
}

static int put_json_time(struct buffer *out, uint64_t time_ns)
{
    char time[CLOCK_RFC3339_BYTES + 2] = "\"";
    if (!time_ns)
        return put(out, "{\"time\":null");
    clock_format_rfc3339(time + 1, time_ns);
    int failed = put(out, "{\"time\":");
    if (!failed)
        failed = put(out, time);
    return failed ? failed : put(out, "\"");
}

int journal_show_json(struct buffer *out, const char *service, const struct journal_entry *entry)
{
    bool damaged = false, ignored;
    int failed = put_json_time(out, entry->time_ns);

    if (!failed)
        failed = put(out, ",\"service\":");
    if (!failed)
        failed = journal_show_json_string(out, service, strlen(service), &ignored);
    if (!failed)
        failed =
            put(out, entry->mark == JOURNAL_EVENT_MARK ? ",\"stream\":\"event\",\"level\":\""
                                                       : ",\"stream\":\"output\",\"level\":\"");
    if (!failed)
        failed = put(out, journal_level_name(entry->level));
    if (!failed)
        failed = put(out, "\",\"message\":");
    if (!failed)
        failed = journal_show_json_string(out, entry->text, entry->bytes, &damaged);
    if (!failed && damaged)
        failed = put(out, ",\"raw\":\"");
    if (!failed && damaged)
        failed = journal_show_base64(out, entry->text, entry->bytes);
    if (!failed && damaged)
        failed = put(out, "\"");
    return failed ? failed : put(out, "}\n");
}
