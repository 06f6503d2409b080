/* Regular expressions: what is taken, what is refused and with which words. */
#include "base/expression.h"
#include "test.h"

#include <errno.h>

static char why[EXPRESSION_WHY_BYTES];

static bool matches(const char *expression, const char *line)
{
    regex_t regex;
    CHECK_NUMBER(expression_compile(&regex, expression, why), 0);
    bool found = regexec(&regex, line, 0, NULL, 0) == 0;
    regfree(&regex);
    return found;
}

TEST(extended_expressions_are_taken_and_match)
{
    CHECK(matches("listening on port [0-9]+$", "now listening on port 80"));
    CHECK(!matches("^listening", "not listening"));
    CHECK(matches("^(ready|started)(\\.|!)$", "started!"));
    CHECK(matches("[]}{[)(\\1]", "a}b"));
    CHECK(matches("^a{2,}$", "aaa") && !matches("^a{2,}$", "a"));
    CHECK(matches("[[:digit:]]{2}:[[:digit:]]{2}", "at 12:30"));
    CHECK(matches("([0-9]{1,3}\\.){3}[0-9]{1,3}", "at 127.0.0.1"));
    CHECK(matches("a\\{b\\}\\\\", "a{b}\\"));
    CHECK(matches("caf\xc3\xa9", "un caf\xc3\xa9"));
}

TEST(what_is_refused_says_why)
{
    static const struct {
        const char *expression, *why;
    } rows[] = {
        {"", "it is empty, and would match every line"},
        {"(a)\\1", "there are no back-references, as '\\1' is one"},
        {"port \\d+", "'\\d' is none of POSIX: write '[0-9]'"},
        {"\\bready", "'\\b' has no meaning in POSIX: write it without the backslash"},
        {"a\\", "it ends in a backslash: write '\\\\' for one"},
        {"{\"a\": 1}", "a '{' begins a repeat, as {2} or {1,3}: write '\\{' for a brace"},
        {"a{2", "a repeat is written {2}, {2,} or {1,3}"},
        {"ready)", "a ')' has no '(': write '\\)' for a parenthesis"},
        {"(a", "a '(' has no ')': write '\\(' for a parenthesis"},
        {"[a", "a '[' has no ']': write '\\[' for a bracket"},
        {"[", "a '[' has no ']': write '\\[' for a bracket"},
        {"[[", "a '[' has no ']': write '\\[' for a bracket"},
        {"[[:alpha:]", "a '[' has no ']': write '\\[' for a bracket"},
        {"ready\n", "a line end is no part of a line: write '$' for where it ends"},
        {"((a{100}){100}){100}",
         "with its repeats {…} written out it is longer than 2000 characters"},
        {"(a{100}){100,}", "with its repeats {…} written out it is longer than 2000 characters"},
        {"a{99999999999999999999}",
         "with its repeats {…} written out it is longer than 2000 characters"},
    };
    regex_t regex;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECK_NUMBER(expression_compile(&regex, rows[i].expression, why), -EINVAL);
        CHECK_TEXT(why, rows[i].why);
    }
    CHECK_NUMBER(expression_compile(&regex, "[[:nothing:]]", why), -EINVAL);
    CHECK_NUMBER(expression_compile(&regex, "a{3,2}", why), -EINVAL);
}

TEST(length_and_depth_have_bounds)
{
    char expression[EXPRESSION_BYTES_MAX + 2];
    regex_t regex;
    memset(expression, 'a', sizeof expression);
    expression[EXPRESSION_BYTES_MAX] = 0;
    CHECK_NUMBER(expression_compile(&regex, expression, why), 0);
    regfree(&regex);
    expression[EXPRESSION_BYTES_MAX] = 'a';
    expression[EXPRESSION_BYTES_MAX + 1] = 0;
    CHECK_NUMBER(expression_compile(&regex, expression, why), -EINVAL);
    CHECK_TEXT(why, "it has 1001 bytes, and may have 1000");
    memset(expression, '(', 60);
    expression[60] = 0;
    CHECK_NUMBER(expression_compile(&regex, expression, why), -EINVAL);
    CHECK_TEXT(why, "at most 50 parentheses may be in each other");
}
