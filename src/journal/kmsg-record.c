/* One record of /dev/kmsg.
 *
 * The kernel writes what is not printable, and the backslash, as \xNN; that is undone. The lines
 * behind the text (SUBSYSTEM=, DEVICE=) say of which device it speaks; they are left out, as
 * dmesg(1) leaves them out. */
#include "journal/kmsg-record.h"

#include <string.h>

#define DIGITS_MOST 19 /* so that no number overflows */

/* A decimal number and the comma behind it. Returns where the next begins, or NULL. */
static const char *take_number(const char *at, const char *end, uint64_t *ret)
{
    const char *first = at;
    uint64_t number = 0;
    for (; at < end && *at >= '0' && *at <= '9'; at++)
        number = number * 10 + (uint64_t)(*at - '0') * (at - first < DIGITS_MOST);
    if (at == first || at - first > DIGITS_MOST || at == end || *at != ',')
        return NULL;
    *ret = number;
    return at + 1;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void take_text(const char *at, const char *end, struct kmsg_record *ret)
{
    ret->bytes = 0;
    while (at < end && ret->bytes < sizeof ret->text) {
        if (end - at >= 4 && at[0] == '\\' && at[1] == 'x' && hex_digit(at[2]) >= 0 &&
            hex_digit(at[3]) >= 0) {
            ret->text[ret->bytes++] = (char)(hex_digit(at[2]) << 4 | hex_digit(at[3]));
            at += 4;
        } else {
            ret->text[ret->bytes++] = *at++;
        }
    }
}

bool kmsg_record_parse(const char *bytes, size_t count, struct kmsg_record *ret)
{
    const char *line_end = count ? memchr(bytes, '\n', count) : NULL;
    const char *end = line_end ? line_end : bytes + count, *at = bytes;
    uint64_t priority, sequence, since_boot_us;

    const char *text = count ? memchr(bytes, ';', (size_t)(end - bytes)) : NULL;
    if (!text)
        return false;
    at = take_number(at, text, &priority);
    if (at)
        at = take_number(at, text, &sequence);
    if (at)
        at = take_number(at, text, &since_boot_us);
    if (!at || at >= text || priority > UINT32_MAX)
        return false;
    ret->level = (enum journal_level)(priority % JOURNAL_LEVELS);
    ret->facility = (unsigned)(priority / JOURNAL_LEVELS);
    ret->sequence = sequence;
    ret->since_boot_us = since_boot_us;
    ret->continued = *at == 'c' || *at == '+';
    take_text(text + 1, end, ret);
    return true;
}
