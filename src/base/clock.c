/* Times for people and for JSON: RFC 3339 in UTC. Days become dates by arithmetic (the algorithm
 * is the usual one of counting years from March, so that leap days come last); gmtime_r would pull
 * the C library's time zone machinery into every program. */
#include "base/clock.h"

static char *put_digits(char *at, unsigned value, int digits)
{
    for (int i = digits - 1; i >= 0; i--) {
        at[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return at + digits;
}

void clock_format_rfc3339(char text[static CLOCK_RFC3339_BYTES], uint64_t realtime_ns)
{
    uint64_t seconds = realtime_ns / NS_PER_SEC;
    unsigned second_of_day = (unsigned)(seconds % 86400);
    uint64_t days = seconds / 86400 + 719468; /* since 0000-03-01 */
    uint64_t era = days / 146097;
    unsigned day_of_era = (unsigned)(days % 146097);
    unsigned year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned month_from_march = (5 * day_of_year + 2) / 153;
    unsigned day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    unsigned month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    unsigned year = (unsigned)(year_of_era + era * 400) + (month <= 2);

    char *at = put_digits(text, year, 4);
    *at++ = '-';
    at = put_digits(at, month, 2);
    *at++ = '-';
    at = put_digits(at, day, 2);
    *at++ = 'T';
    at = put_digits(at, second_of_day / 3600, 2);
    *at++ = ':';
    at = put_digits(at, second_of_day / 60 % 60, 2);
    *at++ = ':';
    at = put_digits(at, second_of_day % 60, 2);
    *at++ = '.';
    at = put_digits(at, (unsigned)(realtime_ns % NS_PER_SEC / 1000), 6);
    *at++ = 'Z';
    *at = 0;
}
