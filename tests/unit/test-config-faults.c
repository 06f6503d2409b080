/* Memory and system calls that fail while files are read, one after the other: what is found is
 * whole, or it is said that it cannot be read now. */
#include "base/text.h"
#include "config/check-names.h"
#include "config/definition-parse.h"
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
    "when: [{exists: /x}, {not: {exists: /y}}]\nuser: root\ngroup: root\ngroups: [5]\n"
    "env: {A: b, C: '%n'}\nenv-file: /etc/x\nlimits: {nofile: 5, core: 0}\nstdin: /dev/null\n"
    "resources: {tasks: 10}\ncpus: 0-3\nio: idle\nsched: batch\nnice: 3\numask: 022\ndir: /tmp\n"
    "stop: {exec: x, signal: INT}\nreload: y\nrestart: {policy: always, delay: 1s}\n"
    "log: {max-size: 1M, keep: 3, rate: 10/s}\nroot: /\n";
static const char script_text[] = "script: |\n  echo a\n  echo b\nready: {log: 'up [0-9]+'}\n"
                                  "tty: tty1\nwatchdog: 5s\nessential: yes\noom-score-adj: 5\n";
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
    static const char *const folders[] = {"services", "later",       "later/folder",
                                          "etc",      "etc/enabled", "etc/disabled"};
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
    write_text("later/folder/config.yaml", "exec: a\n");
    write_text("etc/enabled/tty@1", "");
    write_text("etc/disabled/web", "");
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
static int parsed_result;

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
    if (fault_happened())
        CHECK(failed == -ENOMEM || failed == -EINVAL || failed == parsed_result);
    else
        CHECK_NUMBER(failed, parsed_result);
    CHECK(failed != -EINVAL || errors.count);
    definition_destroy(definition);
    error_list_finish(&errors);
    users_forget();
}

TEST(a_file_loads_whole_or_not_at_all_whatever_fails)
{
    static const struct {
        const char *text;
        int result;
    } rows[] = {{daemon_text, 0}, {script_text, 0}, {bad_text, -EINVAL}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        parsed_text = rows[i].text;
        parsed_result = rows[i].result;
        CHECK(fault_each(FAULT_MEMORY, ENOMEM, parse) > 3);
        if (i != 1) /* these look up users and groups */
            CHECK(fault_each(FAULT_CALLS, EIO, parse) >= 1);
    }
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

static void write_and_take(void)
{
    static const struct source one = {
        .name = "web", .path = "a/web.yml", .text = "exec: a\n", .size = 8};
    struct source list[] = {one};
    struct reading reading = {.sources = {.list = list, .count = 1}}, taken = {0};
    error_list_add(&reading.errors, "a", 3, 1, "bad");
    error_list_add(&reading.warnings, "b", 0, 0, "doubtful");
    int sources = memfd_create("sources", MFD_CLOEXEC), notes = memfd_create("notes", MFD_CLOEXEC);
    faults_begin();
    int failed = reading_write(&reading, sources, notes);
    int written = failed;
    if (!failed)
        failed = reading_take(sources, notes, &taken);
    faults_end();
    CHECK(failed <= 0 && (failed == 0 || fault_happened()));
    if (!failed) {
        CHECK_NUMBER(taken.sources.count, 1);
        CHECK_TEXT(taken.sources.list[0].name, "web");
        CHECK_NUMBER(taken.errors.count, 1);
        CHECK_NUMBER(taken.warnings.count, 1);
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
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, write_and_take) > 3);
    CHECK(fault_each(FAULT_CALLS, EIO, write_and_take) > 4);
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

static void check_names(void)
{
    struct source sources[] = {
        {.name = "a", .text = "exec: x\nneeds: [b]\nprovides: [z]\n"},
        {.name = "b", .text = "exec: x\nneeds: [a]\n"},
        {.name = "c", .text = "exec: x\nneeds: [nobody, 't@1']\nwants: [z, nowhere]\n"},
        {.name = "d", .text = "exec: x\nafter: ['bad@1']\n"},
        {.name = "t@", .text = "exec: x %i\nneeds: ['t@%i']\n"},
        {.name = "bad@", .text = "exec: 'x %i\n"},
    };
    static size_t count;
    struct names names = {0};
    struct error_list errors = {0};
    int failed = 0;
    faults_begin();
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++)
        add(&names, &sources[i], strchr(sources[i].name, '@') ? CHECKED_TEMPLATE : CHECKED_SERVICE,
            &failed);
    if (!failed)
        failed = names_check(&names, &errors);
    faults_end();
    CHECK(failed == 0 || (failed == -ENOMEM && fault_happened()));
    if (!fault_happened()) {
        count = errors.count;
        CHECK(count >= 3); /* the cycle, a name that is none, an instance that does not load */
    }
    if (!failed)
        CHECK_NUMBER(errors.count, count);
    names_finish(&names);
    error_list_finish(&errors);
}

TEST(names_are_all_looked_at_or_there_is_no_memory)
{
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, check_names) > 10);
}
