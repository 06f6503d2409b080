/* Any bytes as a journal, and as a compressed one: it is read from both ends with the same result,
 * nothing gets lost, and every entry can be shown. */
#include "demand.h"
#include "journal/joiner.h"
#include "journal/show.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void open_bytes(struct journal_reader *reader, const uint8_t *bytes, size_t count,
                       bool packed)
{
    int fd = memfd_create("journal", MFD_CLOEXEC);
    demand(fd >= 0, "there is memory");
    demand(write(fd, bytes, count) == (ssize_t)count, "a memfd takes it");
    demand(journal_reader_open_file(reader, fd, packed) == 0, "a file can be opened");
    reader->reads_ahead = true;
}

static void show(const struct journal_entry *entry)
{
    struct buffer out = {0};
    demand(journal_show_short(&out, "web", entry) == 0, "an entry can be shown");
    for (size_t i = 0; i + 1 < buffer_used(&out); i++) {
        unsigned char c = (unsigned char)buffer_bytes(&out)[i];
        demand((c >= ' ' && c != 0x7f) || c == '\t', "no control character is shown");
    }
    demand(journal_show_json(&out, "web", entry) == 0, "an entry can be JSON");
    buffer_finish(&out);
}

/* Returns how many entries were not the rest of another, and how long all texts are. */
static uint64_t read_all(struct journal_reader *reader, bool joined, bool shown, size_t *ret_bytes)
{
    struct journal_joiner joiner = {0};
    struct journal_entry entry;
    uint64_t begun = 0;

    *ret_bytes = 0;
    while ((joined ? journal_joiner_next(&joiner, reader, &entry)
                   : journal_reader_next(reader, &entry)) == 1) {
        begun += entry.mark != JOURNAL_CONTINUED;
        *ret_bytes += entry.bytes;
        if (shown)
            show(&entry);
    }
    journal_joiner_finish(&joiner);
    return begun;
}

static void read_both_ways(const uint8_t *bytes, size_t count, bool packed)
{
    struct journal_reader reader;
    size_t plain_bytes, joined_bytes, rest;

    open_bytes(&reader, bytes, count, packed);
    uint64_t begun = read_all(&reader, false, true, &plain_bytes);
    demand(packed || plain_bytes <= count, "no more comes out than is in it");
    demand(journal_reader_seek_last(&reader, UINT64_MAX) == 0, "a file can be sought");
    read_all(&reader, true, true, &joined_bytes);
    demand(joined_bytes == plain_bytes, "joining loses nothing");
    for (uint64_t last = 0; last < begun && last < 5; last++) {
        demand(journal_reader_seek_last(&reader, last) == 0, "a file can be sought");
        demand(read_all(&reader, false, false, &rest) >= last, "as many entries as asked for");
    }
    journal_reader_close(&reader);
}

/* How many joined entries have the text in them. */
static uint64_t count_with(struct journal_reader *reader, const char *text, size_t bytes)
{
    struct journal_joiner joiner = {0};
    struct journal_entry entry;
    uint64_t found = 0;

    while (journal_joiner_next(&joiner, reader, &entry) == 1)
        found += memmem(entry.text, entry.bytes, text, bytes) != NULL;
    journal_joiner_finish(&joiner);
    return found;
}

/* Leaving out lines early changes nothing, and looking for times does no harm. Which text and which
 * time comes from the bytes: all of them with each would be too slow. */
static void search(const uint8_t *bytes, size_t count, bool packed)
{
    static const char *const texts[] = {"a", "info", "-", "e "};
    const uint64_t times_ns[] = {0, 1, 1795355640ull * NS_PER_SEC, UINT64_MAX - 1};
    unsigned sum = (unsigned)count;
    struct journal_reader reader;
    struct journal_place place;

    for (size_t i = 0; i < count; i++)
        sum += bytes[i];
    const char *text = texts[sum % 4];
    uint64_t time_ns = times_ns[sum / 4 % 4];
    size_t length = strlen(text);
    open_bytes(&reader, bytes, count, packed);
    journal_reader_stand(&reader, JOURNAL_PLACE_BEGIN, JOURNAL_PLACE_NEVER);
    uint64_t wanted = count_with(&reader, text, length);
    reader.literal = text;
    reader.literal_bytes = length;
    journal_reader_stand(&reader, JOURNAL_PLACE_BEGIN, JOURNAL_PLACE_NEVER);
    demand(count_with(&reader, text, length) == wanted, "no line is left out");
    reader.literal = NULL;
    demand(journal_reader_find_time(&reader, time_ns, &place) == 0, "a time is sought");
    count_with(&reader, "a", 1);
    demand(journal_reader_find_end(&reader, time_ns, &place) == 0, "an end is sought");
    journal_reader_close(&reader);
}

/* A few bytes can say that they are megabytes of text, which takes long with the sanitizers. */
static bool is_short(const uint8_t *bytes, size_t count, bool packed)
{
    struct journal_reader reader;
    struct journal_place end;
    open_bytes(&reader, bytes, count, packed);
    demand(journal_reader_end(&reader, &end) == 0, "a file has an end");
    journal_reader_close(&reader);
    return end.at < 1 << 20;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    for (int packed = 0; packed < 2; packed++) {
        if (!is_short(bytes, count, packed))
            continue;
        search(bytes, count, packed);
        read_both_ways(bytes, count, packed);
    }
    return 0;
}
