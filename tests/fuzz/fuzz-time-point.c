/* Any text as a point in time: it is one between 1970 and 2554, or is refused with words. */
#include "base/clock.h"
#include "demand.h"
#include "slc/time-point.h"

#include <stdlib.h>
#include <string.h>

#define NOW_NS (1795355640ull * NS_PER_SEC)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void try(const char *text, const char *zone)
{
    char why[TIME_POINT_WHY_BYTES], shown[CLOCK_RFC3339_BYTES];
    uint64_t first, second, again;

    setenv("TZ", zone, 1);
    tzset();
    int failed = time_point_parse(text, NOW_NS, false, &first, why);
    demand(failed || !why[0], "what is taken has no fault");
    demand(!failed || why[0], "what is refused is told why");
    demand(time_point_parse(text, NOW_NS, true, &second, why) == failed, "both ways alike");
    if (failed)
        return;
    demand(second - first <= 2 * 3600 * NS_PER_SEC, "the second is a little later, if at all");
    clock_format_rfc3339(shown, first);
    demand(time_point_parse(shown, NOW_NS, false, &again, why) == 0, "what is shown can be read");
    demand(again == first / 1000 * 1000, "and is the same");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    char *text = strndup((const char *)bytes, count);
    demand(text != NULL, "there is memory");
    try(text, "UTC");
    try(text, "CET-1CEST,M3.5.0,M10.5.0/3");
    try(text, "EST5EDT,M3.2.0,M11.1.0");
    free(text);
    return 0;
}
