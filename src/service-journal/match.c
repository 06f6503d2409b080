/* Lines against an expression. Only the first MATCH_LINE_BYTES of a line are looked at, so that the
 * time each costs is bounded; so is the memory, for the expression is compiled anew now and then: C
 * libraries keep what they have found out about it. */
#include "service-journal/match.h"
#include "base/expression.h"
#include "base/shortage.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define COMPILE_AGAIN_BYTES 16384
#define LEVEL_BYTES         3  /* "<N>" */
#define TRIES               10 /* for want of memory */

static int compile(struct match *match)
{
    char why[EXPRESSION_WHY_BYTES];
    return expression_compile(&match->regex, match->expression, why);
}

struct match *match_create(uint32_t id, const struct journal_state_match *from, int *ret_error)
{
    struct match *match = calloc(1, sizeof *match);
    char *expression = strdup(from->expression);
    int failed = -ENOMEM;

    if (match && expression) {
        list_init(&match->node);
        match->id = id;
        memcpy(match->run, from->run, sizeof match->run);
        match->pipe_inode = from->pipe_inode;
        match->matched = from->matched;
        match->expression = expression;
        failed = compile(match);
    }
    if (!failed)
        return match;
    *ret_error = failed;
    free(expression);
    free(match);
    return NULL;
}

void match_destroy(struct match *match)
{
    if (!match)
        return;
    list_remove(&match->node);
    regfree(&match->regex);
    free((char *)match->expression);
    free(match);
}

/* Without memory the old one goes on. */
static void compile_again(struct match *match)
{
    regex_t old = match->regex;
    match->regex_bytes = 0;
    if (compile(match) < 0)
        match->regex = old;
    else
        regfree(&old);
}

/* The text of a line, as the journal has it: without its level. */
static bool matches(struct match *match)
{
    char text[MATCH_LINE_BYTES + 1];
    const struct journal_state_line *line = &match->line;
    size_t skip = line->used >= LEVEL_BYTES && line->text[0] == '<' && line->text[1] >= '0' &&
                          line->text[1] <= '7' && line->text[2] == '>'
                      ? LEVEL_BYTES
                      : 0;
    size_t count = line->used - skip;

    memcpy(text, line->text + skip, count);
    text[count] = 0;
    for (size_t i = 0; i < count; i++)
        if (!text[i])
            text[i] = 1; /* any character, but no end */
    match->regex_bytes += count;
    if (match->regex_bytes > COMPILE_AGAIN_BYTES)
        compile_again(match);
    int found = REG_ESPACE;
    for (int i = 0; i < TRIES && found == REG_ESPACE; i++) { /* it comes only once */
        poll(NULL, 0, i ? SHORTAGE_RETRY_MS : 0);
        found = regexec(&match->regex, text, 0, NULL, line->cut ? REG_NOTEOL : 0);
    }
    return found == 0;
}

static void add(struct journal_state_line *line, const char *bytes, size_t count)
{
    size_t room = sizeof line->text - line->used, take = count < room ? count : room;
    memcpy(line->text + line->used, bytes, take);
    line->used += (uint32_t)take;
    line->cut = line->cut || count > take;
}

bool match_feed(struct match *match, const char *bytes, size_t count)
{
    struct journal_state_line *line = &match->line;
    match->changed = match->changed || count;
    while (count) {
        const char *end = memchr(bytes, '\n', count);
        size_t take = end ? (size_t)(end - bytes) : count;
        add(line, bytes, take);
        if (!end)
            return false;
        bool found = matches(match);
        line->used = line->cut = 0;
        if (found)
            return true;
        bytes += take + 1;
        count -= take + 1;
    }
    return false;
}

void match_end_line(struct match *match)
{
    match->changed = match->changed || match->line.used;
    match->line.used = match->line.cut = 0;
}
