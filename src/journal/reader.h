/* Reads a journal: the entries of all its files, oldest first, as if it were one.
 *
 * Which files there are is looked at once, and `current` is opened then, so a journal that is
 * rotated meanwhile is read as it was; of sealed files one at a time is open, and one that the
 * quota has removed before its turn is passed over. Memory is one buffer of fixed size and one
 * frame of a compressed file, whatever is in the files: a line longer than an entry can be comes in
 * pieces, and an empty one not at all. Nothing in a file can make this fail but an error of the
 * disk. */
#pragma once

#include "journal/format.h"
#include "journal/source.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define JOURNAL_READER_FOLDERS 4

struct journal_reader {
    struct journal_reader_file *files; /* oldest first */
    size_t file_count, file;           /* `file` is the one being read */
    int folders[JOURNAL_READER_FOLDERS];
    size_t folder_count;
    struct journal_source source; /* of `source_file` */
    size_t source_file;           /* `file_count`: none */
    off_t at;                     /* where in the file the buffer's end is */
    char *buffer;
    size_t begin, end;
    bool in_long; /* in the middle of a line that comes in pieces */
};

/* Opens the journal in these folders, the one with the older entries first; one that is not there
 * is passed over. Stands at the oldest entry. Returns 0, -ENOENT when there is no file in any of
 * them, -EACCES, -ENOMEM or another -errno. */
int journal_reader_open(struct journal_reader *reader, const char *const *folders, size_t count);

/* The same for a service: of LOGS/NAME or its own `folder` (NULL: none), and RUNTIME/log/NAME,
 * where it is while LOGS cannot be written. `runtime` may be NULL. */
int journal_reader_open_service(struct journal_reader *reader, const char *logs,
                                const char *runtime, const char *name, const char *folder);

/* One file alone; `fd` is taken in every case. 0 or -errno. */
int journal_reader_open_file(struct journal_reader *reader, int fd, bool packed);

/* Accepts one that was not opened, zeroed. */
void journal_reader_close(struct journal_reader *reader);

/* Stands so that the newest `count` entries follow, looking backwards from the end. An entry that
 * was cut counts as one with its rest. Returns 0 or -errno. */
int journal_reader_seek_last(struct journal_reader *reader, uint64_t count);

/* The next entry, which is good until the next call. An unfinished line at the end is one, too.
 * Returns 1, 0 at the end, or -errno. */
int journal_reader_next(struct journal_reader *reader, struct journal_entry *ret);
