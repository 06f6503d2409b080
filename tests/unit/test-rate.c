/* How many lines of a service are taken in a time. */
#include "base/clock.h"
#include "service-journal/rate.h"
#include "test.h"

static const struct quota three = {.rate_lines = 3, .rate_interval_ms = 1000};

/* What of the bytes is written, given in blocks of `block` bytes. */
static const char *taken(struct rate *rate, bool *dropping, bool *in_line, const char *bytes,
                         size_t block)
{
    static char found[500];
    size_t used = 0, left = strlen(bytes);
    while (left) {
        size_t count = block < left ? block : left;
        left -= count;
        while (count) {
            bool drop;
            size_t run = rate_run(rate, &three, *in_line, dropping, bytes, count, &drop);
            CHECK(run > 0 && run <= count);
            if (!drop) {
                memcpy(found + used, bytes, run);
                used += run;
                *in_line = bytes[run - 1] != '\n';
            }
            bytes += run;
            count -= run;
        }
    }
    found[used] = 0;
    return found;
}

TEST(lines_above_the_rate_are_dropped_and_counted_however_they_come)
{
    for (size_t block = 1; block < 20; block++) {
        struct rate rate = {0};
        bool dropping = false, in_line = false;
        CHECK_NUMBER(rate_begin(&rate, &three, NS_PER_SEC), 0);
        CHECK_TEXT(taken(&rate, &dropping, &in_line, "one\n\nthree\nfour\n\nsix\n", block),
                   "one\n\nthree\n");
        CHECK_NUMBER(rate.dropped, 3);
        CHECK(!dropping && !in_line);
    }
}

TEST(a_line_is_taken_or_dropped_whole)
{
    struct rate rate = {0};
    bool dropping = false, in_line = false;
    rate_begin(&rate, &three, NS_PER_SEC);
    CHECK_TEXT(taken(&rate, &dropping, &in_line, "1\n2\nthr", 100), "1\n2\nthr");
    CHECK_TEXT(taken(&rate, &dropping, &in_line, "ee\nfo", 100), "ee\n");
    CHECK(dropping);
    CHECK_NUMBER(rate.dropped, 1);
    /* The interval ends in the middle of a line that is dropped: the rest of it is, too. */
    CHECK_NUMBER(rate_begin(&rate, &three, 2 * NS_PER_SEC), 1);
    CHECK_TEXT(taken(&rate, &dropping, &in_line, "ur\nfive\n", 100), "five\n");
    CHECK_NUMBER(rate.dropped, 0);
    CHECK_NUMBER(rate.lines, 1);
}

TEST(an_interval_begins_with_a_line_and_tells_once_what_was_dropped)
{
    struct rate rate = {.dropped = 5}; /* of the journal before this one */
    CHECK_NUMBER(rate_begin(&rate, &three, 7 * NS_PER_SEC), 5);
    CHECK_NUMBER(rate_begin(&rate, &three, 7 * NS_PER_SEC), 0);
    rate.dropped = 2;
    CHECK_NUMBER(rate_begin(&rate, &three, 8 * NS_PER_SEC - 1), 0);
    CHECK_NUMBER(rate_begin(&rate, &three, 8 * NS_PER_SEC), 2);
    CHECK_NUMBER(rate.dropped, 0);
}

TEST(without_a_rate_everything_is_taken)
{
    struct rate rate = {0};
    struct quota none = QUOTA_DEFAULT;
    bool dropping = true, drop; /* it had one until now */
    CHECK_NUMBER(rate_run(&rate, &none, false, &dropping, "st\na\nb\n", 7, &drop), 3);
    CHECK(drop && !dropping);
    CHECK_NUMBER(rate_run(&rate, &none, false, &dropping, "a\nb\n", 4, &drop), 4);
    CHECK(!drop);
}
