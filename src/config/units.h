/* Values that are one word: times, sizes, numbers, limits. Pure: text in, number out.
 *
 * All parsers take the whole string and nothing else, return 0, -EINVAL (it is none) or -ERANGE
 * (it does not fit), and leave *ret untouched on failure. */
#pragma once

#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>

/* `200ms` `5s` `2min` `1h` `1d`, a bare number of seconds, `never` (TIME_NEVER_MS). At most 49
 * days. */
int units_parse_time(const char *string, uint32_t *ret_ms);
void units_format_time(uint32_t time_ms, struct text *text);

/* `4096` `64K` `16M` `1G`: powers of 1024, in bytes. */
int units_parse_size(const char *string, uint64_t *ret_bytes);

void units_format_size(uint64_t bytes, struct text *text);

/* `90` `12h` `30d` in seconds, or `never`: longer than a time can be, and no shorter than 1 s. */
#define AGE_NEVER_S UINT32_MAX
int units_parse_age(const char *string, uint32_t *ret_s);
void units_format_age(uint32_t age_s, struct text *text);

/* `1000/s` `5000/10s` `100/min`: a number, and the time in which. */
int units_parse_rate(const char *string, uint32_t *ret_count, uint32_t *ret_interval_ms);
void units_format_rate(uint32_t count, uint32_t interval_ms, struct text *text);

/* `1` `1.5` `2.25` in percent: 100, 150, 225. At most two places. */
int units_parse_factor(const char *string, uint32_t *ret_percent);
void units_format_factor(uint32_t percent, struct text *text);

/* `10`, `10%` or `10 %`, 0 to 100. */
int units_parse_percent(const char *string, uint32_t *ret_percent);

/* Octal, up to 0777. */
int units_parse_umask(const char *string, unsigned *ret);

/* The booleans of YAML 1.1: yes no on off true false, in lower, upper or title case. */
int units_parse_bool(const char *string, bool *ret);

/* The limits of setrlimit(2) under the names that limits.conf(5) gives them. */
struct units_limit {
    const char *name;
    int resource; /* RLIMIT_… */
    bool bytes;   /* takes K, M, G */
};
#define UNITS_LIMITS 16
extern const struct units_limit units_limits[UNITS_LIMITS];
