/* Checks bad service files, with memory and without. */
#include "bad-file.h"
#include "base/text.h"
#include "config/definition-parse.h"
#include "config/users.h"
#include "faults.h"
#include "test.h"

#include <errno.h>

static const struct bad *tried;

static void show(const struct error_list *errors, char *storage, size_t size)
{
    char line[600];
    struct text all;
    text_init(&all, storage, size);
    for (size_t i = 0; i < errors->count; i++) {
        const char *rest;
        error_format(&errors->list[i], line, sizeof line);
        CHECK(text_starts_with(line, "web.yml:", &rest));
        text_printf(&all, "%s%s", i ? "\n" : "", rest);
    }
}

static void check(void)
{
    struct source source = {
        .name = "web", .path = "web.yml", .text = tried->text, .size = tried->size};
    struct error_list errors = {0};
    struct definition *definition = NULL;
    char storage[4096];

    faults_begin();
    int failed = definition_parse(&source, &definition, &errors);
    faults_end();
    CHECK_NUMBER(failed, fault_happened() ? -ENOMEM : -EINVAL);
    CHECK(definition == NULL);
    if (!fault_happened()) {
        show(&errors, storage, sizeof storage);
        CHECK_TEXT(storage, tried->messages);
    }
    error_list_finish(&errors);
}

void bad_check(const struct bad *list, size_t count)
{
    users_set_paths("/dev/null/passwd", "/dev/null/group"); /* nobody is there */
    for (size_t i = 0; i < count; i++) {
        int failures = test_failures;
        tried = &list[i];
        CHECK(fault_each(FAULT_MEMORY, ENOMEM, check) > 0);
        if (test_failures != failures)
            fprintf(stderr, "  of the file «%s»\n", tried->text);
    }
    users_set_paths(NULL, NULL);
    users_forget();
}
