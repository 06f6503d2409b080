/* One line of a journal: its beginning is written for each line of a busy service, so that is
 * copies of known sizes and nothing else. */
#include "journal/format.h"

#include <string.h>

#define LEVEL_BYTES 8

/* Padded, so that a copy of fixed size does; the padding is written over by what follows. */
static const struct {
    char name[LEVEL_BYTES];
    size_t bytes;
} levels[JOURNAL_LEVELS] = {
    [JOURNAL_EMERG] = {"emerg", 5},     [JOURNAL_ALERT] = {"alert", 5},
    [JOURNAL_CRIT] = {"crit", 4},       [JOURNAL_ERR] = {"err", 3},
    [JOURNAL_WARNING] = {"warning", 7}, [JOURNAL_NOTICE] = {"notice", 6},
    [JOURNAL_INFO] = {"info", 4},       [JOURNAL_DEBUG] = {"debug", 5},
};

size_t journal_format_prefix(char out[static JOURNAL_PREFIX_BYTES], const char *time,
                             enum journal_mark mark, enum journal_level level)
{
    char *at = out + JOURNAL_TIME_BYTES;
    memcpy(out, time, JOURNAL_TIME_BYTES);
    *at++ = ' ';
    if (mark != JOURNAL_OUTPUT)
        *at++ = mark == JOURNAL_EVENT_MARK ? '+' : '-';
    memcpy(at, levels[level].name, LEVEL_BYTES);
    at += levels[level].bytes;
    *at++ = ' ';
    return (size_t)(at - out);
}

static bool take_number(const char *text, size_t digits, unsigned least, unsigned most,
                        unsigned *ret)
{
    unsigned number = 0;
    for (size_t i = 0; i < digits; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        number = number * 10 + (unsigned)(text[i] - '0');
    }
    *ret = number;
    return number >= least && number <= most;
}

/* Days since 1970-01-01, counting years from March so that leap days come last. */
static uint64_t days_of(unsigned year, unsigned month, unsigned day)
{
    unsigned from_march = (month + 9) % 12;
    uint64_t y = year - (month <= 2);
    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * from_march + 2) / 5 + day - 1 - 719468;
}

bool journal_parse_time(const char *text, uint64_t *ret_ns)
{
    unsigned year, month, day, hour, minute, second, micros;
    if (text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' || text[16] != ':' ||
        text[19] != '.' || text[26] != 'Z')
        return false;
    if (!take_number(text, 4, 1970, 9999, &year) || !take_number(text + 5, 2, 1, 12, &month) ||
        !take_number(text + 8, 2, 1, 31, &day) || !take_number(text + 11, 2, 0, 23, &hour) ||
        !take_number(text + 14, 2, 0, 59, &minute) || !take_number(text + 17, 2, 0, 60, &second) ||
        !take_number(text + 20, 6, 0, 999999, &micros))
        return false;
    uint64_t minutes = (days_of(year, month, day) * 24 + hour) * 60 + minute;
    uint64_t seconds = minutes * 60 + second;
    uint64_t ns;
    /* 64 bits of nanoseconds end in the year 2554. */
    if (__builtin_mul_overflow(seconds, NS_PER_SEC, &ns) ||
        __builtin_add_overflow(ns, micros * 1000ull, &ns))
        return false;
    *ret_ns = ns;
    return true;
}

/* What stands behind the time, which is known. */
static bool parse_rest(const char *line, size_t bytes, uint64_t time_ns, struct journal_entry *ret)
{
    const char *end = line + bytes, *at = line + JOURNAL_TIME_BYTES + 1;
    enum journal_mark mark = JOURNAL_OUTPUT;

    if (*at == '+' || *at == '-')
        mark = *at++ == '+' ? JOURNAL_EVENT_MARK : JOURNAL_CONTINUED;
    for (enum journal_level level = 0; level < JOURNAL_LEVELS && at < end; level++) {
        size_t length = levels[level].bytes;
        if (*at != levels[level].name[0] || (size_t)(end - at) <= length || at[length] != ' ' ||
            memcmp(at, levels[level].name, length) != 0)
            continue;
        *ret = (struct journal_entry){time_ns, level, mark, at + length + 1,
                                      (size_t)(end - at) - length - 1};
        return true;
    }
    return false;
}

static bool refuse_line(const char *line, size_t bytes, struct journal_entry *ret)
{
    *ret = (struct journal_entry){.level = JOURNAL_INFO, .text = line, .bytes = bytes};
    return false;
}

bool journal_parse_line(const char *line, size_t bytes, struct journal_entry *ret)
{
    uint64_t time_ns;
    if (bytes >= JOURNAL_TIME_BYTES + 2 && line[JOURNAL_TIME_BYTES] == ' ' &&
        journal_parse_time(line, &time_ns) && parse_rest(line, bytes, time_ns, ret))
        return true;
    return refuse_line(line, bytes, ret);
}

bool journal_parse_next_line(struct journal_second *second, const char *line, size_t bytes,
                             struct journal_entry *ret)
{
    unsigned micros;
    uint64_t time_ns;

    if (bytes < JOURNAL_TIME_BYTES + 2 || line[JOURNAL_TIME_BYTES] != ' ')
        return refuse_line(line, bytes, ret);
    if (second->ns && !memcmp(line, second->text, sizeof second->text) &&
        line[JOURNAL_TIME_BYTES - 1] == 'Z' &&
        take_number(line + sizeof second->text, 6, 0, 999999, &micros)) {
        time_ns = second->ns + micros * 1000ull;
    } else {
        if (!journal_parse_time(line, &time_ns))
            return refuse_line(line, bytes, ret);
        memcpy(second->text, line, sizeof second->text);
        second->ns = time_ns / NS_PER_SEC * NS_PER_SEC;
    }
    if (parse_rest(line, bytes, time_ns, ret))
        return true;
    return refuse_line(line, bytes, ret);
}

const char *journal_level_name(enum journal_level level)
{
    return levels[level].name;
}
