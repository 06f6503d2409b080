/* Any text as a command line: it is split, and its words, each in quotes, are split into the same
 * again; or what is wrong lies in it and is what it is said to be. */
#include "base/buffer.h"
#include "config/words.h"
#include "demand.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void add(struct buffer *out, const char *text, size_t count)
{
    demand(buffer_append(out, text, count) == 0, "there is memory");
}

/* As a person would write it who trusts nothing: 'it'\''s' */
static void add_quoted(struct buffer *out, const char *word)
{
    add(out, "'", 1);
    for (; *word; word++) {
        if (*word == '\'')
            add(out, "'\\''", 4);
        else
            add(out, word, 1);
    }
    add(out, "' ", 2);
}

static void check_again(const struct words *words)
{
    struct buffer line = {0};
    struct arena arena = {0};
    struct words again;
    enum words_error error;
    size_t at;

    for (size_t i = 0; i < words->count; i++)
        add_quoted(&line, words->list[i]);
    add(&line, "", 1);
    demand(words_split(buffer_bytes(&line), &arena, &again, &at, &error) == 0, "it is split again");
    demand(again.count == words->count && !again.list[again.count], "as many words");
    for (size_t i = 0; i < words->count; i++)
        demand(strcmp(again.list[i], words->list[i]) == 0, "the same words");
    arena_finish(&arena);
    buffer_finish(&line);
}

static void check_error(const char *text, size_t at, enum words_error error)
{
    static const char marks[] = {
        [WORDS_OPEN_SINGLE_QUOTE] = '\'',
        [WORDS_OPEN_DOUBLE_QUOTE] = '"',
        [WORDS_LAST_BACKSLASH] = '\\',
    };
    demand(error < sizeof marks, "it is a known error");
    demand(at < strlen(text) && text[at] == marks[error], "its place is that of what is wrong");
    demand(error != WORDS_LAST_BACKSLASH || !text[at + 1], "the last backslash is the last");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    char *text = strndup((const char *)bytes, count);
    struct arena arena = {0};
    struct words words;
    enum words_error error;
    size_t at;

    demand(text != NULL, "there is memory");
    int failed = words_split(text, &arena, &words, &at, &error);
    demand(failed == 0 || failed == -EINVAL, "it is split or refused");
    if (failed)
        check_error(text, at, error);
    else
        check_again(&words);
    arena_finish(&arena);
    free(text);
    return 0;
}
