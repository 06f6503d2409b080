/* What a reader says of what it cannot read, and that it goes on as if it had not been asked. */
#include "base/text.h"
#include "faults.h"
#include "journal-files.h"
#include "journal/format.h"
#include "journal/seek-table.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#define PACKED STEM ".log.zst"
#define LATER  "20261122T135500.000000Z.log.zst"

static char path[PATH_MAX];

static void write_bytes(const char *leaf, const void *bytes, size_t count)
{
    text_format(path, sizeof path, "%s/web/%s", logs, leaf);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && write(fd, bytes, count) == (ssize_t)count);
    close(fd);
}

static struct journal_reader open_reader(void)
{
    struct journal_reader reader;
    text_format(path, sizeof path, "%s/web", logs);
    CHECK_NUMBER(journal_reader_open(&reader, path), 0);
    return reader;
}

/* A sealed file that is nothing, and a `current`, which is read from there on. */
static struct journal_reader begin_damaged(void)
{
    begin();
    write_file(logs, "current", 0, 1);
    write_bytes(PACKED, "no such thing", 13);
    return open_reader();
}

/* As the journal's reader says it; the name of the file has to be this one. */
static uint64_t from_ns, until_ns;

static void describe(struct journal_reader *reader, size_t number, const char *wanted)
{
    char name[JOURNAL_SEALED_BYTES];
    CHECK(number < reader->loss_count);
    if (number >= reader->loss_count)
        return;
    journal_reader_describe_loss(reader, &reader->losses[number], name, &from_ns, &until_ns);
    CHECK_TEXT(name, wanted);
}

TEST(a_long_line_goes_on_as_one_when_what_is_lost_is_described_in_its_middle)
{
    static char text[3 * JOURNAL_LINE_BYTES];
    struct journal_reader reader = begin_damaged();
    struct journal_entry entry;
    size_t bytes;
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\n';
    write_bytes("current", PREFIX, strlen(PREFIX));
    write_bytes("current", text, sizeof text);
    CHECK_NUMBER(journal_reader_next(&reader, &entry), 1); /* the line that was there */
    CHECK_NUMBER(journal_reader_next(&reader, &entry), 1);
    CHECK(entry.time_ns == now_ns);
    bytes = entry.bytes;
    describe(&reader, 0, PACKED);
    while (journal_reader_next(&reader, &entry) == 1) {
        CHECK(entry.mark == JOURNAL_CONTINUED);
        bytes += entry.bytes;
    }
    CHECK_NUMBER(bytes, sizeof text - 1);
    journal_reader_close(&reader);
    finish();
}

/* Appends a table of the frames. */
static void write_table(const char *leaf, const struct seek_table_entry *entries, uint32_t count)
{
    const size_t bytes = count * sizeof *entries;
    struct seek_table_head head = {htole32(SEEK_TABLE_HEAD_MAGIC),
                                   htole32((uint32_t)(bytes + sizeof(struct seek_table_end)))};
    struct seek_table_end end = {htole32(count), 0, htole32(SEEK_TABLE_MAGIC)};
    write_bytes(leaf, &head, sizeof head);
    write_bytes(leaf, entries, bytes);
    write_bytes(leaf, &end, sizeof end);
}

/* A compressed file of so many frames of a line each, from that number on; some are damaged. */
static struct seek_table_entry entries[1000];

static void write_frames(const char *leaf, uint32_t from, uint32_t count,
                         bool (*is_damaged)(uint32_t))
{
    char line[100], packed[1000];
    for (uint32_t i = 0; i < count; i++) {
        int length = snprintf(line, sizeof line, PREFIX "%u\n", from + i);
        size_t bytes = ZSTD_compress(packed, sizeof packed, line, (size_t)length, 1);
        CHECK(!ZSTD_isError(bytes));
        if (is_damaged(from + i))
            packed[0] ^= 1; /* of the magic number */
        write_bytes(leaf, packed, bytes);
        entries[i] = (struct seek_table_entry){htole32((uint32_t)bytes), htole32((uint32_t)length)};
    }
}

static void write_packed(const char *leaf, uint32_t from, uint32_t count,
                         bool (*is_damaged)(uint32_t))
{
    mkdir(logs, 0755);
    text_format(path, sizeof path, "%s/web", logs);
    mkdir(path, 0755);
    write_frames(leaf, from, count, is_damaged);
    write_table(leaf, entries, count);
}

static bool is_odd(uint32_t number)
{
    return number % 2;
}

static bool is_none(uint32_t number)
{
    (void)number;
    return false;
}

static size_t read_to_end(struct journal_reader *reader)
{
    struct journal_entry entry;
    size_t count = 0;
    while (journal_reader_next(reader, &entry) == 1)
        count++;
    return count;
}

TEST(of_a_file_that_is_damaged_in_a_thousand_places_the_first_are_told_and_the_rest_as_one)
{
    begin();
    write_file(logs, "current", 0, 1);
    write_packed(PACKED, 0, 1000, is_odd);
    struct journal_reader reader = open_reader();
    CHECK_NUMBER(read_to_end(&reader), 501);
    CHECK_NUMBER(reader.loss_count, JOURNAL_LOSSES_MOST);
    off_t behind = 0;
    for (size_t i = 0; i < reader.loss_count; i++) {
        const struct journal_loss *loss = &reader.losses[i];
        CHECK(loss->from > behind && loss->until > loss->from);
        CHECK_NUMBER(loss->is_rest, i + 1 == reader.loss_count);
        behind = loss->until;
    }
    describe(&reader, reader.loss_count - 1, PACKED);
    CHECK_NUMBER(read_to_end(&reader), 0); /* it stands where it did */
    journal_reader_stand(&reader, JOURNAL_PLACE_BEGIN, JOURNAL_PLACE_NEVER);
    CHECK_NUMBER(read_to_end(&reader), 501); /* and what is met again is known */
    CHECK_NUMBER(reader.loss_count, JOURNAL_LOSSES_MOST);
    journal_reader_close(&reader);
    finish();
}

TEST(that_a_file_was_emptied_is_seen_though_what_is_lost_was_described_before)
{
    struct journal_reader reader = begin_damaged();
    reader.whole_lines = true;
    CHECK_NUMBER(read_numbers(&reader, 0), -EIO); /* all that there is, and the loss */
    CHECK_NUMBER(read_until, 1);
    describe(&reader, 0, PACKED);
    text_format(path, sizeof path, "%s/web/current", logs);
    CHECK_NUMBER(truncate(path, 0), 0);
    static const char later[] = "2026-11-22T13:55:00.000000Z info 7\n";
    write_bytes("current", later, strlen(later));
    write_bytes("current", later, strlen(later));
    struct journal_entry entry;
    for (int i = 0; i < 2; i++) {
        CHECK_NUMBER(journal_reader_next(&reader, &entry), 1);
        CHECK(entry.bytes == 1 && entry.text[0] == '7');
    }
    CHECK_NUMBER(journal_reader_next(&reader, &entry), 0);
    journal_reader_close(&reader);
    finish();
}

/* ---- which place of which file ------------------------------------------------------------- */

TEST(two_files_that_are_damaged_at_one_place_are_told_each)
{
    begin();
    write_packed(PACKED, 0, 2, is_odd);
    write_packed(LATER, 2, 2, is_odd);
    struct journal_reader reader = open_reader();
    CHECK_NUMBER(read_to_end(&reader), 2);
    CHECK_NUMBER(reader.loss_count, 2);
    describe(&reader, 0, PACKED);
    describe(&reader, 1, LATER);
    journal_reader_close(&reader);
    finish();
}

static bool is_two_three_or_six(uint32_t number)
{
    return number == 2 || number == 3 || number == 6;
}

/* Where the line of that number begins: all are as long. */
static struct journal_place place_of(off_t number)
{
    return (struct journal_place){0, number * (off_t)(sizeof PREFIX "0\n" - 1)};
}

static void read_between(struct journal_reader *reader, off_t from, off_t until)
{
    journal_reader_stand(reader, place_of(from), place_of(until));
    read_to_end(reader);
}

TEST(places_that_are_met_from_the_back_are_told_as_those_that_are_met_from_the_front)
{
    begin();
    write_packed(PACKED, 0, 9, is_two_three_or_six);
    struct journal_reader reader = open_reader();
    read_between(&reader, 6, 9);
    read_between(&reader, 3, 4);
    CHECK_NUMBER(reader.loss_count, 2); /* what is between them is good */
    read_between(&reader, 0, 3);
    CHECK_NUMBER(reader.loss_count, 2); /* one goes on in the other */
    if (reader.loss_count == 2) {
        CHECK_NUMBER(reader.losses[0].from, place_of(6).at);
        CHECK_NUMBER(reader.losses[0].until, place_of(7).at);
        CHECK_NUMBER(reader.losses[1].from, place_of(2).at);
        CHECK_NUMBER(reader.losses[1].until, place_of(4).at);
    }
    journal_reader_close(&reader);
    finish();
}

TEST(behind_the_last_entry_a_loss_lasts_until_the_file_was_written)
{
    const struct timespec written[2] = {{2000000000, 0}, {2000000000, 0}};
    begin();
    write_packed(PACKED, 0, 4, is_odd);
    text_format(path, sizeof path, "%s/web/" PACKED, logs);
    CHECK_NUMBER(utimensat(AT_FDCWD, path, written, 0), 0);
    struct journal_reader reader = open_reader();
    CHECK_NUMBER(read_to_end(&reader), 2);
    CHECK_NUMBER(reader.loss_count, 2);
    describe(&reader, 0, PACKED);
    CHECK(from_ns == now_ns && until_ns == now_ns); /* between two entries */
    describe(&reader, 1, PACKED);
    CHECK(from_ns == now_ns && until_ns == 2000000000 * NS_PER_SEC);
    journal_reader_close(&reader);
    finish();
}

/* ---- what the disk does not give ----------------------------------------------------------- */

static unsigned unreadable[2]; /* times that it was of the sealed file, and of `current` */

static void read_plain(void)
{
    begin();
    write_file(logs, STEM ".log", 0, 2);
    write_file(logs, "current", 2, 4);
    struct journal_reader reader = open_reader();
    faults_begin();
    size_t count = read_to_end(&reader);
    faults_end();
    CHECK_NUMBER(reader.loss_count, fault_happened());
    CHECK(count == 4 || (fault_happened() && count == 2));
    if (reader.loss_count) {
        size_t number = reader.losses[0].file;
        CHECK_NUMBER(reader.losses[0].error, -EIO);
        CHECK(number < 2);
        unreadable[number % 2]++;
        describe(&reader, 0, number ? "current" : STEM ".log");
    }
    journal_reader_close(&reader);
    finish();
}

TEST(what_the_disk_does_not_give_is_told_with_the_name_of_its_file)
{
    CHECK(fault_each_of("pread64", FAULT_CALLS, EIO, read_plain) >= 4);
    CHECK(unreadable[0] && unreadable[1]);
}

static void read_damaged(void)
{
    size_t of_disk = 0;
    begin();
    write_packed(PACKED, 0, 4, is_odd);
    struct journal_reader reader = open_reader();
    faults_begin();
    size_t count = read_to_end(&reader);
    faults_end();
    CHECK(count == 2 || (fault_happened() && count < 2));
    for (size_t i = 0; i < reader.loss_count; i++)
        of_disk += reader.losses[i].kind == JOURNAL_LOSS_UNREADABLE;
    CHECK_NUMBER(of_disk, fault_happened());
    journal_reader_close(&reader);
    finish();
}

TEST(damage_and_a_disk_that_does_not_answer_behind_it_are_two_losses)
{
    CHECK(fault_each_of("pread64", FAULT_CALLS, EACCES, read_damaged) >= 6);
}

/* What cannot be found out now is not known, and nothing is left out for it. */
static void describe_without_memory(void)
{
    struct journal_entry entry;
    begin();
    write_packed(PACKED, 0, 6, is_odd);
    struct journal_reader reader = open_reader();
    CHECK_NUMBER(journal_reader_next(&reader, &entry), 1);
    CHECK_NUMBER(journal_reader_next(&reader, &entry), 1);
    faults_begin();
    describe(&reader, 0, PACKED);
    faults_end();
    CHECK(from_ns == now_ns || (fault_happened() && from_ns == 0));
    CHECK(until_ns >= now_ns);
    CHECK_NUMBER(read_to_end(&reader), 1);
    CHECK_NUMBER(reader.loss_count, 3);
    journal_reader_close(&reader);
    finish();
}

TEST(without_memory_it_is_not_known_when_something_was_written)
{
    CHECK(fault_each_of("pread64", FAULT_CALLS, ENOMEM, describe_without_memory) >= 2);
}

/* ---- the seek table ------------------------------------------------------------------------ */

TEST(what_is_cut_off_after_the_table_was_read_is_damaged)
{
    struct stat stat_;
    struct journal_entry entry;
    begin();
    write_packed(PACKED, 0, 100, is_none);
    struct journal_reader reader = open_reader();
    CHECK_NUMBER(journal_reader_next(&reader, &entry), 1);
    text_format(path, sizeof path, "%s/web/" PACKED, logs);
    CHECK_NUMBER(stat(path, &stat_), 0);
    CHECK_NUMBER(truncate(path, stat_.st_size / 2), 0);
    size_t count = 1 + read_to_end(&reader);
    CHECK(count > 40 && count < 100);
    CHECK_NUMBER(reader.loss_count, 1);
    CHECK_NUMBER(reader.losses[0].kind, JOURNAL_LOSS_DAMAGED);
    CHECK(reader.losses[0].until > reader.losses[0].from);
    journal_reader_close(&reader);
    finish();
}

/* Two frames, of which one has nothing by the table, and the other all. */
static void check_table_with_nothing(bool in_file)
{
    begin();
    write_file(logs, "current", 2, 3);
    write_frames(PACKED, 0, 2, is_none);
    uint32_t *first = in_file ? &entries[0].bytes : &entries[0].text_bytes;
    uint32_t *second = in_file ? &entries[1].bytes : &entries[1].text_bytes;
    *second = htole32(le32toh(*first) + le32toh(*second));
    *first = 0;
    write_table(PACKED, entries, 2);
    struct journal_reader reader = open_reader();
    CHECK_NUMBER(read_numbers(&reader, 0), 3);
    journal_reader_close(&reader);
    finish();
}

TEST(a_table_with_a_frame_of_nothing_is_not_believed_and_costs_no_line)
{
    check_table_with_nothing(true);
    check_table_with_nothing(false);
}
