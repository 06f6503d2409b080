/* Reads a journal.
 *
 * `current` is opened before the sealed files are listed, and is the same afterwards, or all is
 * done again: so none is missing, and none is there twice. */
#include "base/cleanup.h"
#include "journal/folder.h"
#include "journal/reader-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_TRIES 8 /* a journal is not rotated that often in between */

#define READER_NONE                                                                                \
    ((struct journal_reader){.folder = -1,                                                         \
                             .source = JOURNAL_SOURCE_NONE,                                        \
                             .stop = JOURNAL_PLACE_NEVER,                                          \
                             .hit = SIZE_MAX,                                                      \
                             .until_ns = UINT64_MAX})

/* ---- opening ------------------------------------------------------------------------------- */

/* Returns a descriptor, -ENOENT for what is no file, or -errno. */
static int open_one(int folder, const char *leaf, struct stat *ret_stat)
{
    /* A service's user may have put it there. A link would lead to what that one cannot read, and a
     * FIFO would block. */
    AUTO_CLOSE int fd =
        openat(folder, leaf, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0)
        return errno == ELOOP || errno == ENXIO ? -ENOENT : -errno;
    if (fstat(fd, ret_stat) < 0)
        return -errno;
    return S_ISREG(ret_stat->st_mode) ? take_fd(&fd) : -ENOENT;
}

static int add_files(struct journal_reader *reader, const struct journal_list *list, int current)
{
    size_t room = reader->file_count + list->count + 1;
    struct journal_reader_file *files = reallocarray(reader->files, room, sizeof *files);
    if (!files)
        return -ENOMEM;
    reader->files = files;
    for (size_t i = 0; i < list->count; i++)
        if (!journal_sealed_is_litter(&list->files[i]))
            files[reader->file_count++] =
                (struct journal_reader_file){-1, false, list->files[i].time_ns};
    if (current >= 0)
        files[reader->file_count++] = (struct journal_reader_file){current, false, 0};
    return 0;
}

/* Finds the files of a folder, as they are at one moment. Returns 0, -EAGAIN when they have changed
 * meanwhile, or another -errno. */
static int find_files(struct journal_reader *reader, int folder)
{
    struct journal_list list;
    struct stat opened = {0}, named;

    AUTO_CLOSE int current = open_one(folder, JOURNAL_FILE_CURRENT, &opened);
    if (current < 0 && current != -ENOENT)
        return current;
    int failed = journal_list_read(&list, folder);
    if (failed)
        return failed;
    bool is_there = fstatat(folder, JOURNAL_FILE_CURRENT, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
                    S_ISREG(named.st_mode);
    if (is_there != (current >= 0) ||
        (is_there && (named.st_dev != opened.st_dev || named.st_ino != opened.st_ino)))
        failed = -EAGAIN;
    if (!failed)
        failed = add_files(reader, &list, current);
    if (!failed)
        take_fd(&current);
    journal_list_finish(&list);
    return failed;
}

int journal_reader_open(struct journal_reader *reader, const char *folder)
{
    int failed = -EAGAIN;

    *reader = READER_NONE;
    reader->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (reader->folder < 0)
        return errno == ENOTDIR ? -ENOENT : -errno;
    for (int tries = 0; failed == -EAGAIN && tries < OPEN_TRIES; tries++)
        failed = find_files(reader, reader->folder);
    if (failed == -EAGAIN)
        failed = -EBUSY;
    if (!failed && !reader->file_count)
        failed = -ENOENT;
    if (!failed && !(reader->buffer = malloc(JOURNAL_BUFFER_BYTES)))
        failed = -ENOMEM;
    reader->source_file = reader->file_count;
    if (failed)
        journal_reader_close(reader);
    else if (reader->file_count == 1 && reader->files[0].fd >= 0) { /* no other is to be opened */
        close(reader->folder);
        reader->folder = -1;
    }
    return failed;
}

int journal_reader_open_file(struct journal_reader *reader, int fd, bool packed)
{
    *reader = READER_NONE;
    reader->source_file = 1;
    reader->files = calloc(1, sizeof *reader->files);
    reader->buffer = malloc(JOURNAL_BUFFER_BYTES);
    if (!reader->files || !reader->buffer) {
        close(fd);
        journal_reader_close(reader);
        return -ENOMEM;
    }
    reader->files[reader->file_count++] = (struct journal_reader_file){fd, packed, 0};
    return 0;
}

void journal_reader_close(struct journal_reader *reader)
{
    if (!reader->until_ns) /* it is all zeros */
        *reader = READER_NONE;
    journal_source_close(&reader->source);
    for (size_t i = 0; i < reader->file_count; i++)
        if (reader->files[i].fd >= 0)
            close(reader->files[i].fd);
    if (reader->folder >= 0)
        close(reader->folder);
    free(reader->files);
    free(reader->losses);
    free(reader->buffer);
    *reader = READER_NONE;
}

/* Opens a sealed file. It may be compressed just now, and be there under its other name. */
static int open_sealed(const struct journal_reader *reader, const struct journal_reader_file *file,
                       bool *ret_packed)
{
    char name[JOURNAL_SEALED_BYTES];
    struct stat stat;

    journal_sealed_name(name, file->time_ns, JOURNAL_PLAIN);
    int fd = open_one(reader->folder, name, &stat);
    *ret_packed = fd == -ENOENT;
    if (fd != -ENOENT)
        return fd;
    journal_sealed_name(name, file->time_ns, JOURNAL_PACKED);
    return open_one(reader->folder, name, &stat);
}

int journal_reader_open_source(struct journal_reader *reader, size_t number)
{
    const struct journal_reader_file *file = &reader->files[number];
    bool packed = file->packed;

    if (reader->source_file == number)
        return 0;
    journal_source_close(&reader->source);
    reader->source_file = reader->file_count;
    const bool borrows = file->fd >= 0 && !packed; /* of many journals each descriptor counts */
    int fd = borrows         ? file->fd
             : file->fd >= 0 ? fcntl(file->fd, F_DUPFD_CLOEXEC, 0)
                             : open_sealed(reader, file, &packed);
    if (fd == -1 && file->fd >= 0)
        fd = -errno;
    int failed = fd == -ENOENT ? 0 : fd < 0 ? fd : journal_source_open(&reader->source, fd, packed);
    if (failed)
        failed = journal_reader_note_error(reader, number, failed);
    reader->source.reads_ahead = reader->reads_ahead;
    reader->source.borrowed = borrows;
    if (!failed)
        reader->source_file = number;
    return failed;
}

uint64_t journal_reader_written_ns(const struct journal_reader *reader, size_t number)
{
    const struct journal_reader_file *file = &reader->files[number];
    char name[JOURNAL_SEALED_BYTES];
    struct stat stat;
    int failed;

    if (file->fd >= 0) {
        failed = fstat(file->fd, &stat);
    } else {
        journal_sealed_name(name, file->time_ns, JOURNAL_PLAIN);
        failed = fstatat(reader->folder, name, &stat, AT_SYMLINK_NOFOLLOW);
        if (failed < 0) {
            journal_sealed_name(name, file->time_ns, JOURNAL_PACKED);
            failed = fstatat(reader->folder, name, &stat, AT_SYMLINK_NOFOLLOW);
        }
    }
    if (failed < 0 || stat.st_mtim.tv_sec < 0)
        return UINT64_MAX;
    return (uint64_t)stat.st_mtim.tv_sec * NS_PER_SEC + (uint64_t)stat.st_mtim.tv_nsec;
}

/* ---- forwards ------------------------------------------------------------------------------ */

static void stand_at(struct journal_reader *reader, size_t file, off_t at)
{
    if (file != reader->file || !at)
        reader->head_bytes = 0;
    reader->head_due = false;
    reader->file = file;
    reader->at = at;
    reader->begin = reader->end = 0;
    reader->hit = SIZE_MAX;
    reader->in_long = false;
}

void journal_reader_stand(struct journal_reader *reader, struct journal_place from,
                          struct journal_place stop)
{
    stand_at(reader, from.file, from.at);
    reader->stop = stop;
}

struct journal_place journal_reader_place(const struct journal_reader *reader)
{
    return (struct journal_place){reader->file, reader->at - (off_t)(reader->end - reader->begin)};
}

bool journal_place_is_before(struct journal_place a, struct journal_place b)
{
    return a.file < b.file || (a.file == b.file && a.at < b.at);
}

/* Gets more of the file behind what is in the buffer. Returns bytes, 0 at its end, or -errno. */
static ssize_t fill(struct journal_reader *reader)
{
    if (reader->begin) {
        memmove(reader->buffer, reader->buffer + reader->begin, reader->end - reader->begin);
        reader->end -= reader->begin;
        reader->begin = 0;
    }
    reader->hit = SIZE_MAX;
    int failed = journal_reader_open_source(reader, reader->file);
    if (failed)
        return failed;
    size_t room = JOURNAL_BUFFER_BYTES - reader->end;
    if (reader->file == reader->stop.file && (off_t)room > reader->stop.at - reader->at)
        room = reader->at < reader->stop.at ? (size_t)(reader->stop.at - reader->at) : 0;
    if (reader->whole_lines && !reader->head_bytes && reader->at)
        failed = journal_reader_note_head(reader);
    if (failed)
        return failed;
    ssize_t count = journal_reader_read(reader, reader->buffer + reader->end, room, reader->at);
    if (count < 0)
        return count;
    if (reader->whole_lines && reader->at == (off_t)reader->head_bytes)
        journal_reader_add_to_head(reader, reader->buffer + reader->end, (size_t)count);
    reader->end += (size_t)count;
    reader->at += count;
    return count;
}

/* Gives `bytes` of the buffer out as an entry, and passes over `skip` more. */
static int give(struct journal_reader *reader, size_t bytes, size_t skip, struct journal_entry *ret)
{
    const char *line = reader->buffer + reader->begin;
    if (reader->in_long)
        *ret = (struct journal_entry){
            .level = JOURNAL_INFO, .mark = JOURNAL_CONTINUED, .text = line, .bytes = bytes};
    else
        journal_parse_next_line(&reader->second, line, bytes, ret);
    reader->begin += bytes + skip;
    return 1;
}

/* Whether a line that begins so may be an event, or more of a line; for sure only when it may not.
 */
static bool may_be_marked(const char *line)
{
    return line[JOURNAL_TIME_BYTES] == ' ' &&
           (line[JOURNAL_TIME_BYTES + 1] == '-' || line[JOURNAL_TIME_BYTES + 1] == '+');
}

#define MARK_BYTES (JOURNAL_TIME_BYTES + 2)

bool journal_reader_is_fresh(const struct journal_reader *reader)
{
    return !reader->in_long && reader->end - reader->begin >= MARK_BYTES &&
           !may_be_marked(reader->buffer + reader->begin);
}

/* Whether the line, which ends `bytes` from here, may be left out: it has not what is looked for,
 * is no more of the one before, and no more of it follows. */
static bool can_be_left_out(struct journal_reader *reader, size_t bytes)
{
    const char *line = reader->buffer + reader->begin, *next = line + bytes + 1;
    size_t left = reader->end - reader->begin;

    if (reader->hit == SIZE_MAX || reader->hit < reader->begin) {
        const char *hit = memmem(line, left, reader->literal, reader->literal_bytes);
        reader->hit = hit ? (size_t)(hit - reader->buffer) : reader->end;
    }
    return reader->hit >= reader->begin + bytes && !reader->in_long &&
           left >= bytes + 1 + MARK_BYTES && bytes >= MARK_BYTES && !may_be_marked(next) &&
           (!may_be_marked(line) || line[JOURNAL_TIME_BYTES + 1] == '+');
}

/* A file that was named a microsecond behind another: the clock was set back, and its entries are
 * older than its name. */
bool journal_reader_begins_behind(const struct journal_reader *reader, size_t file,
                                  uint64_t until_ns)
{
    uint64_t name_ns = reader->files[file].time_ns;
    return name_ns > until_ns && name_ns != reader->files[file - 1].time_ns + 1000 &&
           journal_reader_written_ns(reader, file) > until_ns;
}

/* Goes on to the next file in which there may be something that is wanted, if there is one. */
static bool begin_next_file(struct journal_reader *reader)
{
    struct journal_place next = {reader->file + 1, 0};
    off_t high;

    while (next.file < reader->file_count && next.file < reader->stop.file &&
           journal_reader_begins_behind(reader, next.file, reader->until_ns))
        next.file++;
    if (next.file >= reader->file_count || next.file > reader->stop.file)
        return false;
    journal_reader_remember(reader);
    if (reader->since_ns &&
        journal_reader_find_time_in(reader, next.file, reader->since_ns, &next.at, &high) < 0)
        next.at = 0;
    stand_at(reader, next.file, next.at);
    return true;
}

/* Behind the end of what is wanted the rest of the file is passed over, unless it was written last
 * when the clock had been set back before that. */
static void pass_over_newer(struct journal_reader *reader)
{
    if (journal_reader_written_ns(reader, reader->file) <= reader->until_ns)
        return;
    if (journal_reader_open_source(reader, reader->file) == 0) {
        off_t size = journal_source_size(&reader->source);
        stand_at(reader, reader->file, size < 0 ? reader->at : size);
    }
}

/* What is left of a file when no more of it comes: an unfinished line, or one that was torn off. */
static bool give_rest(struct journal_reader *reader, struct journal_entry *ret)
{
    size_t used = reader->end - reader->begin;
    bool goes_on = reader->whole_lines && reader->file + 1 == reader->file_count &&
                   reader->files[reader->file].fd >= 0;

    if (!used || goes_on)
        return false;
    give(reader, used, 0, ret);
    reader->in_long = false;
    return true;
}

/* Begins a file again that was emptied. What there was of a line that goes on behind that is an
 * entry: returns whether there is one. */
static bool begin_again(struct journal_reader *reader, struct journal_entry *ret)
{
    size_t used = reader->end - reader->begin;
    bool is_entry = false;

    if (used) {
        give(reader, used, 0, ret);
        is_entry = reader->in_long || ret->time_ns;
    }
    stand_at(reader, reader->file, 0); /* what was given stays in the buffer */
    return is_entry;
}

int journal_reader_next(struct journal_reader *reader, struct journal_entry *ret)
{
    for (;;) {
        size_t used = reader->end - reader->begin;
        const char *line = reader->buffer + reader->begin;
        const char *end =
            memchr(line, '\n', used < JOURNAL_ENTRY_BYTES ? used : JOURNAL_ENTRY_BYTES);

        if (end ==
            line) { /* nobody writes one; a line that comes in pieces ends with more than that */
            reader->begin++;
            continue;
        }
        if (end && reader->literal && can_be_left_out(reader, (size_t)(end - line))) {
            reader->begin += (size_t)(end - line) + 1;
            continue;
        }
        if (end) {
            give(reader, (size_t)(end - line), 1, ret);
            reader->in_long = false;
            if (ret->time_ns > reader->until_ns)
                pass_over_newer(reader);
            return 1;
        }
        if (used >= JOURNAL_ENTRY_BYTES) {
            give(reader, JOURNAL_ENTRY_BYTES - 1, 0, ret);
            reader->in_long = true;
            return 1;
        }
        int emptied = reader->head_due ? journal_reader_was_emptied(reader) : 0;
        if (emptied < 0 || (emptied && begin_again(reader, ret)))
            return emptied;
        ssize_t more = fill(reader);
        if (more < 0)
            return (int)more;
        if (more > 0)
            continue;
        if (give_rest(reader, ret))
            return 1;
        if (reader->end > reader->begin || !begin_next_file(reader)) {
            reader->head_due = reader->whole_lines;
            return 0;
        }
    }
}
