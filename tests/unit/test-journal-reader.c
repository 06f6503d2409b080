/* Reading journals: whole ones, their end, damaged ones; and how entries are shown. */
#include "base/cleanup.h"
#include "journal/joiner.h"
#include "journal/show.h"
#include "test.h"

#include <fcntl.h>
#include <sys/stat.h>

#define TIME "2026-11-22T13:54:00.123456Z"

static char folder[] = "/tmp/test-journal-XXXXXX";
static char path[64];

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
    static const char *const leaves[] = {"current", "previous"};
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, leaves[i]);
        unlink(path);
    }
    rmdir(folder);
}

static struct journal_reader open_reader(void)
{
    struct journal_reader reader;
    const char *folders[] = {folder};
    CHECK_NUMBER(journal_reader_open(&reader, folders, 1), 0);
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
    write_text("previous", TIME " info one\n" TIME " err two\n");
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
    const char *folders[] = {"/nonexistent/a", "/dev/null"};
    CHECK_NUMBER(journal_reader_open(&reader, folders, 2), -ENOENT);
    journal_reader_close(&reader);
}

TEST(a_line_that_was_cut_is_one_entry_again)
{
    begin();
    write_text("previous", TIME " info before\n" TIME " warning ab\n");
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
    write_text("previous", "");
    write_text("current", "torn\n\n" TIME " in\n" TIME " info good\n");
    CHECK_TEXT(read_last(0, false), "torn\n\n" TIME " in\ngood\n");
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
