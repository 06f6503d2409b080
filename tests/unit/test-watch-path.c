/* Paths that are watched by inotify: each way in which a file can appear or change is told. */
#include "base/text.h"
#include "loop/watch-path.h"
#include "test.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

static struct loop loop;
static struct watch_paths paths;
static char folder[] = "/tmp/watch.XXXXXX", name[PATH_MAX];
static int told;

static void on_change(struct watch_path *watch)
{
    (void)watch;
    told++;
}

static const char *in_folder(const char *path)
{
    static char storage[4][PATH_MAX];
    static int next;
    next = (next + 1) % 4;
    text_format(storage[next], PATH_MAX, "%s/%s", folder, path);
    return storage[next];
}

static void begin(struct watch_path *watch, const char *path)
{
    static bool begun;
    if (!begun) {
        CHECK_NUMBER(loop_init(&loop), 0);
        watch_paths_init(&paths, &loop);
        CHECK(mkdtemp(folder) != NULL);
        begun = true;
    }
    text_format(name, sizeof name, "%s/%s", folder, path);
    told = 0;
    watch_path_begin(&paths, watch, name, on_change);
}

static bool is_told(void)
{
    int before = told;
    for (int i = 0; i < 3; i++)
        loop_turn(&loop, false);
    return told > before;
}

static void put(const char *path, const char *text)
{
    int fd = open(in_folder(path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

TEST(a_file_is_told_of_when_it_is_made_written_to_removed_and_made_again)
{
    struct watch_path watch;
    begin(&watch, "file");
    CHECK(!is_told());
    put("file", "");
    CHECK(is_told());
    put("file", "1");
    CHECK(is_told());
    CHECK(!is_told());
    unlink(in_folder("file"));
    CHECK(is_told());
    put("file", "2");
    CHECK(is_told());
    chmod(in_folder("file"), 0600);
    CHECK(is_told());
    watch_path_end(&watch);
    put("file", "3");
    CHECK(!is_told());
    unlink(in_folder("file"));
}

TEST(other_files_of_the_folder_are_not_told_of)
{
    struct watch_path watch;
    begin(&watch, "file");
    put("fil", "1");
    put("file2", "1");
    CHECK(!is_told());
    watch_path_end(&watch);
}

TEST(a_file_put_there_by_a_rename_is_told_of)
{
    struct watch_path watch;
    begin(&watch, "renamed");
    put("new", "1");
    CHECK(!is_told());
    rename(in_folder("new"), in_folder("renamed"));
    CHECK(is_told());
    put("new", "2");
    rename(in_folder("new"), in_folder("renamed"));
    CHECK(is_told());
    watch_path_end(&watch);
}

TEST(the_folders_above_may_be_missing_at_first)
{
    struct watch_path watch;
    begin(&watch, "a/b/c/file");
    mkdir(in_folder("a"), 0755);
    is_told();
    mkdir(in_folder("a/b"), 0755);
    mkdir(in_folder("a/b/c"), 0755);
    is_told();
    put("a/b/c/file", "x");
    CHECK(is_told());
    put("a/b/c/file", "y");
    CHECK(is_told());
    watch_path_end(&watch);
}

TEST(a_folder_that_is_replaced_is_followed)
{
    struct watch_path watch;
    mkdir(in_folder("d"), 0755);
    mkdir(in_folder("e"), 0755);
    begin(&watch, "d/file");
    rename(in_folder("d"), in_folder("old"));
    rename(in_folder("e"), in_folder("d"));
    is_told();
    put("d/file", "x");
    CHECK(is_told());
    watch_path_end(&watch);
}

TEST(two_paths_of_one_folder_are_told_apart_and_outlive_each_other)
{
    struct watch_path one, two;
    begin(&one, "one");
    watch_path_begin(&paths, &two, in_folder("two"), on_change);
    put("one", "");
    CHECK(is_told());
    CHECK_NUMBER(told, 1);
    watch_path_end(&one);
    put("two", "");
    CHECK(is_told());
    watch_path_end(&two);
    watch_path_end(&two);
}

TEST(a_folder_counts_as_a_file)
{
    struct watch_path watch;
    begin(&watch, "folder");
    mkdir(in_folder("folder"), 0755);
    CHECK(is_told());
    watch_path_end(&watch);
}

TEST(behind_a_link_that_leads_nowhere_time_tells)
{
    struct watch_path watch;
    CHECK_NUMBER(symlink(in_folder("nowhere"), in_folder("link")), 0);
    begin(&watch, "link");
    put("nowhere", "");
    for (int i = 0; i < 100 && !told; i++)
        loop_turn(&loop, true);
    CHECK(told > 0);
    watch_path_end(&watch);
}

static int remove_entry(const char *path, const struct stat *stat_, int kind, struct FTW *place)
{
    (void)stat_;
    (void)kind;
    (void)place;
    return remove(path);
}

static bool below_far(void *context, const char *path)
{
    ++*(int *)context;
    return strstr(path, "/far/") != NULL;
}

TEST(what_may_hang_is_told_of_by_time_and_not_looked_at)
{
    struct watch_path far = {0}, near = {0};
    int asked = 0;
    begin(&near, "near");
    watch_path_end(&near);
    paths.may_hang = below_far;
    paths.context = &asked;
    CHECK_NUMBER(mkdir(in_folder("far"), 0755), 0);
    begin(&far, "far/file");
    CHECK(asked > 0);
    CHECK(far.folder == NULL && far.file == NULL);
    put("far/file", "x");
    CHECK(!is_told()); /* by nobody who watches */
    loop_turn(&loop, true);
    CHECK_NUMBER(told, 1);
    watch_path_end(&far);
    begin(&near, "near");
    put("near", "x");
    CHECK(is_told());
    watch_path_end(&near);
    CHECK_NUMBER(unlink(in_folder("near")), 0);
    paths.may_hang = NULL;
    CHECK_NUMBER(unlink(in_folder("far/file")), 0);
    CHECK_NUMBER(rmdir(in_folder("far")), 0);
}

TEST(nothing_stays_watched)
{
    char line[256];
    FILE *info;
    text_format(line, sizeof line, "/proc/self/fdinfo/%d", paths.source.fd);
    info = fopen(line, "r");
    while (info && fgets(line, sizeof line, info))
        CHECK(strncmp(line, "inotify", 7) != 0);
    if (info)
        fclose(info);
    CHECK_NUMBER(nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
    watch_paths_finish(&paths);
    loop_finish(&loop);
}
