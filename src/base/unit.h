/* Numbers with a unit behind them, such as `5s` or `16M`. Pure. */
#pragma once

#include "base/text.h"

struct unit {
    const char *name;
    uint64_t factor;
};

/* Of times, in ms: d h min s ms. Tables have the largest unit first, so that a value is shown in
 * the largest one that divides it. */
#define UNIT_TIMES 5
extern const struct unit unit_times[UNIT_TIMES];

/* The digits at the front; what is behind them in *ret_rest. Returns 0, -EINVAL where there are
 * none, -ERANGE where they are too many; results untouched on failure. */
int unit_parse_digits(const char *string, uint64_t *ret, const char **ret_rest);

/* The whole string as a number and one of the units; one without a unit is taken times bare_factor,
 * and where that is 0 is none. Returns 0, -EINVAL for what is none, -ERANGE for what does not fit;
 * *ret untouched on failure. */
int unit_parse(const char *string, const struct unit *units, size_t unit_count,
               uint64_t bare_factor, uint64_t *ret);

void unit_format(uint64_t value, const struct unit *units, size_t unit_count, struct text *text);
