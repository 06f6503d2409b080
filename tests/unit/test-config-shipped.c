/* The service files that we ship load, each of them; so do the examples in the docs. */
#include "config/definition-parse.h"
#include "config/keys.h"
#include "service/name.h"
#include "test.h"

#include <sys/stat.h>

static void check_folder(const char *folder, size_t at_least)
{
    struct sources sources = {0};
    struct error_list errors = {0}, warnings = {0};
    CHECK_NUMBER(sources_scan(&folder, 1, &sources, &errors, &warnings), 0);
    CHECK(sources.count >= at_least);
    for (size_t i = 0; i < sources.count; i++) {
        struct definition *definition = NULL;
        const char *name = sources.list[i].name;
        CHECK_NUMBER((service_name_is_template(name, strlen(name))
                          ? definition_parse_template
                          : definition_parse)(&sources.list[i], &definition, &errors),
                     0);
        definition_destroy(definition);
    }
    CHECK_NUMBER(warnings.count, 0);
    for (size_t i = 0; i < errors.count; i++) {
        char line[600];
        error_format(&errors.list[i], line, sizeof line);
        fprintf(stderr, "%s\n", line);
    }
    error_list_finish(&errors);
    error_list_finish(&warnings);
    sources_finish(&sources);
}

TEST(every_shipped_service_file_loads)
{
    check_folder(TOP "/services", 5);
    check_folder(TOP "/services/examples", 15);
}

/* The page of the service file, whole, with a NUL behind it. */
static char *read_page(void)
{
    struct stat status;
    FILE *file = fopen(TOP "/docs/service-file.md", "r");
    if (!file || fstat(fileno(file), &status) < 0)
        abort();
    char *page = calloc(1, (size_t)status.st_size + 1);
    if (!page || fread(page, 1, (size_t)status.st_size, file) != (size_t)status.st_size)
        abort();
    fclose(file);
    return page;
}

TEST(the_page_has_a_row_for_every_key)
{
    char *page = read_page();
    for (size_t row = 0; row < KEY_COUNT; row++) {
        char name[40];
        snprintf(name, sizeof name, "`%s`", keys[row].name);
        const char *cell = page;
        /* The row of the table that has the name in its first column. */
        while ((cell = strstr(cell, name))) {
            const char *line = cell;
            while (line > page && line[-1] != '\n')
                line--;
            if (line[0] == '|' && !memchr(line + 1, '|', (size_t)(cell - line - 1)))
                break;
            cell++;
        }
        CHECK(cell != NULL);
    }
    free(page);
}

TEST(the_examples_on_the_page_load)
{
    char *page = read_page(), *at = page;
    size_t count = 0;
    while ((at = strstr(at, "```yaml\n"))) {
        char *begin = at + strlen("```yaml\n"), *end = strstr(begin, "```");
        if (!end)
            break;
        struct source source = {.name = "example",
                                .path = "docs/service-file.md",
                                .text = begin,
                                .size = (size_t)(end - begin)};
        struct error_list errors = {0};
        struct definition *definition = NULL;
        at = end + 3;
        if (memcmp(begin, "version", 7) == 0) /* the system file's */
            continue;
        char *instance = memmem(begin, source.size, "%i", 2);
        if (instance)
            source.name = "example@";
        CHECK_NUMBER((instance ? definition_parse_template : definition_parse)(&source, &definition,
                                                                               &errors),
                     0);
        definition_destroy(definition);
        error_list_finish(&errors);
        count++;
    }
    CHECK_NUMBER(count, 4);
    free(page);
}
