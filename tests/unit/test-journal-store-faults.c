/* The store where somebody else is at its files, where places are odd, and where what fails is said
 * or mended by the next try. */
#include "base/cleanup.h"
#include "base/text.h"
#include "faults.h"
#include "journal-files.h"
#include "journal/rotation.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define LATER "20261122T135500.000000Z.log"

static char path[PATH_MAX], other[PATH_MAX];

/* A path of the journal's folder in one of the places. */
static const char *in(const char *folder, const char *leaf)
{
    text_format(path, sizeof path, "%s/web/%s", folder, leaf);
    return path;
}

static void append(const char *folder, const char *leaf, const char *bytes, size_t count)
{
    write_file(folder, leaf, 0, 0);
    AUTO_CLOSE int fd = open(in(folder, leaf), O_WRONLY | O_APPEND | O_CLOEXEC);
    CHECK_NUMBER(write(fd, bytes, count), count);
}

static void check_text(const char *leaf, const char *wanted)
{
    char text[500] = "";
    AUTO_CLOSE int fd = open(in(logs, leaf), O_RDONLY | O_CLOEXEC);
    CHECK(read(fd, text, sizeof text - 1) >= 0);
    CHECK_TEXT(text, wanted);
}

static size_t write_piece(const char *bytes, size_t count)
{
    struct iovec piece = {(char *)bytes, count};
    if (journal_store_prepare(&store, &file, false, now_ns) < 0)
        return 0;
    return journal_store_write(&store, &file, &piece, 1, now_ns);
}

static void set_written(const char *leaf, time_t seconds)
{
    const struct timespec times[2] = {{seconds, 0}, {seconds, 0}};
    CHECK_NUMBER(utimensat(AT_FDCWD, in(logs, leaf), times, 0), 0);
}

/* ---- the end of a file --------------------------------------------------------------------- */

static const char zeros[5000];

TEST(zeros_behind_a_whole_line_go_and_so_do_those_of_a_file_of_nothing_else)
{
    begin();
    append(logs, "current", PREFIX "0\n", sizeof PREFIX + 1);
    append(logs, "current", zeros, sizeof zeros);
    CHECK(write_line(1));
    check_text("current", PREFIX "0\n" PREFIX "1\n");
    journal_file_finish(&file);
    unlink(in(logs, "current"));
    append(logs, "current", zeros, sizeof zeros);
    CHECK(write_line(2));
    check_text("current", PREFIX "2\n");
    finish();
}

TEST(zeros_at_the_end_of_what_a_service_printed_go_too)
{
    begin();
    CHECK(write_line(0));
    CHECK_NUMBER(write_piece(PREFIX "1\0\0", sizeof PREFIX + 2), sizeof PREFIX + 2);
    CHECK(write_line(2));
    check_text("current", PREFIX "0\n" PREFIX "1\n" PREFIX "2\n");
    CHECK(file.synced_bytes <= file.size_bytes);
    finish();
}

/* A line and a half fit; the half is cut off, or stays where that fails. */
static void write_half(void)
{
    static const char lines[] = PREFIX "0\n" PREFIX "1\n";
    const size_t line = sizeof PREFIX + 1;
    struct rlimit before, limit;
    begin();
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = line + line / 2;
    signal(SIGXFSZ, SIG_IGN);
    faults_begin();
    setrlimit(RLIMIT_FSIZE, &limit);
    size_t done = write_piece(lines, sizeof lines - 1);
    setrlimit(RLIMIT_FSIZE, &before);
    faults_end();
    signal(SIGXFSZ, SIG_DFL);
    CHECK(file.error < 0);
    CHECK_NUMBER(done, fault_happened() ? line + line / 2 : line);
    CHECK(write_line(2));
    finish();
}

TEST(half_a_line_is_cut_off_or_counts_as_written)
{
    CHECK_NUMBER(fault_each_of("ftruncate64", FAULT_CALLS, EIO, write_half), 1);
}

static void write_nothing(void)
{
    begin();
    CHECK(write_line(0));
    faults_begin();
    CHECK(write_line(1));
    faults_end();
    CHECK_NUMBER(read_all(logs, false), 2);
    finish();
}

TEST(a_file_that_takes_nothing_is_tried_again)
{
    CHECK_NUMBER(fault_each_of("writev", FAULT_CALLS, 0, write_nothing), 1);
}

/* ---- files and folders that are others ------------------------------------------------------ */

TEST(a_file_that_was_exchanged_is_seen_within_a_second)
{
    begin();
    CHECK(write_line(0));
    in(logs, "current");
    text_format(other, sizeof other, "%s/web/other", logs);
    CHECK_NUMBER(rename(path, other), 0);
    write_file(logs, "current", 0, 1);
    CHECK(write_line(1));
    check_text("current", PREFIX "0\n" PREFIX "1\n");
    finish();
}

TEST(a_file_in_another_file_system_is_another_one)
{
    char away[] = "/dev/shm/test-faults-XXXXXX";
    begin();
    CHECK(write_line(0));
    in(logs, "");
    path[strlen(path) - 1] = 0;
    text_format(other, sizeof other, "%s/old", logs);
    CHECK_NUMBER(rename(path, other), 0);
    CHECK(mkdtemp(away) != NULL);
    CHECK_NUMBER(symlink(away, path), 0);
    append(logs, "current", PREFIX "0\n", sizeof PREFIX + 1);
    CHECK(write_line(1));
    check_text("current", PREFIX "0\n" PREFIX "1\n");
    CHECK_NUMBER(unlink(in(logs, "current")), 0);
    CHECK_NUMBER(rmdir(away), 0);
    finish();
}

TEST(a_file_of_two_names_is_written_only_in_a_folder_that_is_ours_alone)
{
    begin();
    CHECK(write_line(0));
    journal_file_finish(&file);
    in(logs, "current");
    text_format(other, sizeof other, "%s/web/other", logs);
    CHECK_NUMBER(link(path, other), 0);
    CHECK(write_line(1));
    CHECK_NUMBER(read_all(logs, false), 2);
    journal_file_finish(&file);
    journal_store_finish(&store);
    journal_store_init(&store, logs, NULL);
    CHECK_NUMBER(chmod(in(logs, ""), 0770), 0);
    CHECK_NUMBER(journal_store_prepare(&store, &file, false, now_ns), -EINVAL);
    CHECK_NUMBER(chmod(path, 0750), 0);
    if (geteuid() == 0 && chown(path, 1, (gid_t)-1) == 0)
        CHECK_NUMBER(journal_store_prepare(&store, &file, false, now_ns), -EINVAL);
    CHECK_NUMBER(chown(path, geteuid(), (gid_t)-1), 0);
    CHECK(write_line(2));
    CHECK_NUMBER(read_all(logs, false), 3);
    finish();
}

static bool say_dropped(void)
{
    const struct journal_dropped dropped = {3, "disk", now_ns};
    return journal_store_write_dropped(&store, &file, &dropped, now_ns);
}

TEST(what_is_no_file_in_its_place_has_no_size_and_no_age)
{
    struct journal_measure found;
    begin();
    file.quota.max_age_s = 1;
    CHECK(!journal_store_is_old(&store, &file, now_ns)); /* not even a folder */
    write_file(logs, "x", 0, 0);
    CHECK_NUMBER(mkdir(in(logs, "current"), 0755), 0);
    CHECK(!journal_store_is_old(&store, &file, now_ns));
    CHECK_NUMBER(journal_store_seal(&store, &file), -ENOENT);
    journal_store_measure(&store, &file, &found);
    CHECK(!found.current_bytes && !found.sealed_bytes && !found.oldest_ns);
    CHECK(!say_dropped() || file.on_fallback);
    CHECK(!rotation_is_old(&(const struct quota){0}, 0, now_ns)); /* it may have any age */
    finish();
}

TEST(without_any_place_what_was_dropped_is_not_said)
{
    begin();
    journal_store_finish(&store);
    journal_store_init(&store, logs, NULL);
    write_file(logs, "x", 0, 0);
    CHECK_NUMBER(mkdir(in(logs, "current"), 0755), 0);
    CHECK(!say_dropped());
    CHECK(file.error < 0 && file.fd < 0);
    CHECK_NUMBER(rmdir(path), 0);
    CHECK(say_dropped());
    check_text("current", TIME " +warning dropped lines=3 reason=\"disk\"\n");
    finish();
}

TEST(the_oldest_of_both_places_is_the_oldest)
{
    struct journal_measure found;
    uint64_t time_ns, later_ns;
    enum journal_form form;
    begin();
    CHECK(journal_sealed_parse(STEM ".log", &time_ns, &form));
    CHECK(journal_sealed_parse(LATER, &later_ns, &form));
    write_file(logs, LATER, 0, 1);
    write_file(fallback, STEM ".log", 1, 2);
    journal_store_measure(&store, &file, &found);
    CHECK_NUMBER(found.oldest_ns, time_ns);
    write_file(logs, STEM ".log", 0, 1);
    store.fallback = NULL;
    CHECK(journal_store_remove_sealed(&store, &file, later_ns)); /* of two, and in one place */
    CHECK(!is_there(logs, LATER) && is_there(logs, STEM ".log") && is_there(fallback, STEM ".log"));
    CHECK(!journal_store_remove_sealed(&store, &file, later_ns));
    finish();
}

TEST(a_folder_that_no_path_can_be_made_in_is_said)
{
    static char deep[PATH_MAX];
    begin();
    memset(deep, 'x', sizeof deep - 2); /* with "/." behind it there is one byte too many */
    memcpy(deep, top, strlen(top));
    for (size_t i = strlen(top); i < sizeof deep - 3; i += 200)
        deep[i] = '/';
    deep[sizeof deep - 2] = 0;
    journal_store_finish(&store);
    journal_store_init(&store, deep, NULL);
    CHECK_NUMBER(journal_store_probe(&store), -ENAMETOOLONG);
    finish();
}

/* ---- descriptors --------------------------------------------------------------------------- */

static void write_until_it_fails(void)
{
    begin();
    faults_begin();
    int written = 0;
    while (written < 5 && write_line(written))
        written++;
    faults_end();
    CHECK(written == 5 || fault_happened());
    journal_file_finish(&file);
    CHECK(write_line(written));
    CHECK_NUMBER(read_all(logs, false), written + 1);
    finish();
}

TEST(without_any_descriptor_a_line_waits)
{
    CHECK(fault_each_of("open64", FAULT_CALLS | FAULT_FOR_GOOD, EMFILE, write_until_it_fails) >= 2);
    CHECK(fault_each_of("open64", FAULT_CALLS, ENFILE, write_until_it_fails) >= 2);
}

static struct journal_file files[20];

static void tidy_with_open_files(void)
{
    struct journal_work work = {.folder = -1};
    begin();
    write_file(logs, STEM ".log", 0, 1);
    write_file(logs, LATER, 1, 2);
    file.quota.keep = 1;
    journal_file_init(&files[0], "other", NULL);
    CHECK_NUMBER(journal_store_prepare(&store, &files[0], false, now_ns), 0);
    faults_begin();
    journal_store_tidy(&store, &file, now_ns, &work);
    faults_end();
    CHECK(!is_there(logs, STEM ".log")); /* another file's descriptor was given up for it */
    CHECK(!fault_happened() || files[0].fd < 0);
    if (work.folder >= 0)
        close(work.folder);
    journal_file_finish(&files[0]);
    finish();
}

TEST(a_descriptor_to_list_a_folder_is_taken_from_a_file)
{
    CHECK(fault_each_of("open64", FAULT_CALLS, EMFILE, tidy_with_open_files) >= 1);
    CHECK(fault_each_of("fcntl64", FAULT_CALLS, EMFILE, tidy_with_open_files) +
              fault_each_of("openat64", FAULT_CALLS, ENFILE, tidy_with_open_files) >=
          1);
}

static void sync_descriptors(void)
{
    int fd = -1, folder = -1;
    begin();
    CHECK(write_line(0));
    faults_begin();
    int failed = journal_store_sync_fds(&store, &file, &fd, &folder);
    faults_end();
    CHECK_NUMBER(failed, fault_happened() ? -ENFILE : 0);
    CHECK((fd < 0) == (failed != 0) && file.is_new == (failed != 0));
    if (fd >= 0)
        close(fd);
    if (folder >= 0)
        close(folder);
    finish();
}

TEST(a_system_without_descriptors_puts_syncing_off)
{
    CHECK_NUMBER(fault_each_of("open64", FAULT_CALLS, ENFILE, sync_descriptors), 1);
}

/* Files of as many devices as there are: it is their numbers that are looked at. */
static void sync_many(void)
{
    begin();
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        journal_file_init(&files[i], "web", NULL);
        CHECK_NUMBER(journal_store_prepare(&store, &files[i], false, now_ns), 0);
        files[i].device = i < 18 ? i : 1;
    }
    faults_begin();
    journal_store_sync(&store, true);
    faults_end();
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        journal_file_finish(&files[i]);
    finish();
}

TEST(devices_are_synced_once_and_more_than_can_be_remembered_file_by_file)
{
    CHECK_NUMBER(fault_each_of("syncfs", FAULT_CALLS, EIO, sync_many), 16);
    CHECK_NUMBER(fault_each_of("fsync", FAULT_CALLS, EIO, sync_many), 2);
}

TEST(the_file_that_has_to_rest_for_the_shortest_time_says_when_to_come_again)
{
    struct journal_work work;
    begin();
    write_file(logs, STEM ".log", 0, 1);
    write_file(logs, LATER, 1, 2);
    const uint64_t written_s = now_ns / NS_PER_SEC;
    set_written(STEM ".log", (time_t)written_s + 1);
    set_written(LATER, (time_t)written_s);
    const uint64_t at_ns = (written_s + 1) * NS_PER_SEC;
    journal_store_tidy(&store, &file, at_ns, &work);
    CHECK_NUMBER(work.count, 0);
    CHECK_NUMBER(work.later_ns, NS_PER_SEC);
    finish();
}

/* ---- the way back -------------------------------------------------------------------------- */

static struct journal_cut here(void)
{
    return (struct journal_cut){file.device, file.inode, file.size_bytes};
}

TEST(a_file_that_is_gone_needs_no_cut)
{
    begin();
    CHECK(write_line(0));
    struct journal_cut cut = here();
    cut.device++; /* the same number elsewhere is another file */
    CHECK_NUMBER(journal_store_rewind(&store, &file, &cut), -ENOENT);
    CHECK(!file.to_cut && is_there(logs, "current"));
    file.cut = cut;
    file.to_cut = true;
    CHECK(write_line(1)); /* it goes on without it */
    CHECK(!file.to_cut && file.sealed);
    CHECK_NUMBER(read_all(logs, false), 2);
    finish();
}

TEST(a_folder_that_is_none_has_nothing_to_cut)
{
    begin();
    const struct journal_cut cut = {1, 1, 1};
    in(logs, "");
    path[strlen(path) - 1] = 0;
    CHECK_NUMBER(symlink(path, path), 0);
    CHECK_NUMBER(journal_store_rewind(&store, &file, &cut), -ENOENT);
    CHECK(!file.to_cut);
    CHECK_NUMBER(unlink(path), 0);
    CHECK_NUMBER(mkfifo(path, 0600), 0);
    CHECK_NUMBER(journal_store_rewind(&store, &file, &cut), -ENOENT);
    CHECK(!file.to_cut);
    finish();
}

static void exchange_current(void)
{
    in(logs, "current");
    text_format(other, sizeof other, "%s/web/other", logs);
    CHECK_NUMBER(rename(path, other), 0);
    write_file(logs, "current", 0, 3);
}

TEST(a_file_that_is_exchanged_just_then_is_not_cut)
{
    begin();
    CHECK(write_line(0));
    const struct journal_cut cut = here();
    CHECK(write_line(1));
    store.fallback = NULL;
    /* Its stat is past, its open is next. */
    faults_begin();
    faults_meddle("openat64", 1, 1, exchange_current);
    int failed = journal_store_rewind(&store, &file, &cut);
    faults_end();
    CHECK_NUMBER(failed, -ENOENT);
    CHECK_NUMBER(read_all(logs, false), 3);
    finish();
}

/* A line that stays; what is behind it, in three more files, is taken back. */
static void rewind_far(void)
{
    begin();
    CHECK(write_line(0));
    const struct journal_cut cut = here();
    for (int i = 90; i < 93; i++) {
        CHECK(write_line(i));
        CHECK_NUMBER(journal_store_seal(&store, &file), 0);
    }
    write_file(logs, "20271122T135400.000000Z.log.zst", 93, 94);
    faults_begin();
    int failed = journal_store_rewind(&store, &file, &cut);
    faults_end();
    CHECK(failed == 0 || fault_happened());
    CHECK(file.to_cut == (failed != 0));
    CHECK(write_line(1));
    CHECK_NUMBER(read_all(logs, false), 2);
    finish();
}

TEST(a_block_that_went_into_several_files_is_taken_back_whole_or_before_the_next_line)
{
    CHECK(fault_each_of("unlinkat", FAULT_CALLS, EIO, rewind_far) >= 4);
    CHECK_NUMBER(fault_each_of("renameat", FAULT_CALLS, EIO, rewind_far), 1);
}

/* ---- from the fallback --------------------------------------------------------------------- */

static void come_back(void)
{
    begin();
    write_file(fallback, STEM ".log", 0, 2);
    write_file(fallback, LATER, 2, 4);
    write_file(fallback, "current", 4, 8);
    faults_begin();
    for (int i = 8; i < 11; i++)
        CHECK(write_line(i));
    faults_end();
    journal_file_finish(&file);
    CHECK(write_line(11));
    CHECK(!is_there(fallback, ""));
    any_order = fault_happened(); /* not having seen it, it may have begun in the right place */
    CHECK_NUMBER(read_all(logs, false), 12);
    any_order = false;
    finish();
}

TEST(what_comes_back_into_an_empty_place_does_so_whichever_call_fails)
{
    CHECK(fault_each(FAULT_CALLS, EIO, come_back) > 20);
    CHECK(fault_each(FAULT_CALLS, ENOENT, come_back) > 20);
    CHECK(fault_each_of("write", FAULT_CALLS, 0, come_back) >= 3);
}

/* Files of one name with other contents are two. */
static void come_back_beside(void)
{
    begin();
    write_file(logs, STEM ".log", 0, 3);
    write_file(fallback, STEM ".log", 3, 5);
    faults_begin();
    for (int i = 5; i < 7; i++)
        CHECK(write_line(i));
    faults_end();
    journal_file_finish(&file);
    CHECK(write_line(7));
    CHECK(!is_there(fallback, ""));
    any_order = fault_happened();
    CHECK_NUMBER(read_all(logs, false), 8);
    any_order = false;
    finish();
}

TEST(a_file_whose_name_is_taken_comes_back_under_the_next_one)
{
    CHECK(fault_each(FAULT_CALLS, EIO, come_back_beside) > 10);
}

/* Lines 2 to 4 are in the right place already, and then another; or half a line of the rest. */
static const char *there_too;

static void come_back_begun(void)
{
    begin();
    append(logs, "current", there_too, strlen(there_too));
    write_file(fallback, "current", 2, 6);
    faults_begin();
    for (int i = 6; i < 8; i++)
        CHECK(write_line(i));
    faults_end();
    journal_file_finish(&file);
    CHECK(write_line(8));
    for (int i = 2; i < 9; i++) { /* some may be there twice, where that could not be seen */
        char line[100], text[4000] = "";
        text_format(line, sizeof line, PREFIX "%d\n", i);
        AUTO_CLOSE int fd = open(in(logs, "current"), O_RDONLY | O_CLOEXEC);
        CHECK(read(fd, text, sizeof text - 1) > 0);
        CHECK(strstr(text, line) != NULL);
    }
    finish();
}

TEST(what_cannot_be_compared_comes_back_again_and_no_line_is_missing)
{
    static const char *const rows[] = {PREFIX "2\n" PREFIX "3\n" PREFIX "9\n",
                                       PREFIX "2\n" PREFIX "3\n", PREFIX "0"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        there_too = rows[i];
        CHECK(fault_each_of("pread64", FAULT_CALLS, EIO, come_back_begun) >= 2);
        CHECK(fault_each_of("write", FAULT_CALLS, EIO, come_back_begun) >= 1);
    }
}

static void stay_nowhere(void)
{
    begin();
    write_file(fallback, "current", 0, 2);
    faults_begin();
    bool written = write_line(2);
    faults_end();
    CHECK(written || fault_happened());
    journal_file_finish(&file);
    CHECK(written || write_line(2));
    journal_file_finish(&file);
    CHECK(write_line(3));
    any_order = true;
    CHECK_NUMBER(read_all(logs, false), 4);
    any_order = false;
    finish();
}

TEST(where_neither_place_can_be_had_a_line_waits)
{
    CHECK(fault_each_of("open64", FAULT_CALLS | FAULT_FOR_GOOD, EACCES, stay_nowhere) >= 3);
}
