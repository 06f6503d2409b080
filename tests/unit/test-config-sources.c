/* Which files in which folders are services, and the record that outlives the launcher. */
#include "base/cleanup.h"
#include "base/text.h"
#include "config/definition-parse.h"
#include "config/read-file.h"
#include "scratch.h"
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* On a file system that tells no types. */
static bool types_unknown;
struct dirent *__real_readdir64(DIR *folder); /* NOLINT: the linker's names */
struct dirent *__wrap_readdir64(DIR *folder); /* NOLINT */
struct dirent *__wrap_readdir64(DIR *folder)  /* NOLINT */
{
    struct dirent *entry = __real_readdir64(folder);
    if (entry && types_unknown)
        entry->d_type = DT_UNKNOWN;
    return entry;
}

static struct sources scan(const char *const *folders, size_t count, const char *errors,
                           const char *warnings)
{
    struct sources sources = {0};
    struct error_list lists[2] = {0};
    const char *expected[2] = {errors, warnings};
    CHECK_NUMBER(sources_scan(folders, count, &sources, &lists[0], &lists[1]), 0);
    for (size_t i = 0; i < 2; i++) {
        char storage[2000], line[600];
        struct text all;
        text_init(&all, storage, sizeof storage);
        for (size_t k = 0; k < lists[i].count; k++) {
            error_format(&lists[i].list[k], line, sizeof line);
            text_printf(&all, "%s%s", k ? "\n" : "", line);
        }
        CHECK_TEXT(storage, expected[i]);
        error_list_finish(&lists[i]);
    }
    return sources;
}

static struct sources scan_one(const char *folder)
{
    return scan(&folder, 1, "", "");
}

/* "NAME=PATH" of all, and what is special. */
static const char *list(const struct sources *sources)
{
    static char storage[4000];
    struct text text;
    text_init(&text, storage, sizeof storage);
    for (size_t i = 0; i < sources->count; i++) {
        const struct source *source = &sources->list[i];
        text_printf(&text, "%s%s=%s", i ? " " : "", source->name, source->path);
        if (source->masked)
            text_add(&text, "(masked)");
        if (source->problem)
            text_printf(&text, "(%s)", source->problem);
    }
    return storage;
}

TEST(yml_and_yaml_files_are_services_and_nothing_else_is)
{
    scratch_begin();
    scratch_folder("s");
    scratch_folder("s/sub");
    static const char *const files[] = {"a.yml", "b.yaml",   "c.yml.disabled", "d.yml~",
                                        "e.txt", ".h.yml",   ".yml",           "yml",
                                        "f.YML", "sub/x.yml"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[64];
        text_format(path, sizeof path, "s/%s", files[i]);
        scratch_put(path, "exec: a\n");
    }
    struct sources sources = scan_one("s");
    CHECK_TEXT(list(&sources), "a=s/a.yml b=s/b.yaml");
    CHECK_TEXT(sources.list[0].text, "exec: a\n");
    CHECK_NUMBER(sources.list[0].size, 8);
    CHECK(sources_find(&sources, "b") == &sources.list[1]);
    CHECK(sources_find(&sources, "c") == NULL);
    sources_finish(&sources);
    scratch_end();
}

TEST(of_two_files_for_one_name_in_a_folder_yml_counts_with_a_warning)
{
    scratch_begin();
    const char *folder = "s/";
    scratch_folder("s");
    scratch_folder("s/a");
    scratch_put("s/a.yaml", "exec: yaml\n");
    scratch_put("s/a.yml", "exec: yml\n");
    scratch_put("s/a/config.yaml", "exec: folder\n");
    struct sources sources =
        scan(&folder, 1, "",
             "s/: 'a.yml' and 'a.yaml' are both there: 'a.yml' counts; remove one\n"
             "s/: 'a.yml' and 'a/config.yaml' are both there: 'a.yml' counts; remove one");
    CHECK_TEXT(list(&sources), "a=s/a.yml");
    CHECK_TEXT(sources.list[0].text, "exec: yml\n");
    sources_finish(&sources);
    scratch_end();
}

TEST(what_a_folder_is_called_says_whether_it_is_a_service_as_with_a_file)
{
    static const char *const names[] = {"web",  "web~",  "web.disabled",
                                        ".web", "short", "x.disablec"};
    scratch_begin();
    scratch_folder("s");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[64];
        text_format(path, sizeof path, "s/%s", names[i]);
        scratch_folder(path);
        text_format(path, sizeof path, "s/%s/config.yml", names[i]);
        scratch_put(path, "exec: a\n");
    }
    CHECK_NUMBER(symlink("web", "s/linked"), 0);
    CHECK_NUMBER(symlink("linked", "s/again"), 0);
    CHECK_NUMBER(symlink("circle", "s/circle"), 0);
    scratch_put("file", "");
    CHECK_NUMBER(symlink("../file", "s/other"), 0);
    for (int known = 0; known < 2; known++) {
        types_unknown = !known;
        struct sources sources = scan_one("s");
        CHECK_TEXT(list(&sources), "again=s/again/config.yml linked=s/linked/config.yml "
                                   "short=s/short/config.yml web=s/web/config.yml "
                                   "x.disablec=s/x.disablec/config.yml");
        CHECK(sources.list[0].folder);
        sources_finish(&sources);
    }
    types_unknown = false;
    scratch_end();
}

TEST(a_file_is_read_whatever_the_file_system_tells_of_its_type)
{
    scratch_begin();
    scratch_folder("s");
    scratch_put("s/a.yml", "exec: a\n");
    scratch_put("s/b.txt", "exec: a\n");
    mkfifo("s/c.yml", 0644);
    types_unknown = true;
    struct sources sources = scan_one("s");
    CHECK_TEXT(list(&sources),
               "a=s/a.yml c=s/c.yml(is a named pipe: put a regular file in its place)");
    sources_finish(&sources);
    types_unknown = false;
    scratch_end();
}

TEST(more_files_than_are_thought_of_at_first_are_all_found)
{
    enum { COUNT = 200 };
    struct scan_place place = {0};
    struct error_list errors = {0}, warnings = {0};
    const char *const folders[] = {"s"};
    scratch_begin();
    scratch_folder("s");
    for (int i = 0; i < COUNT; i++) {
        char path[64];
        text_format(path, sizeof path, "s/s%03d.yml", i);
        scratch_put(path, "exec: a\n");
    }
    struct sources sources;
    CHECK_NUMBER(sources_scan_at(folders, 1, &sources, &errors, &warnings, &place), 0);
    CHECK_NUMBER(sources.count, COUNT);
    CHECK_TEXT(sources.list[COUNT - 1].name, "s199");
    CHECK_NUMBER(place.steps, 1 + COUNT);
    CHECK_TEXT(place.path, "s/s199.yml");
    sources_finish(&sources);
    scratch_end();
}

TEST(an_empty_file_of_a_folder_is_told_as_any_other)
{
    scratch_begin();
    scratch_folder("s");
    scratch_folder("s/web");
    scratch_put("s/web/config.yml", "");
    struct sources sources = scan_one("s");
    CHECK(sources.list[0].folder && sources.list[0].problem && !sources.list[0].masked);
    sources_finish(&sources);
    scratch_end();
}

TEST(a_later_folder_replaces_and_an_empty_file_there_masks)
{
    scratch_begin();
    static const char *const folders[] = {"one", "missing", "two"};
    scratch_folder("one");
    scratch_folder("two");
    scratch_put("one/a.yml", "exec: one\n");
    scratch_put("one/b.yml", "exec: one\n");
    scratch_put("one/c.yml", "exec: one\n");
    scratch_put("one/empty.yml", "");
    scratch_put("two/a.yaml", "exec: two\n");
    scratch_put("two/b.yaml", "");
    scratch_put("two/only.yml", "");
    struct sources sources = scan(folders, 3, "", "");
#define EMPTY                                                                                      \
    "(is empty and there is nothing that it could mask: write at least 'exec: /path/of/program')"
    CHECK_TEXT(list(&sources), "a=two/a.yaml b=two/b.yaml(masked) c=one/c.yml "
                               "empty=one/empty.yml" EMPTY " only=two/only.yml" EMPTY);
    sources_finish(&sources);
    scratch_end();
}

TEST(a_template_is_a_source_and_an_empty_file_masks_its_instance)
{
    scratch_begin();
    static const char *const folders[] = {"one", "two"};
    scratch_folder("one");
    scratch_folder("two");
    scratch_put("one/a@.yml", "exec: one\n");
    scratch_put("one/a@x.yml", "");
    scratch_put("one/b@.yml", "exec: one\n");
    scratch_put("two/a@y.yml", "");
    scratch_put("two/a@z.yml", "exec: two\n");
    scratch_put("two/b@.yml", "");
    scratch_put("two/c@x.yml", "");
    struct sources sources = scan(folders, 2, "", "");
    CHECK_TEXT(list(&sources), "a@=one/a@.yml a@x=one/a@x.yml(masked) a@y=two/a@y.yml(masked) "
                               "a@z=two/a@z.yml b@=two/b@.yml(masked) c@x=two/c@x.yml" EMPTY);
    sources_finish(&sources);
    scratch_end();
}

TEST(a_template_that_is_a_folder_has_a_program_named_after_it)
{
    scratch_begin();
    char wanted[100];
    scratch_folder("s");
    scratch_folder("s/a@");
    scratch_folder("s/a@/bin");
    scratch_folder("s/a@/logs");
    scratch_put("s/a@/config.yaml", "args: ['%i']\n");
    scratch_put("s/a@/bin/a", "#!/bin/sh\n");
    chmod("s/a@/bin/a", 0755);
    struct sources sources = scan_one("s");
    CHECK_TEXT(list(&sources), "a@=s/a@/config.yaml");
    text_format(wanted, sizeof wanted, "%s/s/a@/bin/a", scratch);
    CHECK_TEXT(sources.list[0].exec, wanted);
    struct error_list errors = {0};
    struct definition *definition = NULL;
    CHECK_NUMBER(definition_parse_instance(&sources.list[0], "a@one", &definition, &errors), 0);
    CHECK_TEXT(definition->argv[0], wanted);
    CHECK_TEXT(definition->argv[1], "one");
    definition_destroy(definition);
    error_list_finish(&errors);
    sources_finish(&sources);
    scratch_end();
}

TEST(a_folder_is_a_service_with_its_own_program_and_journal)
{
    scratch_begin();
    char wanted[100];
    scratch_folder("s");
    for (int i = 0; i < 4; i++) {
        char path[64];
        text_format(path, sizeof path, "s/%c", 'a' + i);
        scratch_folder(path);
        text_format(path, sizeof path, "s/%c/config.%s", 'a' + i, i == 1 ? "yml" : "yaml");
        scratch_put(path, "description: x\n");
    }
    scratch_folder("s/none");
    scratch_folder("s/a/logs");
    scratch_program("s/a/bin");
    scratch_folder("s/b/bin");
    scratch_program("s/b/bin/b");
    scratch_put("s/c/bin", "not executable\n");
    scratch_put("s/c/logs", "no folder\n");
    struct sources sources = scan_one("s");
    CHECK_TEXT(list(&sources), "a=s/a/config.yaml b=s/b/config.yml c=s/c/config.yaml "
                               "d=s/d/config.yaml");
    text_format(wanted, sizeof wanted, "%s/s/a/bin", scratch);
    CHECK_TEXT(sources.list[0].exec, wanted);
    text_format(wanted, sizeof wanted, "%s/s/a/logs", scratch);
    CHECK_TEXT(sources.list[0].logs, wanted);
    text_format(wanted, sizeof wanted, "%s/s/b/bin/b", scratch);
    CHECK_TEXT(sources.list[1].exec, wanted);
    CHECK(sources.list[0].folder && !sources.list[1].logs);
    CHECK(!sources.list[2].exec && !sources.list[2].logs && !sources.list[3].exec);

    struct error_list errors = {0};
    struct definition *definition = NULL;
    CHECK_NUMBER(definition_parse(&sources.list[0], &definition, &errors), 0);
    CHECK_TEXT(definition->argv[0], sources.list[0].exec);
    CHECK_TEXT(definition->logs, sources.list[0].logs);
    CHECK_NUMBER(definition_parse(&sources.list[3], &definition, &errors), -EINVAL);
    definition_destroy(definition);
    error_list_finish(&errors);

    text_format(wanted, sizeof wanted, "%s/s", scratch); /* the same by its whole path */
    struct sources again = scan_one(wanted);
    CHECK_TEXT(again.list[0].exec, sources.list[0].exec);
    CHECK_TEXT(again.list[1].exec, sources.list[1].exec);
    sources_finish(&again);
    sources_finish(&sources);
    scratch_end();
}

TEST(what_is_no_regular_file_is_told_and_never_waited_for)
{
    scratch_begin();
    scratch_folder("s");
    scratch_folder("s/dir.yml");
    mkfifo("s/fifo.yml", 0644);
    CHECK_NUMBER(symlink("/dev/zero", "s/device.yml"), 0);
    CHECK_NUMBER(symlink("fifo.yml", "s/link-to-fifo.yml"), 0);
    CHECK_NUMBER(symlink("nothing", "s/dangling.yml"), 0);
    CHECK_NUMBER(symlink("loop.yml", "s/loop.yml"), 0);
    scratch_put("s/real", "exec: a\n");
    CHECK_NUMBER(symlink("real", "s/link.yml"), 0);
    struct sources sources = scan_one("s");
    CHECK_TEXT(list(&sources),
               "dangling=s/dangling.yml(cannot be read: there is no such file) "
               "device=s/device.yml(is a device: put a regular file in its place) "
               "dir=s/dir.yml(is a folder: put a regular file in its place) "
               "fifo=s/fifo.yml(is a named pipe: put a regular file in its place) "
               "link=s/link.yml "
               "link-to-fifo=s/link-to-fifo.yml(is a named pipe: put a regular file in its place) "
               "loop=s/loop.yml(cannot be read: there is no such file (its symbolic links lead in "
               "a circle))");
    sources_finish(&sources);
    scratch_end();
}

TEST(a_large_file_is_refused_unread)
{
    scratch_begin();
    scratch_folder("s");
    scratch_put("s/large.yml", "");
    CHECK_NUMBER(truncate("s/large.yml", 100000000), 0);
    scratch_put("s/limit.yml", "exec: a\n");
    CHECK_NUMBER(truncate("s/limit.yml", SOURCE_MAX_BYTES), 0);
    struct sources sources = scan_one("s");
    CHECK_TEXT(list(&sources), "large=s/large.yml(has 100000000 bytes; at most 1048576 are read) "
                               "limit=s/limit.yml");
    sources_finish(&sources);
    scratch_end();
}

TEST(a_name_that_breaks_the_rules_is_a_source_that_says_so)
{
    scratch_begin();
    scratch_folder("s");
    scratch_put("s/a b.yml", "exec: a\n");
    scratch_put("s/conit.yml", "exec: a\n");
    scratch_put("s/...yml", "exec: a\n"); /* hidden */
    struct sources sources = scan_one("s");
    CHECK_TEXT(list(&sources),
               "a b=s/a b.yml(the name 'a b' has a character that a name cannot have; use letters, "
               "digits and - _ . @ :) "
               "conit=s/conit.yml(the name 'conit' is reserved for the system's own journal; "
               "choose another name)");
    struct error_list errors = {0};
    struct definition *definition = NULL;
    CHECK_NUMBER(definition_parse(&sources.list[0], &definition, &errors), -EINVAL);
    CHECK_TEXT(errors.list[0].file, "s/a b.yml");
    error_list_finish(&errors);
    sources_finish(&sources);
    scratch_end();
}

TEST(a_name_that_no_record_has_room_for_is_an_error_of_its_file_alone)
{
    const char *folder = "s";
    char longest[SERVICE_NAME_MAX_BYTES + 2], path[400], errors[1000], sources_text[500];
    scratch_begin();
    scratch_folder("s");
    scratch_put("s/a.yml", "exec: a\n");
    memset(longest, 'n', sizeof longest);
    longest[SERVICE_NAME_MAX_BYTES] = 0;
    text_format(path, sizeof path, "s/%s.yml", longest);
    scratch_put(path, "exec: a\n");
    text_format(sources_text, sizeof sources_text, "a=s/a.yml %s=%s", longest, path);
    longest[SERVICE_NAME_MAX_BYTES] = 'n';
    longest[SERVICE_NAME_MAX_BYTES + 1] = 0;
    text_format(path, sizeof path, "s/%s", longest);
    scratch_folder(path);
    text_format(path, sizeof path, "s/%s/config.yml", longest);
    scratch_put(path, "exec: a\n");
    text_format(errors, sizeof errors,
                "%s: the name '%.60s' is too long; a name has at most 200 bytes", path, longest);
    struct sources sources = scan(&folder, 1, errors, "");
    CHECK_TEXT(list(&sources), sources_text);
    sources_finish(&sources);
    scratch_end();
}

TEST(a_missing_folder_is_no_error_and_a_file_in_its_place_is_one)
{
    scratch_begin();
    static const char *const folders[] = {"missing", "file", "s"};
    scratch_put("file", "x");
    scratch_folder("s");
    scratch_put("s/a.yml", "exec: a\n");
    struct sources sources =
        scan(folders, 3, "file: is no folder: put a folder with service files in its place", "");
    CHECK_TEXT(list(&sources), "a=s/a.yml");
    sources_finish(&sources);
    sources = scan(folders, 0, "", "");
    CHECK_NUMBER(sources.count, 0);
    CHECK(sources_find(&sources, "a") == NULL);
    sources_finish(&sources);
    scratch_end();
}

TEST(a_single_file_is_named_after_itself_or_its_folder)
{
    scratch_begin();
    struct sources sources = {0};
    scratch_folder("web");
    scratch_put("web/config.yaml", "exec: a\n");
    scratch_put("x.conf", "exec: a\n");
    CHECK_NUMBER(sources_read_file("web/config.yaml", NULL, &sources), 0);
    CHECK_TEXT(list(&sources), "web=web/config.yaml");
    sources_finish(&sources);
    CHECK_NUMBER(rename("web/config.yaml", "web/config.yml"), 0);
    CHECK_NUMBER(sources_read_file("web/config.yml", NULL, &sources), 0);
    CHECK_TEXT(list(&sources), "web=web/config.yml");
    sources_finish(&sources);
    CHECK_NUMBER(sources_read_file("./web/config.yml", NULL, &sources), 0);
    CHECK_TEXT(list(&sources), "web=./web/config.yml");
    sources_finish(&sources);
    CHECK_NUMBER(sources_read_file("config.yml", NULL, &sources), 0);
    CHECK_TEXT(list(&sources), "config=config.yml(cannot be read: there is no such file)");
    sources_finish(&sources);
    CHECK_NUMBER(sources_read_file("x.conf", NULL, &sources), 0);
    CHECK_TEXT(list(&sources), "x.conf=x.conf");
    sources_finish(&sources);
    CHECK_NUMBER(sources_read_file("gone.yml", NULL, &sources), 0);
    CHECK_TEXT(list(&sources), "gone=gone.yml(cannot be read: there is no such file)");
    sources_finish(&sources);
    scratch_end();
}

TEST(a_file_read_for_something_else_may_have_any_name)
{
    scratch_begin();
    struct sources sources = {0};
    scratch_put("conit.yml", "title: a\n");
    CHECK_NUMBER(sources_read_file("conit.yml", NULL, &sources), 0);
    CHECK(sources.list[0].problem != NULL && sources.list[0].text == NULL);
    sources_finish(&sources);
    CHECK_NUMBER(sources_read_file("conit.yml", "/system-file", &sources), 0);
    CHECK_TEXT(list(&sources), "/system-file=conit.yml");
    CHECK_TEXT(sources.list[0].text, "title: a\n");
    sources_finish(&sources);
    scratch_end();
}

/* --- The record --- */

static const struct source some[] = {
    {.name = "a", .path = "/s/a.yml", .text = "exec: a\n", .size = 8},
    {.name = "b", .path = "/s/b.yml", .text = "x\0y", .size = 3},
    {.name = "c", .path = "/s/c.yml", .masked = true},
    {.name = "d e", .path = "/s/d e.yml", .problem = "the name is bad"},
    {.name = "f",
     .path = "/s/f/config.yaml",
     .text = "",
     .exec = "/s/f/bin",
     .logs = "/s/f/logs",
     .folder = true},
    {.name = "g@", .path = "/s/g@.yml", .text = "exec: a\n", .size = 8, .gone = true},
};
#define SOME (sizeof some / sizeof some[0])

static int memory(void)
{
    int fd = memfd_create("record", MFD_CLOEXEC);
    if (fd < 0)
        abort();
    return fd;
}

TEST(a_record_gives_back_the_same_sources)
{
    AUTO_CLOSE int fd = memory();
    struct sources sources = {0};
    CHECK_NUMBER(sources_write(fd, some, SOME), 0);
    CHECK_NUMBER(sources_read(fd, &sources), 0);
    CHECK_NUMBER(sources.count, SOME);
    for (size_t i = 0; i < sources.count; i++)
        CHECK(source_equal(&sources.list[i], &some[i]));
    CHECK(!source_equal(&sources.list[0], &some[1]));
    sources_finish(&sources);
}

TEST(each_part_of_a_source_makes_a_difference)
{
    static const struct source one = {.name = "a",
                                      .path = "p",
                                      .text = "xy",
                                      .problem = "bad",
                                      .exec = "e",
                                      .logs = "l",
                                      .size = 2};
    struct source others[11];
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        others[i] = one;
    others[0].name = "b";
    others[1].path = "q";
    others[2].text = "xz";
    others[3].problem = NULL;
    others[4].exec = "f";
    others[5].logs = NULL;
    others[6].size = 1;
    others[7].folder = true;
    others[8].masked = true;
    others[9].gone = true;
    others[10].text = NULL;
    CHECK(source_equal(&one, &one));
    CHECK(source_equal(&others[10], &others[10]));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        CHECK(!source_equal(&one, &others[i]));
        CHECK(!source_equal(&others[i], &one));
    }
}

TEST(an_empty_record_is_an_empty_set)
{
    AUTO_CLOSE int fd = memory();
    struct sources sources = {0};
    CHECK_NUMBER(sources_write(fd, NULL, 0), 0);
    CHECK_NUMBER(sources_read(fd, &sources), 0);
    CHECK_NUMBER(sources.count, 0);
    sources_finish(&sources);
}

TEST(a_record_that_is_cut_or_not_finished_is_refused)
{
    AUTO_CLOSE int fd = memory();
    struct sources sources = {0};
    struct stat status;
    uint64_t unfinished = 0;
    CHECK_NUMBER(sources_read(fd, &sources), -EBADMSG);
    CHECK_NUMBER(sources_write(fd, some, SOME), 0);
    CHECK_NUMBER(fstat(fd, &status), 0);
    CHECK_NUMBER(ftruncate(fd, status.st_size + 8), 0);
    CHECK_NUMBER(sources_read(fd, &sources), -EBADMSG);
    for (off_t size = status.st_size - 1; size >= 0; size--) {
        CHECK_NUMBER(ftruncate(fd, size), 0);
        CHECK_NUMBER(sources_read(fd, &sources), -EBADMSG);
    }
    CHECK_NUMBER(sources_write(fd, some, SOME), 0);
    CHECK_NUMBER(pwrite(fd, &unfinished, 8, 16), 8);
    CHECK_NUMBER(sources_read(fd, &sources), -EBADMSG);
    CHECK(sources.list == NULL);
}

/* A header (32 bytes), then one entry (32), "a", "p", and whatever text comes next. */
TEST(a_record_that_says_two_things_of_a_source_or_more_than_there_is_is_refused)
{
    static const struct source one = {.name = "a", .path = "p", .text = "x", .size = 1};
    static const struct {
        uint32_t flags;
        uint64_t size;
        int result;
    } rows[] = {
        {4, 72, 0},         {0, 72, -EBADMSG},   {6, 72, -EBADMSG},
        {12, 72, -EBADMSG}, {128, 72, -EBADMSG}, {4, 70, -EBADMSG}, /* in the gap at its end */
        {4, 80, -EBADMSG},                                          /* behind it */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO_CLOSE int fd = memory();
        struct sources sources = {0};
        CHECK_NUMBER(sources_write(fd, &one, 1), 0);
        CHECK_NUMBER(pwrite(fd, &rows[i].size, 8, 16), 8);
        CHECK_NUMBER(pwrite(fd, &rows[i].flags, 4, 32), 4);
        CHECK_NUMBER(ftruncate(fd, (off_t)rows[i].size), 0);
        CHECK_NUMBER(sources_read(fd, &sources), rows[i].result);
        CHECK_NUMBER(sources.count, rows[i].result == 0);
        sources_finish(&sources);
    }
}

TEST(a_record_larger_than_any_is_neither_written_nor_read)
{
    static const struct source huge = {.name = "a", .path = "p", .text = "x", .size = UINT32_MAX};
    AUTO_CLOSE int fd = memory();
    struct sources sources = {0};
    struct stat status;
    CHECK_NUMBER(sources_write(fd, &huge, 1), -EFBIG);
    CHECK_NUMBER(fstat(fd, &status), 0);
    CHECK_NUMBER(status.st_size, 0);
    CHECK_NUMBER(ftruncate(fd, (INT64_C(1) << 32) + 8), 0);
    CHECK_NUMBER(sources_read(fd, &sources), -EBADMSG);
}

TEST(a_record_with_any_byte_changed_gives_an_error_or_a_sane_set)
{
    AUTO_CLOSE int fd = memory();
    struct stat status;
    CHECK_NUMBER(sources_write(fd, some, SOME), 0);
    CHECK_NUMBER(fstat(fd, &status), 0);
    for (off_t at = 0; at < status.st_size; at++) {
        static const unsigned char changes[] = {0x01, 0x80, 0xff, 0x20};
        for (size_t i = 0; i < sizeof changes; i++) {
            unsigned char byte, changed;
            struct sources sources = {0};
            CHECK_NUMBER(pread(fd, &byte, 1, at), 1);
            changed = byte ^ changes[i];
            CHECK_NUMBER(pwrite(fd, &changed, 1, at), 1);
            int failed = sources_read(fd, &sources);
            CHECK(failed == 0 || failed == -EBADMSG);
            size_t bytes = 0;
            for (size_t k = 0; k < sources.count; k++) {
                const struct source *source = &sources.list[k];
                bytes += strlen(source->name) + strlen(source->path) + source->size;
                CHECK(k == 0 || strcmp(source[-1].name, source->name) < 0);
            }
            CHECK(bytes < (size_t)status.st_size);
            sources_finish(&sources);
            CHECK_NUMBER(pwrite(fd, &byte, 1, at), 1);
        }
    }
}

TEST(a_file_that_became_another_kind_since_it_was_listed_is_not_read)
{
    struct arena arena = {0};
    const char *problem = NULL;
    char *text = NULL;
    size_t size = 0;
    scratch_begin();
    mkfifo("pipe", 0644);
    CHECK_NUMBER(read_file_at(AT_FDCWD, "pipe", true, 100, &arena, &text, &size, &problem),
                 -EINVAL);
    CHECK_TEXT(problem, "is a named pipe: put a regular file in its place");
    CHECK(text == NULL);
    arena_finish(&arena);
    scratch_end();
}
