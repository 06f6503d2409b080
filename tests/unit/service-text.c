/* Loads service files out of texts. */
#include "service-text.h"
#include "config/definition-parse.h"
#include "test.h"

struct definition *load(const char *text)
{
    struct source source = {.name = "web", .path = "web.yml", .text = text, .size = strlen(text)};
    struct error_list errors = {0};
    struct definition *definition = NULL;
    int failed = definition_parse(&source, &definition, &errors);
    CHECK_NUMBER(failed, 0);
    for (size_t i = 0; i < errors.count; i++) {
        char line[500];
        error_format(&errors.list[i], line, sizeof line);
        fprintf(stderr, "%s\n", line);
    }
    CHECK_NUMBER(errors.count, 0);
    error_list_finish(&errors);
    if (!definition)
        exit(1);
    return definition;
}

const char *show(const struct definition *definition, unsigned row)
{
    static char storage[2000];
    struct text text;
    text_init(&text, storage, sizeof storage);
    definition_show(row, definition, &text);
    CHECK(!text.cut);
    return storage;
}

void check_shown(const char *text, unsigned row, const char *expected)
{
    struct definition *d = load(text);
    CHECK_TEXT(show(d, row), expected);
    definition_destroy(d);
}
