/* Memory and system calls that fail while files are read, one after the other: what is found is
 * whole, or it is said that it cannot be read now. */
#include "base/text.h"
#include "config/check-names.h"
#include "config/definition-parse.h"
#include "config/read-file.h"
#include "config/reading.h"
#include "config/users.h"
#include "faults.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
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

static char top[] = "/tmp/test-config-XXXXXX";

static void write_text(const char *leaf, const char *text)
{
    char path[PATH_MAX];
    text_format(path, sizeof path, "%s/%s", top, leaf);
    FILE *file = fopen(path, "we");
    fputs(text, file);
    fclose(file);
}

static int remove_one(const char *path, const struct stat *about, int type, struct FTW *where)
{
    (void)about;
    (void)type;
    (void)where;
    return remove(path);
}

static void begin(void)
{
    static const char *const folders[] = {
        "services",          "later",       "later/folder",   "etc", "etc/enabled", "etc/disabled",
        "later/folder/logs", "later/inner", "later/inner/bin"};
    char path[PATH_MAX];
    memcpy(top + sizeof top - 7, "XXXXXX", 6);
    if (!mkdtemp(top))
        abort();
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        text_format(path, sizeof path, "%s/%s", top, folders[i]);
        mkdir(path, 0755);
    }
    write_text("conit.yml", "title: x\nservices: [{name: a, description: b}]\nstart: [web]\n");
    write_text("services/web.yml", daemon_text);
    write_text("services/task.yaml", script_text);
    write_text("services/bad.yml", bad_text);
    write_text("services/no name.yml", "exec: a\n");
    write_text("services/tty@.yml", "exec: a %i\n");
    write_text("services/twice.yml", "exec: a\n");
    write_text("services/twice.yaml", "exec: a\n");
    write_text("later/web.yml", daemon_text);
    write_text("later/task.yml", "");
    write_text("later/folder/config.yaml", "args: [a]\n");
    write_text("later/folder/bin", "#!/bin/sh\n");
    text_format(path, sizeof path, "%s/later/folder/bin", top);
    CHECK_NUMBER(chmod(path, 0755), 0);
    write_text("later/inner/config.yml", "args: [a]\n");
    write_text("later/inner/bin/inner", "#!/bin/sh\n");
    text_format(path, sizeof path, "%s/later/inner/bin/inner", top);
    CHECK_NUMBER(chmod(path, 0755), 0);
    write_text("services/empty.yml", "");
    text_format(path, sizeof path, "services/%0*d.yml", SERVICE_NAME_MAX_BYTES + 1, 0);
    write_text(path, "exec: a\n"); /* a name that is too long */
    write_text("etc/enabled/tty@1", "");
    write_text("etc/disabled/web", "");
    write_text("etc/enabled/web", "");
    write_text("etc/enabled/task", "");
    write_text("etc/disabled/no name", "");
    text_format(path, sizeof path, "%s/later/circle.yml", top);
    CHECK_NUMBER(symlink("circle.yml", path), 0);
}

static void end(void)
{
    CHECK_NUMBER(nftw(top, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* ---- one file ------------------------------------------------------------------------------ */

static const char *parsed_text;
static int parsed_result, expected_failure;
static char passwd[PATH_MAX], group[PATH_MAX];

/* www is in more groups than room is made for at first. */
static void begin_users(void)
{
    char text[4000];
    struct text all;
    begin();
    text_format(passwd, sizeof passwd, "%s/passwd", top);
    text_format(group, sizeof group, "%s/group", top);
    write_text("passwd", "www:x:33:34:web:/srv:/bin/false\n");
    text_init(&all, text, sizeof text);
    text_add(&all, "web:x:34:\n");
    for (int i = 0; i < 50; i++)
        text_printf(&all, "g%d:x:%d:www\n", i, 100 + i);
    write_text("group", text);
    users_set_paths(passwd, group);
}

static void end_users(void)
{
    users_set_paths(NULL, NULL);
    end();
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
    end_users();
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
        CHECK(strstr(error->message, passwd) || strstr(error->message, group));
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
    end_users();
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
    text_format(read_path, sizeof read_path, "%s/conit.yml", top);
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, read_one) >= 1);
    CHECK_NUMBER(fault_each(FAULT_CALLS, EPERM, read_one), 4);
    read_bytes = 0; /* it has become empty meanwhile */
    CHECK_NUMBER(fault_each_of("read", FAULT_CALLS, 0, read_one), 1);
    read_bytes = strlen("title: x\nservices: [{name: a, description: b}]\nstart: [web]\n");
    CHECK_NUMBER(fault_each_of("read", FAULT_CALLS, EINTR, read_one), 1);
    text_format(read_path, sizeof read_path, "no such file");
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, read_one) >= 1);
    end();
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
    int found = system_file_find(top, path, sizeof path, &warnings);
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
    char path[PATH_MAX];
    text_format(path, sizeof path, "%s/system", top);
    CHECK_NUMBER(mkdir(path, 0755), 0);
    write_text("system/config.yml", "title: first\n");
    write_text("etc/conit.yml", "title: second\n");
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, find_system_file) > 5);
    CHECK(fault_each(FAULT_CALLS, EIO, find_system_file) > 5);
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, read_missing_file) >= 3);
    end();
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

static void read_folders(void)
{
    static size_t sources, problems;
    char system_file[PATH_MAX], switches[PATH_MAX], first[PATH_MAX], second[PATH_MAX];
    const char *folders[] = {first, second};
    struct reading_options options = {system_file, switches, folders, 2, true};
    struct reading reading = {0};
    begin();
    text_format(system_file, sizeof system_file, "%s/conit.yml", top);
    text_format(switches, sizeof switches, "%s/etc", top);
    text_format(first, sizeof first, "%s/services", top);
    text_format(second, sizeof second, "%s/later", top);
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
    } else if (!failed) { /* one that could not be read is there all the same, or it is said */
        CHECK(reading.sources.count == sources || count_problems(&reading) != problems);
    } else {
        CHECK_NUMBER(failed, -ENOMEM);
    }
    reading_finish(&reading);
    end();
}

TEST(of_folders_that_are_read_nothing_is_missing_without_a_word)
{
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, read_folders) > 10);
    CHECK(fault_each(FAULT_CALLS, EIO, read_folders) > 20);
    CHECK(fault_each(FAULT_CALLS, EACCES, read_folders) > 20);
}

static void read_no_system_file(void)
{
    struct reading_options options = {.config = "/no/such/file"};
    struct reading reading = {0};
    faults_begin();
    int failed = reading_read(&options, NULL, &reading);
    faults_end();
    CHECK_NUMBER(failed, fault_happened() ? -ENOMEM : 0);
    if (!failed) {
        CHECK(reading.system_broken);
        CHECK_NUMBER(reading.errors.count, 1);
    }
    reading_finish(&reading);
}

TEST(a_system_file_that_is_not_there_is_told_or_there_is_no_memory)
{
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, read_no_system_file) > 4);
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
    CHECK(failed == 0 || (failed == -ENOMEM && fault_happened() && !sources.list));
    text_format(exec, sizeof exec, "%s/inner/web/bin", top);
    if (!fault_happened())
        CHECK_TEXT(sources.list[0].exec, exec);
    else if (!strcmp(fault_call(), "getcwd")) /* where we are cannot be told */
        CHECK_TEXT(sources.list[0].exec, "inner/web/bin");
    sources_finish(&sources);
    error_list_finish(&errors);
    error_list_finish(&warnings);
}

TEST(a_folder_of_one_service_is_found_with_its_program_or_there_is_no_memory)
{
    char path[PATH_MAX];
    begin();
    CHECK_NUMBER(chdir(top), 0);
    CHECK_NUMBER(mkdir("inner", 0755) + mkdir("inner/web", 0755), 0);
    write_text("inner/web/config.yml", "args: [a]\n");
    write_text("inner/web/bin", "#!/bin/sh\n");
    text_format(path, sizeof path, "%s/inner/web/bin", top);
    CHECK_NUMBER(chmod(path, 0755), 0);
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, scan_one_folder) > 10);
    CHECK_NUMBER(fault_each_of("getcwd", FAULT_CALLS, ENOENT, scan_one_folder), 1);
    CHECK_NUMBER(chdir("/"), 0);
    end();
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
