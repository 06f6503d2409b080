/* How much a service file may hold: just so much, and not one more. */
#include "base/text.h"
#include "config/definition-parse.h"
#include "test.h"

#include <errno.h>

/* `begin`, then so many `item`s, each behind its number in a word if it is one of a mapping, then
 * `end`; the caller's. */
static char *repeat(const char *begin, const char *item, size_t count, const char *end)
{
    const bool numbered = *item == ':';
    size_t room = strlen(begin) + count * (strlen(item) + 12) + strlen(end) + 1;
    char *storage = malloc(room);
    struct text text;
    CHECK(storage != NULL);
    text_init(&text, storage, room);
    text_add(&text, begin);
    for (size_t i = 0; i < count; i++) {
        if (numbered) {
            text_add(&text, "  K");
            text_add_unsigned(&text, i);
        }
        text_add(&text, item);
    }
    text_add(&text, end);
    return storage;
}

/* "LINE:COLUMN: MESSAGE", the only one there is; "": the text is good. Frees it. */
static void check_bound(char *text, const char *message)
{
    struct source source = {.name = "web", .path = "web.yml", .text = text, .size = strlen(text)};
    struct error_list errors = {0};
    struct definition *definition = NULL;
    char line[200];

    CHECK_NUMBER(definition_parse(&source, &definition, &errors), *message ? -EINVAL : 0);
    CHECK_NUMBER(errors.count, *message != 0);
    if (*message) {
        error_format(&errors.list[0], line, sizeof line);
        CHECK_TEXT(line + strlen("web.yml:"), message);
    } else {
        definition_destroy(definition);
    }
    error_list_finish(&errors);
    free(text);
}

TEST(a_mapping_has_at_most_4096_entries)
{
    check_bound(repeat("exec: a\nenv:\n", ": v\n", 4096, ""), "");
    check_bound(repeat("exec: a\nenv:\n", ": v\n", 4097, ""),
                "4099:3: this mapping has more than 4096 entries, which is too many");
}

TEST(a_file_has_at_most_131072_values)
{
    /* The mapping, its keys and the value of each are five. */
    check_bound(repeat("type: target\nneeds: [", "a,", 131072 - 5, "]\n"), "");
    check_bound(repeat("type: target\nneeds: [", "a,", 131072 - 4, "]\n"),
                "2:262143: the file holds more than 131072 values, which is too many");
}

TEST(a_word_has_at_most_131071_bytes)
{
    check_bound(repeat("exec: [a, ", "x", 131071, "]\n"), "");
    check_bound(repeat("exec: [a, ", "x", 131072, "]\n"),
                "1:11: a word here has 131072 bytes; the kernel takes at most 131071 in one");
    check_bound(repeat("exec: a ", "x", 131071, "\n"), "");
    check_bound(repeat("exec: a ", "x", 131072, "\n"),
                "1:7: a word of 'exec' has more than 131071 bytes, which the kernel does not take");
}
