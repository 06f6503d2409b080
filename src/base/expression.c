/* Regular expressions from files. regcomp(3) decides what is one; what is refused before that is
 * what it would take and should not: back-references, which take time without bounds; repeats in
 * each other, which take memory without bounds; and what means something in one C library only. */
#include "base/expression.h"
#include "base/text.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

struct scan {
    const char *at;
    size_t sizes[EXPRESSION_DEPTH_MAX + 1]; /* of each open group, written out */
    size_t depth, atom;                     /* atom: the size of what a repeat would repeat */
    char *why;
};

#define refuse(scan, ...) text_refuse((scan)->why, EXPRESSION_WHY_BYTES, __VA_ARGS__)

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* At a backslash; goes on to the character behind it. */
static int escape(struct scan *scan)
{
    static const struct {
        char letter;
        const char *instead;
    } known[] = {{'d', "[0-9]"}, {'w', "[[:alnum:]_]"}, {'s', "[[:space:]]"}, {'t', "[[:blank:]]"}};
    char c = *++scan->at;
    if (!c)
        return refuse(scan, "it ends in a backslash: write '\\\\' for one");
    if (is_digit(c))
        return refuse(scan, "there are no back-references, as '\\%c' is one", c);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].letter == c)
            return refuse(scan, "'\\%c' is none of POSIX: write '%s'", c, known[i].instead);
    if (is_letter(c) || strchr("<>`'", c))
        return refuse(scan, "'\\%c' has no meaning in POSIX: write it without the backslash", c);
    return 0;
}

/* At a '['; goes on to its ']'. */
static int bracket(struct scan *scan)
{
    const char *at = scan->at + 1;
    at += *at == '^';
    at += *at == ']';
    while (*at && *at != ']') {
        const char kind = at[1];
        if (at[0] == '[' && kind && strchr(":.=", kind)) {
            const char end[] = {kind, ']', 0};
            const char *found = strstr(at + 2, end);
            at = found ? found + 1 : at + 1;
        }
        at++;
    }
    if (!*at)
        return refuse(scan, "a '[' has no ']': write '\\[' for a bracket");
    scan->at = at;
    return 0;
}

/* At a '{'; goes on to its '}'. */
static int repeat(struct scan *scan)
{
    const char *at = scan->at + 1;
    size_t number = 0;
    if (!is_digit(*at))
        return refuse(scan, "a '{' begins a repeat, as {2} or {1,3}: write '\\{' for a brace");
    for (; is_digit(*at) || *at == ','; at++)
        number = *at == ',' ? (is_digit(at[1]) ? 0 : number) : number * 10 + (size_t)(*at - '0');
    if (number > EXPRESSION_SIZE_MAX)
        number = EXPRESSION_SIZE_MAX + 1;
    if (*at != '}')
        return refuse(scan, "a repeat is written {2}, {2,} or {1,3}");
    if (number > 1) {
        scan->sizes[scan->depth] += scan->atom * (number - 1);
        scan->atom *= number;
    }
    scan->at = at;
    return 0;
}

static void add(struct scan *scan, size_t size)
{
    scan->atom = size;
    scan->sizes[scan->depth] += size;
}

static int scan_one(struct scan *scan)
{
    int failed = 0;
    switch (*scan->at) {
    case '\\':
        failed = escape(scan);
        add(scan, 1);
        return failed;
    case '[':
        failed = bracket(scan);
        add(scan, 1);
        return failed;
    case '{':
        return repeat(scan);
    case '(':
        if (scan->depth == EXPRESSION_DEPTH_MAX)
            return refuse(scan, "at most %d parentheses may be in each other",
                          EXPRESSION_DEPTH_MAX);
        scan->sizes[++scan->depth] = 1;
        return 0;
    case ')':
        if (scan->depth == 0)
            return refuse(scan, "a ')' has no '(': write '\\)' for a parenthesis");
        scan->depth--;
        add(scan, scan->sizes[scan->depth + 1]);
        return 0;
    case '\n':
    case '\r':
        return refuse(scan, "a line end is no part of a line: write '$' for where it ends");
    default:
        add(scan, 1);
        return 0;
    }
}

static int check(const char *expression, char *why)
{
    struct scan scan = {.at = expression, .why = why};
    if (!*expression)
        return refuse(&scan, "it is empty, and would match every line");
    if (strlen(expression) > EXPRESSION_BYTES_MAX)
        return refuse(&scan, "it has %zu bytes, and may have %d", strlen(expression),
                      EXPRESSION_BYTES_MAX);
    for (; *scan.at; scan.at++) {
        int failed = scan_one(&scan);
        if (failed)
            return failed;
        if (scan.sizes[scan.depth] > EXPRESSION_SIZE_MAX)
            return refuse(&scan, "with its repeats {…} written out it is longer than %d characters",
                          EXPRESSION_SIZE_MAX);
    }
    if (scan.depth)
        return refuse(&scan, "a '(' has no ')': write '\\(' for a parenthesis");
    return 0;
}

int expression_compile(regex_t *ret, const char *expression, char why[static EXPRESSION_WHY_BYTES])
{
    int failed = check(expression, why);
    if (failed)
        return failed;
    failed = regcomp(ret, expression, REG_EXTENDED | REG_NOSUB);
    if (!failed)
        return 0;
    if (failed == REG_ESPACE)
        return -ENOMEM;
    regerror(failed, ret, why, EXPRESSION_WHY_BYTES);
    return -EINVAL;
}
