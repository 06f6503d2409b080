/* Reads a journal: the entries of all its files, oldest first, as if it were one.
 *
 * Which files there are is looked at once, and `current` is opened then, so a journal that is
 * rotated meanwhile is read as it was; of sealed files one at a time is open, and one that the
 * quota has removed before its turn is passed over. Memory is one buffer of fixed size and one
 * frame of a compressed file, whatever is in the files: a line longer than an entry can be comes in
 * pieces, and an empty one not at all. Nothing in a file can make this fail but an error of the
 * disk. */
#pragma once

#include "journal/folder.h"
#include "journal/format.h"
#include "journal/source.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* By so much of its beginning a file is known: the first entry's time, and some of what it says. */
#define JOURNAL_HEAD_BYTES 64

/* Where an entry begins, or the end of a file. Good while the reader is open. */
struct journal_place {
    size_t file;
    off_t at;
};

/* How far files were read, the last one first, by what each begins with: to be found again under
 * another name, and in a journal that was away, as on a file system that is mounted again. All
 * zeros at first. */
#define JOURNAL_BOOKMARKS 8
struct journal_bookmarks {
    struct journal_bookmark {
        char head[JOURNAL_HEAD_BYTES];
        size_t head_bytes; /* 0: of none */
        dev_t device;      /* what it was, which tells of `current` where it is cut back to less */
        ino_t inode;       /* than it began with */
        off_t at;
    } all[JOURNAL_BOOKMARKS];
};

struct journal_reader {
    struct journal_reader_file *files; /* oldest first */
    size_t file_count, file;           /* `file` is the one being read */
    int folder;                        /* -1: none, or nothing in it is to be opened */
    struct journal_source source;      /* of `source_file` */
    size_t source_file;                /* `file_count`: none */
    off_t at;                          /* where in the file the buffer's end is */
    char *buffer;
    size_t begin, end;
    bool in_long;              /* in the middle of a line that comes in pieces */
    struct journal_place stop; /* reading ends there */
    struct journal_second second;
    size_t hit; /* where in the buffer the next `literal` is, `end`: none; SIZE_MAX: unknown */
    char head[JOURNAL_HEAD_BYTES]; /* with `whole_lines`: what the file being read begins with */
    size_t head_bytes;             /* 0: not known yet */
    struct journal_loss *losses;   /* what of the files could not be read, as it was met */
    size_t loss_count;
    bool head_due; /* the file's end was met: it may be emptied before more is read */

    /* The caller's to set. */
    bool whole_lines;                    /* an unfinished line at the end is no entry yet */
    struct journal_bookmarks *bookmarks; /* with `whole_lines`; not owned; NULL: none are kept */
    bool reads_ahead;    /* a thread may decompress what comes next; it must not be moved then */
    const char *literal; /* lines without it may be left out; not owned; NULL: none may */
    size_t literal_bytes;
    /* Where all that is older or newer than these is, files need not be read: most of what is
     * outside is left out, not all. 0 and UINT64_MAX: no limit. */
    uint64_t since_ns, until_ns;
};

/* Opens the journal in this folder. Stands at the oldest entry. Returns 0, -ENOENT when there is no
 * file in it, or no folder; -EACCES, -ENOMEM or another -errno. */
int journal_reader_open(struct journal_reader *reader, const char *folder);

/* One file alone; `fd` is taken in every case. 0 or -errno. */
int journal_reader_open_file(struct journal_reader *reader, int fd, bool packed);

/* Accepts one that was closed, or is zeroed. */
void journal_reader_close(struct journal_reader *reader);

/* The next entry, which is good until the next call. An unfinished line at the end is one, too.
 * Returns 1, 0 at the end, or -errno. */
int journal_reader_next(struct journal_reader *reader, struct journal_entry *ret);

/* Whether what follows is sure to be neither more of the last line, nor an event behind which more
 * of it may come. */
bool journal_reader_is_fresh(const struct journal_reader *reader);

/* ---- places -------------------------------------------------------------------------------- */

/* The oldest entry, the end of what is there now, and where the reader stands. */
#define JOURNAL_PLACE_BEGIN ((struct journal_place){0, 0})
#define JOURNAL_PLACE_NEVER ((struct journal_place){SIZE_MAX, 0})
int journal_reader_end(struct journal_reader *reader, struct journal_place *ret);
struct journal_place journal_reader_place(const struct journal_reader *reader);

bool journal_place_is_before(struct journal_place a, struct journal_place b);

/* The next entry is the one at `from`, and the last the one before `stop` (NEVER: all there are).
 */
void journal_reader_stand(struct journal_reader *reader, struct journal_place from,
                          struct journal_place stop);

/* Moves *place back over `count` entries, and more where one would begin inside of a line that was
 * cut; to the oldest where there are fewer. Returns 1, 0 when it was the oldest already, or -errno.
 */
int journal_reader_back(struct journal_reader *reader, struct journal_place *place, uint64_t count);

/* Stands so that at least the newest `count` entries follow, and as few more as can be. An entry
 * that was cut counts as one with its rest. Returns 0 or -errno. */
int journal_reader_seek_last(struct journal_reader *reader, uint64_t count);

/* Finds a place before which everything is older than `since_ns`, without reading all of it:
 * docs/journal-format.md says how, and what the clock may have done. Returns 0 or -errno. */
int journal_reader_find_time(struct journal_reader *reader, uint64_t since_ns,
                             struct journal_place *ret);

/* The same from the other side: a place behind which everything is newer than `until_ns`. */
int journal_reader_find_end(struct journal_reader *reader, uint64_t until_ns,
                            struct journal_place *ret);

/* ---- what cannot be read ------------------------------------------------------------------- */

/* So many of a file are told one by one. */
#define JOURNAL_LOSSES_MOST 64

struct journal_loss {
    enum journal_loss_kind kind;
    int error; /* JOURNAL_LOSS_UNREADABLE: why; -errno */
    size_t file;
    off_t from, until; /* of the file's text; the same where nobody knows how much it was */
    bool is_rest;      /* of the file: all further places, and what is good between them */
};

/* When what is missing was written: not before *ret_from_ns, nor after *ret_until_ns (0, and
 * UINT64_MAX: not known). `name` is the file's. The reader stands where it did, or at the end of
 * what it could read after an error. */
void journal_reader_describe_loss(struct journal_reader *reader, const struct journal_loss *loss,
                                  char name[static JOURNAL_SEALED_BYTES], uint64_t *ret_from_ns,
                                  uint64_t *ret_until_ns);

/* ---- following ----------------------------------------------------------------------------- */

/* Stands in the newest file of which it is known how far it was read, there. Returns 1, 0 when
 * there is none (all is as it was), or -errno. */
int journal_reader_go_on(struct journal_reader *reader);

/* Looks for files that have come since, in the folder that was opened, by its path; to be called at
 * the end. What was read stays read. Returns 0; 1 when the file that was read is not there any
 * more, so that what comes next is of another file: journal_reader_go_on() says of which; -ENOENT
 * when there is none any more; or another -errno: all is as it was. */
int journal_reader_refresh(struct journal_reader *reader, const char *folder);
