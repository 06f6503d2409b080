/* Any bytes as a service file. Either it loads, and what was made of it can be measured and
 * compared, and as it is shown it can be written into a file that means the same; or there are
 * errors with their places. */
#include "base/buffer.h"
#include "config/definition-parse.h"
#include "config/keys.h"
#include "demand.h"
#include "file-errors.h"

#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add(struct buffer *out, const char *text)
{
    demand(buffer_append(out, text, strlen(text)) == 0, "there is memory");
}

/* Adds a value without the members of mappings that are `null`: what stands for the absence of a
 * value, and cannot be written. */
static void add_value(struct buffer *out, const char *value)
{
    size_t member = 0; /* where the text begins that was put last */
    bool quoted = false;
    for (const char *at = value; *at; at++) {
        if (*at == '"' && !quoted)
            member = buffer_used(out);
        if (*at == '"' && (!quoted || at[-1] != '\\' || at[-2] == '\\'))
            quoted = !quoted;
        if (quoted || strncmp(at, ":null", 5) != 0) {
            demand(buffer_append(out, at, 1) == 0, "there is memory");
            continue;
        }
        out->end = out->begin + member;
        at += 4;
        if (buffer_bytes(out)[member - 1] == ',')
            out->end--;
        else if (at[1] == ',')
            at++;
    }
}

/* What `slc show` prints of the keys that were given, as a file. */
static void show(const struct definition *definition, struct buffer *out)
{
    static char storage[1 << 20];
    struct text text;
    for (unsigned row = 0; row < KEY_COUNT; row++) {
        text_init(&text, storage, sizeof storage);
        definition_show(row, definition, &text);
        demand(text.used_bytes > 0 && !text.cut, "a key can be shown");
        if (!(definition->keys_given & KEY_BIT(row)))
            continue;
        add(out, keys[row].name);
        add(out, ": ");
        add_value(out, storage);
        add(out, "\n");
    }
}

static void check_shown(const struct definition *definition)
{
    struct buffer shown = {0};
    struct error_list errors = {0};
    struct definition *again = NULL;

    show(definition, &shown);
    struct source source = {.name = "web",
                            .path = "again.yml",
                            .text = buffer_bytes(&shown),
                            .size = buffer_used(&shown)};
    int failed = definition_parse(&source, &again, &errors);
    if (failed)
        fprintf(stderr, "%.*s\n%s\n", (int)source.size, source.text,
                errors.count ? errors.list[0].message : "");
    demand(failed == 0, "what is shown is a service file");
    demand(definition_diff(definition, again) == 0, "which says the same");
    definition_destroy(again);
    error_list_finish(&errors);
    buffer_finish(&shown);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct source source = {
        .name = "web", .path = "web.yml", .text = (const char *)data, .size = size};
    struct error_list errors = {0};
    struct definition *definition = NULL;

    int failed = definition_parse(&source, &definition, &errors);
    demand(failed == 0 || failed == -EINVAL, "it loads or is refused");
    if (failed) {
        demand_errors(&errors, data, size);
    } else {
        demand(definition_size(definition) >= sizeof *definition, "it can be measured");
        demand(definition_diff(definition, definition) == 0, "it is equal to itself");
        demand(!definition->argv == (definition->type == TYPE_TARGET),
               "only a target runs nothing");
        if (size && !memchr(data, '%', size)) /* which are replaced when it is read */
            check_shown(definition);
    }
    definition_destroy(definition);
    error_list_finish(&errors);
    return 0;
}
