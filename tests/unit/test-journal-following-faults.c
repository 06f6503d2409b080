/* Following a journal that is rotated, compressed, emptied and removed meanwhile, while calls fail:
 * each entry comes once, and after an error that is of us the next try goes on. */
#include "base/cleanup.h"
#include "base/text.h"
#include "faults.h"
#include "journal-files.h"
#include "journal/compress.h"
#include "journal/reader-internal.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALED STEM ".log"
#define LATER  "20261122T135500.000000Z.log"

static char path[PATH_MAX], other[PATH_MAX];
static struct journal_reader reader;
static struct journal_bookmarks bookmarks;
static bool is_astray; /* where to go on by them is still to be looked for */

static const char *in(const char *leaf)
{
    text_format(path, sizeof path, "%s/web/%s", logs, leaf);
    return path;
}

static void rename_to(const char *from, const char *to)
{
    text_format(other, sizeof other, "%s/web/%s", logs, to);
    CHECK_NUMBER(rename(in(from), other), 0);
}

static void pack(const char *leaf)
{
    AUTO_CLOSE int folder = open(in(""), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK_NUMBER(journal_compress(folder, leaf), 0);
}

static void open_to_follow(void)
{
    CHECK_NUMBER(journal_reader_open(&reader, in("")), 0);
    bookmarks = (struct journal_bookmarks){0};
    is_astray = false;
    reader.bookmarks = &bookmarks;
    reader.whole_lines = true;
}

/* A journal that is followed, and was read up to its end. */
static void begin_following(int lines)
{
    begin();
    write_file(logs, "current", 0, lines);
    open_to_follow();
    CHECK_NUMBER(read_numbers(&reader, 0), lines);
}

static int refresh(void)
{
    return journal_reader_refresh(&reader, in(""));
}

/* The same, and stands where it is known how far what there is was read. 0, or -errno: it is to be
 * called again. */
static int look_again(void)
{
    int r = is_astray ? 1 : refresh();
    if (r != 1)
        return r;
    r = journal_reader_go_on(&reader);
    is_astray = r < 0;
    return r < 0 ? r : 0;
}

static void end(void)
{
    journal_reader_close(&reader);
    finish();
}

/* ---- a file that is emptied ---------------------------------------------------------------- */

/* More is read of the file, after it was seen whether it was emptied. */
static void read_on(void)
{
    begin_following(3);
    write_file(logs, "current", 3, 5);
    faults_begin();
    int got = read_numbers(&reader, 3);
    faults_end();
    CHECK(got == 5 || fault_happened());
    CHECK(got != -EIO || reader.loss_count); /* not for what is only looked at */
    if (got == -ENOMEM)
        CHECK_NUMBER(read_numbers(&reader, read_until), 5);
    end();
}

TEST(more_of_a_file_is_read_with_the_next_try_where_memory_is_short)
{
    CHECK(fault_each_of("pread64", FAULT_CALLS, ENOMEM, read_on) >= 3);
    CHECK(fault_each_of("pread64", FAULT_CALLS, EIO, read_on) >= 3);
}

/* From the middle on, where what it begins with is looked up. */
static void read_from_the_middle(void)
{
    begin();
    write_file(logs, "current", 0, 9);
    CHECK_NUMBER(journal_reader_open(&reader, in("")), 0);
    reader.whole_lines = true;
    CHECK_NUMBER(journal_reader_seek_last(&reader, 2), 0);
    faults_begin();
    int got = read_numbers(&reader, 7);
    faults_end();
    CHECK_NUMBER(got, fault_happened() ? -ENOMEM : 9);
    if (got < 0)
        CHECK_NUMBER(read_numbers(&reader, read_until), 9);
    /* Other lines of the same length: known by its beginning only. */
    CHECK_NUMBER(truncate(in("current"), 0), 0);
    write_file(logs, "current", 9, 18);
    CHECK_NUMBER(read_numbers(&reader, 9), 18);
    end();
}

TEST(what_a_file_begins_with_is_looked_up_where_it_is_not_read_from_its_beginning)
{
    CHECK(fault_each_of("pread64", FAULT_CALLS, ENOMEM, read_from_the_middle) >= 2);
}

TEST(a_file_that_is_only_cut_back_is_gone_on_with_behind_what_was_read)
{
    static const off_t line = sizeof PREFIX "0\n" - 1;
    begin_following(3);
    CHECK_NUMBER(truncate(in("current"), line), 0); /* by a writer that writes it again */
    CHECK_NUMBER(read_numbers(&reader, 3), 3);
    write_file(logs, "current", 1, 5);
    CHECK_NUMBER(read_numbers(&reader, 3), 5);
    end();
}

/* The file that was read is sealed, and has to be opened again to see what it begins with. */
static void read_on_in_sealed(void)
{
    begin_following(3);
    write_file(logs, "current", 3, 5);
    rename_to("current", SEALED);
    write_file(logs, "current", 5, 6);
    CHECK_NUMBER(refresh(), 0);
    faults_begin();
    int got = read_numbers(&reader, 3);
    faults_end();
    CHECK(got == 6 || (fault_happened() && got == -EMFILE));
    if (got < 0)
        CHECK_NUMBER(read_numbers(&reader, read_until), 6);
    end();
}

TEST(a_file_that_was_sealed_is_gone_on_with_when_there_are_descriptors)
{
    CHECK(fault_each_of("openat64", FAULT_CALLS, EMFILE, read_on_in_sealed) >= 1);
}

/* ---- a journal that was away --------------------------------------------------------------- */

TEST(what_is_too_short_to_know_a_file_by_is_not_looked_for)
{
    struct journal_bookmark *mark = &bookmarks.all[0];
    begin();
    write_file(logs, "current", 0, 3);
    open_to_follow();
    CHECK_NUMBER(journal_reader_go_on(&reader), 0);
    memcpy(mark->head, TIME, sizeof mark->head < sizeof TIME ? sizeof mark->head : sizeof TIME);
    mark->head_bytes = JOURNAL_TIME_BYTES - 1;
    CHECK_NUMBER(journal_reader_go_on(&reader), 0);
    mark->head_bytes = JOURNAL_TIME_BYTES;
    CHECK_NUMBER(journal_reader_go_on(&reader), 1);
    end();
}

TEST(a_file_that_begins_otherwise_is_not_gone_on_with)
{
    begin_following(3);
    journal_reader_remember(&reader);
    CHECK(bookmarks.all[0].head_bytes > 0);
    journal_reader_close(&reader);
    CHECK_NUMBER(unlink(in("current")), 0);
    write_file(logs, SEALED, 0, 1);     /* shorter than what it is known by */
    write_file(logs, "current", 5, 10); /* of the same time, and other lines */
    CHECK_NUMBER(journal_reader_open(&reader, in("")), 0);
    reader.bookmarks = &bookmarks;
    CHECK_NUMBER(journal_reader_go_on(&reader), 0);
    CHECK(journal_reader_place(&reader).file == 0 && journal_reader_place(&reader).at == 0);
    end();
}

/* It was cut back to less than it is known by, and is opened again. */
static void go_on_in_one_that_was_cut_back(void)
{
    begin_following(3);
    journal_reader_remember(&reader);
    journal_reader_close(&reader);
    CHECK_NUMBER(truncate(in("current"), sizeof PREFIX "0\n" - 1), 0);
    CHECK_NUMBER(journal_reader_open(&reader, in("")), 0);
    reader.bookmarks = &bookmarks;
    faults_begin();
    int found = journal_reader_go_on(&reader);
    faults_end();
    if (!fault_happened())
        CHECK_NUMBER(found, 1);
    else if (strcmp(fault_call(), "fstat64") == 0)
        CHECK_NUMBER(found, 0); /* its number is not known: it is one like any other */
    else
        CHECK_NUMBER(found, -ENOMEM);
    if (found < 0)
        CHECK_NUMBER(journal_reader_go_on(&reader), 1);
    end();
}

TEST(a_file_that_cannot_be_looked_at_for_want_of_memory_is_looked_for_with_the_next_try)
{
    CHECK_NUMBER(fault_each_of("pread64", FAULT_CALLS, ENOMEM, go_on_in_one_that_was_cut_back), 2);
    CHECK_NUMBER(fault_each_of("fstat64", FAULT_CALLS, ENOMEM, go_on_in_one_that_was_cut_back), 1);
}

TEST(only_current_is_known_by_its_number)
{
    begin_following(3);
    journal_reader_remember(&reader);
    journal_reader_close(&reader);
    rename_to("current", SEALED);
    CHECK_NUMBER(truncate(in(SEALED), sizeof PREFIX "0\n" - 1), 0);
    CHECK_NUMBER(journal_reader_open(&reader, in("")), 0);
    reader.bookmarks = &bookmarks;
    CHECK_NUMBER(journal_reader_go_on(&reader), 0);
    end();
}

/* ---- other files --------------------------------------------------------------------------- */

static bool is_packed;

/* Rotated, and maybe compressed, and there is a newer sealed one. */
static void rotate(void)
{
    begin_following(3);
    write_file(logs, "current", 3, 4);
    rename_to("current", SEALED);
    if (is_packed)
        pack(SEALED);
    write_file(logs, LATER, 4, 6);
    write_file(logs, "current", 6, 7);
    faults_begin();
    int failed = refresh();
    faults_end();
    CHECK(failed == 0 || (fault_happened() && failed < 0));
    if (failed)
        CHECK_NUMBER(refresh(), 0);
    CHECK_NUMBER(read_numbers(&reader, 3), 7);
    end();
}

TEST(the_file_that_was_read_is_found_among_others_or_it_is_told_why_not)
{
    for (int i = 0; i < 2; i++) {
        is_packed = i;
        CHECK(fault_each_of("fstatat64", FAULT_CALLS, EIO, rotate) >= 2);
        CHECK(fault_each_of("fstat64", FAULT_CALLS, EIO, rotate) >= 2);
    }
}

static void remove_sealed(void)
{
    CHECK_NUMBER(unlink(in(LATER)), 0);
}

static void remove_packed(void)
{
    CHECK_NUMBER(unlink(in(LATER ".zst")), 0);
}

TEST(a_file_that_the_quota_removes_meanwhile_is_not_the_one_that_was_read)
{
    for (int i = 0; i < 2; i++) {
        begin_following(3);
        rename_to("current", SEALED);
        write_file(logs, LATER, 50, 51);
        if (i)
            pack(LATER);
        write_file(logs, "current", 3, 4);
        faults_begin();
        faults_meddle("fstatat64", 1, 1, i ? remove_packed : remove_sealed);
        CHECK_NUMBER(refresh(), 0);
        faults_end();
        CHECK(!is_there(logs, i ? LATER ".zst" : LATER));
        CHECK_NUMBER(read_numbers(&reader, 3), 4);
        end();
    }
}

static void set_written(const char *leaf, const struct timespec *written)
{
    const struct timespec times[2] = {*written, *written};
    CHECK_NUMBER(utimensat(AT_FDCWD, in(leaf), times, 0), 0);
}

/* A compressed file is made of the one that was read only where that was written at its time. */
TEST(a_compressed_file_of_another_time_is_another)
{
    struct stat read;
    for (int i = 0; i < 2; i++) {
        begin_following(3);
        CHECK_NUMBER(stat(in("current"), &read), 0);
        rename_to("current", "kept"); /* so that none gets its number */
        write_file(logs, SEALED, 3, 5);
        if (i)
            read.st_mtim.tv_nsec = read.st_mtim.tv_nsec ? 0 : 1;
        else
            read.st_mtim.tv_sec--;
        set_written(SEALED, &read.st_mtim);
        pack(SEALED);
        write_file(logs, "current", 5, 6);
        CHECK_NUMBER(refresh(), 1);
        CHECK_NUMBER(read_numbers(&reader, 3), 6);
        end();
    }
}

/* Reads a sealed file, and stands at the end of it. */
static void begin_in_sealed(void)
{
    begin();
    write_file(logs, SEALED, 0, 2);
    CHECK_NUMBER(journal_reader_open(&reader, in("")), 0);
    reader.whole_lines = true;
    CHECK_NUMBER(read_numbers(&reader, 0), 2);
}

TEST(a_sealed_file_is_found_by_its_name_and_what_is_newer_follows)
{
    begin_in_sealed();
    write_file(logs, "20261122T135000.000000Z.log", 90, 91); /* older: moved here from elsewhere */
    write_file(logs, LATER, 2, 3);
    write_file(logs, "current", 3, 4);
    CHECK_NUMBER(refresh(), 0);
    CHECK_NUMBER(read_numbers(&reader, 2), 4);
    end();
}

TEST(of_a_sealed_file_that_is_gone_what_is_newer_is_read)
{
    begin_in_sealed();
    CHECK_NUMBER(unlink(in(SEALED)), 0);
    write_file(logs, LATER, 2, 3);
    CHECK_NUMBER(refresh(), 1);
    CHECK_NUMBER(read_numbers(&reader, 2), 3);
    end();
}

/* `current` was sealed, and in the new one, of which nothing was read, it is waited for more. */
static void begin_in_new_one(void)
{
    begin_following(3);
    rename_to("current", SEALED);
    write_file(logs, "current", 3, 3);
    CHECK_NUMBER(refresh(), 0);
    CHECK_NUMBER(read_numbers(&reader, 3), 3);
    CHECK_NUMBER(bookmarks.all[0].head_bytes, JOURNAL_HEAD_BYTES);
}

/* As on a file system that is mounted over it, and unmounted again. */
TEST(a_journal_in_the_place_of_which_there_was_another_is_gone_on_with)
{
    begin_following(3);
    rename_to("current", "kept");
    write_file(logs, "current", 5, 6);
    CHECK_NUMBER(look_again(), 0);
    CHECK_NUMBER(read_numbers(&reader, 5), 6);
    rename_to("kept", "current");
    write_file(logs, "current", 3, 4);
    CHECK_NUMBER(look_again(), 0);
    CHECK_NUMBER(read_numbers(&reader, 3), 4);
    end();
}

TEST(a_journal_that_was_away_is_gone_on_with)
{
    begin_following(3);
    rename_to("current", "kept");
    CHECK_NUMBER(look_again(), -ENOENT);
    journal_reader_close(&reader);
    rename_to("kept", "current");
    write_file(logs, "current", 3, 4);
    CHECK_NUMBER(journal_reader_open(&reader, in("")), 0);
    reader.bookmarks = &bookmarks;
    CHECK_NUMBER(journal_reader_go_on(&reader), 1);
    CHECK_NUMBER(read_numbers(&reader, 3), 4);
    end();
}

static bool is_sealed_again;

/* A journal that was killed while it sealed takes that back: the new `current`, of which nothing
 * was read, is gone, and the one before has its name again. */
static void take_back(void)
{
    begin_in_new_one();
    rename_to(SEALED, "current");
    write_file(logs, "current", 3, 4);
    if (is_sealed_again) { /* with more in it than it had */
        rename_to("current", SEALED);
        write_file(logs, "current", 4, 5);
    }
    faults_begin();
    int got = look_again();
    faults_end();
    CHECK(got == 0 || fault_happened());
    if (got < 0)
        CHECK_NUMBER(look_again(), 0);
    CHECK_NUMBER(read_numbers(&reader, 3), is_sealed_again ? 5 : 4);
    end();
}

TEST(a_file_that_is_not_sealed_after_all_is_gone_on_with)
{
    is_sealed_again = false;
    CHECK(fault_each_of("openat64", FAULT_CALLS, EMFILE, take_back) >= 1);
}

TEST(a_file_that_is_sealed_with_more_in_it_after_all_is_gone_on_with)
{
    is_sealed_again = true;
    CHECK(fault_each_of("openat64", FAULT_CALLS, EMFILE, take_back) >= 2);
}

/* What is written into a file that was cut back is known by what it had: this, or something else.
 */
static void cut_back(int first, int last)
{
    begin_in_new_one();
    rename_to(SEALED, "current");
    CHECK_NUMBER(truncate(in("current"), 0), 0);
    CHECK_NUMBER(look_again(), 0);
    CHECK_NUMBER(read_numbers(&reader, first), first);
    write_file(logs, "current", first, last);
    CHECK_NUMBER(look_again(), 0);
}

TEST(a_file_that_is_cut_back_to_nothing_and_written_again_is_gone_on_with)
{
    cut_back(0, 5);
    CHECK_NUMBER(read_numbers(&reader, 3), 5);
    end();
}

TEST(a_file_that_is_cut_back_to_nothing_and_becomes_another_is_read_whole)
{
    cut_back(7, 12);
    CHECK_NUMBER(read_numbers(&reader, 7), 12);
    end();
}

/* The number of one that is gone is the new `current`'s. */
TEST(a_file_that_only_has_the_number_of_one_that_was_read_does_not_hide_those_before_it)
{
    begin_in_new_one();
    rename_to(SEALED, "current");
    CHECK_NUMBER(truncate(in("current"), 0), 0);
    write_file(logs, LATER, 7, 9);
    CHECK_NUMBER(look_again(), 0);
    CHECK_NUMBER(read_numbers(&reader, 7), 9);
    write_file(logs, "current", 9, 10);
    CHECK_NUMBER(read_numbers(&reader, 9), 10);
    end();
}

/* More of it comes than there was, before it is looked at. */
TEST(what_comes_into_a_file_that_only_has_the_number_of_one_that_was_read_is_read_whole)
{
    begin_in_new_one();
    rename_to(SEALED, "current");
    CHECK_NUMBER(truncate(in("current"), 0), 0);
    CHECK_NUMBER(look_again(), 0);
    write_file(logs, "current", 7, 20);
    CHECK_NUMBER(read_numbers(&reader, 7), 20);
    end();
}

/* Two files were sealed in between: it is not the last one that comes back. */
TEST(of_several_files_that_were_sealed_the_one_that_comes_back_is_gone_on_with)
{
    begin_in_new_one();
    write_file(logs, "current", 3, 5);
    CHECK_NUMBER(look_again(), 0);
    CHECK_NUMBER(read_numbers(&reader, 3), 5);
    rename_to("current", LATER);
    write_file(logs, "current", 5, 5);
    CHECK_NUMBER(look_again(), 0);
    CHECK_NUMBER(read_numbers(&reader, 5), 5);
    CHECK_NUMBER(unlink(in(LATER)), 0);
    CHECK_NUMBER(look_again(), 0);
    rename_to(SEALED, "current");
    CHECK_NUMBER(look_again(), 0);
    CHECK_NUMBER(read_numbers(&reader, 3), 3);
    end();
}

static void remember(int number, size_t head_bytes)
{
    snprintf(reader.head, sizeof reader.head, "%02d and what it begins with", number);
    reader.head_bytes = head_bytes;
    journal_reader_remember(&reader);
}

TEST(of_the_files_that_were_read_last_it_is_remembered_how_far_and_of_each_once)
{
    begin();
    write_file(logs, "current", 0, 1);
    open_to_follow();
    for (int i = 0; i < JOURNAL_BOOKMARKS; i++)
        remember(i, 10);
    CHECK_NUMBER(memcmp(bookmarks.all[JOURNAL_BOOKMARKS - 1].head, "00", 2), 0);
    remember(3, 20); /* it is longer now */
    CHECK_NUMBER(memcmp(bookmarks.all[0].head, "03", 2), 0);
    CHECK_NUMBER(bookmarks.all[0].head_bytes, 20);
    CHECK_NUMBER(memcmp(bookmarks.all[JOURNAL_BOOKMARKS - 1].head, "00", 2), 0);
    for (int i = 1; i < JOURNAL_BOOKMARKS; i++)
        CHECK(memcmp(bookmarks.all[i].head, "03", 2) != 0);
    remember(JOURNAL_BOOKMARKS, 10);
    CHECK_NUMBER(memcmp(bookmarks.all[JOURNAL_BOOKMARKS - 1].head, "01", 2), 0);
    reader.head_bytes = 0; /* nothing is in it */
    journal_reader_remember(&reader);
    CHECK_NUMBER(memcmp(bookmarks.all[0].head, "08", 2), 0);
    end();
}

TEST(where_the_new_file_is_gone_and_the_one_before_stays_sealed_nothing_is_read_again)
{
    begin_in_new_one();
    CHECK_NUMBER(unlink(in("current")), 0);
    CHECK_NUMBER(look_again(), 0);
    CHECK_NUMBER(read_numbers(&reader, 3), 3);
    write_file(logs, "current", 3, 4);
    CHECK_NUMBER(look_again(), 0);
    CHECK_NUMBER(read_numbers(&reader, 3), 4);
    end();
}

/* The new `current` is there, and so is the one before: it was sealed. */
TEST(a_file_that_stays_sealed_is_not_taken_for_the_new_one)
{
    begin_in_new_one();
    rename_to("current", "kept"); /* so that none gets its number */
    write_file(logs, "current", 3, 5);
    CHECK_NUMBER(look_again(), 0);
    CHECK_NUMBER(read_numbers(&reader, 3), 5);
    end();
}

/* `current` is gone, and all that is left was read: its end is what is gone on from. */
static void lose_current(void)
{
    begin();
    write_file(logs, SEALED, 0, 2);
    write_file(logs, "current", 2, 3);
    open_to_follow();
    CHECK_NUMBER(read_numbers(&reader, 0), 3);
    CHECK_NUMBER(unlink(in("current")), 0);
    faults_begin();
    int failed = look_again();
    faults_end();
    CHECK(failed == 0 || (fault_happened() && failed < 0));
    if (failed)
        CHECK_NUMBER(look_again(), 0);
    write_file(logs, "current", 3, 4);
    CHECK_NUMBER(look_again(), 0);
    CHECK_NUMBER(read_numbers(&reader, 3), 4);
    end();
}

TEST(without_current_nothing_is_read_again_whatever_fails)
{
    CHECK(fault_each_of("openat64", FAULT_CALLS, EMFILE, lose_current) >= 2);
}

/* The end of a sealed file is known when the next one is read, also where a time is looked for in
 * that; but not where the disk did not give the file. */
static void pass_over(void)
{
    begin();
    write_file(logs, SEALED, 0, 2);
    write_file(logs, "current", 2, 2);
    open_to_follow();
    reader.since_ns = now_ns;
    faults_begin();
    int got = read_numbers(&reader, 0);
    faults_end();
    CHECK_NUMBER(got, fault_happened() ? -EIO : 2);
    CHECK_NUMBER(bookmarks.all[0].head_bytes > 0, !fault_happened());
    end();
}

TEST(where_a_sealed_file_ends_is_known_if_it_could_be_read)
{
    CHECK(fault_each_of("openat64", FAULT_CALLS, EIO, pass_over) >= 1);
}
