/* Numbers with a unit behind them: pure. */
#include "base/unit.h"

#include <errno.h>
#include <string.h>

const struct unit unit_times[UNIT_TIMES] = {
    {"d", 86400000}, {"h", 3600000}, {"min", 60000}, {"s", 1000}, {"ms", 1},
};

int unit_parse_digits(const char *string, uint64_t *ret, const char **ret_rest)
{
    uint64_t number = 0;
    const char *at = string;
    for (; *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*at - '0'), &number))
            return -ERANGE;
    if (at == string)
        return -EINVAL;
    *ret = number;
    *ret_rest = at;
    return 0;
}

int unit_parse(const char *string, const struct unit *units, size_t unit_count,
               uint64_t bare_factor, uint64_t *ret)
{
    uint64_t number = 0, factor = 0;
    const char *rest;
    int failed = unit_parse_digits(string, &number, &rest);
    if (failed == -EINVAL)
        return failed;
    if (failed == -ERANGE) {
        /* Too large, unless it is no such value at all. */
        rest = string + strspn(string, "0123456789");
    }
    if (!*rest)
        factor = bare_factor;
    for (size_t i = 0; i < unit_count; i++)
        if (strcmp(rest, units[i].name) == 0)
            factor = units[i].factor;
    if (!factor)
        return -EINVAL;
    if (failed || __builtin_mul_overflow(number, factor, &number))
        return -ERANGE;
    *ret = number;
    return 0;
}

void unit_format(uint64_t value, const struct unit *units, size_t unit_count, struct text *text)
{
    for (size_t i = 0; value && i < unit_count; i++) {
        if (value % units[i].factor == 0) {
            text_add_unsigned(text, value / units[i].factor);
            text_add(text, units[i].name);
            return;
        }
    }
    text_add_unsigned(text, value);
}
