/* Lines against an expression while there is no memory: each allocation fails in turn. */
#include "faults.h"
#include "service-journal/match.h"
#include "test.h"

#include <errno.h>

static const struct journal_state_match from = {.run = {1, 2}, .expression = "^is (.*) ready$"};

static void create(void)
{
    int failed = 0;
    faults_begin();
    struct match *match = match_create(3, &from, &failed);
    faults_end();
    CHECK(match ? !failed : fault_happened() && failed == -ENOMEM);
    if (match)
        CHECK(match_feed(match, "is it ready\n", 12));
    match_destroy(match);
}

TEST(without_memory_there_is_no_match_and_nothing_is_left_of_it)
{
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, create) >= 3);
}

/* Now and then it is compiled anew: without memory for that the old one goes on. */
static void compile_again(void)
{
    static char lines[32768];
    int failed = 0;
    memset(lines, '\n', sizeof lines);
    for (size_t at = 0; at + 100 < sizeof lines; at += 100)
        memset(lines + at, 'x', 99);
    struct match *match = match_create(3, &from, &failed);
    CHECK(match);
    faults_begin();
    CHECK(!match_feed(match, lines, sizeof lines));
    faults_end();
    CHECK(match_feed(match, "is it ready\n", 12));
    match_destroy(match);
}

TEST(without_memory_to_compile_it_anew_the_old_one_goes_on)
{
    CHECK(fault_each_of("regcomp", FAULT_MEMORY, ENOMEM, compile_again) >= 1);
}
