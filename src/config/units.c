/* Values that are one word: times, sizes, numbers, limits. */
#include "config/units.h"
#include "base/unit.h"
#include "service/definition.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

static const struct unit age_units[] = {{"d", 86400}, {"h", 3600}, {"min", 60}, {"s", 1}};
static const struct unit size_units[] = {{"G", 1u << 30}, {"M", 1u << 20}, {"K", 1u << 10}};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

int units_parse_time(const char *string, uint32_t *ret_ms)
{
    uint64_t time_ms;
    if (strcmp(string, "never") == 0) {
        *ret_ms = TIME_NEVER_MS;
        return 0;
    }
    int failed = unit_parse(string, unit_times, UNIT_TIMES, 1000, &time_ms);
    if (failed)
        return failed;
    if (time_ms >= TIME_NEVER_MS)
        return -ERANGE;
    *ret_ms = (uint32_t)time_ms;
    return 0;
}

void units_format_time(uint32_t time_ms, struct text *text)
{
    if (time_ms == TIME_NEVER_MS)
        text_add(text, "never");
    else
        unit_format(time_ms, unit_times, UNIT_TIMES, text);
}

int units_parse_size(const char *string, uint64_t *ret_bytes)
{
    return unit_parse(string, size_units, COUNT(size_units), 1, ret_bytes);
}

void units_format_size(uint64_t bytes, struct text *text)
{
    unit_format(bytes, size_units, COUNT(size_units), text);
}

int units_parse_age(const char *string, uint32_t *ret_s)
{
    uint64_t age_s;
    if (strcmp(string, "never") == 0) {
        *ret_s = AGE_NEVER_S;
        return 0;
    }
    int failed = unit_parse(string, age_units, COUNT(age_units), 1, &age_s);
    if (failed)
        return failed;
    if (age_s >= AGE_NEVER_S)
        return -ERANGE;
    *ret_s = (uint32_t)age_s;
    return 0;
}

void units_format_age(uint32_t age_s, struct text *text)
{
    if (age_s == AGE_NEVER_S)
        text_add(text, "never");
    else
        unit_format(age_s, age_units, COUNT(age_units), text);
}

int units_parse_rate(const char *string, uint32_t *ret_count, uint32_t *ret_interval_ms)
{
    uint64_t count, interval_ms = 0;
    const char *rest;
    int failed = unit_parse_digits(string, &count, &rest);
    if (failed)
        return failed;
    if (*rest++ != '/')
        return -EINVAL;
    for (size_t i = 0; i < UNIT_TIMES; i++)
        if (strcmp(rest, unit_times[i].name) == 0)
            interval_ms = unit_times[i].factor;
    if (!interval_ms)
        failed = unit_parse(rest, unit_times, UNIT_TIMES, 0, &interval_ms);
    if (failed)
        return failed;
    if (count > UINT32_MAX || interval_ms > UINT32_MAX)
        return -ERANGE;
    *ret_count = (uint32_t)count;
    *ret_interval_ms = (uint32_t)interval_ms;
    return 0;
}

void units_format_rate(uint32_t count, uint32_t interval_ms, struct text *text)
{
    text_add_rate(text, count, interval_ms);
}

int units_parse_factor(const char *string, uint32_t *ret_percent)
{
    uint64_t whole, part = 0;
    const char *rest;
    int failed = unit_parse_digits(string, &whole, &rest);
    if (failed)
        return failed;
    if (*rest == '.') {
        const char *digits = rest + 1;
        failed = unit_parse_digits(digits, &part, &rest);
        if (failed || rest - digits > 2)
            return -EINVAL;
        if (rest - digits == 1)
            part *= 10;
    }
    if (*rest)
        return -EINVAL;
    if (whole > 1000000)
        return -ERANGE;
    *ret_percent = (uint32_t)(whole * 100 + part);
    return 0;
}

void units_format_factor(uint32_t percent, struct text *text)
{
    text_add_unsigned(text, percent / 100);
    if (percent % 100 == 0)
        return;
    text_add_char(text, '.');
    text_add_char(text, (char)('0' + percent / 10 % 10));
    if (percent % 10)
        text_add_char(text, (char)('0' + percent % 10));
}

int units_parse_percent(const char *string, uint32_t *ret_percent)
{
    uint64_t percent;
    const char *rest;
    int failed = unit_parse_digits(string, &percent, &rest);
    if (failed)
        return failed;
    if (*rest == ' ' && rest[1] == '%')
        rest++;
    if (*rest == '%')
        rest++;
    if (*rest)
        return -EINVAL;
    if (percent > 100)
        return -ERANGE;
    *ret_percent = (uint32_t)percent;
    return 0;
}

int units_parse_umask(const char *string, unsigned *ret)
{
    unsigned mode = 0;
    size_t digits = strspn(string, "01234567");
    if (digits == 0 || string[digits])
        return -EINVAL;
    for (; *string; string++) {
        mode = mode << 3 | (unsigned)(*string - '0');
        if (mode > 0777)
            return -ERANGE;
    }
    *ret = mode;
    return 0;
}

int units_parse_bool(const char *string, bool *ret)
{
    static const char *const words[2][9] = {
        {"no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"},
        {"yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"},
    };
    for (size_t value = 0; value < 2; value++) {
        for (size_t i = 0; i < COUNT(words[value]); i++) {
            if (strcmp(string, words[value][i]) == 0) {
                *ret = value;
                return 0;
            }
        }
    }
    return -EINVAL;
}

const struct units_limit units_limits[UNITS_LIMITS] = {
    {"as", RLIMIT_AS, true},
    {"core", RLIMIT_CORE, true},
    {"cpu", RLIMIT_CPU, false},
    {"data", RLIMIT_DATA, true},
    {"fsize", RLIMIT_FSIZE, true},
    {"locks", RLIMIT_LOCKS, false},
    {"memlock", RLIMIT_MEMLOCK, true},
    {"msgqueue", RLIMIT_MSGQUEUE, true},
    {"nice", RLIMIT_NICE, false},
    {"nofile", RLIMIT_NOFILE, false},
    {"nproc", RLIMIT_NPROC, false},
    {"rss", RLIMIT_RSS, true},
    {"rtprio", RLIMIT_RTPRIO, false},
    {"rttime", RLIMIT_RTTIME, false},
    {"sigpending", RLIMIT_SIGPENDING, false},
    {"stack", RLIMIT_STACK, true},
};
_Static_assert(RLIM_NLIMITS == UNITS_LIMITS, "each limit the kernel has is in the table");
