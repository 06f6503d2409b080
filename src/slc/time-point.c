/* Points in time. A text is taken from left to right by a cursor; what is not there is said with
 * what could be. Local times are made by mktime(3) and looked at again: one that the clock has
 * skipped comes back as another. */
#include "slc/time-point.h"

#include "base/clock.h"
#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define YEAR_FIRST 1970
#define YEAR_LAST  2500 /* 64 bits of nanoseconds end in 2554 */

struct cursor {
    const char *at;
    char *why;
};

struct date {
    unsigned year, month, day;
};

struct time_of_day {
    unsigned hour, minute, second;
    uint32_t ns;
};

#define refuse(cursor, ...) text_refuse((cursor)->why, TIME_POINT_WHY_BYTES, __VA_ARGS__)

static int refuse_form(struct cursor *cursor)
{
    return refuse(cursor, "write -2h, 13:54, 13:54:10, today, yesterday, tomorrow, now, "
                          "2026-11-22, \"2026-11-22 13:54\" or 2026-11-22T13:54:10Z");
}

/* ---- pieces --------------------------------------------------------------------------------- */

static bool take_char(struct cursor *cursor, char c)
{
    if (*cursor->at != c)
        return false;
    cursor->at++;
    return true;
}

/* Exactly so many digits, and no more behind them. */
static bool take_digits(struct cursor *cursor, unsigned digits, unsigned *ret)
{
    unsigned number = 0;
    for (unsigned i = 0; i < digits; i++) {
        if (!isdigit((unsigned char)cursor->at[i]))
            return false;
        number = number * 10 + (unsigned)(cursor->at[i] - '0');
    }
    if (isdigit((unsigned char)cursor->at[digits]))
        return false;
    cursor->at += digits;
    *ret = number;
    return true;
}

/* ".5" as nanoseconds; what is finer is left out. */
static int take_fraction(struct cursor *cursor, uint32_t *ret_ns)
{
    uint32_t unit = NS_PER_SEC / 10;

    *ret_ns = 0;
    if (!take_char(cursor, '.'))
        return 0;
    if (!isdigit((unsigned char)*cursor->at))
        return refuse(cursor, "digits are missing behind the '.'");
    for (; isdigit((unsigned char)*cursor->at); cursor->at++, unit /= 10)
        *ret_ns += (uint32_t)(*cursor->at - '0') * unit;
    return 0;
}

static int take_time_of_day(struct cursor *cursor, struct time_of_day *ret)
{
    *ret = (struct time_of_day){0};
    if (!take_digits(cursor, 2, &ret->hour) || !take_char(cursor, ':') ||
        !take_digits(cursor, 2, &ret->minute))
        return refuse(cursor, "a time of day is written 13:54 or 13:54:10");
    if (take_char(cursor, ':')) {
        if (!take_digits(cursor, 2, &ret->second))
            return refuse(cursor, "seconds have two digits, as in 13:54:10");
        if (take_fraction(cursor, &ret->ns) < 0)
            return -EINVAL;
    }
    if (ret->hour > 23)
        return refuse(cursor, "there is no hour %u: the last is 23", ret->hour);
    if (ret->minute > 59)
        return refuse(cursor, "there is no minute %u: the last is 59", ret->minute);
    if (ret->second > 60) /* a leap second is the next second, as the clock has it */
        return refuse(cursor, "there is no second %u: the last is 59", ret->second);
    return 0;
}

static unsigned days_in(unsigned year, unsigned month)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

static int take_date(struct cursor *cursor, struct date *ret)
{
    if (!take_digits(cursor, 4, &ret->year) || !take_char(cursor, '-') ||
        !take_digits(cursor, 2, &ret->month) || !take_char(cursor, '-') ||
        !take_digits(cursor, 2, &ret->day))
        return refuse(cursor, "a day is written 2026-11-22");
    if (ret->year < YEAR_FIRST || ret->year > YEAR_LAST)
        return refuse(cursor, "the year %u is not between %d and %d", ret->year, YEAR_FIRST,
                      YEAR_LAST);
    if (ret->month < 1 || ret->month > 12)
        return refuse(cursor, "there is no month %u", ret->month);
    if (ret->day < 1 || ret->day > days_in(ret->year, ret->month))
        return refuse(cursor, "there is no day %u: %04u-%02u has %u days", ret->day, ret->year,
                      ret->month, days_in(ret->year, ret->month));
    return 0;
}

/* ---- local time ----------------------------------------------------------------------------- */

static struct tm broken_down(const struct date *date, const struct time_of_day *time, int summer)
{
    return (struct tm){.tm_year = (int)date->year - 1900,
                       .tm_mon = (int)date->month - 1,
                       .tm_mday = (int)date->day,
                       .tm_hour = (int)time->hour,
                       .tm_min = (int)time->minute,
                       .tm_sec = (int)time->second,
                       .tm_isdst = summer};
}

/* Whether mktime took these numbers as they are; *ret is then the moment. */
static bool make_time(const struct date *date, const struct time_of_day *time, int summer,
                      time_t *ret)
{
    struct tm tm = broken_down(date, time, summer), made;
    *ret = mktime(&tm);
    if (!localtime_r(ret, &made))
        return false;
    return made.tm_mday == (int)date->day && made.tm_hour == (int)time->hour &&
           made.tm_min == (int)time->minute;
}

static int from_local(struct cursor *cursor, const struct date *date,
                      const struct time_of_day *given, bool later, uint64_t *ret_ns)
{
    struct time_of_day time = *given;
    time_t found[2], moment = 0;
    unsigned leap = time.second == 60;
    bool winter, summer;

    time.second -= leap;
    winter = make_time(date, &time, 0, &found[0]);
    summer = make_time(date, &time, 1, &found[1]);
    if (winter && summer)
        moment = (found[0] < found[1]) != later ? found[0] : found[1];
    else if (winter || summer)
        moment = found[summer];
    else if (!time.hour && !time.minute && !time.second)
        make_time(date, &time, -1, &moment); /* a day that begins at 01:00 */
    else if (!make_time(date, &time, -1, &moment))
        return refuse(cursor,
                      "%02u:%02u was not there on %04u-%02u-%02u: the clock was set forward",
                      time.hour, time.minute, date->year, date->month, date->day);
    if (moment < 0)
        return refuse(cursor, "it is before 1970 in UTC");
    *ret_ns = ((uint64_t)moment + leap) * NS_PER_SEC + time.ns;
    return 0;
}

/* The day it was so many days ago. */
static bool day_before(uint64_t now_ns, int days, struct date *ret)
{
    time_t now = (time_t)(now_ns / NS_PER_SEC);
    struct tm tm;

    if (!localtime_r(&now, &tm))
        return false;
    tm.tm_mday -= days;
    tm.tm_hour = 12; /* is there on every day */
    tm.tm_isdst = -1;
    if (mktime(&tm) == -1)
        return false;
    *ret =
        (struct date){(unsigned)tm.tm_year + 1900, (unsigned)tm.tm_mon + 1, (unsigned)tm.tm_mday};
    return true;
}

/* ---- the forms ------------------------------------------------------------------------------ */

/* "Z", "+01:00" behind a time: *ret_seconds is how far it is ahead of UTC. */
static int take_zone(struct cursor *cursor, int64_t *ret_seconds)
{
    unsigned hours, minutes;
    bool west = *cursor->at == '-';

    *ret_seconds = 0;
    if (take_char(cursor, 'Z') || take_char(cursor, 'z'))
        return 0;
    cursor->at++;
    if (!take_digits(cursor, 2, &hours) || !take_char(cursor, ':') ||
        !take_digits(cursor, 2, &minutes))
        return refuse(cursor, "a time zone is written Z or +01:00");
    if (hours > 23 || minutes > 59)
        return refuse(cursor, "there is no time zone of %02u:%02u", hours, minutes);
    *ret_seconds = (int64_t)(hours * 3600 + minutes * 60) * (west ? -1 : 1);
    return 0;
}

static int take_zoned(struct cursor *cursor, const struct date *date,
                      const struct time_of_day *time, uint64_t *ret_ns)
{
    struct tm tm = broken_down(date, time, 0);
    int64_t ahead, seconds;

    if (take_zone(cursor, &ahead) < 0)
        return -EINVAL;
    seconds = (int64_t)timegm(&tm) - ahead;
    if (seconds < 0)
        return refuse(cursor, "it is before 1970 in UTC");
    *ret_ns = (uint64_t)seconds * NS_PER_SEC + time->ns;
    return 0;
}

static int take_day(struct cursor *cursor, bool later, uint64_t *ret_ns)
{
    struct time_of_day time = {0};
    struct date date = {0};

    if (take_date(cursor, &date) < 0)
        return -EINVAL;
    if (!*cursor->at)
        return from_local(cursor, &date, &time, later, ret_ns);
    if (!take_char(cursor, 'T') && !take_char(cursor, 't') && !take_char(cursor, ' '))
        return refuse_form(cursor);
    while (take_char(cursor, ' ')) {
    }
    if (take_time_of_day(cursor, &time) < 0)
        return -EINVAL;
    if (*cursor->at && strchr("Zz+-", *cursor->at))
        return take_zoned(cursor, &date, &time, ret_ns);
    return from_local(cursor, &date, &time, later, ret_ns);
}

static uint64_t unit_seconds(const char *unit, size_t length)
{
    static const struct {
        const char *name;
        uint64_t seconds;
    } units[] = {{"s", 1},    {"sec", 1},   {"m", 60},    {"min", 60},
                 {"h", 3600}, {"d", 86400}, {"w", 604800}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strlen(units[i].name) == length && !strncmp(units[i].name, unit, length))
            return units[i].seconds;
    return 0;
}

/* At a '-'. */
static int take_ago(struct cursor *cursor, uint64_t now_ns, uint64_t *ret_ns)
{
    uint64_t span = 0;

    cursor->at++;
    do {
        uint64_t number = 0;
        if (!isdigit((unsigned char)*cursor->at))
            return refuse(cursor, "how long ago is written -90s, -15m, -2h, -3d or -1h30m");
        for (; isdigit((unsigned char)*cursor->at); cursor->at++)
            if (number <= now_ns)
                number = number * 10 + (uint64_t)(*cursor->at - '0');
        size_t length = 0;
        while (isalpha((unsigned char)cursor->at[length]))
            length++;
        uint64_t seconds = unit_seconds(cursor->at, length), ns;
        if (!length)
            return refuse(cursor, "the unit is missing: write s, m, h, d or w behind the number");
        if (!seconds)
            return refuse(cursor, "\"%.*s\" is no unit: write s, m, h, d or w", (int)length,
                          cursor->at);
        cursor->at += length;
        if (__builtin_mul_overflow(number, seconds * NS_PER_SEC, &ns) ||
            __builtin_add_overflow(span, ns, &span) || span > now_ns)
            return refuse(cursor, "that is before 1970");
    } while (*cursor->at);
    *ret_ns = now_ns - span;
    return 0;
}

static int take_word(struct cursor *cursor, uint64_t now_ns, bool later, uint64_t *ret_ns)
{
    static const struct {
        const char *word;
        int days;
    } words[] = {{"today", 0}, {"yesterday", 1}, {"tomorrow", -1}};
    const struct time_of_day midnight = {0};
    struct date date = {0};

    if (!strcmp(cursor->at, "now")) {
        cursor->at += strlen("now");
        *ret_ns = now_ns;
        return 0;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(cursor->at, words[i].word) != 0)
            continue;
        cursor->at += strlen(words[i].word);
        return day_before(now_ns, words[i].days, &date)
                   ? from_local(cursor, &date, &midnight, later, ret_ns)
                   : refuse(cursor, "the clock of this machine stands at no time there is");
    }
    return refuse_form(cursor);
}

int time_point_parse(const char *text, uint64_t now_ns, bool later, uint64_t *ret_ns,
                     char why[static TIME_POINT_WHY_BYTES])
{
    struct cursor cursor = {text, why};
    struct time_of_day time = {0};
    struct date date = {0};
    uint64_t found = 0;
    int failed;

    why[0] = 0;
    if (text[0] == '-')
        failed = take_ago(&cursor, now_ns, &found);
    else if (!isdigit((unsigned char)text[0]))
        failed = take_word(&cursor, now_ns, later, &found);
    else if (text[1] && text[2] == ':') {
        failed = take_time_of_day(&cursor, &time);
        if (!failed && *cursor.at)
            failed = refuse(&cursor, "a time of day has no zone here: write the date with it");
        if (!failed && !day_before(now_ns, 0, &date))
            failed = refuse_form(&cursor);
        if (!failed)
            failed = from_local(&cursor, &date, &time, later, &found);
    } else if (strchr(text, '-') == text + 4)
        failed = take_day(&cursor, later, &found);
    else
        failed = refuse_form(&cursor);
    if (!failed && *cursor.at)
        failed = refuse(&cursor, "\"%s\" behind the time is too much", cursor.at);
    if (!failed)
        *ret_ns = found;
    return failed;
}
