/* Finding a time in a journal.
 *
 * A file in which nothing is new enough is known by when it was written last. In the others a
 * place is found by halves, as if times were in order; where what is met shows that they are not,
 * because the clock was set back, the file is read from its beginning. */
#include "journal/reader-internal.h"

#include <string.h>

/* File times are those of the last tick, and a line's is taken before it is written. */
#define CLOCKS_DIFFER_NS NS_PER_SEC
#define PROBE_BYTES      (JOURNAL_FRAME_BYTES / 2)

_Static_assert(PROBE_BYTES <= JOURNAL_BUFFER_BYTES, "a probe fits the buffer");

struct probe {
    off_t at; /* of the line */
    uint64_t time_ns;
};

/* Finds the first line with a time that begins behind `from`, or at it when that is 0, in pieces
 * that begin before `until`. Returns 1, 0 when there is none, or -errno. */
static int probe(struct journal_reader *reader, off_t from, off_t until, struct probe *ret)
{
    while (from < until) {
        ssize_t got = journal_reader_piece(reader, from, PROBE_BYTES);
        if (got <= 0)
            return (int)got;
        const char *end = reader->buffer + got, *line = reader->buffer;
        for (bool is_line = from == 0; line < end; is_line = true) {
            const char *line_end = memchr(line, '\n', (size_t)(end - line));
            struct journal_entry entry;
            off_t at = from + (line - reader->buffer);
            if (is_line &&
                journal_parse_line(line, (size_t)((line_end ? line_end : end) - line), &entry)) {
                *ret = (struct probe){at, entry.time_ns};
                return 1;
            }
            if (!line_end)
                break;
            line = line_end + 1;
        }
        /* A line that is cut off here begins again with the next piece, but for one that is longer
         * than a piece. */
        from += line > reader->buffer + 1 && line < end ? (line - reader->buffer) - 1 : (off_t)got;
    }
    return 0;
}

int journal_reader_find_time_in(struct journal_reader *reader, size_t file, uint64_t since_ns,
                                off_t *ret_low, off_t *ret_high)
{
    uint64_t written_ns = journal_reader_written_ns(reader, file), most_ns;
    struct probe low = {0, 0}, found = {0, 0};
    int failed = journal_reader_open_source(reader, file);
    off_t high = failed ? failed : journal_source_size(&reader->source);

    if (high < 0)
        return (int)high;
    most_ns =
        written_ns < UINT64_MAX - CLOCKS_DIFFER_NS ? written_ns + CLOCKS_DIFFER_NS : UINT64_MAX;
    *ret_low = most_ns < since_ns ? high : 0;
    *ret_high = high;
    if (most_ns < since_ns)
        return 0;
    /* All that is between is a frame, or two, and as quickly read as sought in. */
    while (high - low.at > (off_t)2 * JOURNAL_FRAME_BYTES) {
        off_t middle = (low.at + high) / 2 / JOURNAL_FRAME_BYTES * JOURNAL_FRAME_BYTES;
        int r = probe(reader, middle, high, &found);
        if (r < 0)
            return r;
        if (r == 0) {
            high = middle;
            continue;
        }
        if (found.time_ns < low.time_ns || found.time_ns > most_ns)
            return 0; /* the clock was set back */
        if (found.time_ns < since_ns) {
            low = found;
        } else {
            high = middle;
            most_ns = found.time_ns;
        }
    }
    *ret_low = low.at;
    *ret_high = high;
    return 0;
}

int journal_reader_find_time(struct journal_reader *reader, uint64_t since_ns,
                             struct journal_place *ret)
{
    struct journal_place place = JOURNAL_PLACE_BEGIN;

    /* Many files are passed over by looking at their times only, none of them opened. */
    while (place.file + 1 < reader->file_count) {
        uint64_t written_ns = journal_reader_written_ns(reader, place.file);
        if (written_ns > UINT64_MAX - CLOCKS_DIFFER_NS || written_ns + CLOCKS_DIFFER_NS >= since_ns)
            break;
        place.file++;
    }
    off_t high;
    int failed = journal_reader_find_time_in(reader, place.file, since_ns, &place.at, &high);
    if (failed)
        return failed;
    journal_reader_stand(reader, place, reader->stop);
    *ret = place;
    return 0;
}

/* Whether nothing in the file is that old: by its name, or by its first entry. */
static int begins_behind(struct journal_reader *reader, size_t file, uint64_t until_ns)
{
    struct probe first = {0, 0};
    int failed;

    if (journal_reader_begins_behind(reader, file, until_ns))
        return 1;
    if (reader->files[file].time_ns && reader->files[file].time_ns <= until_ns)
        return 0;
    failed = journal_reader_open_source(reader, file);
    off_t size = failed ? failed : journal_source_size(&reader->source);
    if (size <= 0)
        return (int)size;
    int r = probe(reader, 0, size, &first);
    return r < 0 ? r
                 : first.time_ns > until_ns && journal_reader_written_ns(reader, file) > until_ns;
}

int journal_reader_find_end(struct journal_reader *reader, uint64_t until_ns,
                            struct journal_place *ret)
{
    struct journal_place place = {reader->file_count - 1, 0};
    off_t low;
    int r = 1;

    if (until_ns == UINT64_MAX)
        return journal_reader_end(reader, ret);
    while (place.file && (r = begins_behind(reader, place.file, until_ns)) > 0)
        place.file--;
    if (r >= 0)
        r = journal_reader_find_time_in(reader, place.file, until_ns + 1, &low, &place.at);
    if (r >= 0)
        *ret = place;
    return r < 0 ? r : 0;
}
