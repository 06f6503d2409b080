/* A point in time as people write it, for `slc journal --since`. Pure but for the time zone, which
 * is that of the process (TZ).
 *
 *   now, today, yesterday           the latter two: the day's first moment
 *   -2h, -90s, -3d, -1h30m          so long before now: s, m or min, h, d, w
 *   13:54, 13:54:10, 13:54:10.5     today
 *   2026-11-22                      the day's first moment
 *   2026-11-22 13:54[:10[.5]]       local time; T may stand for the blank
 *   2026-11-22T13:54:10.5Z, …+01:00 RFC 3339, in its own zone */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define TIME_POINT_WHY_BYTES 200

/* Of a time that was there twice, as the clock was set back for the winter, the first, or with
 * `later` the second. Returns 0; or -EINVAL, and `why` says what is wrong or what to write. */
int time_point_parse(const char *text, uint64_t now_ns, bool later, uint64_t *ret_ns,
                     char why[static TIME_POINT_WHY_BYTES]);
