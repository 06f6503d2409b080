/* Any bytes as a file of environment variables. Each entry has a good name of its own, and written
 * with every character escaped they are read as the same; or there is an error with its line. */
#include "base/buffer.h"
#include "demand.h"
#include "service/env-file.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void add(struct buffer *out, const char *text, size_t count)
{
    demand(buffer_append(out, text, count) == 0, "there is memory");
}

static void check_entries(char **entries, const char *text, size_t count)
{
    for (size_t i = 0; entries[i]; i++) {
        demand(i < ENV_FILE_MAX_ENTRIES, "no more than there may be");
        demand(entries[i] >= text && entries[i] + strlen(entries[i]) <= text + count,
               "an entry lies in the text");
        size_t length = strspn(entries[i], LETTERS "0123456789");
        demand(length && strspn(entries[i], LETTERS) && entries[i][length] == '=',
               "an entry has a good name");
        for (size_t j = 0; j < i; j++)
            demand(strncmp(entries[i], entries[j], length + 1) != 0, "each name is there once");
    }
}

/* KEY="value", or every character behind a backslash: both say the same, but for a line end, which
 * has to be in quotes. */
static void add_entry(struct buffer *out, const char *entry, bool quoted)
{
    size_t length = strcspn(entry, "=") + 1;
    add(out, entry, length);
    add(out, "\"", quoted);
    for (entry += length; *entry; entry++) {
        bool special = strchr("\"\\`$", *entry) != NULL;
        add(out, "\\", quoted ? special : 1);
        add(out, entry, 1);
    }
    add(out, "\"\n", quoted ? 2 : 0);
    add(out, "\n", !quoted);
}

static void check_again(char **entries, bool quoted)
{
    static char *again[ENV_FILE_MAX_ENTRIES + 1];
    struct env_file_error error;
    struct buffer out = {0};
    size_t i;

    for (i = 0; entries[i]; i++)
        add_entry(&out, entries[i], quoted || strchr(entries[i], '\n'));
    add(&out, "", 1);
    demand(env_file_parse(buffer_bytes(&out), buffer_used(&out) - 1, again, &error) == 0,
           "what is written can be read");
    for (i = 0; entries[i]; i++)
        demand(again[i] && strcmp(again[i], entries[i]) == 0, "an entry is the same");
    demand(!again[i], "there is none besides");
    buffer_finish(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static char *entries[ENV_FILE_MAX_ENTRIES + 1];
    struct env_file_error error = {0};
    char *text = malloc(count + 1);
    unsigned lines = 1;

    demand(text != NULL, "there is memory");
    for (size_t i = 0; i < count; i++)
        lines += (text[i] = (char)bytes[i]) == '\n';
    text[count] = 0;
    int failed = env_file_parse(text, count, entries, &error);
    demand(failed == 0 || failed == -EINVAL, "it is one, or is refused");
    if (failed) {
        demand(error.line >= 1 && error.line <= lines, "the error is on a line of it");
        demand(error.problem < ENV_FILE_PROBLEMS && *env_file_words(error.problem),
               "and has words");
    } else {
        check_entries(entries, text, count);
        check_again(entries, true);
        check_again(entries, false);
    }
    free(text);
    return 0;
}
