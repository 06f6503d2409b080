/* The system file. */
#include "config/reading.h"
#include "config/system-file.h"
#include "test.h"

#include <errno.h>
#include <limits.h>
#include <sys/stat.h>

static int parse(const char *text, struct system_file *ret, struct error_list *errors)
{
    return system_file_parse("config.yml", text, strlen(text), ret, errors);
}

TEST(the_seeds_own_file_loads_as_it_is)
{
    struct system_file file = {0};
    struct error_list errors = {0};
    CHECK_NUMBER(parse("version: 0.1\n"
                       "title: Gonit based OS\n"
                       "services:\n"
                       "- name: networking\n"
                       "  description: Configures the networking\n"
                       "- name: terminals\n"
                       "  description: Arranges the terminals\n",
                       &file, &errors),
                 0);
    CHECK_TEXT(file.version, "0.1");
    CHECK_TEXT(file.title, "Gonit based OS");
    CHECK_NUMBER(file.service_count, 2);
    CHECK(file.services_given && !file.start_given && !file.watch);
    CHECK_TEXT(file.services[0].name, "networking");
    CHECK_TEXT(file.services[0].description, "Configures the networking");
    CHECK_TEXT(file.services[1].name, "terminals");
    system_file_finish(&file);
}

TEST(every_key_may_be_left_out)
{
    struct system_file file = {0};
    struct error_list errors = {0};
    CHECK_NUMBER(parse("", &file, &errors), 0);
    CHECK(!file.version && !file.title && !file.services_given && !file.start_given);
    system_file_finish(&file);
    CHECK_NUMBER(parse("start: [a, b]\nwatch: yes\n", &file, &errors), 0);
    CHECK(file.start_given && file.watch);
    CHECK_TEXT(file.start[1], "b");
    CHECK(file.start[2] == NULL);
    system_file_finish(&file);
    CHECK_NUMBER(parse("start: []\nservices: []\n", &file, &errors), 0);
    CHECK(file.start_given && file.services_given && !file.start[0]);
    system_file_finish(&file);
}

TEST(what_holds_for_all_journals_may_be_said)
{
    struct system_file file = {0};
    struct error_list errors = {0};
    CHECK_NUMBER(parse("title: a\n", &file, &errors), 0);
    CHECK(!file.log.max_size_bytes && !file.log.sync_ms && file.log.dev_log == LOG_NOT_GIVEN &&
          file.log.kernel == LOG_NOT_GIVEN);
    system_file_finish(&file);
    CHECK_NUMBER(parse("log: {max-size: 2G, dev-log: no, kernel: yes}\n", &file, &errors), 0);
    CHECK_NUMBER(file.log.max_size_bytes, 2ull << 30);
    CHECK(file.log.dev_log == LOG_OFF && file.log.kernel == LOG_ON && !*file.log.dev_log_path);
    system_file_finish(&file);
    CHECK_NUMBER(parse("log: {dev-log: /run/log}\n", &file, &errors), 0);
    CHECK(file.log.dev_log == LOG_ON);
    CHECK_TEXT(file.log.dev_log_path, "/run/log");
    system_file_finish(&file);
    CHECK_NUMBER(parse("log: {dev-log: yes}\n", &file, &errors), 0);
    CHECK(file.log.dev_log == LOG_ON && !*file.log.dev_log_path);
    system_file_finish(&file);
    CHECK_NUMBER(parse("log: {sync: 100ms}\n", &file, &errors), 0);
    CHECK_NUMBER(file.log.sync_ms, 100);
    system_file_finish(&file);
    CHECK_NUMBER(parse("log: {sync: 1h}\n", &file, &errors), 0);
    CHECK_NUMBER(file.log.sync_ms, 3600000);
    system_file_finish(&file);
    CHECK_NUMBER(parse("log: {}\n", &file, &errors), 0);
    system_file_finish(&file);
    static const struct {
        const char *text;
        uint64_t bytes;
    } sizes[] = {{"log: {max-size: 1M}\n", 1 << 20}, {"log: {max-size: 1048576G}\n", 1ull << 50}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        CHECK_NUMBER(parse(sizes[i].text, &file, &errors), 0);
        CHECK_NUMBER(file.log.max_size_bytes, sizes[i].bytes);
        system_file_finish(&file);
    }
}

TEST(what_is_wrong_in_it_is_told_with_its_place)
{
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"titel: x\n", "config.yml:1:1: there is no key 'titel': did you mean 'title'?"},
        {"log: {quota: 1G}\n", "config.yml:1:7: there is no key 'quota': write max-size, dev-log, "
                               "kernel or sync, or remove it"},
        {"title: [x]\n", "config.yml:1:8: 'title' is a text: write 'title: some words'"},
        {"services: x\n",
         "config.yml:1:11: 'services' is a list: write '- name: networking' below it"},
        {"services: [x]\n", "config.yml:1:12: an entry of 'services' is a mapping: write '- name: "
                            "networking'"},
        {"services:\n- nam: x\n", "config.yml:2:3: there is no key 'nam': did you mean 'name'?"},
        {"services:\n- description: x\n",
         "config.yml:2:3: this service has no name: write '- name: networking'"},
        {"services:\n- name: a/b\n", "config.yml:2:9: the name 'a/b' has a '/'; a name is no path: "
                                     "use letters, digits and - _ . @ :"},
        {"start: [agetty@]\n",
         "config.yml:1:9: the name 'agetty@' is a template, and no service by itself; write an "
         "instance behind the '@', as in agetty@tty1"},
        {"services:\n- name: agetty@a/b\n",
         "config.yml:2:9: the name 'agetty@a/b' has a '/'; a name is no path: use letters, digits "
         "and - _ . @ :"},
        {"services:\n- name: a\n- name: a\n",
         "config.yml:3:3: 'a' stands here for the second time: keep one"},
        {"start: a\n", "config.yml:1:8: 'start' is a list of names: write 'start: [networking]'"},
        {"start: [[a]]\n", "config.yml:1:9: the name of a service is a text, not a list"},
        {"watch: maybe\n", "config.yml:1:8: 'watch' is yes or no: write 'watch: yes'"},
        {"log: x\n", "config.yml:1:6: 'log' is a mapping: write 'log: {max-size: 1G}'"},
        {"log: {max-siz: 1G}\n",
         "config.yml:1:7: there is no key 'max-siz': did you mean 'max-size'?"},
        {"log: {max-size: big}\n", "config.yml:1:17: 'max-size' of 'log' is a size: write 1G, "
                                   "500M, or a number of bytes"},
        {"log: {max-size: 4K}\n", "config.yml:1:17: 'max-size: 4K' is too little: at least 1M"},
        {"log: {max-size: 9999999G}\n",
         "config.yml:1:17: 'max-size: 9999999G' is too much: at most 1048576G"},
        {"log: {dev-log: maybe}\n", "config.yml:1:16: 'dev-log' is yes, no or a path: write "
                                    "'dev-log: yes', or 'dev-log: /run/log'"},
        {"log: {dev-log: /12345678901234567890123456789012345678901234567890"
         "1234567890123456789012345678901234567890123456789012345678}\n",
         "config.yml:1:16: the path of a socket has at most 107 bytes: choose a shorter one"},
        {"log: {sync: soon}\n",
         "config.yml:1:13: 'sync' of 'log' is a time: write 500ms, 5s or 1min"},
        {"log: {sync: 99ms}\n", "config.yml:1:13: 'sync: 99ms' is too short: at least 100ms"},
        {"log: {sync: 61min}\n", "config.yml:1:13: 'sync: 61min' is too long: at most 1h"},
        {"log: {sync: never}\n", "config.yml:1:13: 'sync: never' is too long: at most 1h"},
        {"log: {kernel: [yes]}\n", "config.yml:1:15: 'kernel' is yes or no: write 'kernel: yes'"},
        {"- a\n", "config.yml:1:1: the system file is a mapping, not a list: write 'title: some "
                  "words'"},
        {"titel: x\ntitle: y\n", /* though the last one is good */
         "config.yml:1:1: there is no key 'titel': did you mean 'title'?"},
        {"title: ~\nservices:\n- name: a\n- description: b\n",
         "config.yml:1:8: 'title' is a text: write 'title: some words'"},
        {"services:\n- description: b\n- name: a\n- name: a\n",
         "config.yml:2:3: this service has no name: write '- name: networking'\n"
         "config.yml:4:3: 'a' stands here for the second time: keep one"},
        {"watch: [yes]\nlog: {kernel: 'yes', dev-log: [x], sync: [5s], max-size: {}}\n",
         "config.yml:1:8: 'watch' is yes or no: write 'watch: yes'\n"
         "config.yml:2:15: 'kernel' is yes or no: write 'kernel: yes'\n"
         "config.yml:2:31: 'dev-log' is yes, no or a path: write 'dev-log: yes', or 'dev-log: "
         "/run/log'\n"
         "config.yml:2:42: 'sync' of 'log' is a time: write 500ms, 5s or 1min\n"
         "config.yml:2:58: 'max-size' of 'log' is a size: write 1G, 500M, or a number of bytes"},
        {"watch: 'yes'\nlog: {sync: 50d, max-size: 99999999999999999999}\n",
         "config.yml:1:8: 'watch' is yes or no: write 'watch: yes'\n"
         "config.yml:2:13: 'sync: 50d' is too long: at most 1h\n"
         "config.yml:2:28: 'max-size: 99999999999999999999' is too much: at most 1048576G"},
        {"title: 'x\n", "config.yml:1:8: a quote is opened here and never closed: close it"},
        {"title: a\ntitle: b\n",
         "config.yml:2:1: 'title' stands here for the second time, first in line 1: keep one"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct system_file file = {0};
        struct error_list errors = {0};
        CHECK_NUMBER(parse(bad[i].text, &file, &errors), -EINVAL);
        char *told = reading_errors_text(&errors);
        CHECK_TEXT(told, bad[i].message);
        free(told);
        CHECK(file.path == NULL);
        error_list_finish(&errors);
    }
}

TEST(all_errors_of_a_file_are_told_up_to_a_bound)
{
    char text[2000];
    size_t used = 0;
    struct system_file file = {0};
    struct error_list errors = {0};
    for (int i = 0; i < 100; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "zzzz%d: 1\n", i);
    CHECK_NUMBER(parse(text, &file, &errors), -EINVAL);
    CHECK_NUMBER(errors.count, ERRORS_PER_FILE);
    CHECK_NUMBER(errors.list[19].line, 20);
    error_list_finish(&errors);
}

TEST(a_path_that_is_too_long_is_none)
{
    char root[PATH_MAX + 1], path[8] = "before";
    struct error_list warnings = {0};
    memset(root, '/', sizeof root);
    root[sizeof root - 1] = 0;
    CHECK_NUMBER(system_file_find(root, path, sizeof path, &warnings), -ENAMETOOLONG);
    CHECK_TEXT(path, "before");
    CHECK_NUMBER(warnings.count, 0);
}

TEST(only_gonits_layout_has_a_folder_of_services_beside_it)
{
    CHECK_TEXT(system_file_services("/system/config.yaml"), "/system/services");
    CHECK(system_file_services("/etc/conit.yml") == NULL);
    CHECK(system_file_services("/systems/config.yaml") == NULL);
}

static void put(const char *root, const char *path)
{
    char whole[PATH_MAX];
    snprintf(whole, sizeof whole, "%s%s", root, path);
    FILE *file = fopen(whole, "w");
    if (!file)
        abort();
    fputs("title: x\n", file);
    fclose(file);
}

TEST(the_first_of_the_default_places_counts_and_the_choice_is_told)
{
    char root[] = "/tmp/conit-test-XXXXXX", path[PATH_MAX], expected[PATH_MAX], folder[PATH_MAX];
    struct error_list warnings = {0};
    struct system_file file = {0};
    CHECK(mkdtemp(root) != NULL);
    CHECK_NUMBER(system_file_find(root, path, sizeof path, &warnings), -ENOENT);
    put(root, "/config.yml");
    CHECK_NUMBER(system_file_find(root, path, strlen(root) + strlen("/config.yml"), &warnings),
                 -ENAMETOOLONG);
    CHECK_NUMBER(system_file_find(root, path, sizeof path, &warnings), 0);
    snprintf(expected, sizeof expected, "%s/config.yml", root);
    CHECK_TEXT(path, expected);
    CHECK_NUMBER(warnings.count, 0);
    snprintf(folder, sizeof folder, "%s/system", root);
    mkdir(folder, 0755);
    put(root, "/system/config.yml");
    CHECK_NUMBER(system_file_find(root, path, sizeof path, &warnings), 0);
    snprintf(expected, sizeof expected, "%s/system/config.yml", root);
    CHECK_TEXT(path, expected);
    CHECK_NUMBER(warnings.count, 1);
    snprintf(expected, sizeof expected, "is not read: '%s/system/config.yml' counts; remove one",
             root);
    CHECK_TEXT(warnings.list[0].message, expected);
    CHECK_NUMBER(system_file_read(path, &file, &warnings), 0);
    CHECK_TEXT(file.title, "x");
    system_file_finish(&file);
    CHECK_NUMBER(system_file_read(root, &file, &warnings), -EINVAL);
    CHECK_TEXT(warnings.list[1].message, "is a folder: put a regular file in its place");
    error_list_finish(&warnings);
    remove(path);
    remove(folder);
    snprintf(path, sizeof path, "%s/config.yml", root);
    remove(path);
    CHECK_NUMBER(remove(root), 0);
}
