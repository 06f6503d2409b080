/* A command line split into words as a shell splits it (POSIX, Shell Command Language, Quoting). */
#include "config/words.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Reads words one after the other; each is written to the arena as it is read. */
struct splitter {
    const char *text;
    size_t at;
    char *out; /* where the next byte of the word goes: never more bytes than were read */
    enum words_error error;
    size_t error_at;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static int fail(struct splitter *s, size_t at, enum words_error error)
{
    s->error_at = at;
    s->error = error;
    return -EINVAL;
}

static int read_single_quoted(struct splitter *s)
{
    size_t opened = s->at++;
    for (; s->text[s->at] != '\''; s->at++) {
        if (!s->text[s->at])
            return fail(s, opened, WORDS_OPEN_SINGLE_QUOTE);
        *s->out++ = s->text[s->at];
    }
    s->at++;
    return 0;
}

static int read_double_quoted(struct splitter *s)
{
    size_t opened = s->at++;
    for (; s->text[s->at] != '"'; s->at++) {
        char c = s->text[s->at], next;
        if (!c)
            return fail(s, opened, WORDS_OPEN_DOUBLE_QUOTE);
        if (c == '\\' && (next = s->text[s->at + 1]) && strchr("\\\"$`\n", next)) {
            s->at++;
            if (next == '\n')
                continue;
            c = next;
        }
        *s->out++ = c;
    }
    s->at++;
    return 0;
}

/* A backslash outside quotes: the next character as it is; before a line's end, nothing. */
static int read_escaped(struct splitter *s)
{
    char c = s->text[s->at + 1];
    if (!c)
        return fail(s, s->at, WORDS_LAST_BACKSLASH);
    if (c != '\n')
        *s->out++ = c;
    s->at += 2;
    return 0;
}

static int read_word(struct splitter *s)
{
    int failed = 0;
    while (!failed && s->text[s->at] && !is_blank(s->text[s->at])) {
        switch (s->text[s->at]) {
        case '\'':
            failed = read_single_quoted(s);
            break;
        case '"':
            failed = read_double_quoted(s);
            break;
        case '\\':
            failed = read_escaped(s);
            break;
        default:
            *s->out++ = s->text[s->at++];
        }
    }
    *s->out++ = 0;
    return failed;
}

/* Past blanks and line ends joined by a backslash. */
static void skip_blanks(struct splitter *s)
{
    for (;;) {
        if (is_blank(s->text[s->at]))
            s->at++;
        else if (s->text[s->at] == '\\' && s->text[s->at + 1] == '\n')
            s->at += 2;
        else
            return;
    }
}

static int collect(struct splitter *s, struct arena *arena, char *bytes, struct words *ret)
{
    size_t count = 0;
    for (skip_blanks(s); s->text[s->at]; skip_blanks(s), count++) {
        int failed = read_word(s);
        if (failed)
            return failed;
    }
    char **list = arena_take(arena, (count + 1) * sizeof *list);
    if (!list)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        list[i] = bytes;
        bytes += strlen(bytes) + 1;
    }
    list[count] = NULL;
    *ret = (struct words){list, count};
    return 0;
}

int words_split(const char *text, struct arena *arena, struct words *ret, size_t *ret_at,
                enum words_error *ret_error)
{
    /* Each word but the last is followed by a blank, in whose place its NUL goes. */
    char *bytes = arena_take_bytes(arena, strlen(text) + 1);
    if (!bytes)
        return -ENOMEM;
    struct splitter s = {.text = text, .out = bytes};
    int failed = collect(&s, arena, bytes, ret);
    if (failed == -EINVAL) {
        *ret_at = s.error_at;
        *ret_error = s.error;
    }
    return failed;
}
