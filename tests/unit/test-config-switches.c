/* What was switched on and off by hand: found in folders, kept as a text, asked for by name. */
#include "base/text.h"
#include "config/switches.h"
#include "scratch.h"
#include "test.h"

#include <limits.h>

static struct switches read_all(struct error_list *errors, struct error_list *warnings)
{
    struct switches switches;
    CHECK_NUMBER(switches_read(".", NULL, &switches, errors, warnings), 0);
    return switches;
}

TEST(without_folders_nothing_is_switched)
{
    struct error_list errors = {0}, warnings = {0};
    scratch_begin();
    struct switches switches = read_all(&errors, &warnings);
    CHECK_NUMBER(switches.count, 0);
    CHECK_NUMBER(errors.count + warnings.count, 0);
    CHECK_NUMBER(switches_find(&switches, "web"), SWITCHED_NOT);
    switches_finish(&switches);
    scratch_end();
}

TEST(files_in_the_two_folders_switch_on_and_off)
{
    struct error_list errors = {0}, warnings = {0};
    scratch_begin();
    scratch_folder("enabled");
    scratch_folder("disabled");
    char name[64];
    for (int i = 0; i < 100; i++) {
        text_format(name, sizeof name, "%s/s%d", i % 3 ? "enabled" : "disabled", i);
        scratch_put(name, "");
    }
    scratch_put("enabled/.hidden", "");
    scratch_put("enabled/both", "");
    scratch_put("disabled/both", "");
    scratch_put("disabled/not a name", "");
    struct switches switches = read_all(&errors, &warnings);
    CHECK_NUMBER(switches.count, 101);
    for (int i = 0; i < 100; i++) {
        text_format(name, sizeof name, "s%d", i);
        CHECK_NUMBER(switches_find(&switches, name), i % 3 ? SWITCHED_ON : SWITCHED_OFF);
    }
    CHECK_NUMBER(switches_find(&switches, "both"), SWITCHED_OFF);
    CHECK_NUMBER(switches_find(&switches, "s"), SWITCHED_NOT);
    CHECK_NUMBER(errors.count, 0);
    CHECK_NUMBER(warnings.count, 2);
    CHECK(strstr(warnings.list[0].message, "'not a name' is no name of a service") != NULL);
    CHECK_TEXT(warnings.list[1].message, "'both' is in enabled and in disabled: disabled counts");
    switches_finish(&switches);
    error_list_finish(&warnings);
    scratch_end();
}

TEST(a_folder_that_is_none_is_an_error_and_the_other_counts)
{
    struct error_list errors = {0}, warnings = {0};
    scratch_begin();
    scratch_put("enabled", "");
    scratch_folder("disabled");
    scratch_put("disabled/web", "");
    struct switches switches = read_all(&errors, &warnings);
    CHECK_NUMBER(errors.count, 1);
    CHECK(strstr(errors.list[0].message, "Not a directory") != NULL);
    CHECK_NUMBER(switches_find(&switches, "web"), SWITCHED_OFF);
    switches_finish(&switches);
    error_list_finish(&errors);
    scratch_end();
}

TEST(a_folder_whose_path_is_too_long_is_an_error)
{
    struct error_list errors = {0}, warnings = {0};
    struct switches switches;
    char path[PATH_MAX];
    memset(path, '/', sizeof path);
    path[sizeof path - 1] = 0;
    CHECK_NUMBER(switches_read(path, NULL, &switches, &errors, &warnings), 0);
    CHECK_NUMBER(switches.count, 0);
    CHECK_NUMBER(errors.count, 2);
    CHECK_TEXT(errors.list[0].message, "the path is too long");
    switches_finish(&switches);
    error_list_finish(&errors);
}

TEST(the_text_that_is_kept_says_the_same_again)
{
    static const char text[] = "on a\noff b\non c@1\n";
    struct switches switches;
    struct arena arena = {0};
    size_t size = 0;
    CHECK_NUMBER(switches_parse(text, sizeof text - 1, &switches), 0);
    CHECK_NUMBER(switches.count, 3);
    CHECK_NUMBER(switches_find(&switches, "a"), SWITCHED_ON);
    CHECK_NUMBER(switches_find(&switches, "b"), SWITCHED_OFF);
    CHECK_NUMBER(switches_find(&switches, "c@1"), SWITCHED_ON);
    const char *again = switches_text(&switches, &arena, &size);
    CHECK_NUMBER(size, sizeof text - 1);
    CHECK(memcmp(again, text, size) == 0);
    switches_finish(&switches);
    arena_finish(&arena);
}

TEST(a_text_that_is_none_switches_nothing)
{
    static const char *const texts[] = {"", "\n", "on", "on ", "off", "x y\n", " on a\n", "\n\n"};
    struct switches switches;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        CHECK_NUMBER(switches_parse(texts[i], strlen(texts[i]), &switches), 0);
        CHECK_NUMBER(switches.count, 0);
        switches_finish(&switches);
    }
}
