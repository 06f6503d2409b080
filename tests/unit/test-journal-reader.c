/* Reading journals: whole ones, their end, damaged ones; and how entries are shown. */
#include "base/cleanup.h"
#include "journal/compress.h"
#include "journal/joiner.h"
#include "journal/seek-table.h"
#include "journal/show.h"
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <zstd.h>

#define OLDER "20261122T135400.123456Z.log"
#define TIME  "2026-11-22T13:54:00.123456Z"

static char folder[] = "/tmp/test-journal-XXXXXX";
static char path[512];

static void write_file(const char *leaf, const char *bytes, size_t count)
{
    snprintf(path, sizeof path, "%s/%s", folder, leaf);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && write(fd, bytes, count) == (ssize_t)count);
    close(fd);
}

static void write_text(const char *leaf, const char *text)
{
    write_file(leaf, text, strlen(text));
}

static void begin(void)
{
    memcpy(folder + sizeof folder - 7, "XXXXXX", 6);
    if (!mkdtemp(folder))
        abort();
}

static void finish(void)
{
    DIR *stream = opendir(folder);
    struct dirent *entry;
    while ((entry = readdir(stream))) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        unlink(path);
    }
    closedir(stream);
    CHECK_NUMBER(rmdir(folder), 0);
}

static struct journal_reader open_reader(void)
{
    struct journal_reader reader;
    CHECK_NUMBER(journal_reader_open(&reader, folder), 0);
    reader.reads_ahead = true;
    return reader;
}

/* The texts of the newest `count` entries (0: all), each with a line end, joined when asked. */
static const char *read_last(uint64_t count, bool joined)
{
    static char found[1 << 22];
    size_t used = 0;
    struct journal_reader reader = open_reader();
    struct journal_joiner joiner = {0};
    struct journal_entry entry;

    if (count)
        CHECK_NUMBER(journal_reader_seek_last(&reader, count), 0);
    while ((joined ? journal_joiner_next(&joiner, &reader, &entry)
                   : journal_reader_next(&reader, &entry)) == 1) {
        memcpy(found + used, entry.text, entry.bytes);
        used += entry.bytes;
        found[used++] = '\n';
    }
    found[used] = 0;
    journal_joiner_finish(&joiner);
    journal_reader_close(&reader);
    return found;
}

TEST(entries_come_from_all_files_oldest_first)
{
    begin();
    write_text(OLDER, TIME " info one\n" TIME " err two\n");
    write_text("current", TIME " info three\n" TIME " info unfinished");
    CHECK_TEXT(read_last(0, false), "one\ntwo\nthree\nunfinished\n");
    CHECK_TEXT(read_last(1, false), "unfinished\n");
    CHECK_TEXT(read_last(3, false), "two\nthree\nunfinished\n");
    CHECK_TEXT(read_last(4, false), "one\ntwo\nthree\nunfinished\n");
    CHECK_TEXT(read_last(99, false), "one\ntwo\nthree\nunfinished\n");
    finish();
}

TEST(a_journal_that_is_not_there_is_said_so)
{
    struct journal_reader reader;
    CHECK_NUMBER(journal_reader_open(&reader, "/nonexistent/a"), -ENOENT);
    CHECK_NUMBER(journal_reader_open(&reader, "/dev/null"), -ENOENT);
    journal_reader_close(&reader);
}

TEST(a_line_that_was_cut_is_one_entry_again)
{
    begin();
    write_text(OLDER, TIME " info before\n" TIME " warning ab\n");
    write_text("current", TIME " -warning cd\n" TIME " +info event\n" TIME " -warning ef\n" TIME
                               " +info end\n" TIME " info after\n");
    CHECK_TEXT(read_last(0, true), "before\nabcdef\nevent\nend\nafter\n");
    CHECK_TEXT(read_last(2, true), "end\nafter\n");
    CHECK_TEXT(read_last(4, true), "abcdef\nevent\nend\nafter\n");
    finish();
}

TEST(damaged_files_are_read_as_they_are)
{
    static char rubbish[300000];
    struct journal_entry entry;
    begin();
    write_text(OLDER, "");
    write_text("current", "torn\n\n" TIME " in\n" TIME " info good\n");
    CHECK_TEXT(read_last(0, false), "torn\n" TIME " in\ngood\n");
    CHECK_TEXT(read_last(2, false), TIME " in\ngood\n");

    /* A line without an end comes in pieces, none longer than an entry. */
    memset(rubbish, 'x', sizeof rubbish);
    write_file("current", rubbish, sizeof rubbish);
    struct journal_reader reader = open_reader();
    size_t total = 0, pieces = 0;
    CHECK_NUMBER(journal_reader_seek_last(&reader, 1), 0);
    for (; journal_reader_next(&reader, &entry) == 1; pieces++) {
        CHECK_NUMBER(entry.mark, pieces ? JOURNAL_CONTINUED : JOURNAL_OUTPUT);
        total += entry.bytes;
    }
    CHECK_NUMBER(total, sizeof rubbish);
    journal_reader_close(&reader);
    finish();
}

TEST(the_last_lines_of_a_long_journal_are_found_wherever_blocks_begin)
{
    static char line[5000];
    char wanted[64];
    begin();
    for (int i = 0; i < 2000; i++) {
        int length = snprintf(line, sizeof line, TIME " info %d ", i);
        memset(line + length, 'y', (size_t)(i * 7 % 1500));
        length += i * 7 % 1500;
        line[length++] = '\n';
        write_file("current", line, (size_t)length);
    }
    for (uint64_t count = 1; count <= 2000; count += 37) {
        snprintf(wanted, sizeof wanted, "%d ", (int)(2000 - count));
        const char *found = read_last(count, false);
        CHECK(strncmp(found, wanted, strlen(wanted)) == 0);
    }
    finish();
}

TEST(what_is_written_meanwhile_is_read_by_asking_again)
{
    struct journal_entry entry;
    begin();
    write_text("current", TIME " info one\n");
    struct journal_reader reader = open_reader();
    CHECK_NUMBER(journal_reader_next(&reader, &entry), 1);
    CHECK_NUMBER(journal_reader_next(&reader, &entry), 0);
    write_text("current", TIME " info two\n");
    CHECK_NUMBER(journal_reader_next(&reader, &entry), 1);
    CHECK(entry.bytes == 3 && memcmp(entry.text, "two", 3) == 0);
    journal_reader_close(&reader);
    finish();
}

/* ---- compressed ---------------------------------------------------------------------------- */

#define PACKED OLDER ".zst"

static void write_numbers(const char *leaf, int from, int until)
{
    char line[200];
    for (int i = from; i < until; i++) {
        int length = snprintf(line, sizeof line, TIME " info %d %*d\n", i, i * 7 % 120 + 1, i);
        write_file(leaf, line, (size_t)length);
    }
}

static int pack(const char *leaf)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = journal_compress(fd, leaf);
    close(fd);
    return failed;
}

static bool is_there(const char *leaf)
{
    snprintf(path, sizeof path, "%s/%s", folder, leaf);
    return access(path, F_OK) == 0;
}

/* Checks that reading gives the numbers from `from` on, and ends before `until`. */
static void check_numbers(uint64_t count, int from, int until)
{
    const char *at = read_last(count, false);
    for (int i = from; i < until; i++) {
        CHECK_NUMBER(strtol(at, NULL, 10), i);
        at = strchr(at, '\n') + 1;
    }
    CHECK_TEXT(at, "");
}

TEST(compressed_files_are_read_from_both_ends_as_if_they_were_not)
{
    struct stat stat_;
    begin();
    write_numbers(OLDER, 0, 10000); /* some frames */
    write_numbers("20261123T000000.000000Z.log", 10000, 10100);
    write_numbers("current", 10100, 10200);
    snprintf(path, sizeof path, "%s/%s", folder, OLDER);
    CHECK_NUMBER(stat(path, &stat_), 0);
    struct timespec before = stat_.st_mtim;
    CHECK_NUMBER(pack(OLDER), 0);
    CHECK(!is_there(OLDER) && is_there(PACKED) && !is_there(PACKED ".tmp"));
    CHECK_NUMBER(stat(path, &stat_), -1);
    snprintf(path, sizeof path, "%s/%s", folder, PACKED);
    CHECK_NUMBER(stat(path, &stat_), 0);
    CHECK(stat_.st_mtim.tv_sec == before.tv_sec && stat_.st_mtim.tv_nsec == before.tv_nsec);
    CHECK_NUMBER(stat_.st_mode & 0777, 0600);
    CHECK(stat_.st_size < 300000);
    check_numbers(0, 0, 10200);
    for (uint64_t count = 1; count <= 10200; count += 501)
        check_numbers(count, (int)(10200 - count), 10200);
    finish();
}

TEST(whatever_a_kill_left_is_read_once_and_finished)
{
    begin();
    write_numbers(OLDER, 0, 5000);
    CHECK_NUMBER(pack(OLDER), 0);
    write_numbers(OLDER, 0, 5000); /* killed before it was removed */
    write_text(PACKED ".tmp", "half of it");
    check_numbers(0, 0, 5000);
    CHECK_NUMBER(pack(OLDER), 0);
    CHECK(!is_there(OLDER) && !is_there(PACKED ".tmp"));
    check_numbers(3, 4997, 5000);
    write_text("20261123T000000.000000Z.log.zst.tmp", "half of another");
    CHECK_NUMBER(pack("20261123T000000.000000Z.log"), 0); /* the quota has removed it */
    CHECK(!is_there("20261123T000000.000000Z.log.zst.tmp"));
    check_numbers(0, 0, 5000);
    CHECK_NUMBER(pack("current"), -EINVAL);
    CHECK_NUMBER(pack("../x"), -EINVAL);
    finish();
}

/* Reads all, and wants to be told of one place that cannot be read, of that kind, once. */
static struct journal_loss find_loss(enum journal_loss_kind kind)
{
    char name[JOURNAL_SEALED_BYTES];
    uint64_t from_ns, until_ns, wanted_ns;
    struct journal_loss loss = {0};
    struct journal_entry entry;
    struct journal_reader reader = open_reader();
    for (int i = 0; i < 2; i++) {
        journal_reader_stand(&reader, JOURNAL_PLACE_BEGIN, JOURNAL_PLACE_NEVER);
        while (journal_reader_next(&reader, &entry) == 1)
            CHECK(entry.bytes && !memmem(entry.text, entry.bytes, "\n", 1));
        CHECK_NUMBER(reader.loss_count, 1);
    }
    if (reader.loss_count == 1) {
        loss = reader.losses[0];
        CHECK_NUMBER(loss.kind, kind);
        journal_reader_describe_loss(&reader, &loss, name, &from_ns, &until_ns);
        CHECK_TEXT(name, PACKED);
        journal_parse_time(TIME, &wanted_ns);
        CHECK(from_ns == wanted_ns && until_ns >= wanted_ns && until_ns < UINT64_MAX);
        CHECK_NUMBER(journal_reader_next(&reader, &entry), 0);
    }
    journal_reader_close(&reader);
    return loss;
}

static void check_damage(bool has_end)
{
    struct journal_loss loss = find_loss(JOURNAL_LOSS_DAMAGED);
    const char *found = read_last(0, false);
    CHECK_NUMBER(loss.until > loss.from, has_end);
    CHECK(strstr(found, "\n\n") == NULL && found[0] != '\n');
    CHECK(strncmp(strrchr(read_last(1, false), '\n') - 3, "199", 3) == 0);
}

TEST(a_damaged_compressed_file_hurts_what_is_damaged_only)
{
    struct stat stat_;
    char byte = 'x';
    begin();
    write_numbers(OLDER, 0, 10000);
    CHECK_NUMBER(pack(OLDER), 0);
    write_numbers("current", 0, 200);
    snprintf(path, sizeof path, "%s/%s", folder, PACKED);
    CHECK_NUMBER(stat(path, &stat_), 0);
    /* In the middle of a frame: the frames around it are read. */
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    CHECK_NUMBER(pwrite(fd, &byte, 1, stat_.st_size / 2), 1);
    close(fd);
    check_damage(true);
    CHECK(strstr(read_last(0, false), "\n9999 ") != NULL);
    /* Cut off: what comes before is read. */
    CHECK_NUMBER(truncate(path, stat_.st_size / 3), 0);
    check_damage(false);
    CHECK(strncmp(read_last(0, false), "0 ", 2) == 0);
    CHECK_NUMBER(truncate(path, 0), 0);
    check_numbers(0, 0, 200);
    check_damage(false);
    write_text(PACKED, "no such thing");
    check_damage(false);
    finish();
}

TEST(a_frame_of_one_line_end_is_not_damaged)
{
    const size_t bytes = 2 * JOURNAL_FRAME_BYTES + 1, line = 1000;
    char *text = malloc(bytes);
    begin();
    memset(text, 'x', bytes);
    for (size_t at = 0; at + line < bytes; at += line) {
        memcpy(text + at, TIME " info ", strlen(TIME " info "));
        text[at + line - 1] = '\n';
    }
    text[bytes - 1] = '\n';
    write_file(OLDER, text, bytes);
    CHECK_NUMBER(pack(OLDER), 0);
    write_text("current", TIME " info last\n");
    struct journal_reader reader = open_reader();
    struct journal_entry entry;
    size_t count = 0;
    while (journal_reader_next(&reader, &entry) == 1)
        count++;
    CHECK_NUMBER(count, (bytes + line - 1) / line + 1);
    CHECK_NUMBER(reader.loss_count, 0);
    journal_reader_close(&reader);
    free(text);
    finish();
}

/* ---- compressed by somebody else ----------------------------------------------------------- */

/* One frame of `blocks` times the text, with a window of so many bits; there is no seek table. */
static void write_stream(const char *leaf, const char *text, size_t bytes, unsigned blocks,
                         int window_log)
{
    static char packed[1 << 20];
    ZSTD_CCtx *context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, 1);
    ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
    for (unsigned i = 0; i < blocks; i++) {
        ZSTD_inBuffer in = {text, bytes, 0};
        bool last = i + 1 == blocks;
        size_t left = 1;
        while (last ? left : in.pos < in.size) {
            ZSTD_outBuffer out = {packed, sizeof packed, 0};
            left = ZSTD_compressStream2(context, &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
            CHECK(!ZSTD_isError(left));
            write_file(leaf, packed, out.pos);
        }
    }
    ZSTD_freeCCtx(context);
}

#define LONG_BYTES 60000

/* Lines with numbers, of LONG_BYTES each, in `*ret_bytes`. */
static char *make_long_lines(int count, size_t *ret_bytes)
{
    char *text = malloc((size_t)count * LONG_BYTES + 1);
    for (int i = 0; i < count; i++)
        snprintf(text + (size_t)i * LONG_BYTES, LONG_BYTES + 1, TIME " info %-*d\n",
                 LONG_BYTES - 34, i);
    *ret_bytes = (size_t)count * LONG_BYTES;
    return text;
}

/* The newest `count` of lines with numbers, the last of which is `until` - 1. */
static void check_long(uint64_t count, int until)
{
    struct journal_reader reader = open_reader();
    struct journal_entry entry;
    CHECK_NUMBER(journal_reader_seek_last(&reader, count), 0);
    for (int i = until - (int)count; i < until; i++) {
        CHECK_NUMBER(journal_reader_next(&reader, &entry), 1);
        CHECK_NUMBER(strtol(entry.text, NULL, 10), i);
        CHECK_NUMBER(entry.bytes, LONG_BYTES - 34);
    }
    CHECK_NUMBER(journal_reader_next(&reader, &entry), 0);
    journal_reader_close(&reader);
}

TEST(a_file_without_a_seek_table_is_read_from_both_ends)
{
    size_t bytes;
    char *text = make_long_lines(500, &bytes); /* 30 MB: more than is kept of it */
    begin();
    write_stream(PACKED, text, bytes, 1, 20);
    check_long(500, 500);
    check_long(1, 500);
    check_long(400, 500); /* backwards, past what is kept */
    finish();
    begin();
    write_stream(PACKED, text, bytes / 2, 1, 20); /* two frames */
    write_stream(PACKED, text + bytes / 2, bytes / 2, 1, 20);
    check_long(500, 500);
    check_long(300, 500);
    free(text);
    finish();
}

static long memory_kib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

/* In a child that cannot write files, not even ones without a name. Status 0: it reads all, and
 * takes little memory. */
static void read_all(void)
{
    const struct rlimit limit = {0, 0};
    struct journal_reader reader;
    struct journal_entry entry;
    long before = memory_kib();

    setrlimit(RLIMIT_FSIZE, &limit);
    if (journal_reader_open(&reader, folder) < 0)
        _exit(1);
    uint64_t bytes = 0;
    while (journal_reader_next(&reader, &entry) > 0)
        bytes += entry.bytes;
    journal_reader_close(&reader);
    _exit(bytes < 250 << 20 ? 2 : memory_kib() - before > 64 << 10 ? 3 : 0);
}

TEST(a_file_that_decompresses_to_very_much_takes_little_memory)
{
    struct stat stat_;
    size_t bytes;
    int status;
    char *text = make_long_lines(100, &bytes);
    begin();
    write_stream(PACKED, text, bytes, 60, 20); /* 360 MB */
    free(text);
    snprintf(path, sizeof path, "%s/%s", folder, PACKED);
    CHECK(stat(path, &stat_) == 0 && stat_.st_size < 4 << 20);
    pid_t pid = fork();
    if (pid == 0)
        read_all();
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK_NUMBER(status, 0);
    find_loss(JOURNAL_LOSS_TOO_MUCH);
    finish();
}

TEST(a_window_that_would_take_much_memory_is_damage)
{
    size_t bytes;
    char *text = make_long_lines(20, &bytes);
    begin();
    write_stream(PACKED, text, bytes, 2, 27);
    write_numbers("current", 0, 200);
    check_damage(false);
    finish();
    begin();
    write_stream(PACKED, text, bytes, 2, 23);
    free(text);
    struct journal_reader reader = open_reader();
    struct journal_entry entry;
    while (journal_reader_next(&reader, &entry) == 1) {
    }
    CHECK_NUMBER(reader.loss_count, 0);
    journal_reader_close(&reader);
    finish();
}

TEST(a_file_that_the_quota_removed_meanwhile_is_passed_over)
{
    struct journal_entry entry;
    begin();
    write_text(OLDER, TIME " info one\n");
    write_text("current", TIME " info two\n");
    struct journal_reader reader = open_reader();
    snprintf(path, sizeof path, "%s/%s", folder, OLDER);
    unlink(path);
    CHECK_NUMBER(journal_reader_next(&reader, &entry), 1);
    CHECK(entry.bytes == 3 && memcmp(entry.text, "two", 3) == 0);
    journal_reader_close(&reader);
    finish();
}

TEST(a_file_that_is_compressed_before_its_turn_is_read_all_the_same)
{
    struct journal_entry entry;
    begin();
    write_text(OLDER, TIME " info one\n");
    write_text("current", TIME " info two\n");
    struct journal_reader reader = open_reader();
    CHECK_NUMBER(pack(OLDER), 0);
    CHECK_NUMBER(journal_reader_next(&reader, &entry), 1);
    CHECK(entry.bytes == 3 && memcmp(entry.text, "one", 3) == 0);
    journal_reader_close(&reader);
    finish();
}

/* ---- times and following ------------------------------------------------------------------- */

TEST(a_time_is_found_by_looking_at_little_of_a_long_file)
{
    struct journal_place place;
    struct journal_entry entry;
    char line[200], time[CLOCK_RFC3339_BYTES];
    uint64_t begin_ns;
    begin();
    journal_parse_time(TIME, &begin_ns);
    for (int i = 0; i < 40000; i++) {
        clock_format_rfc3339(time, begin_ns + (uint64_t)i * NS_PER_SEC);
        int length = snprintf(line, sizeof line, "%s info %d %*d\n", time, i, 100, i);
        write_file("current", line, (size_t)length);
    }
    const struct timespec last = {(time_t)(begin_ns / NS_PER_SEC) + 40000, 0},
                          times[] = {last, last};
    CHECK_NUMBER(utimensat(AT_FDCWD, path, times, 0), 0);
    struct journal_reader reader = open_reader();
    for (int wanted = 0; wanted < 40000; wanted += 1771) {
        uint64_t since_ns = begin_ns + (uint64_t)wanted * NS_PER_SEC;
        CHECK_NUMBER(journal_reader_find_time(&reader, since_ns, &place), 0);
        CHECK_NUMBER(journal_reader_next(&reader, &entry), 1);
        int first = (int)strtol(entry.text, NULL, 10);
        CHECK(first <= wanted && wanted - first < 8000); /* two frames */
        CHECK_NUMBER(journal_reader_find_end(&reader, since_ns, &place), 0);
        journal_reader_stand(&reader, JOURNAL_PLACE_BEGIN, JOURNAL_PLACE_NEVER);
        CHECK(place.at >= (off_t)wanted * 130 && place.at < (off_t)(wanted + 8000) * 150);
    }
    journal_reader_close(&reader);
    finish();
}

static void check_next(struct journal_reader *reader, const char *text)
{
    struct journal_entry entry;
    CHECK_NUMBER(journal_reader_next(reader, &entry), 1);
    CHECK(entry.bytes == strlen(text) && !memcmp(entry.text, text, entry.bytes));
}

TEST(a_journal_that_is_rotated_and_compressed_is_gone_on_with_where_it_was)
{
    struct journal_entry entry;
    begin();
    write_text("current", TIME " info one\n" TIME " info two\n");
    struct journal_reader reader = open_reader();
    reader.whole_lines = true;
    check_next(&reader, "one");
    check_next(&reader, "two");
    write_text("current", TIME " info unfin");
    CHECK_NUMBER(journal_reader_next(&reader, &entry), 0);
    write_text("current", "ished\n");
    snprintf(path, sizeof path, "%s/current", folder);
    char sealed[512];
    snprintf(sealed, sizeof sealed, "%s/%s", folder, OLDER);
    CHECK_NUMBER(rename(path, sealed), 0);
    CHECK_NUMBER(pack(OLDER), 0);
    write_text("current", TIME " info four\n");
    CHECK_NUMBER(journal_reader_refresh(&reader, folder), 0);
    check_next(&reader, "unfinished");
    check_next(&reader, "four");
    CHECK_NUMBER(journal_reader_next(&reader, &entry), 0);
    /* It is gone, and another was begun. */
    snprintf(path, sizeof path, "%s/current", folder);
    unlink(path);
    write_text("current", TIME " info five\n");
    CHECK_NUMBER(journal_reader_refresh(&reader, folder), 1);
    check_next(&reader, "five");
    CHECK_NUMBER(journal_reader_next(&reader, &entry), 0);
    unlink(path);
    snprintf(path, sizeof path, "%s/%s", folder, PACKED);
    unlink(path);
    CHECK_NUMBER(journal_reader_refresh(&reader, folder), -ENOENT);
    journal_reader_close(&reader);
    finish();
}

TEST(what_was_sealed_is_not_read_again_when_current_is_gone_and_no_other_is_there_yet)
{
    struct journal_entry entry;
    begin();
    write_text(OLDER, TIME " info one\n" TIME " info two\n");
    write_text("current", TIME " info three\n");
    struct journal_reader reader = open_reader();
    reader.whole_lines = true;
    check_next(&reader, "one");
    check_next(&reader, "two");
    check_next(&reader, "three");
    CHECK_NUMBER(journal_reader_next(&reader, &entry), 0);
    snprintf(path, sizeof path, "%s/current", folder);
    unlink(path);
    CHECK_NUMBER(journal_reader_refresh(&reader, folder), 1);
    CHECK_NUMBER(journal_reader_next(&reader, &entry), 0);
    write_text("current", TIME " info four\n");
    CHECK_NUMBER(journal_reader_refresh(&reader, folder), 0);
    check_next(&reader, "four");
    CHECK_NUMBER(journal_reader_next(&reader, &entry), 0);
    journal_reader_close(&reader);
    finish();
}

/* ---- showing ------------------------------------------------------------------------------- */

static const char *escaped(const char *bytes, size_t count)
{
    static char text[200];
    struct buffer out = {0};
    CHECK_NUMBER(journal_show_escaped(&out, bytes, count), 0);
    snprintf(text, sizeof text, "%.*s", (int)buffer_used(&out), buffer_bytes(&out));
    buffer_finish(&out);
    return text;
}

TEST(a_terminal_is_given_nothing_that_steers_it)
{
    CHECK_TEXT(escaped("a\tb\x1b[2J\0\x7f", 9), "a\tb\\x1b[2J\\x00\\x7f");
    CHECK_TEXT(escaped("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xa7", 15),
               "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xa7");
    CHECK_TEXT(escaped("\xc2\x9b\x31m", 4), "\\xc2\\x9b1m");
    CHECK_TEXT(escaped("\xe2\x80\xae!\xe2\x81\xa6\xd8\x9c\xe2\x80\xa8\xe2\x80\x8f", 15),
               "\\xe2\\x80\\xae!\\xe2\\x81\\xa6\\xd8\\x9c\\xe2\\x80\\xa8\\xe2\\x80\\x8f");
    CHECK_TEXT(escaped("\xe2\x80\x90\xe2\x80\xaf\xe2\x81\xaa", 9),
               "\xe2\x80\x90\xe2\x80\xaf\xe2\x81\xaa");
    CHECK_TEXT(escaped("\xff\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80\xc3", 11),
               "\\xff\\xc0\\x80\\xed\\xa0\\x80\\xf4\\x90\\x80\\x80\\xc3");
}

static const char *as_json(const char *bytes, size_t count)
{
    static char text[400];
    struct buffer out = {0};
    struct journal_entry entry = {.level = JOURNAL_ERR, .text = bytes, .bytes = count};
    journal_parse_time(TIME, &entry.time_ns);
    CHECK_NUMBER(journal_show_json(&out, "web", &entry), 0);
    snprintf(text, sizeof text, "%.*s", (int)buffer_used(&out), buffer_bytes(&out));
    buffer_finish(&out);
    return text;
}

#define JSON "{\"time\":\"" TIME "\",\"service\":\"web\",\"stream\":\"output\",\"level\":\"err\","

TEST(json_has_the_text_and_where_that_is_not_all_the_bytes)
{
    CHECK_TEXT(as_json("a\"\\\n\x01", 5), JSON "\"message\":\"a\\\"\\\\\\n\\u0001\"}\n");
    CHECK_TEXT(as_json("\xc3\xbc", 2), JSON "\"message\":\"\xc3\xbc\"}\n");
    CHECK_TEXT(as_json("a\xff", 2), JSON "\"message\":\"a\xef\xbf\xbd\",\"raw\":\"Yf8=\"}\n");
    CHECK_TEXT(as_json("", 0), JSON "\"message\":\"\"}\n");
}

TEST(base64_is_padded)
{
    static const char *const wanted[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="};
    for (size_t i = 0; i < 5; i++) {
        struct buffer out = {0};
        CHECK_NUMBER(journal_show_base64(&out, "foob", i), 0);
        CHECK_NUMBER(buffer_used(&out), strlen(wanted[i]));
        CHECK(memcmp(out.data ? buffer_bytes(&out) : "", wanted[i], strlen(wanted[i])) == 0);
        buffer_finish(&out);
    }
}
