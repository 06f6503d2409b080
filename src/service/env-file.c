/* A file of environment variables. It is rewritten in place: what comes out of a line is never
 * longer than the line. */
#include "service/env-file.h"
#include "base/text.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define BLANKS       " \t\r"
#define NAME_LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"

static const char *const words[ENV_FILE_PROBLEMS] = {
    [ENV_FILE_NO_EQUALS] = "has no '=': write KEY=value, or '#' in front of a comment",
    [ENV_FILE_BAD_NAME] =
        "has no good name in front of '=': write KEY=value, with a KEY of letters, "
        "digits and '_' that does not begin with a digit",
    [ENV_FILE_EXPORT] = "begins with 'export', and no shell reads it: write KEY=value alone",
    [ENV_FILE_OPEN_QUOTE] = "opens a quote that is never closed: close it, or write \\ in front of "
                            "it for the character",
    [ENV_FILE_BEHIND_QUOTE] = "has more behind the closing quote: put the whole value into quotes",
    [ENV_FILE_NUL] = "holds a NUL byte: write text",
    [ENV_FILE_TOO_MANY] = "is one variable too many: a file holds at most 1000",
};
_Static_assert(ENV_FILE_MAX_ENTRIES == 1000, "the words say so");

const char *env_file_words(unsigned problem)
{
    return problem < ENV_FILE_PROBLEMS ? words[problem] : "cannot be read";
}

struct reader {
    const char *at;
    char *out; /* never beyond `at` */
    unsigned line;
};

/* Copies a text in quotes; `at` is behind the opening one, and then behind the closing one. */
static bool take_quoted(struct reader *r, char quote)
{
    for (; *r->at; r->at++) {
        if (*r->at == quote) {
            r->at++;
            return true;
        }
        if (*r->at == '\\' && quote == '"' && r->at[1] && strchr("\"\\`$\n", r->at[1])) {
            r->at++;
            if (*r->at == '\n') {
                r->line++;
                continue;
            }
        }
        r->line += *r->at == '\n';
        *r->out++ = *r->at;
    }
    return false;
}

/* Copies up to the end of the line, which is left in place, without the blanks at its end. */
static void take_plain(struct reader *r)
{
    char *end = r->out; /* behind the last that is no blank */
    for (; *r->at && *r->at != '\n'; r->at++) {
        bool escaped = *r->at == '\\' && r->at[1];
        if (escaped)
            r->at++;
        if (escaped && *r->at == '\n') {
            r->line++;
            continue;
        }
        *r->out++ = *r->at;
        if (escaped || !strchr(BLANKS, *r->at))
            end = r->out;
    }
    r->out = end;
}

/* Takes the name and the '='. Returns -1, or what is wrong. */
static int take_name(struct reader *r)
{
    const char *name = r->at, *rest;
    size_t length = strspn(name, NAME_LETTERS "0123456789");
    const char *behind = name + length + strspn(name + length, BLANKS);
    if (!length || strspn(name, NAME_LETTERS) == 0 || *behind != '=') {
        if (text_starts_with(name, "export ", &rest))
            return ENV_FILE_EXPORT;
        return name[strcspn(name, "=\n")] == '=' ? ENV_FILE_BAD_NAME : ENV_FILE_NO_EQUALS;
    }
    memmove(r->out, name, length);
    r->out += length;
    *r->out++ = '=';
    r->at = behind + 1;
    r->at += strspn(r->at, BLANKS);
    return -1;
}

/* One line, and those that its value goes over. Returns -1, or what is wrong. */
static int take_entry(struct reader *r)
{
    int problem = take_name(r);
    if (problem >= 0)
        return problem;
    if (*r->at != '"' && *r->at != '\'') {
        take_plain(r);
        return -1;
    }
    char quote = *r->at++;
    if (!take_quoted(r, quote))
        return ENV_FILE_OPEN_QUOTE;
    r->at += strspn(r->at, BLANKS);
    return *r->at && *r->at != '\n' ? ENV_FILE_BEHIND_QUOTE : -1;
}

/* Leaves the last of several entries of one name. */
static size_t add_entry(char **entries, size_t count, char *entry)
{
    size_t length = strcspn(entry, "=") + 1;
    for (size_t i = 0; i < count; i++) {
        if (strncmp(entries[i], entry, length) != 0)
            continue;
        memmove(&entries[i], &entries[i + 1], (count - i - 1) * sizeof *entries);
        count--;
        break;
    }
    entries[count++] = entry;
    return count;
}

static int fail(struct env_file_error *ret, unsigned line, int problem)
{
    *ret = (struct env_file_error){(enum env_file_problem)problem, line};
    return -EINVAL;
}

static unsigned line_of(const char *text, const char *at)
{
    unsigned line = 1;
    for (; text < at; text++)
        line += *text == '\n';
    return line;
}

int env_file_parse(char *text, size_t bytes, char **entries, struct env_file_error *ret_error)
{
    struct reader r = {.at = text, .out = text, .line = 1};
    size_t count = 0;
    const char *nul = memchr(text, 0, bytes);

    if (nul)
        return fail(ret_error, line_of(text, nul), ENV_FILE_NUL);
    text_starts_with(r.at, "\xef\xbb\xbf", &r.at); /* a mark that some editors put there */
    while (*r.at) {
        r.at += strspn(r.at, BLANKS);
        if (*r.at == '#' || *r.at == ';')
            r.at += strcspn(r.at, "\n");
        if (*r.at && *r.at != '\n') {
            char *entry = r.out;
            unsigned line = r.line;
            int problem = take_entry(&r);
            if (problem >= 0)
                return fail(ret_error, line, problem);
            bool last = !*r.at;
            /* The end of the line, which was read, makes room for the NUL. */
            if (!last)
                r.at++;
            *r.out++ = 0;
            r.line += !last;
            count = add_entry(entries, count, entry);
            if (count > ENV_FILE_MAX_ENTRIES)
                return fail(ret_error, line, ENV_FILE_TOO_MANY);
            continue;
        }
        r.line += *r.at == '\n';
        r.at += *r.at == '\n';
    }
    entries[count] = NULL;
    return 0;
}
