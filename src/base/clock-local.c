/* Local time, for people. A file of its own: the C library's time zone machinery goes only into
 * programs that ask for it. */
#include "base/clock.h"

#include <string.h>

#define SECONDS_PER_MINUTE 60

size_t clock_format_local(char text[static CLOCK_LOCAL_BYTES], uint64_t realtime_ns)
{
    const time_t seconds = (time_t)(realtime_ns / NS_PER_SEC);
    struct tm local = {0};

    localtime_r(&seconds, &local); /* it fails where a year is no int; these end in 2554 */
    long offset = local.tm_gmtoff;
    /* Before 1972 there were offsets with seconds, which RFC 3339 cannot say. */
    if (offset % SECONDS_PER_MINUTE || (offset < 0 && (uint64_t)-offset > realtime_ns / NS_PER_SEC))
        offset = 0;
    clock_format_rfc3339(text, realtime_ns + (uint64_t)offset * NS_PER_SEC);
    if (offset == 0)
        return CLOCK_RFC3339_BYTES - 1;
    const unsigned minutes = (unsigned)((offset < 0 ? -offset : offset) / SECONDS_PER_MINUTE);
    char *at = text + CLOCK_RFC3339_BYTES - 2;
    *at++ = offset < 0 ? '-' : '+';
    *at++ = (char)('0' + minutes / 600 % 10);
    *at++ = (char)('0' + minutes / 60 % 10);
    *at++ = ':';
    *at++ = (char)('0' + minutes % 60 / 10);
    *at++ = (char)('0' + minutes % 10);
    *at = 0;
    return CLOCK_LOCAL_BYTES - 1;
}
