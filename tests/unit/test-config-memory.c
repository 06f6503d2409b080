/* Memory that runs out, at each allocation in turn: -ENOMEM, nothing lost, nothing half made.
 *
 * The program is linked so that every malloc of ours and of libyaml comes through here. */
#include "base/text.h"
#include "config/definition-parse.h"
#include "config/keys.h"
#include "config/system-file.h"
#include "config/users.h"
#include "test.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t count, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);
char *__wrap_strdup(const char *text);

static unsigned long left = -1ul; /* allocations that still work */

static bool fails(void)
{
    if (left == 0)
        return true;
    left--;
    return false;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

void *__wrap_reallocarray(void *old, size_t count, size_t size)
{
    return fails() ? NULL : __real_reallocarray(old, count, size);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

/* Runs the function with ever more allocations that work, until it no longer lacks any. Returns
 * how often it failed, so that a test knows that something was tried. */
static unsigned long starve(int (*function)(void), int expected)
{
    unsigned long tried = 0;
    int result;
    do {
        left = tried;
        result = function();
        left = -1ul;
        CHECK(result == -ENOMEM || result == expected);
    } while (result == -ENOMEM && ++tried < 100000);
    CHECK_NUMBER(result, expected);
    return tried;
}

static int parse(const char *text, size_t size)
{
    struct source source = {.name = "web", .path = "web.yml", .text = text, .size = size};
    struct error_list errors = {0};
    struct definition *definition = NULL;
    users_forget();
    int failed = definition_parse(&source, &definition, &errors);
    CHECK((failed == 0) == (definition != NULL));
    definition_destroy(definition);
    error_list_finish(&errors);
    return failed;
}

static int parse_good(void)
{
    static const char text[] = "description: x\nexec: a 'b c' %n\nargs: [d]\nneeds: [e, f]\n"
                               "before-start: [g, [h, i]]\nwhen: [{exists: /x}]\nuser: 0\n"
                               "groups: [5]\nenv: {A: b}\nlimits: {nofile: 5}\ntty: tty1\n"
                               "stop: {exec: x}\nreload: y\n";
    return parse(text, sizeof text - 1);
}

/* So large that the arenas need more than their first piece of memory at many places. */
static int parse_large(void)
{
    static char text[60000];
    struct text all;
    text_init(&all, text, sizeof text);
    text_add(&all, "exec: a\nneeds: [");
    for (int i = 0; i < 400; i++)
        text_printf(&all, "name-%d, ", i);
    text_add(&all, "]\nenv:\n");
    for (int i = 0; i < 100; i++)
        text_printf(&all, "  V%d: '%%n %d'\n", i, i);
    return parse(text, all.used_bytes);
}

static int parse_bad(void)
{
    static const char text[] = "exec: a 'b\nneeds: *x\nfoo: 1\nuser: nobody-here\nbar: 2\nbar: 3\n"
                               "tty: x/y\numask: 9\nenabled: 7\n";
    return parse(text, sizeof text - 1);
}

static int parse_system_file(void)
{
    static const char text[] = "version: 0.1\ntitle: x\nservices: [{name: a, description: b}]\n"
                               "start: [c]\nwatch: yes\n";
    struct error_list errors = {0};
    struct system_file file = {0};
    int failed = system_file_parse("x.yml", text, sizeof text - 1, &file, &errors);
    system_file_finish(&file);
    error_list_finish(&errors);
    return failed;
}

static char folder[] = "/tmp/conit-test-XXXXXX";

static int scan(void)
{
    const char *folders[] = {folder, "/dev/null"};
    struct error_list errors = {0}, warnings = {0};
    struct sources sources = {0};
    int failed = sources_scan(folders, 2, &sources, &errors, &warnings);
    sources_finish(&sources);
    error_list_finish(&errors);
    error_list_finish(&warnings);
    return failed;
}

static int write_and_read(void)
{
    static const struct source source = {.name = "a", .path = "b", .text = "c", .size = 1};
    struct sources sources = {0};
    int fd = memfd_create("record", MFD_CLOEXEC);
    int failed = sources_write(fd, &source, 1);
    if (!failed)
        failed = sources_read(fd, &sources);
    sources_finish(&sources);
    close(fd);
    return failed;
}

TEST(a_definition_lacking_memory_says_so_and_loses_nothing)
{
    CHECK(starve(parse_good, 0) > 3);
    CHECK(starve(parse_large, 0) > 100);
    CHECK(starve(parse_bad, -EINVAL) > 3);
}

TEST(a_system_file_lacking_memory_says_so)
{
    CHECK(starve(parse_system_file, 0) > 3);
}

TEST(a_scan_lacking_memory_says_so)
{
    char path[100];
    CHECK(mkdtemp(folder) != NULL);
    for (int i = 0; i < 3; i++) {
        text_format(path, sizeof path, "%s/%c.y%sml", folder, 'a' + i / 2, i % 2 ? "a" : "");
        FILE *file = fopen(path, "w");
        fputs("exec: a\n", file);
        fclose(file);
    }
    text_format(path, sizeof path, "%s/d", folder);
    mkdir(path, 0755);
    text_format(path, sizeof path, "%s/d/config.yaml", folder);
    CHECK_NUMBER(symlink("/etc/passwd", path), 0);
    CHECK(starve(scan, 0) > 3);
    remove(path);
    text_format(path, sizeof path, "%s/d", folder);
    remove(path);
    for (int i = 0; i < 3; i++) {
        text_format(path, sizeof path, "%s/%c.y%sml", folder, 'a' + i / 2, i % 2 ? "a" : "");
        remove(path);
    }
    CHECK_NUMBER(remove(folder), 0);
}

TEST(a_record_lacking_memory_says_so)
{
    CHECK(starve(write_and_read, 0) >= 3);
}
