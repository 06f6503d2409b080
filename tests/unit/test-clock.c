/* Times for people. */
#include "base/clock.h"
#include "test.h"

static const char *shown(uint64_t seconds, uint64_t micros)
{
    static char text[CLOCK_RFC3339_BYTES];
    clock_format_rfc3339(text, seconds * NS_PER_SEC + micros * 1000);
    return text;
}

static const char *local(const char *zone, uint64_t seconds)
{
    static char text[CLOCK_LOCAL_BYTES];
    setenv("TZ", zone, 1);
    tzset();
    CHECK_NUMBER(clock_format_local(text, seconds * NS_PER_SEC + 123456789), strlen(text));
    return text;
}

TEST(local_times_have_their_offset_or_z)
{
    CHECK_TEXT(local("UTC", 1795355640), "2026-11-22T13:54:00.123456Z");
    CHECK_TEXT(local("<CET>-1", 1795355640), "2026-11-22T14:54:00.123456+01:00");
    CHECK_TEXT(local("<NST>3:30", 1795355640), "2026-11-22T10:24:00.123456-03:30");
    CHECK_TEXT(local("<ODD>-0:00:20", 1795355640), "2026-11-22T13:54:00.123456Z");
    CHECK_TEXT(local("<WEST>11", 60), "1970-01-01T00:01:00.123456Z");
    /* Summer time, which ends between these two. */
    CHECK_TEXT(local("CET-1CEST,M3.5.0,M10.5.0/3", 1792889999), "2026-10-25T02:59:59.123456+02:00");
    CHECK_TEXT(local("CET-1CEST,M3.5.0,M10.5.0/3", 1792890000), "2026-10-25T02:00:00.123456+01:00");
}

TEST(known_moments_are_shown_as_rfc_3339)
{
    CHECK_TEXT(shown(0, 0), "1970-01-01T00:00:00.000000Z");
    CHECK_TEXT(shown(951782400, 1), "2000-02-29T00:00:00.000001Z");
    CHECK_TEXT(shown(1795355640, 123456), "2026-11-22T13:54:00.123456Z");
    CHECK_TEXT(shown(4107542399, 999999), "2100-02-28T23:59:59.999999Z");
    CHECK_TEXT(shown(4107542400, 0), "2100-03-01T00:00:00.000000Z");
}

TEST(every_day_of_four_centuries_agrees_with_the_c_library)
{
    for (uint64_t day = 0; day < 146097; day++) {
        time_t seconds = (time_t)(day * 86400 + day % 86400);
        struct tm tm;
        char expected[40];
        gmtime_r(&seconds, &tm);
        strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S.000000Z", &tm);
        CHECK_TEXT(shown((uint64_t)seconds, 0), expected);
    }
}
