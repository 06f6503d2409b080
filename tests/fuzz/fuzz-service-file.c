/* Fuzz target: any bytes as a service file and as a system file. Either it loads, and what was
 * made of it can be measured, compared and shown; or there is an error with its place.
 *
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined … tests/fuzz/fuzz-service-file.c
 *
 * tests/unit/test-fuzz-corpus.c runs the corpus without libFuzzer. */
#include "config/definition-parse.h"
#include "config/keys.h"
#include "config/system-file.h"

#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool good)
{
    if (!good)
        abort();
}

static void check_errors(const struct error_list *errors, const uint8_t *data, size_t size)
{
    unsigned lines = 1;
    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n' || data[i] == '\r' || data[i] >= 0x80; /* U+0085, U+2028 too */
    require(errors->count >= 1 && errors->count <= ERRORS_PER_FILE);
    for (size_t i = 0; i < errors->count; i++) {
        const struct error *error = &errors->list[i];
        require(error->message[0] && error->line >= 1 && error->column >= 1);
        require(error->line <= lines + 1 && error->column <= size + 2);
    }
}

static void use(struct definition *definition)
{
    static char storage[1 << 16];
    struct text text;
    require(definition_size(definition) >= sizeof *definition);
    require(definition_diff(definition, definition) == 0);
    require(!definition->argv == (definition->type == TYPE_TARGET));
    for (unsigned row = 0; row < KEY_COUNT; row++) {
        text_init(&text, storage, sizeof storage);
        definition_show(row, definition, &text);
        require(text.used_bytes > 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct source source = {
        .name = "web", .path = "web.yml", .text = (const char *)data, .size = size};
    struct error_list errors = {0};
    struct definition *definition = NULL;
    struct system_file file = {0};

    int failed = definition_parse(&source, &definition, &errors);
    require(failed == 0 || failed == -EINVAL);
    if (failed)
        check_errors(&errors, data, size);
    else
        use(definition);
    definition_destroy(definition);
    error_list_finish(&errors);

    failed = system_file_parse("system.yml", (const char *)data, size, &file, &errors);
    require(failed == 0 || failed == -EINVAL);
    if (failed)
        check_errors(&errors, data, size);
    system_file_finish(&file);
    error_list_finish(&errors);
    return 0;
}
