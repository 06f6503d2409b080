/* An expression and a line. Where it is taken, the C library takes it too, and both say the same of
 * the line; what is in everything that matches is in the line; and one that a service file may have
 * may be asked for, too. What is refused is told why, with a place in it. */
#include "base/expression.h"
#include "demand.h"
#include "journal/matcher.h"

#include <errno.h>
#include <locale.h>
#include <regex.h>
#include <stdint.h>
#include <string.h>

#define COMPARED_BYTES 60 /* of either: regexec(3) takes its time */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static bool is_ascii(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || (unsigned char)*text > 0x7e)
            return false;
    return true;
}

/* glibc errs with anchors in what is repeated, and takes for ever and all memory for repeats of
 * repeats; what remains is most of it. */
static bool is_compared(const char *expression)
{
    const char *at = expression;
    bool anchored = false, grouped = false;
    unsigned counted = 0;

    for (; *at; at++) {
        anchored |= (*at == '^' && at != expression && at[-1] != '[') || (*at == '$' && at[1]);
        grouped |= *at == '(';
        counted += *at == '{';
    }
    return is_ascii(expression) && strlen(expression) < COMPARED_BYTES && !(anchored && grouped) &&
           counted <= 1;
}

static void check_same(struct matcher *matcher, const char *expression, const char *line)
{
    regex_t regex;
    bool found = matcher_matches(matcher, line, strlen(line));

    demand(found == matcher_matches(matcher, line, strlen(line)), "asked again it says the same");
    if (!is_compared(expression) || !is_ascii(line) || strlen(line) > COMPARED_BYTES)
        return;
    demand(regcomp(&regex, expression, REG_EXTENDED | REG_NOSUB) == 0, "the C library takes it");
    bool wanted = regexec(&regex, line, 0, NULL, 0) == 0;
    if (wanted != found)
        fprintf(stderr, "'%s' on '%s': %d, regexec: %d\n", expression, line, found, wanted);
    demand(wanted == found, "the C library says the same");
    regfree(&regex);
}

static void check_literal(struct matcher *matcher, const char *line)
{
    size_t length = 0;
    bool whole = false;
    const char *literal = matcher_literal(matcher, &length, &whole);

    if (!literal)
        return;
    bool has = memmem(line, strlen(line), literal, length) != NULL;
    demand(has || !matcher_matches(matcher, line, strlen(line)), "every match has the text");
    if (whole)
        demand(has == matcher_matches(matcher, line, strlen(line)), "and it is all there is to it");
}

/* But for repeats of repeats of repeats, which take more room here. */
static void check_service_files(const char *expression, bool taken)
{
    regex_t regex;
    char why[EXPRESSION_WHY_BYTES] = "";
    int failed = expression_compile(&regex, expression, why);

    demand(failed == 0 || failed == -EINVAL, "it is an expression or not");
    demand(!failed || *why, "what is refused is told why");
    if (failed)
        return;
    if (!taken && is_ascii(expression))
        fprintf(stderr, "'%s' is for files only\n", expression);
    demand(taken || !is_ascii(expression), "what a file may have may be asked for");
    regfree(&regex);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct matcher *matcher = NULL;
    struct matcher_error error = {0};
    char *expression = strndup((const char *)bytes, count);

    demand(expression != NULL, "there is memory");
    char *line = strchr(expression, '\n');
    if (line)
        *line++ = 0;
    int failed = matcher_create(&matcher, expression, &error);
    demand(failed == 0 || failed == -EINVAL, "it is an expression or not");
    if (failed) {
        demand(error.why[0] && error.column >= 1 && error.column <= strlen(expression) + 1,
               "what is refused is told why, and where");
    } else {
        check_same(matcher, expression, line ? line : "");
        check_literal(matcher, line ? line : "");
    }
    if (is_compared(expression))
        check_service_files(expression, !failed || strstr(error.why, "too large"));
    matcher_destroy(matcher);
    free(expression);
    return 0;
}
