/* What is looked for in a service's output, however it is cut into blocks. */
#include "service-journal/match.h"
#include "test.h"

static struct match *match_of(const char *expression)
{
    struct journal_state_match from = {.run = {1, 2}, .pipe_inode = 3};
    int error = 0;
    memcpy(from.expression, expression, strlen(expression) + 1);
    struct match *match = match_create(7, &from, &error);
    CHECK(match);
    return match;
}

static bool feed(struct match *match, const char *text)
{
    return match_feed(match, text, strlen(text));
}

TEST(whole_lines_match_and_unfinished_ones_do_not)
{
    struct match *match = match_of("^ready$");
    CHECK(!feed(match, "not ready\nready"));
    CHECK(match->changed);
    CHECK(feed(match, "\n"));
    CHECK(!feed(match, "ready"));
    match_end_line(match);
    CHECK(!feed(match, "\n"));
    match_destroy(match);
}

TEST(a_line_is_the_same_however_it_is_cut)
{
    struct match *match = match_of("^one two$");
    const char *text = "zero\none two\n";
    size_t length = strlen(text);
    for (size_t first = 0; first < length; first++) {
        CHECK(!match_feed(match, text, first));
        CHECK(match_feed(match, text + first, length - first));
    }
    for (size_t i = 0; i < length; i++)
        CHECK_NUMBER(match_feed(match, text + i, 1), i + 1 == length);
    match_destroy(match);
}

TEST(the_level_is_no_part_of_a_line_and_a_nul_is_no_end)
{
    struct match *match = match_of("^ready.now$");
    CHECK(feed(match, "<6>ready now\n"));
    CHECK(!feed(match, "<9>ready now\n"));
    CHECK(!feed(match, "<6\n<\n\n"));
    CHECK(match_feed(match, "ready\0now\n", 10));
    match_destroy(match);
}

TEST(only_the_beginning_of_a_long_line_is_looked_at_and_its_end_is_not_there)
{
    static char line[MATCH_LINE_BYTES + 1];
    struct match *match = match_of("a$");
    memset(line, 'a', sizeof line);
    CHECK(!match_feed(match, line, sizeof line));
    CHECK(!feed(match, "\n"));
    CHECK(!match_feed(match, line, MATCH_LINE_BYTES));
    CHECK(feed(match, "\n"));
    match_destroy(match);
    match = match_of("b");
    CHECK(!match_feed(match, line, sizeof line));
    CHECK(!feed(match, "b\n"));
    CHECK(feed(match, "b\n"));
    for (int i = 0; i < 100; i++) { /* and compiles it anew meanwhile */
        CHECK(!match_feed(match, line, sizeof line));
        CHECK(!feed(match, "\n"));
    }
    CHECK(feed(match, "b\n"));
    match_destroy(match);
}
