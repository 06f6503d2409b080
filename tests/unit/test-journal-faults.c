/* Journals whose system calls and allocations fail, one after the other: no line is lost or there
 * twice, none is torn. */
#include "base/cleanup.h"
#include "base/text.h"
#include "faults.h"
#include "journal-files.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

static void write_and_rotate(void)
{
    begin();
    file.quota.max_size_bytes = 300;
    file.quota.keep = 100;
    faults_begin();
    for (int i = 0; i < LINES; i++)
        CHECK(write_line(i));
    faults_end();
    /* In the fallback are lines of a time when the right place was not to be had, and before that
     * is known again: the next open brings them along. */
    journal_file_finish(&file);
    CHECK(write_line(LINES));
    CHECK(!is_there(fallback, ""));
    CHECK_NUMBER(read_all(logs, false), LINES + 1);
    finish();
}

TEST(no_line_is_lost_or_written_twice_whichever_call_fails)
{
    static const int errors[] = {EIO, EMFILE, EROFS};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        CHECK(fault_each(FAULT_CALLS, errors[i], write_and_rotate) > LINES);
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, write_and_rotate) >= 3);
}

/* As long as nothing works no line may be half there. */
static void write_until_it_fails(void)
{
    begin();
    file.quota.max_size_bytes = 300;
    file.quota.keep = 100;
    faults_begin();
    int written = 0;
    while (written < LINES && write_line(written))
        written++;
    faults_end();
    CHECK(written == LINES || fault_happened());
    journal_file_finish(&file);
    CHECK(write_line(written));
    CHECK_NUMBER(read_all(logs, false), written + 1);
    finish();
}

TEST(a_place_that_refuses_is_no_place_for_whatever_reason)
{
    static const int errors[] = {EACCES, EPERM, ENOTDIR, ELOOP, EISDIR, EINVAL, ENXIO};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        CHECK(fault_each_of("open64", FAULT_CALLS, errors[i], write_and_rotate) > 2);
}

static size_t write_piece(const char *text, bool continues)
{
    struct iovec piece = {(char *)text, strlen(text)};
    if (journal_store_prepare(&store, &file, continues, now_ns) < 0)
        return 0;
    return journal_store_write(&store, &file, &piece, 1, now_ns);
}

TEST(a_line_goes_on_in_a_file_that_was_closed_and_is_marked_where_its_beginning_is_gone)
{
    char path[PATH_MAX];
    begin();
    CHECK(write_piece(PREFIX "0", false) > 0);
    journal_file_finish(&file);
    CHECK(write_piece(" whole\n", true) > 0);
    CHECK(write_piece(PREFIX "1", false) > 0);
    journal_file_finish(&file);
    CHECK(write_piece(PREFIX "2\n", false) > 0); /* another one: the first is ended */
    CHECK_NUMBER(read_all(logs, false), 3);
    CHECK(write_piece(PREFIX "3", false) > 0);
    journal_file_finish(&file);
    text_format(path, sizeof path, "%s/web/current", logs);
    CHECK_NUMBER(unlink(path), 0);
    CHECK(write_piece(" its end\n", true) > 0);
    char text[200] = "";
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(read(fd, text, sizeof text - 1) > 0);
    CHECK_TEXT(text, TIME " -info  its end\n");
    finish();
}

TEST(without_a_fallback_a_place_that_is_none_is_said)
{
    begin();
    CHECK_NUMBER(rmdir(logs), 0);
    close(open(logs, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    journal_store_finish(&store);
    journal_store_init(&store, logs, NULL);
    journal_store_open(&store);
    CHECK_NUMBER(journal_store_prepare(&store, &file, false, now_ns), -ENOTDIR);
    CHECK(journal_store_probe(&store) < 0);
    CHECK(!journal_store_has_fallback(&store) && !journal_store_is_elsewhere(&store, &file));
    unlink(logs);
    CHECK(write_line(0));
    CHECK_NUMBER(read_all(logs, false), 1);
    finish();
}

/* What a power cut has left at the end of a file: zeros in place of lines. */
static bool in_line;

static void cut_zeros(void)
{
    static const char zeros[3000];
    char path[PATH_MAX];
    begin();
    CHECK(write_line(0));
    text_format(path, sizeof path, "%s/web/current", logs);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (in_line)
        CHECK_NUMBER(write(fd, PREFIX "1", sizeof PREFIX), sizeof PREFIX);
    CHECK_NUMBER(write(fd, zeros, sizeof zeros), sizeof zeros);
    journal_file_finish(&file);
    faults_begin();
    bool written = write_line(2);
    faults_end();
    journal_file_finish(&file);
    CHECK(written);
    /* Where the zeros could not be cut off they are a line, of no time. */
    if (!fault_happened())
        CHECK_NUMBER(read_all(logs, false), 3);
    finish();
}

TEST(zeros_at_the_end_are_cut_off_or_stand_in_a_line_of_their_own)
{
    in_line = true;
    CHECK(fault_each(FAULT_CALLS, EIO, cut_zeros) >= 5);
    CHECK(fault_each_of("pread64", FAULT_CALLS | FAULT_FOR_GOOD, EIO, cut_zeros) >= 1);
    CHECK(fault_each_of("ftruncate64", FAULT_CALLS | FAULT_FOR_GOOD, EIO, cut_zeros) >= 1);
}

TEST(what_never_works_again_leaves_whole_lines)
{
    CHECK(fault_each(FAULT_CALLS | FAULT_FOR_GOOD, EIO, write_until_it_fails) > LINES);
    CHECK(fault_each_of("writev", FAULT_CALLS | FAULT_FOR_GOOD, ENOSPC, write_until_it_fails) > 5);
}

/* ---- paths and groups ---------------------------------------------------------------------- */

/* A folder with a path as long as none may be: each of the things that are done says so, or does
 * nothing. */
TEST(folders_with_too_long_a_path_are_said_and_nothing_is_done_in_them)
{
    static char too_long[2 * PATH_MAX];
    struct journal_measure found = {0};
    struct journal_work work;
    int fd = -1, folder = -1;
    for (size_t cut = 0; cut < 2; cut++) {
        memset(too_long, 'x', sizeof too_long - 1);
        too_long[0] = '/';
        too_long[cut ? sizeof too_long - 1 : PATH_MAX - 4] = 0;
        begin();
        journal_store_finish(&store);
        journal_store_init(&store, too_long, too_long);
        journal_store_open(&store);
        CHECK(journal_store_probe(&store) < 0);
        CHECK_NUMBER(journal_store_prepare(&store, &file, false, now_ns), -ENAMETOOLONG);
        file.quota.max_age_s = 1;
        CHECK(!journal_store_is_old(&store, &file, now_ns));
        journal_store_tidy(&store, &file, now_ns, &work);
        CHECK(work.count == 0 && work.folder < 0);
        journal_store_measure(&store, &file, &found);
        CHECK(!found.sealed_bytes && !found.current_bytes);
        CHECK(!journal_store_is_elsewhere(&store, &file));
        CHECK(journal_store_rewind(&store, &file, &(const struct journal_cut){0}) <= 0);
        CHECK(journal_store_sync_fds(&store, &file, &fd, &folder) <= 0 && fd < 0 && folder < 0);
        finish();
    }
}

/* Where the group of what is made is not ours it is given to it; where it cannot be, it is root's.
 */
static void write_for_group(void)
{
    begin();
    store.group = getegid() + 1;
    store.makes_in_group = false;
    faults_begin();
    for (int i = 0; i < 3; i++)
        CHECK(write_line(i));
    faults_end();
    CHECK_NUMBER(read_all(logs, false), 3);
    finish();
}

TEST(what_cannot_be_given_to_the_group_is_written_all_the_same)
{
    CHECK(fault_each_of("chown", FAULT_CALLS, EPERM, write_for_group) >= 1);
    CHECK(fault_each_of("fchown", FAULT_CALLS, EPERM, write_for_group) >= 1);
}

static void open_store(void)
{
    begin();
    journal_store_finish(&store);
    journal_store_init(&store, logs, fallback);
    faults_begin();
    journal_store_open(&store);
    faults_end();
    CHECK(write_line(0));
    CHECK_NUMBER(read_all(logs, false), 1);
    finish();
}

TEST(a_store_without_a_group_or_a_descriptor_to_spare_writes)
{
    CHECK(fault_each(FAULT_CALLS, EMFILE, open_store) >= 2);
}

/* ---- from the fallback --------------------------------------------------------------------- */

static void come_back(void)
{
    begin();
    write_file(logs, STEM ".log", 0, 2);
    write_file(logs, "current", 2, 4);
    write_file(fallback, "20261122T135500.000000Z.log", 4, 8);
    write_file(fallback, "20261122T135000.000000Z.log.zst.tmp", 90, 91); /* litter */
    write_file(fallback, "current", 8, 20);
    faults_begin();
    for (int i = 20; i < 23; i++)
        CHECK(write_line(i));
    faults_end();
    journal_file_finish(&file);
    CHECK(write_line(23));
    CHECK(!is_there(fallback, ""));
    /* Not knowing that there is something older, it has begun in the right place. */
    any_order = fault_happened() && strcmp(fault_call(), "access") == 0;
    CHECK_NUMBER(read_all(logs, false), 24);
    any_order = false;
    finish();
}

/* The fallback's `current` begins with what has come back before, all of it or a part, or with
 * something else. */
TEST(what_has_come_back_before_is_not_there_twice)
{
    static const struct {
        int from, until; /* lines in the right place */
        const char *more;
    } rows[] = {{0, 0, ""}, {0, 2, ""}, {0, 4, ""}, {0, 4, PREFIX "4"}, {0, 2, PREFIX "2"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char path[PATH_MAX];
        begin();
        write_file(logs, "current", rows[i].from, rows[i].until);
        write_file(fallback, "current", 2, 6);
        text_format(path, sizeof path, "%s/web/current", logs);
        AUTO_CLOSE int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
        CHECK_NUMBER(write(fd, rows[i].more, strlen(rows[i].more)), strlen(rows[i].more));
        CHECK(write_line(6));
        journal_file_finish(&file);
        any_order = rows[i].until == 0; /* then the first two are nowhere */
        CHECK_NUMBER(read_all(logs, false), rows[i].until ? 7 : 5);
        any_order = false;
        finish();
    }
}

TEST(what_was_written_elsewhere_comes_back_in_order_whichever_call_fails)
{
    static const int errors[] = {EIO, EMFILE};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        CHECK(fault_each(FAULT_CALLS, errors[i], come_back) > 20);
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, come_back) >= 1);
}

/* ---- the quota, and the way back ----------------------------------------------------------- */

static void keep_quota(void)
{
    struct journal_work work;
    begin();
    write_file(logs, STEM ".log", 90, 91);
    write_file(logs, "20261122T135401.000000Z.log", 0, 3);
    write_file(logs, "20261122T135402.000000Z.log", 3, 5);
    write_file(logs, "20261122T135403.000000Z.log.zst.tmp", 90, 91);
    write_file(logs, "current", 5, 6);
    file.quota.keep = 2;
    file.quota.max_age_s = 1000000000;
    faults_begin();
    journal_store_tidy(&store, &file, now_ns, &work);
    if (work.folder >= 0)
        close(work.folder);
    faults_end();
    CHECK(fault_happened() || work.count == 2);
    journal_store_tidy(&store, &file, now_ns, &work);
    CHECK_NUMBER(work.count, 2);
    if (work.folder >= 0)
        close(work.folder);
    CHECK(!is_there(logs, STEM ".log"));
    CHECK(!is_there(logs, "20261122T135403.000000Z.log.zst.tmp"));
    CHECK_NUMBER(read_all(logs, false), 6);
    finish();
}

TEST(what_the_quota_could_not_remove_is_removed_the_next_time)
{
    CHECK(fault_each(FAULT_CALLS, EIO, keep_quota) > 4);
    CHECK(fault_each(FAULT_CALLS, EMFILE, keep_quota) > 4);
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, keep_quota) >= 1);
}

/* Writes a line that stays and a file and a half that are to be taken back. */
static struct journal_cut write_block(void)
{
    begin();
    CHECK(write_line(0));
    const struct journal_cut cut = {file.device, file.inode, file.size_bytes};
    CHECK(write_line(90));
    CHECK_NUMBER(journal_store_seal(&store, &file), 0);
    CHECK(write_line(91));
    return cut;
}

static void rewind_block(void)
{
    const struct journal_cut cut = write_block();
    faults_begin();
    int failed = journal_store_rewind(&store, &file, &cut);
    faults_end();
    CHECK(failed == 0 || fault_happened());
    CHECK(file.to_cut == (failed != 0));
    CHECK(write_line(1)); /* not before it is done */
    CHECK(!file.to_cut);
    CHECK_NUMBER(read_all(logs, false), 2);
    finish();
}

static void rewind_later(void)
{
    const struct journal_cut cut = write_block();
    file.cut = cut;
    file.to_cut = true;
    faults_begin();
    bool written = write_line(1);
    faults_end();
    CHECK(written || fault_happened());
    CHECK(written || write_line(1));
    journal_file_finish(&file); /* what is in the fallback is brought along by the next open */
    CHECK(write_line(2));
    CHECK_NUMBER(read_all(logs, false), 3);
    finish();
}

TEST(a_block_is_taken_back_whole_or_before_the_next_line)
{
    static const int errors[] = {EIO, EMFILE, EROFS};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        CHECK(fault_each(FAULT_CALLS, errors[i], rewind_block) > 4);
        CHECK(fault_each(FAULT_CALLS, errors[i], rewind_later) > 4);
    }
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, rewind_block) >= 1);
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, rewind_later) >= 1);
}

static void sync_descriptors(void)
{
    int fd = -1, folder = -1;
    begin();
    CHECK(write_line(0));
    CHECK(file.is_new);
    faults_begin();
    int failed = journal_store_sync_fds(&store, &file, &fd, &folder);
    if (failed) { /* nothing of it, and the next one gets both */
        CHECK(fault_happened() && fd < 0 && folder < 0 && file.is_new);
        failed = journal_store_sync_fds(&store, &file, &fd, &folder);
    }
    journal_store_sync(&store, true);
    faults_end();
    CHECK_NUMBER(failed, 0);
    CHECK(fd >= 0 && !file.is_new && file.synced_bytes == file.size_bytes);
    close(fd);
    if (folder >= 0)
        close(folder);
    finish();
}

TEST(descriptors_to_sync_by_are_given_both_or_none)
{
    CHECK(fault_each(FAULT_CALLS, EMFILE, sync_descriptors) >= 3);
    CHECK(fault_each(FAULT_CALLS, EIO, sync_descriptors) >= 3);
}

static void measure(void)
{
    struct journal_measure found = {0};
    begin();
    write_file(logs, STEM ".log", 0, 5);
    write_file(fallback, "20261122T135402.000000Z.log", 5, 6);
    write_file(logs, "current", 6, 7);
    faults_begin();
    journal_store_measure(&store, &file, &found);
    faults_end();
    const uint64_t line = sizeof PREFIX + 1;
    CHECK(found.sealed_bytes <= 6 * line && found.current_bytes <= line);
    CHECK(fault_happened() || (found.sealed_bytes == 6 * line && found.current_bytes == line));
    finish();
}

TEST(what_cannot_be_measured_counts_for_nothing)
{
    CHECK(fault_each(FAULT_CALLS, EIO, measure) > 4);
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, measure) >= 1);
}
