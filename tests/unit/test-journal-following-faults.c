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
#include <sys/stat.h>
#include <unistd.h>

#define SEALED STEM ".log"
#define LATER  "20261122T135500.000000Z.log"

static char path[PATH_MAX], other[PATH_MAX];
static struct journal_reader reader;

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

/* A journal that is followed, and was read up to its end. */
static void begin_following(int lines)
{
    begin();
    write_file(logs, "current", 0, lines);
    CHECK_NUMBER(journal_reader_open(&reader, in("")), 0);
    reader.whole_lines = true;
    CHECK_NUMBER(read_numbers(&reader, 0), lines);
}

static int refresh(void)
{
    return journal_reader_refresh(&reader, in(""));
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
    struct journal_bookmark mark;
    begin();
    write_file(logs, "current", 0, 3);
    CHECK_NUMBER(journal_reader_open(&reader, in("")), 0);
    mark = journal_reader_mark(&reader);
    CHECK_NUMBER(journal_reader_go_on(&reader, &mark), 0);
    memcpy(mark.head, TIME, sizeof mark.head < sizeof TIME ? sizeof mark.head : sizeof TIME);
    mark.head_bytes = JOURNAL_TIME_BYTES - 1;
    CHECK_NUMBER(journal_reader_go_on(&reader, &mark), 0);
    mark.head_bytes = JOURNAL_TIME_BYTES;
    CHECK_NUMBER(journal_reader_go_on(&reader, &mark), 1);
    end();
}

TEST(a_file_that_begins_otherwise_is_not_gone_on_with)
{
    struct journal_bookmark mark;
    begin_following(3);
    mark = journal_reader_mark(&reader);
    journal_reader_close(&reader);
    CHECK_NUMBER(unlink(in("current")), 0);
    write_file(logs, SEALED, 0, 1);     /* shorter than what it is known by */
    write_file(logs, "current", 5, 10); /* of the same time, and other lines */
    CHECK_NUMBER(journal_reader_open(&reader, in("")), 0);
    CHECK_NUMBER(journal_reader_go_on(&reader, &mark), 0);
    CHECK(journal_reader_place(&reader).file == 0 && journal_reader_place(&reader).at == 0);
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

static bool fails_later;

static bool fails(bool later)
{
    return later == fails_later;
}

/* A journal that was killed while it sealed takes that back: the new `current`, of which nothing
 * was read, is gone, and the one before has its name again. */
static void take_back(void)
{
    begin_following(3);
    rename_to("current", SEALED);
    write_file(logs, "current", 3, 3);
    CHECK_NUMBER(refresh(), 0);
    if (fails(false))
        faults_begin();
    int got = read_numbers(&reader, 3);
    faults_end();
    CHECK(got == 3 || (fault_happened() && got == -EIO));
    CHECK(reader.left.is_known || fault_happened());
    CHECK_NUMBER(unlink(in("current")), 0);
    rename_to(SEALED, "current");
    write_file(logs, "current", 3, 4);
    if (fails(true))
        faults_begin();
    got = refresh();
    faults_end();
    if (got < 0) {
        CHECK(fault_happened());
        got = refresh();
    }
    CHECK(got == 0 || (fault_happened() && got == 1)); /* then it is another one */
    CHECK_NUMBER(read_numbers(&reader, got ? 0 : 3), 4);
    end();
}

TEST(a_file_that_is_not_sealed_after_all_is_gone_on_with_or_read_again)
{
    fails_later = false;
    CHECK(fault_each_of("fstat64", FAULT_CALLS, EIO, take_back) >= 1);
    fails_later = true;
    CHECK(fault_each_of("fstat64", FAULT_CALLS, EIO, take_back) >= 3);
}

TEST(where_the_new_file_is_gone_and_the_one_before_stays_sealed_nothing_is_read_again)
{
    begin_following(3);
    rename_to("current", SEALED);
    write_file(logs, "current", 3, 3);
    CHECK_NUMBER(refresh(), 0);
    CHECK_NUMBER(read_numbers(&reader, 3), 3);
    CHECK_NUMBER(unlink(in("current")), 0);
    CHECK_NUMBER(refresh(), 0);
    CHECK_NUMBER(read_numbers(&reader, 3), 3);
    write_file(logs, "current", 3, 4);
    CHECK_NUMBER(refresh(), 0);
    CHECK_NUMBER(read_numbers(&reader, 3), 4);
    end();
}

/* The new `current` is there, and so is the one before: it was sealed. */
TEST(a_file_that_stays_sealed_is_not_taken_for_the_new_one)
{
    begin_following(3);
    rename_to("current", SEALED);
    write_file(logs, "current", 3, 3);
    CHECK_NUMBER(refresh(), 0);
    CHECK_NUMBER(read_numbers(&reader, 3), 3);
    CHECK(reader.left.is_known);
    rename_to("current", "kept"); /* so that none gets its number */
    write_file(logs, "current", 3, 5);
    CHECK_NUMBER(refresh(), 1);
    CHECK_NUMBER(read_numbers(&reader, 3), 5);
    end();
}

/* `current` is gone, and all that is left was read: its end is what is gone on from. */
static void lose_current(void)
{
    begin();
    write_file(logs, SEALED, 0, 2);
    write_file(logs, "current", 2, 3);
    CHECK_NUMBER(journal_reader_open(&reader, in("")), 0);
    reader.whole_lines = true;
    CHECK_NUMBER(read_numbers(&reader, 0), 3);
    CHECK_NUMBER(unlink(in("current")), 0);
    faults_begin();
    int failed = refresh();
    faults_end();
    CHECK(failed == 0 || (fault_happened() && failed < 0));
    if (failed)
        CHECK_NUMBER(refresh(), 0);
    write_file(logs, "current", 3, 4);
    CHECK_NUMBER(refresh(), 0);
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
    CHECK_NUMBER(journal_reader_open(&reader, in("")), 0);
    reader.whole_lines = true;
    reader.since_ns = now_ns;
    faults_begin();
    int got = read_numbers(&reader, 0);
    faults_end();
    CHECK_NUMBER(got, fault_happened() ? -EIO : 2);
    CHECK_NUMBER(reader.left.is_known, !fault_happened());
    end();
}

TEST(where_a_sealed_file_ends_is_known_if_it_could_be_read)
{
    CHECK(fault_each_of("openat64", FAULT_CALLS, EIO, pass_over) >= 1);
}
