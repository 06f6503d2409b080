/* What the files of the reader share. */
#pragma once

#include "journal/reader.h"
#include "journal/seek-table.h"

#define JOURNAL_BUFFER_BYTES ((size_t)4 * JOURNAL_LINE_BYTES)
/* The longest line that is an entry, with its line end. */
#define JOURNAL_ENTRY_BYTES (JOURNAL_LINE_BYTES + JOURNAL_PREFIX_BYTES + 1)

/* Going backwards, a piece of this many bytes is one frame, decompressed once. */
_Static_assert(JOURNAL_BUFFER_BYTES == JOURNAL_FRAME_BYTES, "the buffer holds a frame");

struct journal_reader_file {
    int fd; /* `current`, or one that was given; -1: opened in its turn, by its name */
    bool packed;
    uint64_t time_ns; /* its name; 0: it has none */
};

/* Makes this file the one that is open. One that is gone is empty. Returns 0 or -errno. */
int journal_reader_open_source(struct journal_reader *reader, size_t number);

/* As pread(2), from the file that is open. What is in place of what cannot be read is noted; an
 * error of the disk is, too, and counts as the end. Returns bytes, 0 or -ENOMEM. */
ssize_t journal_reader_read(struct journal_reader *reader, void *bytes, size_t count, off_t at);

/* Whether this -errno is of us (memory, descriptors), and says nothing about the file. */
bool journal_reader_is_ours(int error);

/* Notes why a file cannot be opened, which counts as empty then. Returns 0, or the error where that
 * is of ours, and not of the file. */
int journal_reader_note_error(struct journal_reader *reader, size_t file, int error);

/* When this file was written last, by the clock as it was then; UINT64_MAX: not known. */
uint64_t journal_reader_written_ns(const struct journal_reader *reader, size_t number);

/* A piece of the file that is open, into the buffer. Returns how many bytes it has: fewer only at
 * the end of the file; or -errno. */
ssize_t journal_reader_piece(struct journal_reader *reader, off_t from, size_t count);

/* Where in a file the first entry is that is not older: not before *ret_low, and not behind
 * *ret_high, but where the clock was set back. Returns 0 or -errno. */
int journal_reader_find_time_in(struct journal_reader *reader, size_t file, uint64_t since_ns,
                                off_t *ret_low, off_t *ret_high);

/* Whether nothing in the file, which is not the first one, is that old: by its name and by when it
 * was written last. */
bool journal_reader_begins_behind(const struct journal_reader *reader, size_t file,
                                  uint64_t until_ns);

/* What the file being read begins with: looked up when it is read from its middle, and else what
 * was read of it. 0 or -errno. */
int journal_reader_note_head(struct journal_reader *reader);
void journal_reader_add_to_head(struct journal_reader *reader, const char *bytes, size_t count);

/* Marks how far the file being read was read. */
void journal_reader_remember(const struct journal_reader *reader);

/* Whether the file was emptied since, and something else is in it now. One that is only shorter was
 * cut back by a writer that does the same again. 1, 0 or -errno. */
int journal_reader_was_emptied(struct journal_reader *reader);
