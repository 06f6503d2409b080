/* Memory and system calls that fail while files are read, one after the other: what is found is
 * whole, or it is said that it cannot be read now. */
#include "base/text.h"
#include "config/check-names.h"
#include "config/definition-parse.h"
#include "config/read-file.h"
#include "config/reading.h"
#include "config/users.h"
#include "fake-users.h"
#include "faults.h"
#include "scratch.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Every kind of key that keeps something. */
static const char daemon_text[] =
    "description: all of it\nexec: ['/bin/a', 'b c', '%n']\nargs: [d, '%n']\ntype: forking\n"
    "needs: [store, net]\nwants: [e]\nafter: [f]\nbefore: [g]\nconflicts: [h]\nprovides: [i, j]\n"
    "forks: {pid-file: /run/x.pid}\n"
    "before-start: ['x 1', [y, z]]\nafter-start: x\nbefore-stop: x\nafter-stop: [x]\n"
    "when: [{exists: /x}, {not: {exists: /y}}]\nuser: www\ngroup: web\ngroups: [5]\n"
    "env: {A: b, C: '%n'}\nenv-file: /etc/x\nlimits: {nofile: 5, core: 0}\nstdin: /dev/null\n"
    "resources: {tasks: 10}\ncpus: 0-3\nio: idle\nsched: batch\nnice: 3\numask: 022\ndir: /tmp\n"
    "stop: {exec: x, signal: INT}\nreload: y\nrestart: {policy: always, delay: 1s}\n"
    "log: {max-size: 1M, keep: 3, rate: 10/s}\nroot: /\n";
static const char script_text[] = "script: |\n  echo a\n  echo b\nready: {log: 'up [0-9]+'}\n"
                                  "tty: tty1\nwatchdog: 5s\nessential: yes\noom-score-adj: 5\n"
                                  "user: www\nenv: {}\n";
static const char bad_text[] =
    "exec: a 'b\nneeds: *x\nfoo: 1\nuser: nobody-here\nbar: 2\nbar: 3\ntty: x/y\numask: 9\n"
    "enabled: 7\nready: {log: '('}\nwhen: [{exist: /x}]\nlimits: {nofiles: 3}\nenv: [A]\n"
    "restart: {policy: sometimes, delay: -1}\nlog: {rate: 5/x}\ncpus: 9-1\ngroups: [nobody-here]\n";

static void begin(void)
{
    static const char *const folders[] = {"services",    "later",           "later/folder",
                                          "etc",         "etc/enabled",     "etc/disabled",
                                          "later/inner", "later/inner/bin", "later/folder/logs"};
    static const struct {
        const char *path, *text;
    } files[] = {
        {"conit.yml", "title: x\nservices: [{name: a, description: b}]\nstart: [web]\n"},
        {"services/web.yml", daemon_text},
        {"services/task.yaml", script_text},
        {"services/bad.yml", bad_text},
        {"services/no name.yml", "exec: a\n"},
        {"services/tty@.yml", "exec: a %i\n"},
        {"services/twice.yml", "exec: a\n"},
        {"services/twice.yaml", "exec: a\n"},
        {"services/empty.yml", ""},
        {"later/web.yml", daemon_text},
        {"later/task.yml", ""},
        {"later/folder/config.yaml", "args: [a]\n"},
        {"later/inner/config.yml", "args: [a]\n"},
        {"etc/enabled/tty@1", ""},
        {"etc/enabled/web", ""},
        {"etc/enabled/task", ""},
        {"etc/disabled/web", ""},
        {"etc/disabled/no name", ""},
    };
    char path[PATH_MAX];
    scratch_begin();
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        scratch_folder(folders[i]);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        scratch_put(files[i].path, files[i].text);
    scratch_program("later/folder/bin");
    scratch_program("later/inner/bin/inner");
    CHECK_NUMBER(symlink("circle.yml", "later/circle.yml"), 0);
    text_format(path, sizeof path, "services/%0*d.yml", SERVICE_NAME_MAX_BYTES + 1, 0);
    scratch_put(path, "exec: a\n"); /* a name that is too long */
}

/* ---- one file ------------------------------------------------------------------------------ */

static const char *parsed_text;
static int parsed_result, expected_failure;

/* www is in more groups than room is made for at first. */
static void begin_users(void)
{
    char text[4000];
    struct text all;
    text_init(&all, text, sizeof text);
    text_add(&all, "web:x:34:\n");
    for (int i = 0; i < 50; i++)
        text_printf(&all, "g%d:x:%d:www\n", i, 100 + i);
    fake_users_begin("www:x:33:34:web:/srv:/bin/false\n", text);
}

static void parse(void)
{
    struct source source = {
        .name = "web", .path = "web.yml", .text = parsed_text, .size = strlen(parsed_text)};
    struct error_list errors = {0};
    struct definition *definition = NULL;
    users_forget();
    faults_begin();
    int failed = definition_parse(&source, &definition, &errors);
    faults_end();
    CHECK((failed == 0) == (definition != NULL));
    CHECK_NUMBER(failed, fault_happened() ? -ENOMEM : parsed_result);
    CHECK(failed != -EINVAL || errors.count);
    if (definition && !definition->groups) /* the group of the entry, and each that names www */
        CHECK_NUMBER(definition->identity.group_count, 51);
    definition_destroy(definition);
    error_list_finish(&errors);
}

TEST(a_file_loads_whole_or_there_is_no_memory)
{
    static const struct {
        const char *text;
        int result;
    } rows[] = {{daemon_text, 0}, {script_text, 0}, {bad_text, -EINVAL}};
    begin_users();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        parsed_text = rows[i].text;
        parsed_result = rows[i].result;
        CHECK(fault_each(FAULT_MEMORY, ENOMEM, parse) > 50);
    }
    fake_users_end();
}

static void look_up(void)
{
    struct source source = {
        .name = "web", .path = "web.yml", .text = parsed_text, .size = strlen(parsed_text)};
    struct error_list errors = {0};
    struct definition *definition = NULL;
    users_forget();
    faults_begin();
    int failed = definition_parse(&source, &definition, &errors);
    faults_end();
    CHECK_NUMBER(failed, fault_happened() ? -EINVAL : 0);
    if (failed) {
        const struct error *error = errors.list;
        CHECK_NUMBER(errors.count, 1);
        CHECK(error->line == 2 && error->column == strcspn(parsed_text + 8, " ") + 2);
        CHECK(strstr(error->message, fake_passwd) || strstr(error->message, fake_group));
        CHECK(strstr(error->message, "cannot be read, so no user can be looked up: Input/output"));
    }
    definition_destroy(definition);
    error_list_finish(&errors);
    definition = NULL; /* and nothing of the failure is left */
    CHECK_NUMBER(definition_parse(&source, &definition, &errors), 0);
    definition_destroy(definition);
}

TEST(users_that_cannot_be_looked_up_are_told_by_the_key_that_names_them)
{
    static const char *const texts[] = {"exec: a\nuser: www\n", "exec: a\ngroup: web\n",
                                        "exec: a\ngroups: [web]\n"};
    begin_users();
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        parsed_text = texts[i];
        CHECK(fault_each(FAULT_CALLS, EIO, look_up) >= 10);
    }
    fake_users_end();
}

static void parse_template(void)
{
    struct source source = {.name = "web@",
                            .path = "web@.yml",
                            .text = parsed_text,
                            .size = strlen(parsed_text),
                            .logs = "/srv/logs"};
    struct error_list errors = {0};
    struct definition *definition = NULL;
    faults_begin();
    int failed = definition_parse_template(&source, &definition, &errors);
    faults_end();
    CHECK((failed == 0) == (definition != NULL));
    CHECK_NUMBER(failed, fault_happened() ? -ENOMEM : parsed_result);
    if (failed == -EINVAL) { /* what is wrong with the best of the examples: no address */
        CHECK_NUMBER(errors.count, 2);
        CHECK_TEXT(errors.list[0].message, "there is no key 'zzzzzzzz': remove it");
    }
    definition_destroy(definition);
    error_list_finish(&errors);
}

TEST(a_template_is_judged_by_its_best_example_or_there_is_no_memory)
{
    parsed_text = "exec: a %i\nready: {tcp: '127.0.0.1:%i'}\n";
    parsed_result = 0;
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, parse_template) > 30);
    parsed_text = "exec: a %i\nready: {tcp: '127.0.0.1:%i'}\nzzzzzzzz: 1\nyyyyyyyy: 2\n";
    parsed_result = -EINVAL;
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, parse_template) > 30);
}

static char read_path[PATH_MAX];
static size_t read_bytes;

static void read_one(void)
{
    struct arena arena = {0};
    char *text = NULL;
    size_t size = 0;
    const char *problem = NULL;
    faults_begin();
    int failed = read_file_at(AT_FDCWD, read_path, false, 1000, &arena, &text, &size, &problem);
    faults_end();
    if (fault_happened() && failed) {
        CHECK(failed == -ENOMEM || failed == -EPERM);
        if (failed == -EPERM)
            CHECK_TEXT(problem, "cannot be read: no permission");
    } else if (fault_happened()) {
        CHECK_NUMBER(size, read_bytes);
    } else {
        CHECK_NUMBER(failed, *read_path == '/' ? 0 : -ENOENT);
    }
    CHECK(!text || strlen(text) == size);
    arena_finish(&arena);
}

TEST(a_file_is_read_whole_or_it_is_said_why_it_is_not)
{
    begin();
    text_format(read_path, sizeof read_path, "%s/conit.yml", scratch);
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, read_one) >= 1);
    CHECK_NUMBER(fault_each(FAULT_CALLS, EPERM, read_one), 4);
    read_bytes = 0; /* it has become empty meanwhile */
    CHECK_NUMBER(fault_each_of("read", FAULT_CALLS, 0, read_one), 1);
    struct stat about;
    CHECK_NUMBER(stat(read_path, &about), 0);
    read_bytes = (size_t)about.st_size;
    CHECK_NUMBER(fault_each_of("read", FAULT_CALLS, EINTR, read_one), 1);
    text_format(read_path, sizeof read_path, "no such file");
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, read_one) >= 1);
    scratch_end();
}

/* ---- the system file ------------------------------------------------------------------------ */

static void parse_system_file(void)
{
    struct error_list errors = {0};
    struct system_file file = {0};
    faults_begin();
    int failed = system_file_parse("x.yml", parsed_text, strlen(parsed_text), &file, &errors);
    faults_end();
    CHECK_NUMBER(failed, fault_happened() ? -ENOMEM : parsed_result);
    CHECK(failed == 0 || file.path == NULL);
    CHECK(failed != -EINVAL || errors.count == 6);
    system_file_finish(&file);
    error_list_finish(&errors);
}

TEST(a_system_file_loads_whole_or_there_is_no_memory)
{
    parsed_text = "version: 0.1\ntitle: x\nservices: [{name: a, description: b}, {name: c}]\n"
                  "start: [c, d]\nwatch: yes\nlog: {sync: 1s, dev-log: /run/log, kernel: no}\n";
    parsed_result = 0;
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, parse_system_file) > 30);
    parsed_text =
        "foo: a\nservices: [{name: a/b}, {nam: x}, {name: a}, {name: a}]\nstart: [[x], c]\n"
        "watch: 5\n";
    parsed_result = -EINVAL;
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, parse_system_file) > 30);
}

static void find_system_file(void)
{
    struct error_list warnings = {0}, errors = {0};
    struct system_file file = {0};
    char path[PATH_MAX] = "";
    faults_begin();
    int found = system_file_find(scratch, path, sizeof path, &warnings);
    int failed = found ? found : system_file_read(path, &file, &errors);
    faults_end();
    if (!fault_happened()) {
        CHECK_NUMBER(failed, 0);
        CHECK_NUMBER(warnings.count, 1);
        CHECK_TEXT(file.title, "first");
    } else if (failed == -EINVAL) {
        CHECK_NUMBER(errors.count, 1);
        CHECK_TEXT(errors.list[0].message, "cannot be read: Input/output error");
    } else if (failed) {
        CHECK_NUMBER(failed, -ENOMEM);
    } else { /* a place that cannot be looked at counts as empty */
        CHECK(file.title != NULL);
    }
    system_file_finish(&file);
    error_list_finish(&warnings);
    error_list_finish(&errors);
}

static void read_missing_file(void)
{
    struct error_list errors = {0};
    struct system_file file = {0};
    faults_begin();
    int failed = system_file_read("/no/such/file", &file, &errors);
    faults_end();
    CHECK_NUMBER(failed, fault_happened() ? -ENOMEM : -EINVAL);
    CHECK_NUMBER(errors.count, !fault_happened());
    error_list_finish(&errors);
}

TEST(the_system_file_that_counts_is_found_or_it_is_said_why_not)
{
    begin();
    scratch_folder("system");
    scratch_put("system/config.yml", "title: first\n");
    scratch_put("etc/conit.yml", "title: second\n");
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, find_system_file) > 5);
    CHECK(fault_each(FAULT_CALLS, EIO, find_system_file) > 5);
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, read_missing_file) >= 3);
    scratch_end();
}

/* ---- all files ----------------------------------------------------------------------------- */

static size_t count_problems(const struct reading *reading)
{
    size_t count =
        reading->errors.count + reading->warnings.count + (size_t)-reading->sources.unread;
    for (size_t i = 0; i < reading->sources.count; i++)
        count += reading->sources.list[i].problem != NULL;
    return count;
}

static const struct source *find(const struct reading *reading, const char *name)
{
    for (size_t i = 0; i < reading->sources.count; i++)
        if (strcmp(reading->sources.list[i].name, name) == 0)
            return &reading->sources.list[i];
    return NULL;
}

static bool memory_fails;

static void read_folders(void)
{
    static size_t sources, problems;
    const char *folders[] = {"services", "later"};
    struct reading_options options = {"conit.yml", "etc", folders, 2, true};
    struct reading reading = {0};
    begin();
    faults_begin();
    int failed = reading_read(&options, NULL, &reading);
    faults_end();
    if (!fault_happened()) {
        sources = reading.sources.count;
        problems = count_problems(&reading);
        CHECK(find(&reading, "web") && find(&reading, "web")->text);
        CHECK(find(&reading, "task") && find(&reading, "task")->masked);
        CHECK(find(&reading, "circle") && find(&reading, "circle")->problem);
        CHECK(find(&reading, "folder") && find(&reading, "folder")->exec);
        CHECK(find(&reading, "folder")->logs && find(&reading, "inner")->exec);
    } else if (memory_fails) {
        CHECK_NUMBER(failed, -ENOMEM);
    } else if (!failed) { /* one that could not be read is there all the same, or it is said */
        CHECK(reading.sources.count == sources || count_problems(&reading) != problems);
    } else {
        CHECK_NUMBER(failed, -ENOMEM);
    }
    reading_finish(&reading);
    scratch_end();
}

TEST(of_folders_that_are_read_nothing_is_missing_without_a_word)
{
    memory_fails = true;
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, read_folders) > 10);
    memory_fails = false;
    CHECK(fault_each(FAULT_CALLS, EIO, read_folders) > 20);
    CHECK(fault_each(FAULT_CALLS, EACCES, read_folders) > 20);
}

/* The errors and warnings of a reading of the system file alone. */
static const char *config;
static size_t told;

static void read_system_file(void)
{
    struct reading_options options = {.config = config};
    struct reading reading = {0};
    faults_begin();
    int failed = reading_read(&options, NULL, &reading);
    faults_end();
    CHECK_NUMBER(failed, fault_happened() ? -ENOMEM : 0);
    if (!failed)
        CHECK_NUMBER(reading.errors.count + reading.warnings.count, told);
    reading_finish(&reading);
}

TEST(what_is_wrong_with_a_system_file_is_told_or_there_is_no_memory)
{
    scratch_begin();
    told = 1;
    config = "none.yml";
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, read_system_file) > 4);
    config = "conit.yml";
    scratch_put(config, "log: {dev-log: /no/such/folder/log}\n");
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, read_system_file) > 10);
    scratch_put(config, "log: {dev-log: /dev/null}\n");
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, read_system_file) > 10);
    told = 2;
    scratch_put(config, "titel: x\nwatch: 5\n");
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, read_system_file) > 10);
    scratch_end();
}

/* Of a folder of which the path is relative, which has one service, a folder, in it. */
static void scan_one_folder(void)
{
    static const char *const folders[] = {"inner"};
    struct sources sources = {0};
    struct error_list errors = {0}, warnings = {0};
    char exec[PATH_MAX];
    faults_begin();
    int failed = sources_scan(folders, 1, &sources, &errors, &warnings);
    faults_end();
    bool lost = fault_happened() && strcmp(fault_call(), "getcwd") == 0;
    CHECK_NUMBER(failed, fault_happened() && !lost ? -ENOMEM : 0);
    CHECK(failed == 0 || !sources.list);
    text_format(exec, sizeof exec, "%s/inner/web/bin", scratch);
    if (!fault_happened())
        CHECK_TEXT(sources.list[0].exec, exec);
    else if (lost) /* where we are cannot be told */
        CHECK_TEXT(sources.list[0].exec, "inner/web/bin");
    sources_finish(&sources);
    error_list_finish(&errors);
    error_list_finish(&warnings);
}

TEST(a_folder_of_one_service_is_found_with_its_program_or_there_is_no_memory)
{
    scratch_begin();
    scratch_folder("inner");
    scratch_folder("inner/web");
    scratch_put("inner/web/config.yml", "args: [a]\n");
    scratch_program("inner/web/bin");
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, scan_one_folder) > 10);
    CHECK_NUMBER(fault_each_of("getcwd", FAULT_CALLS, ENOENT, scan_one_folder), 1);
    scratch_end();
}

static void write_and_take(void)
{
    static const struct source one = {
        .name = "web", .path = "a/web.yml", .text = "exec: a\n", .size = 8};
    struct source list[] = {one};
    struct reading reading = {.sources = {.list = list, .count = 1}, .system_broken = true};
    struct reading taken = {0};
    char long_path[1000]; /* more than a buffer has room for at first */
    memset(long_path, 'a', sizeof long_path);
    long_path[sizeof long_path - 1] = 0;
    error_list_add(&reading.errors, long_path, 3, 1, "bad");
    error_list_add(&reading.errors, NULL, 0, 0, "worse");
    error_list_add(&reading.warnings, "b", 0, 0, "doubtful");
    int sources = memfd_create("sources", MFD_CLOEXEC), notes = memfd_create("notes", MFD_CLOEXEC);
    faults_begin();
    int failed = reading_write(&reading, sources, notes);
    int written = failed;
    if (!failed)
        failed = reading_take(sources, notes, &taken);
    faults_end();
    CHECK_NUMBER(failed, fault_happened() ? expected_failure : 0);
    if (!failed) {
        CHECK_NUMBER(taken.sources.count, 1);
        CHECK_TEXT(taken.sources.list[0].name, "web");
        CHECK_NUMBER(taken.errors.count, 2);
        CHECK_TEXT(taken.errors.list[0].file, long_path);
        CHECK(taken.errors.list[1].file == NULL);
        CHECK_NUMBER(taken.warnings.count, 1);
        CHECK(taken.system_broken);
    }
    if (!written)
        reading_finish(&taken);
    error_list_finish(&reading.errors);
    error_list_finish(&reading.warnings);
    close(sources);
    close(notes);
}

TEST(what_a_reader_found_arrives_whole_or_is_an_error)
{
    static const char *const interrupted[] = {"pread64", "pwrite64"};
    expected_failure = -ENOMEM;
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, write_and_take) > 3);
    expected_failure = -EIO;
    CHECK(fault_each(FAULT_CALLS, EIO, write_and_take) > 4);
    expected_failure = -EBADMSG; /* cut while it is read */
    CHECK_NUMBER(fault_each_of("pread64", FAULT_CALLS, 0, write_and_take), 2);
    expected_failure = 0;
    for (size_t i = 0; i < sizeof interrupted / sizeof interrupted[0]; i++)
        CHECK(fault_each_of(interrupted[i], FAULT_CALLS, EINTR, write_and_take) >= 2);
}

static void tell_errors(void)
{
    struct error_list errors = {0};
    error_list_add(&errors, "a", 3, 1, "bad");
    error_list_add(&errors, "b", 0, 0, "worse");
    faults_begin();
    char *words = reading_errors_text(&errors);
    faults_end();
    if (fault_happened())
        CHECK(words == NULL);
    else
        CHECK_TEXT(words, "a:3:1: bad\nb: worse");
    free(words);
    error_list_finish(&errors);
}

TEST(errors_are_told_one_a_line_or_there_is_no_memory)
{
    CHECK_NUMBER(fault_each(FAULT_MEMORY, ENOMEM, tell_errors), 1);
    struct error_list none = {0};
    char *words = reading_errors_text(&none);
    CHECK_TEXT(words, "");
    free(words);
}

static void keep_switches(void)
{
    static const char text[] = "on a\noff a\nonx b\noff c\nd\non ";
    struct switches switches = {0}, again = {0};
    struct arena arena = {0};
    size_t size = 0;
    faults_begin();
    int failed = switches_parse(text, sizeof text - 1, &switches);
    const char *kept = failed ? NULL : switches_text(&switches, &arena, &size);
    int failed_again = kept ? switches_parse(kept, size, &again) : 0;
    faults_end();
    CHECK((failed < 0 || !kept || failed_again < 0) == fault_happened());
    CHECK(failed == 0 || (failed == -ENOMEM && !switches.list));
    CHECK(failed_again == 0 || (failed_again == -ENOMEM && !again.list));
    if (!fault_happened()) {
        CHECK_NUMBER(again.count, 2);
        CHECK_NUMBER(switches_find(&again, "a"), SWITCHED_OFF);
        CHECK_NUMBER(switches_find(&again, "c"), SWITCHED_OFF);
    }
    switches_finish(&switches);
    switches_finish(&again);
    arena_finish(&arena);
}

TEST(what_is_switched_is_kept_whole_or_there_is_no_memory)
{
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, keep_switches) > 5);
}

/* ---- names --------------------------------------------------------------------------------- */

static void add(struct names *names, struct source *source, enum checked_kind kind, int *failed)
{
    struct error_list ignored = {0};
    struct checked checked = {.name = source->name, .source = source, .kind = kind, .told = true};
    source->path = source->name;
    source->size = strlen(source->text);
    if (!*failed && kind == CHECKED_SERVICE)
        *failed = definition_parse(source, &checked.owned, &ignored);
    checked.definition = checked.owned;
    int not_added = *failed ? *failed : names_add(names, &checked);
    if (not_added)
        definition_destroy(checked.owned);
    *failed = not_added;
    error_list_finish(&ignored);
}

#define MOST_NAMES 6

/* What is checked, and how many errors are found in it; names behind one that is NULL are none. */
struct name_case {
    struct {
        const char *name, *text;
    } services[MOST_NAMES];
    const char *in_order[MOST_NAMES], *start[MOST_NAMES], *switched_on;
    size_t errors;
};

static const struct name_case everything = {
    .services = {{"a", "exec: x\nneeds: [b]\nprovides: [z]\n"},
                 {"b", "exec: x\nneeds: [a]\n"},
                 {"c", "exec: x\nneeds: [nobody, 't@1']\nwants: [z, nowhere]\n"},
                 {"d", "exec: x\nafter: ['bad@1']\nwants: ['bad@1', 'bad@2']\n"},
                 {"t@", "exec: x %i\nneeds: ['t@%i']\n"},
                 {"bad@", "exec: 'x %i\n"}},
    .in_order = {"a", "t@2", "none"},
    .start = {"t@3", "neither"},
    .switched_on = "t@4",
    .errors = 11,
};
static const struct name_case from_outside[] = {
    {.services = {{"a", "exec: x\n"}, {"b", "exec: x\n"}, {"t@", "exec: x\n"}},
     .in_order = {"a", "b", "t@2", "none"},
     .errors = 1},
    {.services = {{"t@", "exec: x\n"}}, .start = {"t@3", "neither"}, .errors = 1},
    {.services = {{"t@", "exec: x\n"}}, .switched_on = "t@4"},
};
static const struct name_case too_deep = {
    .services = {{"a", "exec: x\nneeds: ['t@1']\n"},
                 {"t@", "exec: x\nneeds: ['u@%ix']\n"},
                 {"u@", "exec: x\nneeds: ['t@%ix']\n"}},
    .errors = 1,
};
#define TEN(n) "t@" #n "0,t@" #n "1,t@" #n "2,t@" #n "3,t@" #n "4,t@" #n "5,t@" #n "6,t@" #n "7,"
/* More than there is room for at first. */
static const struct name_case many = {
    .services = {{"a", "exec: x\nneeds: [" TEN(1) TEN(2) TEN(3) TEN(4) TEN(5) TEN(6) TEN(7) TEN(8)
                           TEN(9) "]\n"},
                 {"t@", "exec: x\n"}},
};
static const struct name_case *checked_case;

static void check_names(void)
{
    const struct name_case *of = checked_case;
    struct source sources[MOST_NAMES] = {0};
    struct system_service in_order[MOST_NAMES] = {0};
    const char *start[MOST_NAMES] = {0};
    struct system_place places[MOST_NAMES] = {0};
    struct system_file order = {
        .path = "conit.yml", .services = in_order, .start = start, .start_places = places};
    struct switch_entry by_hand = {of->switched_on, SWITCHED_ON};
    const struct switches switches = {&by_hand, of->switched_on != NULL, {0}};
    struct names names = {.order = &order, .switches = &switches, .in_force = true};
    struct error_list errors = {0};
    int failed = 0;
    for (size_t i = 0; of->in_order[i]; i++)
        in_order[order.service_count++].name = of->in_order[i];
    memcpy(start, of->start, sizeof start);
    faults_begin();
    for (size_t i = 0; i < MOST_NAMES && of->services[i].name; i++) {
        sources[i] = (struct source){.name = of->services[i].name, .text = of->services[i].text};
        add(&names, &sources[i], strchr(sources[i].name, '@') ? CHECKED_TEMPLATE : CHECKED_SERVICE,
            &failed);
    }
    if (!failed)
        failed = names_check(&names, &errors);
    faults_end();
    CHECK(failed == 0 || (failed == -ENOMEM && fault_happened()));
    if (!failed) /* without memory for the nearest name there is none, and that is all */
        CHECK_NUMBER(errors.count, of->errors);
    names_finish(&names);
    error_list_finish(&errors);
}

TEST(names_are_all_looked_at_or_there_is_no_memory)
{
    checked_case = &everything;
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, check_names) > 100);
    for (size_t i = 0; i < sizeof from_outside / sizeof from_outside[0]; i++) {
        checked_case = &from_outside[i];
        CHECK(fault_each(FAULT_MEMORY, ENOMEM, check_names) > 10);
    }
    checked_case = &many;
    CHECK(fault_each_of("reallocarray", FAULT_MEMORY, ENOMEM, check_names) > 5);
    checked_case = &too_deep;
    CHECK(fault_each_of("reallocarray", FAULT_MEMORY, ENOMEM, check_names) > 5);
}
