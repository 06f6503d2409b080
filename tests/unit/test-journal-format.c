/* The journal's lines: bytes that are cut into blocks in any way give the same lines back. */
#include "journal/backlog.h"
#include "journal/splitter.h"
#include "test.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define TIME         "2026-11-22T13:54:00.123456Z"
#define SHORT_ROUNDS 300

static char out[1 << 21];
static size_t out_bytes;

static void feed(struct journal_splitter *splitter, const char *bytes, size_t count, size_t room)
{
    while (count) {
        size_t used = journal_splitter_feed(splitter, TIME, &bytes, &count, out + out_bytes, room);
        CHECK(used <= room);
        out_bytes += used;
    }
}

static void end(struct journal_splitter *splitter)
{
    out_bytes += journal_splitter_end(splitter, TIME, out + out_bytes);
    out[out_bytes] = 0;
}

static const char *split(const char *bytes)
{
    struct journal_splitter splitter = {.default_level = JOURNAL_INFO};
    out_bytes = 0;
    feed(&splitter, bytes, strlen(bytes), 4096);
    end(&splitter);
    return out;
}

TEST(a_line_gets_its_time_and_level)
{
    CHECK_TEXT(split("hello\n"), TIME " info hello\n");
    CHECK_TEXT(split("\n\n"), TIME " info \n" TIME " info \n");
    CHECK_TEXT(split("<3>bad\n<7>\nplain\n"),
               TIME " err bad\n" TIME " debug \n" TIME " info plain\n");
    CHECK_TEXT(split("<8>no\n<x>no\n<3 no\n<\n"),
               TIME " info <8>no\n" TIME " info <x>no\n" TIME " info <3 no\n" TIME " info <\n");
}

TEST(the_end_of_a_run_ends_an_unfinished_line)
{
    CHECK_TEXT(split("half"), TIME " info half\n");
    CHECK_TEXT(split("<"), TIME " info <\n");
    CHECK_TEXT(split("<4"), TIME " info <4\n");
    CHECK_TEXT(split("<4>"), TIME " warning \n");
    CHECK_TEXT(split(""), "");
}

TEST(an_unfinished_line_is_put_out_as_far_as_it_goes)
{
    struct journal_splitter splitter = {.default_level = JOURNAL_INFO};
    out_bytes = 0;
    feed(&splitter, "login: ", 7, 4096);
    out[out_bytes] = 0;
    CHECK_TEXT(out, TIME " info login: ");
}

TEST(an_event_cuts_a_line_whose_rest_is_marked)
{
    struct journal_splitter splitter = {.default_level = JOURNAL_INFO};
    out_bytes = 0;
    feed(&splitter, "<5>be", 5, 4096);
    out_bytes += journal_splitter_cut(&splitter, out + out_bytes);
    out_bytes += journal_splitter_cut(&splitter, out + out_bytes);
    feed(&splitter, "gin\n<4>next\n", 12, 4096);
    end(&splitter);
    CHECK_TEXT(out, TIME " notice be\n" TIME " -notice gin\n" TIME " warning next\n");
}

/* Joins entries again as a reader does; returns the bytes of the lines. */
static size_t join(char *lines)
{
    size_t used = 0;
    for (const char *at = out, *stop = out + out_bytes; at < stop;) {
        struct journal_entry entry;
        const char *eol = memchr(at, '\n', (size_t)(stop - at));
        CHECK(eol != NULL);
        if (!eol)
            break;
        CHECK(journal_parse_line(at, (size_t)(eol - at), &entry));
        CHECK(entry.bytes <= JOURNAL_LINE_BYTES);
        if (entry.mark == JOURNAL_CONTINUED)
            used--;
        memcpy(lines + used, entry.text, entry.bytes);
        used += entry.bytes;
        lines[used++] = '\n';
        at = eol + 1;
    }
    return used;
}

static unsigned seed = 1;

static unsigned random_below(unsigned limit)
{
    seed = seed * 1103515245 + 12345;
    return (seed >> 8) % limit;
}

/* Lines of every kind of length, without `<` at their beginning, which is not part of the text. */
static size_t make_output(char *bytes, size_t most)
{
    size_t used = 0;
    while (used < most) {
        static const unsigned limits[] = {1, 4, 200, 5000, 140000};
        unsigned length = random_below(limits[random_below(5)]);
        for (unsigned i = 0; i < length && used < most - 1; i++) {
            char c = (char)random_below(256);
            bytes[used++] = c == '\n' || (i == 0 && c == '<') ? 'x' : c;
        }
        bytes[used++] = '\n';
    }
    return used;
}

TEST(writes_cut_anywhere_give_the_same_lines_back)
{
    static char input[300001], lines[400000];
    for (int round = 0; round < SHORT_ROUNDS; round++) {
        struct journal_splitter splitter = {.default_level = JOURNAL_INFO};
        size_t count = make_output(input, 1 + random_below(round % 10 ? 2000 : 300000));
        unsigned step = 1 + random_below(round % 3 ? 50 : 70000);
        out_bytes = 0;
        for (size_t at = 0; at < count;) {
            size_t part = 1 + random_below(step);
            if (part > count - at)
                part = count - at;
            feed(&splitter, input + at, part, 100 + random_below(5000));
            if (random_below(20) == 0)
                out_bytes += journal_splitter_cut(&splitter, out + out_bytes);
            at += part;
        }
        end(&splitter);
        CHECK_NUMBER(join(lines), count);
        CHECK(memcmp(lines, input, count) == 0);
    }
}

TEST(a_line_of_just_64_kib_is_whole_and_one_byte_more_is_cut)
{
    static char input[JOURNAL_LINE_BYTES + 2];
    struct journal_splitter splitter = {.default_level = JOURNAL_INFO};
    memset(input, 'a', sizeof input);
    input[JOURNAL_LINE_BYTES] = '\n';
    out_bytes = 0;
    feed(&splitter, input, JOURNAL_LINE_BYTES, sizeof out);
    feed(&splitter, "\n", 1, 4096);
    CHECK_NUMBER(out_bytes, strlen(TIME " info ") + JOURNAL_LINE_BYTES + 1);
    input[JOURNAL_LINE_BYTES] = 'b';
    input[JOURNAL_LINE_BYTES + 1] = '\n';
    out_bytes = 0;
    feed(&splitter, input, sizeof input, sizeof out - out_bytes);
    end(&splitter);
    CHECK_TEXT(out + out_bytes - strlen("\n" TIME " -info b\n"), "\n" TIME " -info b\n");
}

TEST(lines_are_read_back_and_others_are_taken_whole)
{
    struct journal_entry entry;
    const char good[] = "1999-02-28T23:59:59.999999Z +warning a b";
    static const char *const bad[] = {
        "",
        "x",
        TIME,
        TIME " ",
        TIME " info",
        TIME " inf o",
        TIME "  info x",
        TIME " +-info x",
        "2026-13-22T13:54:00.123456Z info x",
        "2026-11-22 13:54:00.123456Z info x",
    };
    CHECK(journal_parse_line(good, sizeof good - 1, &entry));
    CHECK_NUMBER(entry.time_ns, 920246399999999000);
    CHECK_NUMBER(entry.level, JOURNAL_WARNING);
    CHECK_NUMBER(entry.mark, JOURNAL_EVENT_MARK);
    CHECK(entry.bytes == 3 && memcmp(entry.text, "a b", 3) == 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(!journal_parse_line(bad[i], strlen(bad[i]), &entry));
        CHECK_NUMBER(entry.time_ns, 0);
        CHECK(entry.text == bad[i] && entry.bytes == strlen(bad[i]));
    }
}

TEST(every_time_that_is_written_is_read_back)
{
    for (int i = 0; i < 2000; i++) {
        char text[CLOCK_RFC3339_BYTES];
        uint64_t back = 0, time_ns = ((uint64_t)random_below(1 << 24) << 38) / 1000 * 1000;
        clock_format_rfc3339(text, time_ns);
        CHECK(journal_parse_time(text, &back));
        CHECK_NUMBER(back, time_ns);
    }
}

/* ---- backlogs ------------------------------------------------------------------------------ */

#define RING_AT 65536

static int memory = -1;
static struct backlog_head *head;
static struct backlog_pool pool;
static struct backlog backlog;
static uint64_t owner, lost; /* lost: the owner's count */

static void open_backlog(size_t pool_bytes)
{
    pool.left_bytes = pool_bytes;
    memory = memfd_create("backlog", MFD_CLOEXEC);
    CHECK_NUMBER(ftruncate(memory, RING_AT + BACKLOG_RING_BYTES), 0);
    head = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    CHECK(head != MAP_FAILED);
    lost = 0;
    owner = 812;
    CHECK_NUMBER(backlog_open(&backlog, &pool, head, memory, RING_AT, owner, &lost), 0);
}

/* What a kill leaves, wherever it came: the count may not have followed yet. */
static void open_again(size_t pool_bytes)
{
    munmap(backlog.ring, BACKLOG_RING_BYTES);
    pool.left_bytes = pool_bytes;
    uint64_t before = lost;
    lost = before / 2;
    CHECK_NUMBER(backlog_open(&backlog, &pool, head, memory, RING_AT, owner, &lost), 0);
    CHECK_NUMBER(lost, before);
}

static size_t pages_of_memory(void)
{
    struct stat stat;
    CHECK_NUMBER(fstat(memory, &stat), 0);
    return (size_t)stat.st_blocks * 512;
}

static void close_backlog(size_t pool_bytes)
{
    backlog_close(&backlog, &pool);
    CHECK_NUMBER(pool.left_bytes, pool_bytes);
    CHECK_NUMBER(pages_of_memory(), 4096);
    munmap(head, 4096);
    close(memory);
}

static uint64_t place;

static void add(const char *bytes, size_t count)
{
    backlog_add(&backlog, &pool, bytes, count, &(struct backlog_record){place, place + 1, false});
    place++;
}

TEST(a_backlog_keeps_the_newest_lines_and_counts_the_others)
{
    static char kept[2 * BACKLOG_POOL_BYTES];
    unsigned long first, line = 0;
    char text[32];
    uint32_t count;

    open_backlog(BACKLOG_POOL_BYTES);
    for (; line < 400000; line++) {
        int length = snprintf(text, sizeof text, "%lu\n", line);
        int part = (int)random_below((unsigned)length);
        add(text, (size_t)part);
        add(text + part, (size_t)(length - part));
        if (line % 50000 == 49999) {
            open_again(BACKLOG_POOL_BYTES);
            CHECK(pages_of_memory() <= backlog_used(&backlog) + 4 * 4096);
        }
    }
    CHECK(backlog_used(&backlog) <= BACKLOG_OWN_BYTES + BACKLOG_POOL_BYTES);
    CHECK(backlog_used(&backlog) > BACKLOG_POOL_BYTES);
    first = backlog.now.dropped_lines;
    CHECK(first > 0);
    CHECK_NUMBER(lost, first);
    CHECK(backlog_take(&backlog, kept, sizeof kept - 1, 7, &count) == count);
    kept[count] = 0;
    for (char *at = kept; *at; first++, at++)
        CHECK_NUMBER(strtoul(at, &at, 10), first);
    CHECK_NUMBER(first, line);
    open_again(BACKLOG_POOL_BYTES);
    CHECK_NUMBER(backlog.now.chunk, 7); /* until it is done */
    backlog_done(&backlog);
    close_backlog(BACKLOG_POOL_BYTES);
}

TEST(a_line_longer_than_the_backlog_is_dropped_with_its_rest)
{
    static char kept[2 * BACKLOG_OWN_BYTES], big[BACKLOG_OWN_BYTES];
    uint32_t count;

    open_backlog(0);
    memset(big, 'x', sizeof big);
    add("old\n", 4);
    add(big, sizeof big);
    add(big, sizeof big);
    open_again(0);
    add("xx\nnew\n", 7);
    CHECK_NUMBER(backlog.now.dropped_lines, 2);
    CHECK(!backlog.now.skipping);
    CHECK_NUMBER(backlog_take(&backlog, kept, sizeof kept, 1, &count), 4);
    CHECK(memcmp(kept, "new\n", 4) == 0);
    backlog_done(&backlog);
    close_backlog(0);
}

TEST(what_could_not_be_written_goes_back_in_front_as_far_as_there_is_room)
{
    static char kept[BACKLOG_OWN_BYTES + 10], big[BACKLOG_OWN_BYTES];
    uint32_t count;

    open_backlog(0);
    add("three\n", 6);
    backlog_give_back(&backlog, &pool, "one\ntwo\n", 8, false);
    CHECK_NUMBER(backlog.now.dropped_lines, 0);
    open_again(0);
    backlog_take(&backlog, kept, sizeof kept, 1, &count);
    CHECK(count == 14 && memcmp(kept, "one\ntwo\nthree\n", count) == 0);

    memset(big, 'x', sizeof big);
    big[sizeof big - 1] = '\n';
    add(big + 10, sizeof big - 10);
    backlog_give_back(&backlog, &pool, "one\ntwo\nthree\n", 14, false);
    CHECK_NUMBER(backlog.now.dropped_lines, 1);
    CHECK_NUMBER(backlog_used(&backlog), sizeof big);
    /* Older than what had to go already. */
    backlog_give_back(&backlog, &pool, "a\nb\n", 4, false);
    CHECK_NUMBER(backlog.now.dropped_lines, 3);
    CHECK_NUMBER(backlog_used(&backlog), sizeof big);
    backlog_take(&backlog, kept, sizeof kept, 1, &count);
    CHECK(memcmp(kept, "two\nthree\nxxx", 13) == 0);

    /* Why they are missing is known until the disk takes something. */
    backlog.now.error = ENOSPC;
    CHECK_NUMBER(backlog_take_dropped(&backlog, 2), 3);
    backlog_drop_more(&backlog, 3); /* what is said of them is not written */
    open_again(0);
    CHECK_NUMBER(backlog.now.error, ENOSPC);
    CHECK_NUMBER(backlog_take_dropped(&backlog, 3), 3);
    backlog_done(&backlog);
    CHECK_NUMBER(backlog.now.error, 0);
    CHECK_NUMBER(lost, 3); /* once, however often it is said */

    /* A line whose rest is in there already goes with it. */
    add("rest\n", 5);
    add(big + 10, sizeof big - 10);
    backlog_give_back(&backlog, &pool, "begin of the ", 13, true);
    CHECK_NUMBER(backlog.now.dropped_lines, 1);
    CHECK_NUMBER(backlog_used(&backlog), sizeof big - 10);
    close_backlog(0);
}

TEST(what_is_taken_out_is_whole_lines_if_there_are_more)
{
    char kept[16];
    uint32_t count;

    open_backlog(0);
    add("one\ntwo\nthree", 13);
    CHECK_NUMBER(backlog_take(&backlog, kept, 6, 1, &count), 4);
    CHECK(count == 4 && memcmp(kept, "one\n", 4) == 0 && !backlog.now.continues);
    backlog_done(&backlog);
    CHECK_NUMBER(backlog_take(&backlog, kept, 3, 2, &count), 3); /* none ends in them */
    CHECK(memcmp(kept, "two", 3) == 0 && backlog.now.continues);
    backlog_done(&backlog);
    CHECK_NUMBER(backlog_take(&backlog, kept, sizeof kept, 3, &count), 6);
    CHECK(memcmp(kept, "\nthree", 6) == 0 && backlog.now.continues);
    backlog_done(&backlog);
    close_backlog(0);
}

TEST(lines_that_there_is_no_memory_for_are_dropped_as_a_whole)
{
    static char kept[16], big[8192];
    uint32_t count;

    open_backlog(0);
    memset(big, 'o', sizeof big);
    add("one\ntw", 6);
    backlog.fd = -1; /* no page can be made */
    add(big, sizeof big);
    add(big, sizeof big);
    backlog.fd = memory;
    CHECK(backlog.now.skipping);
    add("o\nthree\n", 8);
    CHECK_NUMBER(lost, 2);
    CHECK_NUMBER(backlog_take(&backlog, kept, sizeof kept, 1, &count), 6);
    CHECK(memcmp(kept, "three\n", 6) == 0);
    CHECK_NUMBER(backlog_take_dropped(&backlog, 1), 2);
    backlog_done(&backlog);

    add("rest\nfour\n", 10); /* what could not be written goes on in it */
    backlog.fd = -1;
    big[10] = '\n';
    backlog_give_back(&backlog, &pool, big, sizeof big, false);
    backlog.fd = memory;
    CHECK_NUMBER(lost, 4);
    CHECK_NUMBER(backlog_take(&backlog, kept, sizeof kept, 1, &count), 5);
    CHECK(memcmp(kept, "four\n", 5) == 0);
    close_backlog(0);
}

TEST(what_another_owner_has_left_is_not_gone_on_with)
{
    open_backlog(0);
    add("one\n", 4);
    munmap(backlog.ring, BACKLOG_RING_BYTES);
    lost = 7; /* of the other one */
    CHECK_NUMBER(backlog_open(&backlog, &pool, head, memory, RING_AT, ++owner, &lost), 0);
    CHECK(!backlog_is_needed(&backlog));
    CHECK_NUMBER(pages_of_memory(), 4096);
    add("two\n", 4);
    open_again(0);
    CHECK_NUMBER(lost, 7);
    CHECK_NUMBER(backlog_used(&backlog), 4);
    close_backlog(0);
}

TEST(a_record_that_is_in_a_backlog_is_not_added_again)
{
    char kept[100];
    uint32_t count;
    const struct backlog_record first = {100, 110, true}, second = {110, 120, false};

    open_backlog(0);
    backlog_add(&backlog, &pool, "first\n", 6, &first);
    open_again(0);
    backlog_add(&backlog, &pool, "first\n", 6, &first);
    backlog_add(&backlog, &pool, "second\n", 7, &second);
    backlog_add(&backlog, &pool, "second\n", 7, &second);
    CHECK(backlog.now.continues);
    /* An older one that could be written in part goes in front. */
    backlog_give_record_back(&backlog, &pool, "part\n", 5, &(struct backlog_record){80, 100, false},
                             3);
    open_again(0);
    CHECK_NUMBER(backlog.now.from, 80);
    CHECK_NUMBER(backlog.now.from_skip, 3);
    CHECK_NUMBER(backlog.now.until, 120);
    backlog_cut_records(&backlog, 110); /* what was at 110 is another one now */
    backlog_add(&backlog, &pool, "other\n", 6, &second);
    backlog_take(&backlog, kept, sizeof kept, 1, &count);
    kept[count] = 0;
    CHECK_TEXT(kept, "part\nfirst\nsecond\nother\n");
    close_backlog(0);
}

/* As a file system leaves them in a file after a power cut. */
TEST(zeros_in_place_of_a_second_are_no_time)
{
    struct journal_second second = {0};
    struct journal_entry entry;
    char line[] = "....................123456Z +info x";
    memset(line, 0, sizeof second.text);
    CHECK(!journal_parse_line(line, sizeof line - 1, &entry));
    CHECK(!journal_parse_next_line(&second, line, sizeof line - 1, &entry));
    CHECK_NUMBER(entry.mark, JOURNAL_OUTPUT);
    CHECK_NUMBER(entry.bytes, sizeof line - 1);
}

/* Each of a time's bytes, and each of its numbers, as it is not. */
TEST(what_is_no_time_is_refused_at_each_of_its_places)
{
    static const char right[] = TIME;
    static const struct {
        size_t at;
        const char *number;
    } rows[] = {{0, "1969"}, {5, "00"},  {5, "13"},  {8, "00"},
                {8, "32"},   {11, "24"}, {14, "60"}, {17, "61"}};
    struct journal_entry entry;
    char time[sizeof right];
    uint64_t ns = 7;
    for (size_t i = 0; i < sizeof right - 1; i++) {
        memcpy(time, right, sizeof right);
        time[i] = 'x';
        CHECK(!journal_parse_time(time, &ns));
        time[i] = '!'; /* below the digits */
        CHECK(!journal_parse_time(time, &ns));
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        memcpy(time, right, sizeof right);
        memcpy(time + rows[i].at, rows[i].number, strlen(rows[i].number));
        CHECK(!journal_parse_time(time, &ns));
    }
    CHECK_NUMBER(ns, 7);
    CHECK(!journal_parse_time("2555-01-01T00:00:00.000000Z", &ns));
    CHECK(
        !journal_parse_time("2554-07-21T23:34:33.709552Z", &ns)); /* the last microsecond but two */
    CHECK(journal_parse_time("2554-07-21T23:34:33.709551Z", &ns));
    CHECK(journal_parse_time("1970-01-01T00:00:60.000000Z", &ns) && ns == 60000000000);
    CHECK(!journal_parse_line(TIME " +", sizeof TIME + 1, &entry));
    CHECK(!journal_parse_line(TIME " loud word", sizeof TIME + 9, &entry));
    CHECK(!journal_parse_line(TIME " info", sizeof TIME + 4, &entry));
    CHECK(!journal_parse_line(TIME "_info x", sizeof TIME + 6, &entry) &&
          entry.bytes == sizeof TIME + 6);
}

TEST(a_line_of_the_same_second_is_read_as_any_other)
{
    static const char *const lines[] = {TIME " info one",
                                        "2026-11-22T13:54:00.999999Z err two",
                                        "2026-11-22T13:54:00.999999X err no time",
                                        "2026-11-22T13:54:00.99x999Z err no time",
                                        "2026-11-22T13:54:00.999999Z loud no level",
                                        "2026-11-22T13:54:00.999999Z",
                                        "2026-11-22T13:54:01.000000Z +info three",
                                        "no time at all, and as long as one would be"};
    struct journal_second second = {.ns = 0};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct journal_entry quick, slow;
        bool quickly = journal_parse_next_line(&second, lines[i], strlen(lines[i]), &quick);
        CHECK_NUMBER(quickly, journal_parse_line(lines[i], strlen(lines[i]), &slow));
        CHECK(quick.time_ns == slow.time_ns && quick.level == slow.level &&
              quick.mark == slow.mark && quick.text == slow.text && quick.bytes == slow.bytes);
    }
}

TEST(a_splitter_that_was_damaged_begins_a_line)
{
    static const struct journal_splitter bad[] = {
        {.state = LINE_RESUMED + 1},
        {.state = LINE_OPEN, .line_bytes = JOURNAL_LINE_BYTES + 1},
        {.held_bytes = 200},
        {.state = LINE_OPEN, .held_bytes = 1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct journal_splitter splitter = bad[i];
        splitter.level = splitter.default_level = JOURNAL_DEBUG + 1;
        journal_splitter_mend(&splitter);
        CHECK(splitter.state == LINE_NONE && !splitter.line_bytes && !splitter.held_bytes);
        CHECK(splitter.level == JOURNAL_INFO && splitter.default_level == JOURNAL_INFO);
    }
    struct journal_splitter other = {
        .held = "x", .held_bytes = 1, .level = JOURNAL_INFO, .default_level = JOURNAL_INFO};
    out_bytes = 0;
    feed(&other, "3>y\n", 4, 4096);
    out[out_bytes] = 0;
    CHECK_TEXT(out, TIME " info x3>y\n"); /* no level */
    struct journal_splitter good = {
        .state = LINE_RESUMED, .level = JOURNAL_ERR, .default_level = JOURNAL_ERR};
    journal_splitter_mend(&good);
    CHECK(good.state == LINE_RESUMED && good.level == JOURNAL_ERR &&
          good.default_level == JOURNAL_ERR);
}

/* There is room for the most that a line may be and its end, no more. */
TEST(a_line_that_is_cut_where_the_room_ends_goes_on_in_the_next_one)
{
    static char in[JOURNAL_LINE_BYTES + 3], given[JOURNAL_LINE_BYTES + 200];
    struct journal_splitter splitter = {.level = JOURNAL_INFO, .default_level = JOURNAL_INFO};
    const size_t prefix = strlen(TIME " info ");
    const char *at = in;
    size_t left = sizeof in;
    memset(in, 'x', sizeof in);
    in[sizeof in - 1] = '\n';
    size_t used =
        journal_splitter_feed(&splitter, TIME, &at, &left, given, prefix + JOURNAL_LINE_BYTES + 1);
    CHECK_NUMBER(used, prefix + JOURNAL_LINE_BYTES + 1);
    CHECK_NUMBER(left, 3);
    used += journal_splitter_feed(&splitter, TIME, &at, &left, given + used, sizeof given - used);
    given[used] = 0;
    CHECK_NUMBER(left, 0);
    CHECK_TEXT(given + prefix + JOURNAL_LINE_BYTES, "\n" TIME " -info xx\n");
}
