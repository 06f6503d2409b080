/* Reading and compressing while somebody else is at the files, times are odd, and the system has no
 * memory or descriptors: that is said, and the reader reads on when it has. */
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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LATER      "20261122T135500.000000Z.log"
#define JUST_LATER "20261122T135400.123457Z.log" /* a microsecond behind STEM */
#define NEXT_TIME  "2026-11-22T13:55:00.000000Z"

static char path[PATH_MAX], other[PATH_MAX];
static struct journal_reader reader;
static struct journal_entry entry;
static uint64_t next_ns;

static const char *in(const char *leaf)
{
    text_format(path, sizeof path, "%s/web/%s", logs, leaf);
    return path;
}

static void append(const char *leaf, const char *bytes, size_t count)
{
    write_file(logs, leaf, 0, 0);
    AUTO_CLOSE int fd = open(in(leaf), O_WRONLY | O_APPEND | O_CLOEXEC);
    CHECK_NUMBER(write(fd, bytes, count), count);
}

static void append_text(const char *leaf, const char *text)
{
    append(leaf, text, strlen(text));
}

static void set_written(const char *leaf, time_t seconds)
{
    const struct timespec times[2] = {{seconds, 0}, {seconds, 0}};
    CHECK_NUMBER(utimensat(AT_FDCWD, in(leaf), times, 0), 0);
}

static time_t seconds_of(const char *time)
{
    uint64_t ns = 0;
    CHECK(journal_parse_time(time, &ns));
    return (time_t)(ns / NS_PER_SEC);
}

static int open_reader(void)
{
    journal_parse_time(NEXT_TIME, &next_ns);
    return journal_reader_open(&reader, in(""));
}

static void end(void)
{
    journal_reader_close(&reader);
    finish();
}

/* The next entry has this text. */
static void check_next(const char *wanted)
{
    char text[200] = "";
    int got = journal_reader_next(&reader, &entry);
    CHECK_NUMBER(got, 1);
    if (got == 1)
        memcpy(text, entry.text, entry.bytes < sizeof text ? entry.bytes : sizeof text - 1);
    CHECK_TEXT(text, wanted);
}

static void check_end(void)
{
    CHECK_NUMBER(journal_reader_next(&reader, &entry), 0);
}

/* ---- opening ------------------------------------------------------------------------------- */

static void exchange_current(void)
{
    in("current");
    text_format(other, sizeof other, "%s/web/other", logs);
    CHECK_NUMBER(rename(path, other), 0);
    write_file(logs, "current", 0, 3);
}

TEST(a_journal_that_is_rotated_meanwhile_is_opened_again)
{
    begin();
    write_file(logs, "current", 0, 1);
    faults_begin();
    faults_meddle("fstatat64", 0, 1, exchange_current);
    CHECK_NUMBER(open_reader(), 0);
    faults_end();
    CHECK_NUMBER(read_numbers(&reader, 0), 3);
    journal_reader_close(&reader);
    faults_begin();
    faults_meddle("fstatat64", 0, 1000, exchange_current);
    CHECK_NUMBER(open_reader(), -EBUSY); /* it does not go on for ever */
    faults_end();
    end();
}

TEST(litter_and_what_cannot_be_opened_as_a_file_is_passed_over)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    begin();
    write_file(logs, "20261122T135000.000000Z.log.zst.tmp", 90, 91);
    write_file(logs, "current", 0, 3);
    text_format(address.sun_path, sizeof address.sun_path, "%s", in(STEM ".log"));
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_NUMBER(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_NUMBER(open_reader(), 0);
    CHECK_NUMBER(reader.file_count, 2);
    CHECK_NUMBER(read_numbers(&reader, 0), 3);
    end();
}

static bool as_packed;

static void open_file(void)
{
    begin();
    write_file(logs, "current", 0, 3);
    int fd = open(in("current"), O_RDONLY | O_CLOEXEC);
    faults_begin();
    int result = journal_reader_open_file(&reader, fd, as_packed);
    int got = result ? result : journal_reader_next(&reader, &entry);
    faults_end();
    CHECK(result == 0 || (fault_happened() && result == -ENOMEM));
    if (!as_packed)
        CHECK(result || got == 1);
    else
        CHECK(got <= 0); /* it is not compressed */
    end();
}

TEST(one_file_alone_is_opened_or_there_was_no_memory_or_descriptor_for_it)
{
    as_packed = false;
    CHECK_NUMBER(fault_each(FAULT_MEMORY, ENOMEM, open_file), 2);
    as_packed = true;
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, open_file) > 2);
    CHECK(fault_each_of("fcntl64", FAULT_CALLS, EMFILE, open_file) >= 1);
}

/* ---- reading ------------------------------------------------------------------------------- */

enum { lines = 20000 };

static void make_long_file(const char *leaf)
{
    begin();
    write_file(logs, leaf, 0, lines);
    append_text("current", NEXT_TIME " info 20000\n");
}

static int about(void)
{
    struct journal_place place;
    int failed = journal_reader_find_time(&reader, now_ns + 1, &place);
    if (!failed)
        failed = journal_reader_find_end(&reader, now_ns, &place);
    if (!failed)
        failed = journal_reader_find_end(&reader, UINT64_MAX, &place);
    if (!failed)
        failed = journal_reader_seek_last(&reader, 3);
    return failed;
}

/* An error that says nothing of the files is given back, and the next try reads. */
static void read_about(void)
{
    make_long_file(STEM ".log");
    CHECK_NUMBER(open_reader(), 0);
    faults_begin();
    int failed = about();
    int got = failed ? failed : read_numbers(&reader, lines - 2);
    faults_end();
    CHECK(got == lines + 1 || (fault_happened() && got < 0));
    CHECK_NUMBER(about(), 0);
    if (!reader.loss_count)
        CHECK_NUMBER(read_numbers(&reader, lines - 2), lines + 1);
    end();
}

TEST(without_memory_or_descriptors_nothing_is_found_until_there_are_some)
{
    static const int errors[] = {ENOMEM, EMFILE, ENFILE, EPERM};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        CHECK(fault_each_of("openat64", FAULT_CALLS, errors[i], read_about) >= 2);
        CHECK(fault_each_of("pread64", FAULT_CALLS, errors[i], read_about) >= 4);
    }
    CHECK(fault_each_of("fstat64", FAULT_CALLS, EIO, read_about) >= 2);
}

static void read_since(void)
{
    make_long_file(LATER);
    write_file(logs, STEM ".log", 90, 91);
    CHECK_NUMBER(open_reader(), 0);
    reader.since_ns = now_ns;
    check_next("90");
    faults_begin();
    int got = read_numbers(&reader, 0);
    faults_end();
    CHECK(got == lines + 1 || (fault_happened() && got < 0));
    end();
}

TEST(a_time_that_cannot_be_looked_for_is_read_up_to)
{
    CHECK(fault_each_of("openat64", FAULT_CALLS, EMFILE, read_since) >= 1);
    CHECK(fault_each_of("pread64", FAULT_CALLS, ENOMEM, read_since) >= 1);
}

/* As the next entry is newer than is wanted, what is behind it is passed over, or read. */
static void pass_over(void)
{
    struct journal_place place;
    begin();
    append_text(STEM ".log", PREFIX "0\n" NEXT_TIME " info 1\n" NEXT_TIME " info 2\n");
    append_text("current", NEXT_TIME " info 3\n");
    CHECK_NUMBER(open_reader(), 0);
    reader.until_ns = now_ns;
    check_next("0");
    CHECK_NUMBER(journal_reader_end(&reader, &place), 0); /* the other file is open now */
    faults_begin();
    check_next("1");
    faults_end();
    check_next(fault_happened() ? "2" : "3");
    end();
}

TEST(a_file_that_cannot_be_passed_over_is_read_on)
{
    CHECK(fault_each_of("openat64", FAULT_CALLS, EMFILE, pass_over) >= 1);
}

static void pass_over_current(void)
{
    begin();
    append_text("current", PREFIX "0\n" NEXT_TIME " info 1\n" NEXT_TIME " info 2\n");
    CHECK_NUMBER(open_reader(), 0);
    reader.until_ns = now_ns;
    check_next("0");
    faults_begin();
    check_next("1");
    faults_end();
    if (!fault_happened())
        check_end();
    end();
}

TEST(a_file_whose_size_is_not_known_is_no_error)
{
    CHECK(fault_each_of("fstat64", FAULT_CALLS, EIO, pass_over_current) >= 2);
}

static int write_only = -1;

/* The thread that reads ahead has no memory, cannot be begun, or cannot read. */
static void read_ahead(void)
{
    begin();
    write_file(logs, STEM ".log", 0, 60000);
    AUTO_CLOSE int folder = open(in(""), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK_NUMBER(journal_compress(folder, STEM ".log"), 0);
    CHECK_NUMBER(open_reader(), 0);
    reader.reads_ahead = true;
    faults_begin();
    int got = 0, read = 0;
    while ((got = journal_reader_next(&reader, &entry)) == 1) {
        if (write_only < 0 || entry.time_ns) /* else the half of a line before what is not read */
            CHECK_NUMBER(strtol(entry.text, NULL, 10), read);
        read++;
        if (write_only >= 0 && reader.source.ahead)
            dup3(write_only, reader.source.fd, O_CLOEXEC);
    }
    faults_end();
    if (write_only >= 0)
        CHECK(read < 60000 && reader.loss_count == 1 && reader.losses[0].error == -EBADF);
    else
        CHECK(read == 60000 || (fault_happened() && got < 0));
    end();
}

TEST(reading_ahead_is_done_without_where_it_cannot_be_and_its_errors_are_said)
{
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, read_ahead) >= 4);
    CHECK(fault_each_of("pthread_create", FAULT_CALLS, EAGAIN, read_ahead) == 1);
    write_only = open("/dev/null", O_WRONLY | O_CLOEXEC);
    read_ahead();
    close(write_only);
    write_only = -1;
}

/* ---- lines --------------------------------------------------------------------------------- */

static char text[3 << 20];

static size_t put_line(size_t at, const char *beginning, size_t bytes)
{
    size_t length = strlen(beginning);
    memcpy(text + at, beginning, length);
    memset(text + at + length, 'x', bytes);
    text[at + length + bytes] = '\n';
    return at + length + bytes + 1;
}

TEST(the_end_of_a_line_in_pieces_is_given_whatever_is_looked_for)
{
    begin();
    append("current", text, put_line(0, PREFIX, 100000));
    append_text("current", PREFIX "1\n" PREFIX "wanted\n" PREFIX "2\n");
    CHECK_NUMBER(open_reader(), 0);
    reader.literal = "wanted";
    reader.literal_bytes = strlen(reader.literal);
    CHECK_NUMBER(journal_reader_next(&reader, &entry), 1);
    size_t total = entry.bytes;
    CHECK_NUMBER(journal_reader_next(&reader, &entry), 1);
    CHECK_NUMBER(entry.mark, JOURNAL_CONTINUED);
    CHECK_NUMBER(total + entry.bytes, 100000);
    check_next("wanted");
    end();
}

static void empty_current(const char *behind)
{
    CHECK_NUMBER(truncate(in("current"), 0), 0);
    append_text("current", behind);
}

TEST(what_there_was_of_a_line_in_a_file_that_is_emptied_is_an_entry_if_it_has_a_time)
{
    begin();
    append_text("current", PREFIX "0\nno time");
    CHECK_NUMBER(open_reader(), 0);
    reader.whole_lines = true;
    check_next("0");
    check_end();
    empty_current(NEXT_TIME " info 1\n");
    check_next("1");
    journal_reader_close(&reader);

    empty_current(PREFIX "0\n");
    append("current", text, put_line(0, PREFIX, 100000) - 1); /* not ended */
    CHECK_NUMBER(open_reader(), 0);
    reader.whole_lines = true;
    check_next("0");
    CHECK_NUMBER(journal_reader_next(&reader, &entry), 1); /* the first piece */
    size_t total = entry.bytes;
    check_end();
    empty_current(NEXT_TIME " info 1\n");
    CHECK_NUMBER(journal_reader_next(&reader, &entry), 1);
    CHECK_NUMBER(entry.mark, JOURNAL_CONTINUED);
    CHECK_NUMBER(total + entry.bytes, 100000);
    check_next("1");
    end();
}

/* ---- times --------------------------------------------------------------------------------- */

TEST(a_file_of_an_odd_time_is_read_whole)
{
    struct journal_place place;
    begin();
    write_file(logs, STEM ".log", 0, 2);
    set_written(STEM ".log", -5); /* of before 1970: not known */
    append_text("current", NEXT_TIME " info 2\n");
    CHECK_NUMBER(open_reader(), 0);
    CHECK(journal_reader_written_ns(&reader, 0) == UINT64_MAX);
    CHECK_NUMBER(journal_reader_find_time(&reader, next_ns, &place), 0);
    CHECK_NUMBER(place.file, 0);
    CHECK_NUMBER(read_numbers(&reader, 0), 3);
    end();
}

TEST(a_file_named_behind_the_end_is_read_where_the_clock_was_set_back)
{
    struct journal_place place;
    begin();
    write_file(logs, "20261122T135300.000000Z.log", 0, 1);
    append_text(STEM ".log", PREFIX "1\n");
    append_text(JUST_LATER, PREFIX "2\n");
    append_text(LATER, NEXT_TIME " info 3\n");
    set_written(LATER, seconds_of(TIME) - 100);
    CHECK_NUMBER(open_reader(), 0);
    reader.until_ns = now_ns - 2 * NS_PER_SEC;
    CHECK_NUMBER(journal_reader_find_end(&reader, reader.until_ns, &place), 0);
    CHECK_NUMBER(place.file, 3); /* by its name it is newer, and was written earlier */
    check_next("0");
    check_next("2"); /* behind another by a microsecond */
    check_next("3");
    check_end();
    end();
}

/* Of a file that is named a microsecond behind another its first line tells how old it is. */
static void find_end_by_lines(void)
{
    struct journal_place place;
    begin();
    append_text(STEM ".log", PREFIX "1\n");
    append_text(JUST_LATER, NEXT_TIME " info 2\n");
    CHECK_NUMBER(open_reader(), 0);
    faults_begin();
    int failed = journal_reader_find_end(&reader, now_ns, &place);
    faults_end();
    CHECK(failed == 0 || (fault_happened() && failed == -EMFILE));
    if (failed)
        CHECK_NUMBER(journal_reader_find_end(&reader, now_ns, &place), 0);
    CHECK_NUMBER(place.file, 0);
    end();
}

TEST(without_descriptors_no_end_is_found_until_there_are_some)
{
    CHECK(fault_each_of("openat64", FAULT_CALLS, EMFILE, find_end_by_lines) >= 2);
}

/* A file in which few lines have a time, and some are longer than what is looked at at once. */
TEST(a_time_is_found_between_lines_that_have_none)
{
    struct journal_place place;
    size_t used = 0;
    begin();
    for (int i = 0; i < 3; i++) {
        used = put_line(used, i == 2 ? NEXT_TIME " info " : PREFIX, 10);
        used = put_line(used, "", 400000);
        for (int k = 0; k < 4000; k++)
            used = put_line(used, "no time ", 60);
    }
    append(STEM ".log", text, used);
    CHECK_NUMBER(open_reader(), 0);
    CHECK_NUMBER(journal_reader_find_time(&reader, next_ns, &place), 0);
    int got;
    while ((got = journal_reader_next(&reader, &entry)) == 1 && entry.time_ns != next_ns)
        ;
    CHECK_NUMBER(got, 1); /* it is not passed over */
    CHECK_NUMBER(journal_reader_find_end(&reader, now_ns, &place), 0);
    CHECK(place.at >= (off_t)used / 3 && place.at <= (off_t)used * 2 / 3);
    journal_reader_close(&reader);
    /* Times behind the one at which it was written: nothing is known. */
    set_written(STEM ".log", seconds_of(TIME));
    CHECK_NUMBER(open_reader(), 0);
    CHECK_NUMBER(journal_reader_find_time(&reader, now_ns, &place), 0);
    CHECK_NUMBER(place.at, 0);
    end();
}

static size_t reads;

static void count_read(void)
{
    reads++;
}

/* Behind the last line with a time each piece is looked at once. */
TEST(lines_without_a_time_at_the_end_of_a_file_are_looked_at_once)
{
    struct journal_place place;
    size_t used = put_line(0, PREFIX, 10);
    begin();
    while (used < sizeof text - 100)
        used = put_line(used, "no time ", 60);
    append(STEM ".log", text, used);
    CHECK_NUMBER(open_reader(), 0);
    faults_begin();
    faults_meddle("pread64", 0, SIZE_MAX, count_read);
    CHECK_NUMBER(journal_reader_find_time(&reader, now_ns, &place), 0);
    faults_end();
    CHECK_NUMBER(place.at, 0);
    CHECK(reads > 0 && reads <= used / (JOURNAL_FRAME_BYTES / 2) + 8);
    CHECK_NUMBER(journal_reader_find_end(&reader, now_ns, &place), 0);
    CHECK(place.at > 0 && place.at <= (off_t)2 * JOURNAL_FRAME_BYTES);
    end();
}

/* ---- joining ------------------------------------------------------------------------------- */

static struct journal_joiner joiner;

static int join_next(void)
{
    return journal_joiner_next(&joiner, &reader, &entry);
}

static void end_joining(void)
{
    journal_joiner_finish(&joiner);
    end();
}

TEST(a_line_that_too_many_events_follow_is_given_before_its_end)
{
    size_t used = put_line(0, PREFIX, 10);
    begin();
    for (int i = 0; i < 1000; i++)
        used = put_line(used, TIME " +info ", 50);
    used = put_line(used, TIME " -info ", 10);
    append("current", text, used);
    CHECK_NUMBER(open_reader(), 0);
    CHECK_NUMBER(join_next(), 1);
    CHECK_NUMBER(entry.bytes, 10);
    int events = 0;
    while (join_next() == 1 && entry.mark == JOURNAL_EVENT_MARK)
        events++;
    CHECK_NUMBER(events, 1000);
    CHECK(entry.mark == JOURNAL_CONTINUED && entry.bytes == 10);
    end_joining();
}

TEST(a_line_longer_than_can_be_joined_stays_in_pieces)
{
    size_t used = put_line(0, PREFIX, JOURNAL_LINE_BYTES);
    begin();
    for (int i = 0; i < 17; i++)
        used = put_line(used, TIME " -info ", JOURNAL_LINE_BYTES);
    append("current", text, used);
    CHECK_NUMBER(open_reader(), 0);
    CHECK_NUMBER(join_next(), 1);
    CHECK_NUMBER(entry.bytes, JOURNAL_JOINED_BYTES);
    CHECK_NUMBER(join_next(), 1);
    CHECK_NUMBER(entry.bytes, 2 * JOURNAL_LINE_BYTES);
    CHECK_NUMBER(join_next(), 0);
    end_joining();
}

TEST(the_rest_of_a_long_line_is_waited_for_while_it_is_followed)
{
    begin();
    append("current", text, put_line(0, PREFIX, JOURNAL_LINE_BYTES));
    CHECK_NUMBER(open_reader(), 0);
    reader.whole_lines = true;
    CHECK_NUMBER(join_next(), 0);
    append_text("current", TIME " -info end\n" PREFIX "next\n");
    CHECK_NUMBER(join_next(), 1);
    CHECK_NUMBER(entry.bytes, JOURNAL_LINE_BYTES + 3);
    CHECK_NUMBER(join_next(), 1);
    CHECK_NUMBER(entry.bytes, 4);
    end_joining();
}

static void join_events(void)
{
    begin();
    append_text(STEM ".log", PREFIX "0 begins\n" TIME " +info event\n");
    append_text("current", TIME " -info  and ends\n");
    CHECK_NUMBER(open_reader(), 0);
    faults_begin();
    int got = join_next();
    faults_end();
    CHECK(got == 1 || (fault_happened() && got < 0));
    if (!fault_happened())
        CHECK_NUMBER(entry.bytes, strlen("0 begins and ends"));
    end_joining();
}

TEST(a_line_is_joined_or_an_error_given_back)
{
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, join_events) >= 2);
    CHECK(fault_each_of("openat64", FAULT_CALLS, EMFILE, join_events) >= 1);
}

/* ---- compressing --------------------------------------------------------------------------- */

static int compress(void)
{
    AUTO_CLOSE int folder = open(in(""), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    faults_begin();
    int failed = journal_compress(folder, STEM ".log");
    faults_end();
    return failed;
}

static void exchange_torn(void)
{
    in(STEM ".log.zst.tmp");
    text_format(other, sizeof other, "%s/web/other", logs);
    CHECK_NUMBER(rename(path, other), 0);
    write_file(logs, STEM ".log.zst.tmp", 0, 0);
}

TEST(a_file_that_another_process_compresses_is_left_to_it)
{
    begin();
    write_file(logs, STEM ".log", 0, 3);
    faults_meddle("flock", 0, 1, exchange_torn);
    CHECK_NUMBER(compress(), -EBUSY); /* who has exchanged it is at it */
    CHECK_NUMBER(read_all(logs, false), 3);
    CHECK_NUMBER(compress(), 0);
    CHECK_NUMBER(read_all(logs, false), 3);
    finish();
}

static void compress_of_two_names(void)
{
    begin();
    write_file(logs, STEM ".log", 0, 3);
    append_text("other", "somebody's");
    text_format(other, sizeof other, "%s", in("other"));
    CHECK_NUMBER(link(other, in(STEM ".log.zst.tmp")), 0);
    int failed = compress();
    CHECK_NUMBER(failed, fault_happened() ? -EIO : -EBUSY);
    CHECK_NUMBER(read_all(logs, false), 3);
    struct stat stat;
    CHECK(lstat(other, &stat) == 0 && stat.st_size == strlen("somebody's"));
    finish();
}

static void compress_what_is_done(void)
{
    begin();
    write_file(logs, STEM ".log", 0, 3);
    text_format(other, sizeof other, "%s", in("kept"));
    CHECK_NUMBER(link(in(STEM ".log"), other), 0);
    AUTO_CLOSE int folder = open(in(""), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK_NUMBER(journal_compress(folder, STEM ".log"), 0);
    CHECK_NUMBER(rename(other, in(STEM ".log")), 0); /* killed before it was removed */
    int failed = compress();
    CHECK(failed == 0 || fault_happened());
    CHECK_NUMBER(read_all(logs, false), 3);
    finish();
}

static void compress_never(void)
{
    begin();
    write_file(logs, STEM ".log", 0, 3);
    int failed = compress();
    CHECK(failed == 0 || fault_happened());
    CHECK_NUMBER(read_all(logs, false), 3);
    finish();
}

TEST(what_cannot_be_removed_or_written_while_compressing_costs_no_line)
{
    fault_each_of("unlinkat", FAULT_CALLS, EIO, compress_of_two_names);
    CHECK(fault_each_of("unlinkat", FAULT_CALLS, EIO, compress_what_is_done) >= 2);
    CHECK(fault_each(FAULT_CALLS | FAULT_FOR_GOOD, EIO, compress_never) > 5);
    CHECK(fault_each_of("write", FAULT_CALLS, 0, compress_never) >= 3);
}
