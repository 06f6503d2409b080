/* Any bytes as what a service prints, cut into blocks in two ways: both become the same journal;
 * each line of it is valid; and read and joined again they are the bytes, without the levels in
 * front. A byte 0xfe repeats the one before it as often as the byte behind it says, times 300:
 * lines may be long. */
#include "demand.h"
#include "journal/joiner.h"
#include "journal/splitter.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TIME        "2026-11-22T13:14:00.123456Z"
#define PRINTED_MAX (200u << 10)

_Static_assert(sizeof TIME == JOURNAL_TIME_BYTES + 1, "it is as long as a time");

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void add(struct buffer *out, const void *bytes, size_t count)
{
    demand(buffer_append(out, bytes, count) == 0, "there is memory");
}

static void expand(struct buffer *out, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t times = 1;
        uint8_t byte = bytes[i];
        if (byte == 0xfe && i && i + 1 < count) {
            byte = bytes[i - 1];
            times = bytes[++i] * 300u;
        }
        while (times-- && buffer_used(out) < PRINTED_MAX)
            add(out, &byte, 1);
    }
}

/* All of it through a splitter, `step` bytes at a time, with so much room for what comes out. */
static void split(const struct buffer *printed, size_t step, size_t room, struct buffer *out)
{
    struct journal_splitter splitter = {.default_level = JOURNAL_INFO};
    const char *in = buffer_bytes(printed);
    size_t left = buffer_used(printed);

    while (left) {
        size_t here = left < step ? left : step;
        left -= here;
        while (here) {
            demand(buffer_reserve(out, room) == 0, "there is memory");
            size_t used =
                journal_splitter_feed(&splitter, TIME, &in, &here, out->data + out->end, room);
            demand(used <= room, "no more comes out than there is room for");
            out->end += used;
        }
    }
    demand(buffer_reserve(out, JOURNAL_SPLITTER_ROOM) == 0, "there is memory");
    size_t used = journal_splitter_end(&splitter, TIME, out->data + out->end);
    demand(used <= JOURNAL_SPLITTER_ROOM, "an end has room");
    out->end += used;
}

static void check_lines(const struct buffer *journal)
{
    const char *at = buffer_bytes(journal), *behind = at + buffer_used(journal);
    struct journal_second second = {0};
    while (at < behind) {
        struct journal_entry entry, next;
        const char *end = memchr(at, '\n', (size_t)(behind - at));
        demand(end != NULL, "the last line has an end");
        demand(journal_parse_line(at, (size_t)(end - at), &entry), "a line is valid");
        demand(journal_parse_next_line(&second, at, (size_t)(end - at), &next) &&
                   next.time_ns == entry.time_ns && next.level == entry.level &&
                   next.mark == entry.mark && next.text == entry.text && next.bytes == entry.bytes,
               "read quicker it is the same");
        demand(entry.bytes <= JOURNAL_LINE_BYTES, "and is no longer than it may be");
        demand(entry.mark != JOURNAL_EVENT_MARK, "what is printed is no event");
        at = end + 1;
    }
}

/* One line of what was printed, as it should come out. */
static void check_entry(const struct journal_entry *entry, const char **at, const char *behind)
{
    enum journal_level level = JOURNAL_INFO;
    demand(*at < behind, "no more lines come out than there are");
    if (behind - *at >= 3 && (*at)[0] == '<' && (*at)[1] >= '0' && (*at)[1] <= '7' &&
        (*at)[2] == '>') {
        level = (enum journal_level)((*at)[1] - '0');
        *at += 3;
    }
    const char *end = memchr(*at, '\n', (size_t)(behind - *at));
    size_t bytes = (size_t)((end ? end : behind) - *at);
    demand(entry->level == level, "the level is the line's");
    demand(entry->bytes == bytes && !memcmp(entry->text, *at, bytes), "and the text is");
    *at = end ? end + 1 : behind;
}

static void check_read(const struct buffer *journal, const struct buffer *printed)
{
    const char *at = buffer_bytes(printed), *behind = at + buffer_used(printed);
    struct journal_reader reader;
    struct journal_joiner joiner = {0};
    struct journal_entry entry;
    int fd = memfd_create("journal", MFD_CLOEXEC);

    demand(fd >= 0 && write(fd, buffer_bytes(journal), buffer_used(journal)) ==
                          (ssize_t)buffer_used(journal),
           "there is memory");
    demand(journal_reader_open_file(&reader, fd, false) == 0, "it can be opened");
    while (journal_joiner_next(&joiner, &reader, &entry) == 1)
        check_entry(&entry, &at, behind);
    demand(at == behind, "no line is missing");
    journal_joiner_finish(&joiner);
    journal_reader_close(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct buffer printed = {0}, whole = {0}, parts = {0};

    if (count < 3)
        return 0;
    expand(&printed, bytes + 2, count - 2);
    split(&printed, PRINTED_MAX, 4 * JOURNAL_LINE_BYTES, &whole);
    split(&printed, bytes[0] + 1u, JOURNAL_SPLITTER_ROOM + 1 + bytes[1], &parts);
    check_lines(&whole);
    if (buffer_used(&whole) < JOURNAL_LINE_BYTES)
        demand(buffer_used(&whole) == buffer_used(&parts) &&
                   !memcmp(buffer_bytes(&whole), buffer_bytes(&parts), buffer_used(&whole)),
               "however it is cut, the lines are the same");
    check_lines(&parts);
    if (buffer_used(&printed)) {
        check_read(&whole, &printed);
        check_read(&parts, &printed);
    }
    buffer_finish(&printed);
    buffer_finish(&whole);
    buffer_finish(&parts);
    return 0;
}
