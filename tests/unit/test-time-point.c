/* Points in time as people write them: each form, the days on which the clock is changed, and what
 * is none. */
#include "base/clock.h"
#include "slc/time-point.h"
#include "test.h"

#include <time.h>

#define NOW 1795355640123456789ull /* 2026-11-22T13:54:00.123456789Z, a Sunday */

static char why[TIME_POINT_WHY_BYTES];

static const char *shown(const char *zone, const char *text, bool later)
{
    static char out[CLOCK_RFC3339_BYTES];
    uint64_t ns = 77;
    setenv("TZ", zone, 1);
    tzset();
    if (time_point_parse(text, NOW, later, &ns, why) < 0) {
        CHECK_NUMBER(ns, 77);
        CHECK(strlen(why) > 5);
        return why;
    }
    clock_format_rfc3339(out, ns);
    return out;
}

#define BERLIN   "CET-1CEST,M3.5.0,M10.5.0/3"
#define NEW_YORK "EST5EDT,M3.2.0,M11.1.0"
#define CAIRO    "EET-2EEST,M4.5.5/0,M10.5.4/24" /* at midnight */

TEST(each_form_is_understood)
{
    CHECK_TEXT(shown("UTC", "now", false), "2026-11-22T13:54:00.123456Z");
    CHECK_TEXT(shown("UTC", "today", false), "2026-11-22T00:00:00.000000Z");
    CHECK_TEXT(shown("UTC", "yesterday", false), "2026-11-21T00:00:00.000000Z");
    CHECK_TEXT(shown("UTC", "-2h", false), "2026-11-22T11:54:00.123456Z");
    CHECK_TEXT(shown("UTC", "-90s", false), "2026-11-22T13:52:30.123456Z");
    CHECK_TEXT(shown("UTC", "-3d", false), "2026-11-19T13:54:00.123456Z");
    CHECK_TEXT(shown("UTC", "-1h30m", false), "2026-11-22T12:24:00.123456Z");
    CHECK_TEXT(shown("UTC", "-15min", false), "2026-11-22T13:39:00.123456Z");
    CHECK_TEXT(shown("UTC", "-1w", false), "2026-11-15T13:54:00.123456Z");
    CHECK_TEXT(shown("UTC", "12:01", false), "2026-11-22T12:01:00.000000Z");
    CHECK_TEXT(shown("UTC", "23:59:10", false), "2026-11-22T23:59:10.000000Z");
    CHECK_TEXT(shown("UTC", "12:01:02.25", false), "2026-11-22T12:01:02.250000Z");
    CHECK_TEXT(shown("UTC", "2024-02-29", false), "2024-02-29T00:00:00.000000Z");
    CHECK_TEXT(shown("UTC", "2026-11-22 13:54", false), "2026-11-22T13:54:00.000000Z");
    CHECK_TEXT(shown("UTC", "2026-11-22 13:54:07", false), "2026-11-22T13:54:07.000000Z");
    CHECK_TEXT(shown("UTC", "2026-11-22T13:54:07", false), "2026-11-22T13:54:07.000000Z");
}

TEST(what_names_its_zone_is_the_same_in_every_zone)
{
    static const char *const zones[] = {"UTC", BERLIN, NEW_YORK};
    for (size_t i = 0; i < 3; i++) {
        CHECK_TEXT(shown(zones[i], "2026-11-22T13:54:00.123456Z", false),
                   "2026-11-22T13:54:00.123456Z");
        CHECK_TEXT(shown(zones[i], "2026-11-22t13:54:00z", false), "2026-11-22T13:54:00.000000Z");
        CHECK_TEXT(shown(zones[i], "2026-11-22T13:54:00.5+01:00", false),
                   "2026-11-22T12:54:00.500000Z");
        CHECK_TEXT(shown(zones[i], "2026-12-31 23:30-05:30", false), "2027-01-01T05:00:00.000000Z");
        CHECK_TEXT(shown(zones[i], "2016-12-31T23:59:60Z", false), "2017-01-01T00:00:00.000000Z");
    }
}

TEST(other_times_are_local_ones)
{
    CHECK_TEXT(shown(BERLIN, "13:54", false), "2026-11-22T12:54:00.000000Z");
    CHECK_TEXT(shown(BERLIN, "today", false), "2026-11-21T23:00:00.000000Z");
    CHECK_TEXT(shown(NEW_YORK, "yesterday", false), "2026-11-21T05:00:00.000000Z");
    CHECK_TEXT(shown(BERLIN, "2026-07-01 12:00", false), "2026-07-01T10:00:00.000000Z");
    CHECK_TEXT(shown(BERLIN, "2026-01-01 12:00", false), "2026-01-01T11:00:00.000000Z");
    CHECK_TEXT(shown(BERLIN, "2016-12-31 23:59:60", false), "2016-12-31T23:00:00.000000Z");
}

TEST(a_time_that_was_there_twice_is_the_one_that_is_wanted)
{
    CHECK_TEXT(shown(BERLIN, "2026-10-25 02:30", false), "2026-10-25T00:30:00.000000Z");
    CHECK_TEXT(shown(BERLIN, "2026-10-25 02:30", true), "2026-10-25T01:30:00.000000Z");
    CHECK_TEXT(shown(BERLIN, "2026-10-25 03:30", false), "2026-10-25T02:30:00.000000Z");
    CHECK_TEXT(shown(BERLIN, "2026-10-25 01:30", true), "2026-10-24T23:30:00.000000Z");
    CHECK_TEXT(shown(NEW_YORK, "2026-11-01 01:30", false), "2026-11-01T05:30:00.000000Z");
    CHECK_TEXT(shown(NEW_YORK, "2026-11-01 01:30", true), "2026-11-01T06:30:00.000000Z");
}

TEST(a_time_that_the_clock_skipped_is_said_so)
{
    CHECK_TEXT(shown(BERLIN, "2026-03-29 02:30", false),
               "02:30 was not there on 2026-03-29: the clock was set forward");
    CHECK_TEXT(shown(BERLIN, "2026-03-29 03:00", false), "2026-03-29T01:00:00.000000Z");
    /* A day whose first moment is 01:00. */
    CHECK_TEXT(shown(CAIRO, "2026-04-24", false), "2026-04-23T22:00:00.000000Z");
}

static void check_refused(const char *text, const char *wanted)
{
    const char *told = shown("UTC", text, false);
    if (!strstr(told, wanted))
        CHECK_TEXT(told, wanted);
}

TEST(what_is_no_time_is_refused_with_what_to_write)
{
    check_refused("", "write -2h, 13:54");
    check_refused("noon", "write -2h, 13:54");
    check_refused("5", "write -2h");
    check_refused("1795355640", "write -2h");
    check_refused("24:00", "no hour 24");
    check_refused("13:60", "no minute 60");
    check_refused("13:54:61", "no second 61");
    check_refused("13:5", "a time of day is written");
    check_refused("13:545", "a time of day is written");
    check_refused("13:54:1", "two digits");
    check_refused("13:54:10.", "digits are missing");
    check_refused("13:54Z", "write the date with it");
    check_refused("13:54 x", "write the date with it");
    check_refused("2026-13-01", "no month 13");
    check_refused("2026-02-29", "2026-02 has 28 days");
    check_refused("2026-00-10", "no month 0");
    check_refused("2026-11-31", "has 30 days");
    check_refused("2026-1-2", "a day is written");
    check_refused("1969-12-31", "not between 1970");
    check_refused("2600-01-01", "not between 1970");
    check_refused("2026-11-22x", "write -2h");
    check_refused("2026-11-22 ", "a time of day is written");
    check_refused("2026-11-22 13:54 x", "\" x\" behind the time is too much");
    check_refused("2026-11-22T13:54:00+1", "a time zone is written");
    check_refused("2026-11-22T13:54:00+25:00", "no time zone");
    check_refused("2026-11-22T13:54:00Zx", "too much");
    check_refused("1970-01-01T00:00:00+01:00", "before 1970");
    check_refused("-", "how long ago");
    check_refused("-h", "how long ago");
    check_refused("-2", "the unit is missing");
    check_refused("-2y", "\"y\" is no unit");
    check_refused("-2h ", "how long ago");
    check_refused("-99999999999999999999d", "before 1970");
    check_refused("-18446744073709551616s", "before 1970");
    check_refused("-9999w", "before 1970");
}
