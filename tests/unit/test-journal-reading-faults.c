/* Journals that are compressed and read while system calls and allocations fail, one after the
 * other: a file is whole in one form, and a reader says the error or reads all. */
#include "base/cleanup.h"
#include "base/text.h"
#include "faults.h"
#include "journal-files.h"
#include "journal/compress.h"
#include "journal/joiner.h"
#include "journal/reader-internal.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- compressing --------------------------------------------------------------------------- */

static int compress(bool with_faults)
{
    char path[PATH_MAX];
    text_format(path, sizeof path, "%s/web", logs);
    AUTO_CLOSE int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (with_faults)
        faults_begin();
    int failed = journal_compress(folder, STEM ".log");
    faults_end();
    return failed;
}

static void compress_once(void)
{
    begin();
    write_file(logs, STEM ".log", 0, 3000); /* some frames */
    int failed = compress(true);
    CHECK(failed == 0 || fault_happened());
    if (!failed)
        CHECK(is_there(logs, STEM ".log.zst"));
    else
        CHECK(is_there(logs, STEM ".log"));
    CHECK_NUMBER(read_all(logs, true), 3000);
    CHECK_NUMBER(compress(false), 0);
    CHECK(!is_there(logs, STEM ".log") && !is_there(logs, STEM ".log.zst.tmp"));
    CHECK_NUMBER(read_all(logs, true), 3000);
    finish();
}

/* Whose it is cannot be kept: it is for fewer then, and whole. */
static void compress_for_fewer(void)
{
    begin();
    write_file(logs, STEM ".log", 0, 3);
    CHECK_NUMBER(compress(true), 0);
    CHECK_NUMBER(read_all(logs, true), 3);
    finish();
}

TEST(a_file_that_is_compressed_is_whole_in_one_form_whichever_call_fails)
{
    CHECK(fault_each(FAULT_CALLS, EIO, compress_once) > 10);
    CHECK(fault_each(FAULT_CALLS, EWOULDBLOCK, compress_once) > 10);
    fault_each_of("fchown", FAULT_CALLS | FAULT_FOR_GOOD, EPERM, compress_for_fewer);
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, compress_once) > 2);
}

TEST(what_is_no_sealed_file_is_not_compressed_and_stays)
{
    char path[PATH_MAX], other[PATH_MAX];
    begin();
    write_file(logs, STEM ".log", 0, 3);
    text_format(path, sizeof path, "%s/web", logs);
    AUTO_CLOSE int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    static const char *const names[] = {"current", STEM ".log.zst", STEM ".log.zst.tmp", "../x",
                                        ""};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        CHECK_NUMBER(journal_compress(folder, names[i]), -EINVAL);
    /* In its place, or in that of what it is to become: something else. */
    text_format(path, sizeof path, "%s/web/" STEM ".log", logs);
    text_format(other, sizeof other, "%s/web/other", logs);
    CHECK_NUMBER(rename(path, other), 0);
    CHECK_NUMBER(journal_compress(folder, STEM ".log"), 0); /* gone */
    CHECK_NUMBER(mkdir(path, 0755), 0);
    CHECK(journal_compress(folder, STEM ".log") < 0 && access(path, F_OK) == 0);
    CHECK_NUMBER(rmdir(path), 0);
    CHECK_NUMBER(rename(other, path), 0);
    text_format(other, sizeof other, "%s/web/" STEM ".log.zst.tmp", logs);
    CHECK_NUMBER(mkfifo(other, 0600), 0);
    AUTO_CLOSE int reader = open(other, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    CHECK_NUMBER(journal_compress(folder, STEM ".log"), -EINVAL);
    CHECK_NUMBER(unlink(other), 0);
    CHECK_NUMBER(journal_compress(folder, STEM ".log"), 0);
    CHECK_NUMBER(read_all(logs, false), 3);
    finish();
}

static void compress_interrupted(void)
{
    begin();
    write_file(logs, STEM ".log", 0, 3000);
    CHECK_NUMBER(compress(true), 0);
    CHECK(is_there(logs, STEM ".log.zst") && !is_there(logs, STEM ".log"));
    CHECK_NUMBER(read_all(logs, true), 3000);
    finish();
}

TEST(a_signal_while_it_reads_or_writes_does_no_harm_to_compressing)
{
    CHECK(fault_each_of("read", FAULT_CALLS, EINTR, compress_interrupted) >= 2);
    CHECK(fault_each_of("write", FAULT_CALLS, EINTR, compress_interrupted) >= 4);
}

/* ---- reading ------------------------------------------------------------------------------- */

/* Opens the compressed file; *ret_table is where its seek table begins. */
static int open_packed(off_t *ret_table)
{
    char path[PATH_MAX];
    unsigned char end[9]; /* how many frames, a descriptor, a magic number */
    text_format(path, sizeof path, "%s/web/" STEM ".log.zst", logs);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    off_t size = lseek(fd, 0, SEEK_END);
    CHECK_NUMBER(pread(fd, end, sizeof end, size - (off_t)sizeof end), sizeof end);
    *ret_table = size - (off_t)sizeof end - 8 - 8 * (end[0] | end[1] << 8);
    return fd;
}

static bool without_table; /* as other programs compress */

enum { packed = 4000 }; /* lines in the compressed file */

static void make_journal(void)
{
    begin();
    write_file(logs, STEM ".log", 0, packed);
    CHECK_NUMBER(compress(false), 0);
    if (without_table) {
        off_t table;
        AUTO_CLOSE int fd = open_packed(&table);
        CHECK_NUMBER(ftruncate(fd, table), 0);
    }
    write_file(logs, "20261122T135402.000000Z.log", packed, packed + 10);
    write_file(logs, "current", packed + 10, packed + 20);
}

static void read_forwards(void)
{
    make_journal();
    faults_begin();
    int result = read_all(logs, true);
    faults_end();
    CHECK(result == packed + 20 || (fault_happened() && result < 0));
    CHECK_NUMBER(read_all(logs, true), packed + 20);
    finish();
}

/* Each half made of what the calls give that are in the header. */
static void read_about(void)
{
    char path[PATH_MAX];
    struct journal_reader reader;
    struct journal_place place;
    make_journal();
    text_format(path, sizeof path, "%s/web", logs);
    faults_begin();
    int failed = journal_reader_open(&reader, path);
    if (!failed)
        failed = journal_reader_find_time(&reader, now_ns, &place);
    if (!failed)
        failed = journal_reader_find_end(&reader, now_ns, &place);
    if (!failed)
        failed = journal_reader_end(&reader, &place);
    if (!failed)
        failed = journal_reader_seek_last(&reader, 15);
    int read_to = failed ? failed : read_numbers(&reader, packed + 5);
    faults_end();
    CHECK(read_to == packed + 20 || (fault_happened() && read_to < 0));
    journal_reader_close(&reader);
    finish();
}

/* A rotation in the middle of following. */
static void follow(void)
{
    char path[PATH_MAX], to[PATH_MAX];
    struct journal_reader reader;
    begin();
    write_file(logs, "current", 0, 10);
    text_format(path, sizeof path, "%s/web", logs);
    CHECK_NUMBER(journal_reader_open(&reader, path), 0);
    CHECK_NUMBER(read_numbers(&reader, 0), 10);
    text_format(path, sizeof path, "%s/web/current", logs);
    text_format(to, sizeof to, "%s/web/%s", logs, STEM ".log");
    CHECK_NUMBER(rename(path, to), 0);
    write_file(logs, "current", 10, 20);
    text_format(path, sizeof path, "%s/web", logs);
    faults_begin();
    int failed = journal_reader_refresh(&reader, path);
    faults_end();
    CHECK(failed == 0 || (failed < 0 && fault_happened()));
    if (failed)
        CHECK_NUMBER(journal_reader_refresh(&reader, path), 0);
    CHECK_NUMBER(read_numbers(&reader, 10), 20);
    journal_reader_close(&reader);
    finish();
}

TEST(a_reader_reads_all_or_says_why_not)
{
    for (int i = 0; i < 2; i++) {
        without_table = i;
        CHECK(fault_each(FAULT_CALLS, EIO, read_forwards) > 10);
        CHECK(fault_each(FAULT_MEMORY, ENOMEM, read_forwards) > 5);
        CHECK(fault_each(FAULT_CALLS, EIO, read_about) > 10);
        CHECK(fault_each(FAULT_MEMORY, ENOMEM, read_about) > 5);
    }
    without_table = false;
}

static void read_interrupted(void)
{
    make_journal();
    faults_begin();
    CHECK_NUMBER(read_all(logs, true), packed + 20);
    faults_end();
    finish();
}

TEST(a_signal_while_it_reads_does_no_harm_to_a_reader)
{
    without_table = true;
    CHECK(fault_each_of("read", FAULT_CALLS, EINTR, read_interrupted) >= 1);
    without_table = false;
}

/* Each byte of the table as it is not: what does not fit is read as a file without a table. */
TEST(a_seek_table_that_is_damaged_costs_no_line)
{
    static const unsigned char changes[] = {0x01, 0x80, 0xff, 0x03};
    make_journal();
    off_t table;
    AUTO_CLOSE int fd = open_packed(&table);
    const off_t size = lseek(fd, 0, SEEK_END);
    for (off_t at = table; at < size; at++)
        for (size_t i = 0; i < sizeof changes; i++) {
            unsigned char byte, changed;
            CHECK_NUMBER(pread(fd, &byte, 1, at), 1);
            changed = byte ^ changes[i];
            CHECK_NUMBER(pwrite(fd, &changed, 1, at), 1);
            read_until = 0;
            int result = read_all(logs, true); /* of a damaged end it says so, behind all lines */
            if ((result != packed + 20 && result != -EIO) || read_until != packed + 20)
                fprintf(stderr, "byte %d of the table: %02x\n", (int)(at - table), changed);
            CHECK(result == packed + 20 || result == -EIO);
            CHECK_NUMBER(read_until, packed + 20);
            CHECK_NUMBER(pwrite(fd, &byte, 1, at), 1);
        }
    finish();
}

TEST(following_goes_on_where_it_was_whichever_call_fails)
{
    CHECK(fault_each(FAULT_CALLS, EIO, follow) > 5);
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, follow) > 0);
}

/* The journal was away: it is gone on in one of its files, or the error is told, and the next time
 * it is found. */
static void go_on(void)
{
    char path[PATH_MAX];
    struct journal_reader reader;
    struct journal_bookmarks marks = {0};
    struct journal_entry entry;
    begin();
    write_file(logs, STEM ".log", 0, 10);
    write_file(logs, "current", 20, 21);
    text_format(path, sizeof path, "%s/web", logs);
    CHECK_NUMBER(journal_reader_open(&reader, path), 0);
    reader.whole_lines = true;
    reader.bookmarks = &marks;
    for (int i = 0; i < 5; i++)
        CHECK_NUMBER(journal_reader_next(&reader, &entry), 1);
    journal_reader_remember(&reader);
    journal_reader_close(&reader);
    CHECK_NUMBER(journal_reader_open(&reader, path), 0);
    reader.whole_lines = true;
    reader.bookmarks = &marks;
    faults_begin();
    int found = journal_reader_go_on(&reader);
    faults_end();
    CHECK(found == 1 || (found < 0 && fault_happened()));
    if (found < 0)
        CHECK_NUMBER(journal_reader_go_on(&reader), 1);
    CHECK_NUMBER(journal_reader_next(&reader, &entry), 1);
    CHECK(entry.bytes == 1 && entry.text[0] == '5');
    journal_reader_close(&reader);
    finish();
}

TEST(a_journal_that_was_away_is_gone_on_with_or_it_is_told_why_not)
{
    CHECK(fault_each(FAULT_CALLS, EMFILE, go_on) >= 3);
}

/* Pieces of a line with an event between them are one entry again, or there was no memory for it.
 */
static void join(void)
{
    static const char text[] =
        PREFIX "0 begins\n" TIME " +info event\n" TIME " -info  and ends\n" PREFIX "1\n";
    static const char *const wanted[] = {"0 begins and ends", "event", "1"};
    struct journal_joiner joiner = {.holds = false};
    struct journal_reader reader;
    struct journal_entry entry;
    char path[PATH_MAX];
    size_t count = 0;
    int got = 0;
    begin();
    write_file(logs, "current", 0, 0);
    text_format(path, sizeof path, "%s/web/current", logs);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    CHECK_NUMBER(write(fd, text, sizeof text - 1), sizeof text - 1);
    text_format(path, sizeof path, "%s/web", logs);
    CHECK_NUMBER(journal_reader_open(&reader, path), 0);
    faults_begin();
    while (count < 3 && (got = journal_joiner_next(&joiner, &reader, &entry)) == 1) {
        CHECK(entry.bytes == strlen(wanted[count]) &&
              memcmp(entry.text, wanted[count], entry.bytes) == 0);
        count++;
    }
    faults_end();
    CHECK(count == 3 || (fault_happened() && (got < 0 || reader.loss_count)));
    journal_joiner_finish(&joiner);
    journal_reader_close(&reader);
    finish();
}

TEST(pieces_of_a_line_are_one_or_there_was_no_memory)
{
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, join) >= 2);
    CHECK(fault_each(FAULT_CALLS, EIO, join) >= 2);
}

/* More text without a seek table than is kept of it: its beginning is decompressed again. */
static bool emptied; /* by somebody else, meanwhile */

static void read_from_far(void)
{
    enum { far = 450000 };
    struct journal_reader reader;
    char path[PATH_MAX];
    off_t table;
    begin();
    write_file(logs, STEM ".log", 0, far);
    CHECK_NUMBER(compress(false), 0);
    AUTO_CLOSE int fd = open_packed(&table);
    CHECK_NUMBER(ftruncate(fd, table), 0);
    text_format(path, sizeof path, "%s/web", logs);
    CHECK_NUMBER(journal_reader_open(&reader, path), 0);
    CHECK_NUMBER(journal_reader_seek_last(&reader, 1), 0);
    CHECK_NUMBER(read_numbers(&reader, far - 1), far);
    if (emptied)
        CHECK_NUMBER(ftruncate(fd, 0), 0);
    journal_reader_stand(&reader, JOURNAL_PLACE_BEGIN, JOURNAL_PLACE_NEVER);
    faults_begin();
    int result = read_numbers(&reader, 0);
    faults_end();
    if (fault_happened())
        CHECK_NUMBER(result, -EIO);
    else
        CHECK_NUMBER(result, emptied ? 0 : far);
    journal_reader_close(&reader);
    finish();
}

TEST(the_beginning_of_a_long_file_is_read_again_or_it_is_said_that_it_cannot_be)
{
    CHECK_NUMBER(fault_each_of("lseek64", FAULT_CALLS, EIO, read_from_far), 1);
    emptied = true;
    CHECK_NUMBER(fault_each_of("lseek64", FAULT_CALLS, EIO, read_from_far), 1);
    emptied = false;
}
