/* Expressions for reading journals: what they match, held against regexec(3), and what is refused.
 */
#include "journal/matcher.h"
#include "test.h"

#include <regex.h>
#include <stdint.h>

static bool matches(const char *expression, const char *text)
{
    struct matcher *matcher;
    struct matcher_error error;
    if (matcher_create(&matcher, expression, &error) != 0) {
        printf("%s: column %zu: %s\n", expression, error.column, error.why);
        CHECK(!"the expression is one");
        return false;
    }
    bool found = matcher_matches(matcher, text, strlen(text));
    CHECK(found == matcher_matches(matcher, text, strlen(text)));
    matcher_destroy(matcher);
    return found;
}

TEST(expressions_match_as_posix_says)
{
    CHECK(matches("a", "xay") && !matches("a", "xy") && !matches("a", ""));
    CHECK(matches("^a", "ab") && !matches("^a", "ba") && matches("a$", "ba") &&
          !matches("a$", "ab"));
    CHECK(matches("^$", "") && !matches("^$", "a") && matches("$", "a") && matches("^", "a"));
    CHECK(matches("x|^b|c$", "bz") && !matches("x|^b|c$", "abcz") && matches("x|^b|c$", "abc"));
    CHECK(matches("a.c", "abc") && !matches("a.c", "ac"));
    CHECK(matches("a{2,3}b", "xaab") && !matches("^a{2,3}b", "aaaab") &&
          matches("^a{2,}b", "aaaab"));
    CHECK(matches("(ab)+c", "ababc") && !matches("^(ab)+c", "abac") && matches("a(|b)c", "ac"));
    CHECK(matches("[]a]", "]") && matches("[^]a]", "b") && !matches("[^]a]", "]a"));
    CHECK(matches("[a-]", "-") && matches("[--/]", ".") && matches("[---]", "-") &&
          matches("[+-[]", "A") && !matches("[+-[x]", "]") && matches("[a-c-]", "-") &&
          matches("[[:digit:]x]{2}", "a1x") && matches("[]-]", "-"));
    CHECK(matches("\\.\\[\\\\", "a.[\\") && matches("status=50[0-9]", "GET status=503 x"));
    CHECK(matches("^a\xff$", "a\xff") && matches("^[\xff]$", "\xff") && matches("[[a]", "["));
    CHECK(matches("gr[\xc3\xbc\xc3\xb6\xc3\xa4]n", "gr\xc3\xa4n"));
    CHECK(matches("a**", "") && matches("(a*)*b", "aab") && matches("()", "x"));
}

TEST(a_character_of_utf_8_is_one_character)
{
    CHECK(matches("^gr.n$", "gr\xc3\xbcn") && matches("\xc3\xbc+x", "\xc3\xbc\xc3\xbcx"));
    CHECK(matches("^gr[\xc3\xbcu]n$", "grun") && matches("^gr[\xc3\xbcu]n$", "gr\xc3\xbcn"));
    CHECK(!matches("^gr[\xc3\xb6u]n$", "gr\xc3\xbcn") && matches("^gr[^a]n$", "gr\xc3\xbcn"));
    CHECK(matches("^a.b$", "a\xff"
                           "b"));
}

TEST(every_byte_counts_and_so_does_nul)
{
    struct matcher *matcher;
    struct matcher_error error;
    CHECK_NUMBER(matcher_create(&matcher, "a.b$", &error), 0);
    CHECK(matcher_matches(matcher, "x\0a\0b", 5) && !matcher_matches(matcher, "a\0b\0", 4));
    matcher_destroy(matcher);
}

static void check_refused(const char *expression, size_t column, const char *why)
{
    struct matcher *matcher;
    struct matcher_error error = {0};
    CHECK_NUMBER(matcher_create(&matcher, expression, &error), -22);
    CHECK_NUMBER(error.column, column);
    if (!strstr(error.why, why))
        CHECK_TEXT(error.why, why);
}

TEST(what_is_no_expression_is_refused_with_the_place)
{
    char large[100], deep[200] = "", wide[1100];
    check_refused("", 1, "empty");
    check_refused("a(b", 2, "has no ')'");
    check_refused("ab)", 3, "has no '('");
    check_refused("\xc3\xbc[a-", 2, "has no ']'");
    check_refused("[z-a]", 2, "write a-z");
    check_refused("x[[:digits:]]", 3, "no such class");
    check_refused("[a-c-e]", 5, "first or the last");
    check_refused("[[:digit:]-z]", 11, "first or the last");
    check_refused("[[.a.]]", 2, "not known");
    check_refused("[[=a=]]", 2, "not known");
    check_refused("[[", 1, "has no ']'");
    check_refused("[[:digit", 2, "no such class");
    check_refused("[\xc3\xbc-z]", 2, "ASCII characters at both ends");
    check_refused("[a-\xc3\xbc]", 2, "ASCII characters at both ends");
    check_refused("[+-[:digit:]]", 4, "a range ends with a character");
    check_refused("[+-[.a.]]", 4, "a range ends with a character");
    check_refused("[+-[", 1, "has no ']'");
    check_refused("a|?", 3, "nothing to repeat");
    check_refused("$+", 2, "nothing to repeat");
    check_refused("a{1,300}", 2, "255");
    check_refused("a{99999999999}", 2, "255");
    check_refused("a\\<", 2, "no meaning");
    check_refused("a\rb", 2, "line end");
    check_refused("*a", 1, "nothing to repeat");
    check_refused("a|+", 3, "nothing to repeat");
    check_refused("^*", 2, "nothing to repeat");
    check_refused("a{", 2, "begins a repeat");
    check_refused("a{3", 2, "{1,3}");
    check_refused("(a{3", 3, "{1,3}");
    check_refused("a{3,1}", 2, "wrong way round");
    check_refused("a{300}", 2, "255");
    check_refused("{1}", 1, "nothing to repeat");
    check_refused("ab\\", 3, "backslash");
    check_refused("(a)\\1", 4, "back-reference");
    check_refused("\\d+", 1, "[0-9]");
    check_refused("\\bx", 1, "no meaning");
    check_refused("a\nb", 2, "line end");
    check_refused("[^\xc3\xbc]", 1, "ASCII");
    snprintf(large, sizeof large, "((((.{200}){200}){200}){200})");
    check_refused(large, 1, "too large");
    memset(deep, '(', 60);
    check_refused(deep, 51, "at most 50");
    memset(wide, 'a', sizeof wide - 1);
    wide[sizeof wide - 1] = 0;
    check_refused(wide, 1001, "may have 1000");
}

static void check_literal(const char *expression, const char *wanted, bool wanted_whole)
{
    struct matcher *matcher;
    struct matcher_error error;
    size_t bytes;
    bool whole;
    CHECK_NUMBER(matcher_create(&matcher, expression, &error), 0);
    const char *literal = matcher_literal(matcher, &bytes, &whole);
    CHECK_TEXT(literal ? literal : "", wanted);
    CHECK_NUMBER(bytes, strlen(wanted));
    CHECK_NUMBER(whole, wanted_whole);
    matcher_destroy(matcher);
}

TEST(the_longest_text_that_every_match_has_is_known)
{
    check_literal("abc", "abc", true);
    check_literal("a\\.c", "a.c", true);
    check_literal("(ab)c", "abc", true);
    check_literal("[a]b", "ab", true);
    check_literal("ab[0-9]+cde", "cde", false);
    check_literal("^abc", "abc", false);
    check_literal("abc?", "ab", false);
    check_literal("ab+cde", "cde", false);
    check_literal("(abc)+d", "abc", false);
    check_literal("a|b", "", false);
    check_literal("x(a|b)yz", "yz", false);
    check_literal("[0-9]", "", false);
}

/* ---- against the C library ------------------------------------------------------------------ */

static uint64_t seed;

static unsigned random_below(unsigned most)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % most;
}

#define DEPTH 2

static size_t put_random(char *out, size_t room, unsigned depth)
{
    static const char *const atoms[] = {"a",    "b",           "c", ".", "[ab]",
                                        "[^a]", "[[:alpha:]]", "^", "$"};
    static const char *const repeats[] = {"", "", "", "*", "+", "?", "{2}", "{1,2}", "{2,}"};
    size_t used = 0;
    unsigned pieces = 1 + random_below(3);

    for (unsigned i = 0; i < pieces && room - used > 40; i++) {
        /* glibc errs with anchors in what is repeated: there are none in parentheses here. */
        unsigned atom = random_below(11);
        atom = depth < DEPTH && (atom == 7 || atom == 8) ? 0 : atom;
        bool anchor = atom == 7 || atom == 8;
        if (atom < 9) {
            used += (size_t)snprintf(out + used, room - used, "%s", atoms[atom]);
        } else if (depth) {
            used += (size_t)snprintf(out + used, room - used, "(");
            used += put_random(out + used, room - used - 20, depth - 1);
            used += (size_t)snprintf(out + used, room - used, "|");
            used += put_random(out + used, room - used - 10, depth - 1);
            used += (size_t)snprintf(out + used, room - used, ")");
        } else {
            used += (size_t)snprintf(out + used, room - used, "a");
        }
        if (!anchor)
            used += (size_t)snprintf(out + used, room - used, "%s", repeats[random_below(9)]);
    }
    return used;
}

TEST(random_expressions_match_what_regexec_says)
{
    char expression[400], text[20];
    unsigned matched = 0;
    const char *given = getenv("CONIT_SEED");
    seed = given ? strtoull(given, NULL, 10) : 20261122;
    for (unsigned round = 0; round < 3000; round++) {
        struct matcher *matcher;
        struct matcher_error error;
        regex_t regex;
        uint64_t begun = seed;
        put_random(expression, sizeof expression - 50, DEPTH);
        if (matcher_create(&matcher, expression, &error) != 0) {
            fprintf(stderr, "seed %llu: %s: %s\n", (unsigned long long)begun, expression,
                    error.why);
            CHECK(!"it is an expression");
            continue;
        }
        CHECK_NUMBER(regcomp(&regex, expression, REG_EXTENDED | REG_NOSUB), 0);
        for (unsigned i = 0; i < 40; i++) {
            unsigned bytes = random_below(9);
            for (unsigned at = 0; at < bytes; at++)
                text[at] = "abcd"[random_below(4)];
            text[bytes] = 0;
            bool wanted = regexec(&regex, text, 0, NULL, 0) == 0;
            matched += wanted;
            if (matcher_matches(matcher, text, bytes) != wanted) {
                fprintf(stderr, "CONIT_SEED=%llu: '%s' on '%s'\n", (unsigned long long)begun,
                        expression, text);
                CHECK(!"both agree");
            }
        }
        regfree(&regex);
        matcher_destroy(matcher);
    }
    CHECK(matched > 10000);
}

/* So many states that they are forgotten and made again. */
TEST(an_expression_with_very_many_states_matches_all_the_same)
{
    struct matcher *matcher;
    struct matcher_error error;
    char text[200];
    seed = 7;
    CHECK_NUMBER(matcher_create(&matcher, "^[ab]*a[ab]{12}$", &error), 0);
    for (unsigned round = 0; round < 300; round++) {
        size_t bytes = 13 + random_below(180);
        for (size_t at = 0; at < bytes; at++)
            text[at] = random_below(2) ? 'a' : 'b';
        CHECK(matcher_matches(matcher, text, bytes) == (text[bytes - 13] == 'a'));
    }
    matcher_destroy(matcher);
}
