/* Any bytes as a journal: it is read from both ends with the same result, nothing gets lost, and
 * every entry can be shown. */
#include "journal/joiner.h"
#include "journal/show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BUFFER_BYTES (4 * JOURNAL_LINE_BYTES) /* as in reader.c */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void demand(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "not so: %s\n", what);
    abort();
}

static void open_bytes(struct journal_reader *reader, const uint8_t *bytes, size_t count)
{
    *reader = (struct journal_reader){.file_count = 1, .buffer = malloc(BUFFER_BYTES)};
    reader->fds[0] = memfd_create("journal", MFD_CLOEXEC);
    demand(reader->fds[0] >= 0 && reader->buffer, "there is memory");
    demand(write(reader->fds[0], bytes, count) == (ssize_t)count, "a memfd takes it");
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

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct journal_reader reader;
    size_t plain_bytes, joined_bytes, rest;

    open_bytes(&reader, bytes, count);
    uint64_t begun = read_all(&reader, false, true, &plain_bytes);
    demand(plain_bytes <= count, "no more comes out than is in it");
    demand(journal_reader_seek_last(&reader, UINT64_MAX) == 0, "a file can be sought");
    read_all(&reader, true, true, &joined_bytes);
    demand(joined_bytes == plain_bytes, "joining loses nothing");
    for (uint64_t last = 0; last < begun && last < 5; last++) {
        demand(journal_reader_seek_last(&reader, last) == 0, "a file can be sought");
        demand(read_all(&reader, false, false, &rest) == last, "as many entries as asked for");
    }
    journal_reader_close(&reader);
    return 0;
}
