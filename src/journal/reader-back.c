/* Reading a journal from its end: line ends are looked for from the back, a piece of the buffer's
 * size at a time. */
#include "journal/reader-internal.h"

#include <string.h>

_Static_assert((JOURNAL_BUFFER_BYTES & (JOURNAL_BUFFER_BYTES - 1)) == 0,
               "pieces begin at multiples");

/* The lines that begin in a piece of the file, from its end. */
struct backwards {
    off_t size, from; /* of the file, as far as it is looked at; of the piece */
    size_t bytes;
    char next[JOURNAL_PREFIX_BYTES]; /* what stands behind the piece */
    size_t next_bytes;
    uint64_t left;
    bool in_line; /* what comes before is needed: the last line looked at is the rest of one */
};

/* What a line that begins so is. */
static enum journal_mark mark_of(const char *beginning, size_t count)
{
    char line[JOURNAL_PREFIX_BYTES];
    struct journal_entry entry;

    if (count < JOURNAL_TIME_BYTES + 2 ||
        (beginning[JOURNAL_TIME_BYTES + 1] != '-' && beginning[JOURNAL_TIME_BYTES + 1] != '+'))
        return JOURNAL_OUTPUT;
    /* Anything as text: it is the beginning that counts. */
    memset(line, ' ', sizeof line);
    memcpy(line, beginning, count < sizeof line ? count : sizeof line);
    journal_parse_line(line, count < sizeof line ? count : sizeof line, &entry);
    return entry.mark;
}

/* The same for the line at this place of the piece, which may go on behind it. */
static enum journal_mark mark_at(const struct journal_reader *reader, const struct backwards *back,
                                 size_t at)
{
    char beginning[2 * JOURNAL_PREFIX_BYTES];
    size_t there = back->bytes - at;

    if (there >= JOURNAL_PREFIX_BYTES)
        return mark_of(reader->buffer + at, there);
    memcpy(beginning, reader->buffer + at, there);
    memcpy(beginning + there, back->next, back->next_bytes);
    return mark_of(beginning, there + back->next_bytes);
}

ssize_t journal_reader_piece(struct journal_reader *reader, off_t from, size_t count)
{
    size_t used = 0;
    while (used < count) {
        ssize_t got =
            journal_reader_read(reader, reader->buffer + used, count - used, from + (off_t)used);
        if (got < 0)
            return got;
        if (got == 0)
            break;
        used += (size_t)got;
    }
    return (ssize_t)used;
}

/* Takes the line that begins at this place of the piece, if one does. Returns whether that is far
 * enough. */
static bool take_line(struct journal_reader *reader, struct backwards *back, size_t at)
{
    const char *begin = at < back->bytes   ? reader->buffer + at
                        : back->next_bytes ? back->next
                                           : NULL;
    enum journal_mark mark;

    if (!begin || *begin == '\n')
        return false;
    mark = mark_at(reader, back, at);
    if (mark != JOURNAL_EVENT_MARK)
        back->in_line = mark == JOURNAL_CONTINUED;
    if (mark != JOURNAL_CONTINUED && back->left)
        back->left--;
    return !back->left && !back->in_line;
}

/* Goes back in the file from back->size on. Returns 1 when *ret_at is far enough, 0 at the file's
 * beginning, or -errno. */
static int back_in_file(struct journal_reader *reader, struct backwards *back, off_t *ret_at)
{
    off_t until = back->size;

    back->next_bytes = 0;
    while (until > 0) {
        back->from = (until - 1) & -(off_t)JOURNAL_BUFFER_BYTES;
        ssize_t got = journal_reader_piece(reader, back->from, (size_t)(until - back->from));
        if (got < 0)
            return (int)got;
        back->bytes = (size_t)got;
        for (size_t left = back->bytes; left > 0;) {
            const char *end = memrchr(reader->buffer, '\n', left);
            if (!end)
                break;
            left = (size_t)(end - reader->buffer);
            if (!take_line(reader, back, left + 1))
                continue;
            *ret_at = back->from + (off_t)left + 1;
            return 1;
        }
        until = back->from;
        back->next_bytes = back->bytes < sizeof back->next ? back->bytes : sizeof back->next;
        memcpy(back->next, reader->buffer, back->next_bytes);
    }
    /* The first line has no line end before it, and is in the buffer. */
    *ret_at = 0;
    return back->size > 0 && take_line(reader, back, 0);
}

int journal_reader_end(struct journal_reader *reader, struct journal_place *ret)
{
    size_t last = reader->file_count - 1;
    int failed = journal_reader_open_source(reader, last);
    off_t size = failed ? failed : journal_source_size(&reader->source);

    if (size < 0)
        return (int)size;
    *ret = (struct journal_place){last, size};
    return 0;
}

int journal_reader_back(struct journal_reader *reader, struct journal_place *place, uint64_t count)
{
    struct backwards back = {.left = count};
    off_t at;

    if (!place->file && !place->at)
        return 0;
    /* The buffer is used up; what was in it is read again. */
    journal_reader_stand(reader, *place, reader->stop);
    for (size_t file = place->file + 1; file-- > 0;) {
        int failed = journal_reader_open_source(reader, file);
        off_t size = failed ? failed : journal_source_size(&reader->source);
        if (size < 0)
            return (int)size;
        back.size = file == place->file && place->at < size ? place->at : size;
        int found = back_in_file(reader, &back, &at);
        if (found < 0)
            return found;
        if (found) {
            *place = (struct journal_place){file, at};
            return 1;
        }
    }
    *place = JOURNAL_PLACE_BEGIN;
    return 1;
}

int journal_reader_seek_last(struct journal_reader *reader, uint64_t count)
{
    struct journal_place place;
    int failed = journal_reader_end(reader, &place);

    if (!failed && count)
        failed = journal_reader_back(reader, &place, count);
    if (failed < 0)
        return failed;
    journal_reader_stand(reader, place, JOURNAL_PLACE_NEVER);
    return 0;
}
