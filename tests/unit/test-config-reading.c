/* All that persons have written, read as one, and what is no hand-over of it. */
#include "base/cleanup.h"
#include "base/text.h"
#include "config/reading.h"
#include "config/switches.h"
#include "config/system-file.h"
#include "scratch.h"
#include "test.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void begin(void)
{
    scratch_begin();
    scratch_folder("s");
    scratch_folder("etc");
    scratch_folder("etc/enabled");
    scratch_put("conit.yml", "start: [web]\n");
    scratch_put("s/web.yml", "exec: a\n");
    scratch_put("s/a.yml", "exec: a\n");
}

/* Its sources by name, a blank between them; errors and warnings. */
static void check_read(const struct reading_options *options, const char *names, const char *errors,
                       const char *warnings)
{
    struct reading reading;
    char storage[1000];
    struct text text;
    CHECK_NUMBER(reading_read(options, NULL, &reading), 0);
    text_init(&text, storage, sizeof storage);
    for (size_t i = 0; i < reading.sources.count; i++)
        text_printf(&text, "%s%s", i ? "," : "", reading.sources.list[i].name);
    CHECK_TEXT(storage, names);
    char *told = reading_errors_text(&reading.errors);
    CHECK_TEXT(told, errors);
    free(told);
    told = reading_errors_text(&reading.warnings);
    CHECK_TEXT(told, warnings);
    free(told);
    CHECK(reading.system_broken == (strstr(errors, "conit.yml") != NULL));
    reading_finish(&reading);
}

TEST(what_is_read_is_in_one_set_with_the_system_file_and_what_was_switched)
{
    const char *folders[] = {"s"};
    begin();
    scratch_put("etc/enabled/web", "");
    check_read(&(struct reading_options){"conit.yml", "etc", folders, 1, true},
               "/switched,/system-file,a,web", "", "");
    check_read(&(struct reading_options){"conit.yml", NULL, folders, 1, true}, "/system-file,a,web",
               "", "");
    check_read(&(struct reading_options){"conit.yml", "etc", NULL, 0, false},
               "/switched,/system-file", "", "");
    scratch_end();
}

TEST(no_file_has_the_name_of_what_is_kept_beside_the_services)
{
    const char *folders[] = {"s"};
    begin();
    scratch_put("etc/enabled/web", "");
    scratch_put("s/ system-file.yml", "exec: a\n");
    scratch_put("s/ switched.yml", "exec: a\n");
    check_read(&(struct reading_options){"conit.yml", "etc", folders, 1, true},
               " switched, system-file,/switched,/system-file,a,web", "", "");
    scratch_end();
}

TEST(a_system_file_that_cannot_be_read_is_told_and_all_else_is_read)
{
    const char *folders[] = {"s"};
    struct reading_options options = {"conit.yml", NULL, folders, 1, true};
    char path[PATH_MAX + 10];
    begin();
    scratch_put("conit.yml", "titel: a\n");
    check_read(&options, "a,web", "conit.yml:1:1: there is no key 'titel': did you mean 'title'?",
               "");
    scratch_put("conit.yml", "");
    check_read(&options, "a,web",
               "conit.yml: is empty: write at least 'title: some words', or remove it", "");
    remove("conit.yml");
    check_read(&options, "a,web", "conit.yml: cannot be read: there is no such file", "");
    memset(path, 'x', sizeof path);
    path[sizeof path - 1] = 0;
    options.config = path;
    struct reading reading;
    CHECK_NUMBER(reading_read(&options, NULL, &reading), 0);
    CHECK_NUMBER(reading.errors.count, 1);
    CHECK_TEXT(reading.errors.list[0].message, "cannot be read: File name too long");
    CHECK(reading.system_broken && reading.sources.count == 2);
    reading_finish(&reading);
    scratch_end();
}

TEST(with_gonits_layout_its_own_folder_is_read_and_need_not_be_there)
{
    const char *folders[] = {"s"};
    struct scan_place place = {0};
    struct reading reading;
    begin();
    CHECK_NUMBER(reading_read(&(struct reading_options){"/system/none.yml", NULL, folders, 1, true},
                              &place, &reading),
                 0);
    CHECK_NUMBER(place.steps,
                 6); /* the file, two folders, two files, and that the second is there */
    CHECK_NUMBER(reading.errors.count, 1);
    CHECK_NUMBER(reading.warnings.count, 0);
    reading_finish(&reading);
    scratch_end();
}

TEST(without_a_name_the_system_file_is_looked_for_in_the_default_places)
{
    struct reading reading;
    struct error_list warnings = {0};
    char path[PATH_MAX] = "";
    bool there = system_file_find("", path, sizeof path, &warnings) == 0;
    CHECK_NUMBER(reading_read(&(struct reading_options){0}, NULL, &reading), 0);
    CHECK_NUMBER(reading.warnings.count, warnings.count);
    CHECK((sources_find(&reading.sources, SYSTEM_SOURCE_NAME) != NULL) ==
          (there && !reading.system_broken));
    reading_finish(&reading);
    error_list_finish(&warnings);
}

/* A socket called "socket", a file, and a link that leads in a circle. */
static void begin_paths(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    begin();
    scratch_put("file", "");
    CHECK_NUMBER(symlink("circle", "circle"), 0);
    CHECK_NUMBER(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
}

TEST(a_path_where_no_socket_can_be_made_is_told)
{
    static const struct {
        const char *path, *words; /* words: %s is the folder of the test */
    } rows[] = {
        {"/socket", ""},
        {"/new", ""},
        {"/file", "%s/file is there, and no socket: remove it, or name another path"},
        {"/circle/x", ""}, /* the journal will tell */
        {"/file/x", "no socket can be made, for there is no folder %s/file"},
        {"/none/x", "no socket can be made, for there is no folder %s/none"},
    };
    struct reading_options options = {.config = "conit.yml"};
    begin_paths();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[200], words[300] = "";
        text_format(text, sizeof text, "log: {dev-log: %s%s}\n", scratch, rows[i].path);
        scratch_put("conit.yml", text);
        const char *place = strstr(rows[i].words, "%s");
        if (place)
            text_format(words, sizeof words, "conit.yml: 'dev-log' of 'log': %.*s%s%s",
                        (int)(place - rows[i].words), rows[i].words, scratch, place + 2);
        check_read(&options, "/system-file", "", words);
    }
    scratch_put("conit.yml", "log: {dev-log: /no-such-name-in-the-root}\n");
    check_read(&options, "/system-file", "", "");
    scratch_end();
}

TEST(a_folder_that_was_named_and_is_not_there_is_told)
{
    const char *folders[] = {"none", "s", "s/a.yml/x"};
    struct reading_options options = {"conit.yml", NULL, folders, 3, false};
    begin();
    check_read(&options, "/system-file,a,web",
               "s/a.yml/x: is no folder: put a folder with service files in its place", "");
    options.services_given = true;
    check_read(&options, "/system-file,a,web",
               "s/a.yml/x: is no folder: put a folder with service files in its place",
               "none: there is no such folder, so no service comes from it");
    scratch_end();
}

TEST(where_the_reading_is_can_be_seen_from_outside)
{
    const char *folders[] = {"s"};
    struct reading_options options = {"conit.yml", "etc", folders, 1, true};
    struct scan_place place = {0};
    struct reading reading;
    begin();
    CHECK_NUMBER(reading_read(&options, &place, &reading), 0);
    CHECK_NUMBER(place.steps, 7); /* the file, the folder, two files, it is there, two switches */
    CHECK_TEXT(place.path, "etc/disabled");
    reading_finish(&reading);
    options.switches = NULL;
    options.services_given = false;
    CHECK_NUMBER(reading_read(&options, &place, &reading), 0);
    CHECK_TEXT(place.path, "s/web.yml");
    reading_finish(&reading);
    scratch_end();
}

/* ---- handing over --------------------------------------------------------------------------- */

struct note {
    uint32_t kind, line, column, file_bytes, message_bytes;
};

TEST(notes_that_nobody_wrote_are_refused)
{
    static const struct {
        struct note note;
        const char *texts;
        size_t text_bytes;
        int result;
    } rows[] = {
        {{3, 0, 0, 0, 0}, "", 0, 0},
        {{3, 1, 0, 0, 0}, "more", 4, 0},
        {{1, 1, 1, 1, 1}, "f\0m", 4, -EBADMSG}, /* without an end */
        {{1, 1, 1, 1, 1}, "f\0mx", 4, -EBADMSG},
        {{1, 1, 1, 1, 1}, "fxm", 4, -EBADMSG},
        {{1, 1, 1, 4, 1}, "f\0m", 4, -EBADMSG},
        {{1, 1, 1, 1, 1}, "f\0m", 3, -EBADMSG}, /* cut just before its NUL */
        {{1, 1, 1, 1, 9}, "f\0m", 4, -EBADMSG},
        {{1, 1, 1, UINT32_MAX, 1}, "f\0m", 4, -EBADMSG},
        {{0, 1, 1, 1, 1}, "f\0m", 4, -EBADMSG},
        {{4, 1, 1, 1, 1}, "f\0m", 4, -EBADMSG},
    };
    int sources = memfd_create("sources", MFD_CLOEXEC);
    CHECK_NUMBER(sources_write(sources, NULL, 0), 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int notes = memfd_create("notes", MFD_CLOEXEC);
        struct reading reading;
        CHECK_NUMBER(pwrite(notes, &rows[i].note, sizeof rows[i].note, READING_NOTES_AT),
                     sizeof rows[i].note);
        CHECK_NUMBER(pwrite(notes, rows[i].texts, rows[i].text_bytes,
                            READING_NOTES_AT + (off_t)sizeof rows[i].note),
                     rows[i].text_bytes);
        CHECK_NUMBER(reading_take(sources, notes, &reading), rows[i].result);
        CHECK_NUMBER(reading.system_broken, rows[i].result == 0 && rows[i].note.line);
        reading_finish(&reading);
        close(notes);
    }
    close(sources);
}

TEST(notes_of_a_size_that_nobody_wrote_are_refused)
{
    static const off_t sizes[] = {0, READING_NOTES_AT, READING_NOTES_AT + 1, (64 << 20) + 1};
    int sources = memfd_create("sources", MFD_CLOEXEC), notes = memfd_create("notes", MFD_CLOEXEC);
    CHECK_NUMBER(sources_write(sources, NULL, 0), 0);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct reading reading;
        CHECK_NUMBER(ftruncate(notes, sizes[i]), 0);
        CHECK_NUMBER(reading_take(sources, notes, &reading), -EBADMSG);
        reading_finish(&reading);
    }
    close(sources);
    close(notes);
}

TEST(long_messages_arrive_whole)
{
    struct reading reading = {0}, taken;
    char file[400], message[ERROR_MESSAGE_BYTES];
    memset(file, 'f', sizeof file);
    memset(message, 'm', sizeof message);
    file[sizeof file - 1] = message[sizeof message - 1] = 0;
    for (int i = 0; i < 100; i++)
        CHECK_NUMBER(error_list_add(&reading.errors, file + i, 0, 0, "%s", message), 0);
    int sources = memfd_create("sources", MFD_CLOEXEC), notes = memfd_create("notes", MFD_CLOEXEC);
    CHECK_NUMBER(reading_write(&reading, sources, notes), 0);
    CHECK_NUMBER(reading_take(sources, notes, &taken), 0);
    CHECK_NUMBER(taken.errors.count, 100);
    CHECK_TEXT(taken.errors.list[99].file, file + 99);
    CHECK_TEXT(taken.errors.list[99].message, message);
    reading_finish(&reading);
    reading_finish(&taken);
    close(sources);
    close(notes);
}

/* As a launcher wrote it before the two had names that no file can have. */
TEST(a_record_with_the_former_names_of_system_file_and_switches_has_todays)
{
    static const struct source former[] = {
        {.name = " switched", .path = "/etc/conit", .text = "off a\n", .size = 6},
        {.name = " system-file", .path = "/etc/init.yml", .text = "title: t\n", .size = 9},
        {.name = "+a", .path = "/s/+a.yml", .problem = "no name"},
        {.name = "a", .path = "/s/a.yml", .text = "exec: a\n", .size = 8},
    };
    static const struct source files[] = {
        {.name = " switched", .path = "/s/ switched.yml", .masked = true},
        {.name = " system-file", .path = "/s/ system-file.yml", .problem = "no name"},
    };
    static const struct source both[] = {
        {.name = " system-file", .path = "/etc/init.yml", .text = "x", .size = 1},
        {.name = SYSTEM_SOURCE_NAME, .path = "/etc/init.yml", .text = "x", .size = 1},
    };
    AUTO_CLOSE int fd = memfd_create("record", MFD_CLOEXEC);
    AUTO_CLOSE int files_fd = memfd_create("files", MFD_CLOEXEC);
    AUTO_CLOSE int both_fd = memfd_create("both", MFD_CLOEXEC);
    struct sources sources = {0};
    CHECK_NUMBER(sources_write(fd, former, 4), 0);
    CHECK_NUMBER(sources_read(fd, &sources), 0);
    CHECK_NUMBER(sources.count, 4);
    CHECK_TEXT(sources.list[0].name, "+a");
    CHECK_TEXT(sources.list[1].name, SWITCHES_SOURCE_NAME);
    CHECK_TEXT(sources.list[1].text, "off a\n");
    CHECK_TEXT(sources.list[2].name, SYSTEM_SOURCE_NAME);
    CHECK_TEXT(sources.list[2].text, "title: t\n");
    CHECK_TEXT(sources.list[3].name, "a");
    sources_finish(&sources);

    CHECK_NUMBER(sources_write(files_fd, files, 2), 0);
    CHECK_NUMBER(sources_read(files_fd, &sources), 0);
    for (size_t i = 0; i < sources.count; i++)
        CHECK(source_equal(&sources.list[i], &files[i]));
    sources_finish(&sources);

    CHECK_NUMBER(sources_write(both_fd, both, 2), 0);
    CHECK_NUMBER(sources_read(both_fd, &sources), -EBADMSG);
}
