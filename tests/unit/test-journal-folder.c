/* The files of a journal's folder: names, order, sealing, what the quota allows, and the way back
 * after a kill. */
#include "base/clock.h"
#include "journal/store.h"
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define STEM "20261122T135400.123456Z"
#define TIME "2026-11-22T13:54:00.123456Z"

static char logs[] = "/tmp/test-folder-XXXXXX", path[512];
static struct journal_store store;
static struct journal_file file;
static uint64_t now_ns;

static void begin(void)
{
    memcpy(logs + sizeof logs - 7, "XXXXXX", 6);
    if (!mkdtemp(logs))
        abort();
    CHECK(journal_parse_time(TIME, &now_ns));
    journal_store_init(&store, logs, NULL);
    journal_store_open(&store);
    journal_file_init(&file, "web", NULL);
}

/* The names in the folder, sorted, each behind a blank; removes them. */
static const char *list(bool remove_them)
{
    static char found[4000];
    struct dirent **names;
    size_t used = 0;
    snprintf(path, sizeof path, "%s/web", logs);
    int count = scandir(path, &names, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        if (names[i]->d_name[0] != '.') {
            used += (size_t)snprintf(found + used, sizeof found - used, " %s", names[i]->d_name);
            snprintf(path, sizeof path, "%s/web/%s", logs, names[i]->d_name);
            if (remove_them)
                unlink(path);
        }
        free(names[i]);
    }
    if (count >= 0)
        free(names);
    found[used] = 0;
    return found;
}

static void finish(void)
{
    journal_file_finish(&file);
    journal_store_finish(&store);
    list(true);
    snprintf(path, sizeof path, "%s/web", logs);
    rmdir(path);
    CHECK_NUMBER(rmdir(logs), 0);
}

static void append(const char *text)
{
    struct iovec piece = {(char *)text, strlen(text)};
    CHECK_NUMBER(journal_store_prepare(&store, &file, file.mid_line, now_ns), 0);
    CHECK_NUMBER(journal_store_write(&store, &file, &piece, 1, now_ns), strlen(text));
}

static void make(const char *leaf)
{
    snprintf(path, sizeof path, "%s/web", logs);
    mkdir(path, 0755);
    snprintf(path, sizeof path, "%s/web/%s", logs, leaf);
    close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static const char *read_file(const char *leaf)
{
    static char found[1 << 18];
    snprintf(path, sizeof path, "%s/web/%s", logs, leaf);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t count = fd < 0 ? -1 : read(fd, found, sizeof found - 1);
    close(fd);
    found[count < 0 ? 0 : count] = 0;
    return count < 0 ? "none" : found;
}

static void tidy(size_t work_count)
{
    struct journal_work work;
    journal_store_tidy(&store, &file, now_ns, &work);
    CHECK_NUMBER(work.count, work_count);
    CHECK_NUMBER(work.folder >= 0, work_count > 0);
    if (work.folder >= 0)
        close(work.folder);
}

TEST(names_and_times_lead_to_each_other)
{
    static const char *const others[] = {"current",
                                         "",
                                         "20261122T135400.123456Z",
                                         STEM ".gz",
                                         STEM ".log.zst.tmp2",
                                         STEM ".log ",
                                         "20261322T135400.123456Z.log",
                                         "2026-11-22T13:54:00.123456Z.log",
                                         "x0261122T135400.123456Z.log",
                                         "20261122T135400.123456Z.logx"};
    static const char *const good[] = {STEM ".log", STEM ".log.zst", STEM ".log.zst.tmp"};
    char name[JOURNAL_SEALED_BYTES];
    enum journal_form form;
    uint64_t time_ns;

    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        CHECK(!journal_sealed_parse(others[i], &time_ns, &form));
    for (size_t i = 0; i < 3; i++) {
        CHECK(journal_sealed_parse(good[i], &time_ns, &form));
        CHECK_NUMBER(form, 1u << i);
        journal_sealed_name(name, time_ns, form);
        CHECK_TEXT(name, good[i]);
    }
}

TEST(a_sealed_file_is_named_by_its_first_entry_and_comes_behind_all_others)
{
    begin();
    CHECK_NUMBER(journal_store_seal(&store, &file), -ENOENT);
    append(TIME " info one\n");
    CHECK_NUMBER(journal_store_seal(&store, &file), 0);
    CHECK_TEXT(list(false), " " STEM ".log");
    append(TIME " info two\n");
    CHECK_NUMBER(journal_store_seal(&store, &file), 0);
    make("20270101T000000.000000Z.log.zst"); /* the clock was set back since */
    append(TIME " info three\n");
    CHECK_NUMBER(journal_store_seal(&store, &file), 0);
    CHECK_TEXT(list(false), " " STEM ".log 20261122T135400.123457Z.log"
                            " 20270101T000000.000000Z.log.zst 20270101T000000.000001Z.log");
    CHECK_TEXT(read_file("20270101T000000.000001Z.log"), TIME " info three\n");
    finish();
}

TEST(no_file_gets_longer_than_it_may_and_no_line_is_torn)
{
    static char block[100000];
    size_t used = 0;
    begin();
    file.quota.max_size_bytes = 65536;
    file.quota.keep = 100;
    for (int i = 0; i < 2000; i++)
        used += (size_t)snprintf(block + used, sizeof block - used, TIME " info line %d\n", i);
    block[used] = 0;
    for (int i = 0; i < 10; i++)
        append(block);
    CHECK(file.sealed);
    struct dirent **names;
    snprintf(path, sizeof path, "%s/web", logs);
    int count = scandir(path, &names, NULL, alphasort), number = 0;
    for (int i = 0; i < count; i++) {
        if (names[i]->d_name[0] != '.') {
            const char *text = read_file(names[i]->d_name);
            CHECK(strlen(text) <= 65536 && text[strlen(text) - 1] == '\n');
            for (; *text; text = strchr(text, '\n') + 1)
                CHECK_NUMBER(strtol(text + strlen(TIME " info line "), NULL, 10), number++ % 2000);
        }
        free(names[i]);
    }
    free(names);
    CHECK_NUMBER(number, 20000);
    finish();
}

TEST(a_line_longer_than_a_file_stays_in_one)
{
    static char line[150000];
    begin();
    file.quota.max_size_bytes = 65536;
    append(TIME " info one\n");
    memset(line, 'x', sizeof line - 1);
    append(line); /* goes on with nothing, so it begins in a file of its own */
    append("\n" TIME " info two\n");
    CHECK_TEXT(read_file(STEM ".log"), TIME " info one\n");
    CHECK_TEXT(read_file("current"), TIME " info two\n");
    list(false);
    file.quota.keep = 1;
    tidy(1);
    CHECK_TEXT(read_file(STEM ".log"), "none");
    finish();
}

TEST(what_the_quota_does_not_allow_is_removed_oldest_first)
{
    begin();
    make("20261122T000001.000000Z.log.zst");
    make("20261122T000002.000000Z.log");
    make("20261122T000002.000000Z.log.zst"); /* killed before the plain one was removed */
    make("20261122T000003.000000Z.log");
    make("20261122T000003.000000Z.log.zst.tmp");
    make("20261122T000004.000000Z.log.zst.tmp"); /* its file is gone */
    make("notes");
    file.quota.keep = 3;
    tidy(2);
    CHECK_TEXT(list(false), " 20261122T000001.000000Z.log.zst 20261122T000002.000000Z.log"
                            " 20261122T000002.000000Z.log.zst 20261122T000003.000000Z.log"
                            " 20261122T000003.000000Z.log.zst.tmp notes");
    file.quota.keep = 1;
    tidy(1);
    CHECK_TEXT(list(false),
               " 20261122T000003.000000Z.log 20261122T000003.000000Z.log.zst.tmp notes");
    file.quota.keep = 0;
    tidy(0);
    CHECK_TEXT(list(false), " notes");
    finish();
}

static void set_written(uint64_t at_ns)
{
    struct timespec times[2] = {
        {0}, {.tv_sec = (time_t)(at_ns / NS_PER_SEC), .tv_nsec = (long)(at_ns % NS_PER_SEC)}};
    CHECK_NUMBER(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* When the first of those that are to be compressed later is due. */
static uint64_t later_ns(size_t work_count)
{
    struct journal_work work;
    journal_store_tidy(&store, &file, now_ns, &work);
    CHECK_NUMBER(work.count, work_count);
    CHECK_NUMBER(work.folder >= 0, work_count > 0);
    if (work.folder >= 0)
        close(work.folder);
    return work.later_ns;
}

TEST(what_was_sealed_just_now_is_compressed_later)
{
    begin();
    make("20261121T000001.000000Z.log");
    set_written(now_ns - NS_PER_SEC);
    make("20261121T000002.000000Z.log");
    set_written(now_ns);
    CHECK_NUMBER(later_ns(0), NS_PER_SEC);
    now_ns += NS_PER_SEC - 1;
    CHECK_NUMBER(later_ns(0), 1);
    now_ns += 1;
    CHECK_NUMBER(later_ns(1), NS_PER_SEC);
    now_ns += NS_PER_SEC;
    CHECK_NUMBER(later_ns(2), 0);
    /* The clock was set back. */
    now_ns -= 3600 * NS_PER_SEC;
    CHECK_NUMBER(later_ns(2), 0);
    finish();
}

TEST(what_is_too_old_is_removed_and_sealed)
{
    struct timespec times[2] = {{0}, {0}};
    begin();
    make("20261121T000001.000000Z.log.zst");
    times[1].tv_sec = (time_t)(now_ns / NS_PER_SEC) - 3601;
    CHECK_NUMBER(utimensat(AT_FDCWD, path, times, 0), 0);
    make("20261121T000002.000000Z.log.zst");
    times[1].tv_sec += 2; /* its newest entry is young enough */
    CHECK_NUMBER(utimensat(AT_FDCWD, path, times, 0), 0);
    CHECK(!journal_store_is_old(&store, &file, now_ns));
    tidy(0);
    file.quota.max_age_s = 3600;
    tidy(0);
    CHECK_TEXT(list(false), " 20261121T000002.000000Z.log.zst");
    append(TIME " info one\n");
    CHECK(!journal_store_is_old(&store, &file, now_ns + 3599 * NS_PER_SEC));
    CHECK(journal_store_is_old(&store, &file, now_ns + 3600 * NS_PER_SEC));
    file.quota.max_age_s = 0;
    CHECK(!journal_store_is_old(&store, &file, now_ns + 3600 * NS_PER_SEC));
    finish();
}

TEST(a_block_that_is_written_again_takes_its_sealed_files_back)
{
    static char block[100000];
    begin();
    file.quota.max_size_bytes = 65536;
    append(TIME " info before\n");
    CHECK_NUMBER(journal_store_seal(&store, &file), 0);
    append(TIME " info kept\n");
    struct journal_cut noted = {file.device, file.inode, file.size_bytes};
    for (size_t used = 0; used + 100 < sizeof block;)
        used += (size_t)snprintf(block + used, sizeof block - used, TIME " info again\n");
    append(block);
    append(block);
    CHECK_NUMBER(journal_store_rewind(&store, &file, &noted), 0);
    CHECK_TEXT(list(false), " " STEM ".log current");
    CHECK_TEXT(read_file("current"), TIME " info kept\n");
    /* Nothing was sealed since: it is only cut. */
    append(TIME " info again\n");
    CHECK_NUMBER(journal_store_rewind(&store, &file, &noted), 0);
    CHECK_TEXT(read_file("current"), TIME " info kept\n");
    CHECK_TEXT(list(false), " " STEM ".log current");
    /* Somebody removed it: what is there now is not touched. */
    noted.inode += 999;
    CHECK_NUMBER(journal_store_rewind(&store, &file, &noted), -ENOENT);
    CHECK(!file.to_cut);
    CHECK_TEXT(read_file("current"), TIME " info kept\n");
    finish();
}

TEST(without_a_descriptor_what_is_to_be_synced_stays_so)
{
    struct rlimit before, few;
    int fd, folder;

    begin();
    append(TIME " info a\n");
    CHECK_NUMBER(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = dup(0);
    close(next);
    for (int spare = 0; spare < 2; spare++) { /* with one the file can be opened, not its folder */
        few = (struct rlimit){(rlim_t)(next + spare), before.rlim_max};
        CHECK_NUMBER(setrlimit(RLIMIT_NOFILE, &few), 0);
        CHECK_NUMBER(journal_store_sync_fds(&store, &file, &fd, &folder), -EMFILE);
    }
    CHECK_NUMBER(setrlimit(RLIMIT_NOFILE, &before), 0);
    CHECK_NUMBER(file.synced_bytes, 0);
    CHECK_NUMBER(journal_store_sync_fds(&store, &file, &fd, &folder), 0);
    CHECK(fd >= 0 && folder >= 0);
    close(fd);
    close(folder);
    finish();
}

TEST(where_no_journals_can_be_is_told_with_the_reason)
{
    begin();
    CHECK_NUMBER(journal_store_probe(&store), 0);
    make("current");
    snprintf(path, sizeof path, "%s/web/current", logs);
    store.logs = path; /* is no folder */
    CHECK_NUMBER(journal_store_probe(&store), -ENOTDIR);
    snprintf(path, sizeof path, "%s/web/current/deeper", logs);
    CHECK_NUMBER(journal_store_probe(&store), -ENOTDIR);
    store.logs = logs;
    finish();
}
