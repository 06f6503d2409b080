/* What a reader says of what it cannot read, and that it goes on as if it had not been asked. */
#include "base/text.h"
#include "journal-files.h"
#include "journal/format.h"
#include "journal/seek-table.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>
#include <zstd.h>

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
    write_bytes(STEM ".log.zst", "no such thing", 13);
    return open_reader();
}

static void describe(struct journal_reader *reader, size_t number)
{
    char name[JOURNAL_SEALED_BYTES];
    uint64_t from_ns, until_ns;
    CHECK(number < reader->loss_count);
    if (number >= reader->loss_count)
        return;
    journal_reader_describe_loss(reader, &reader->losses[number], name, &from_ns, &until_ns);
    CHECK_TEXT(name, STEM ".log.zst");
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
    describe(&reader, 0);
    while (journal_reader_next(&reader, &entry) == 1) {
        CHECK(entry.mark == JOURNAL_CONTINUED);
        bytes += entry.bytes;
    }
    CHECK_NUMBER(bytes, sizeof text - 1);
    journal_reader_close(&reader);
    finish();
}

/* A compressed file of so many frames of a line each, of which every second one is damaged. */
static void write_damaged_frames(uint32_t count)
{
    static struct seek_table_entry entries[1000];
    char line[100], packed[1000];
    struct seek_table_head head = {
        htole32(SEEK_TABLE_HEAD_MAGIC),
        htole32(count * sizeof *entries + sizeof(struct seek_table_end))};
    struct seek_table_end end = {htole32(count), 0, htole32(SEEK_TABLE_MAGIC)};
    for (uint32_t i = 0; i < count; i++) {
        int length = snprintf(line, sizeof line, PREFIX "%u\n", i);
        size_t bytes = ZSTD_compress(packed, sizeof packed, line, (size_t)length, 1);
        CHECK(!ZSTD_isError(bytes));
        if (i % 2)
            packed[0] ^= 1; /* of the magic number */
        write_bytes(STEM ".log.zst", packed, bytes);
        entries[i] = (struct seek_table_entry){htole32((uint32_t)bytes), htole32((uint32_t)length)};
    }
    write_bytes(STEM ".log.zst", &head, sizeof head);
    write_bytes(STEM ".log.zst", entries, count * sizeof *entries);
    write_bytes(STEM ".log.zst", &end, sizeof end);
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
    write_damaged_frames(1000);
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
    describe(&reader, reader.loss_count - 1);
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
    describe(&reader, 0);
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
