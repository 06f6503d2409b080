/* Reads a journal.
 *
 * `current` is opened before the sealed files are listed, and is the same afterwards, or all is
 * done again: so none is missing, and none is there twice. */
#include "journal/reader.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "journal/folder.h"
#include "journal/seek-table.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_BYTES (4 * JOURNAL_LINE_BYTES)
/* The longest line that is an entry, with its line end. */
#define ENTRY_BYTES (JOURNAL_LINE_BYTES + JOURNAL_PREFIX_BYTES + 1)
#define OPEN_TRIES  8 /* a journal is not rotated that often in between */

/* Going backwards, a piece of this many bytes is one frame, decompressed once. */
_Static_assert(BUFFER_BYTES == JOURNAL_FRAME_BYTES, "the buffer holds a frame");

struct journal_reader_file {
    int fd; /* `current`, or one that was given; -1: opened in its turn, by its name */
    bool packed;
    size_t folder; /* in reader.folders */
    uint64_t time_ns;
};

/* ---- opening ------------------------------------------------------------------------------- */

/* Returns a descriptor, -ENOENT for what is no file, or -errno. */
static int open_one(int folder, const char *leaf, struct stat *ret_stat)
{
    /* Non-blocking: what lies there may be a FIFO. */
    AUTO_CLOSE int fd = openat(folder, leaf, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return -errno;
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
            files[reader->file_count++] = (struct journal_reader_file){
                -1, false, reader->folder_count, list->files[i].time_ns};
    if (current >= 0)
        files[reader->file_count++] =
            (struct journal_reader_file){current, false, reader->folder_count, 0};
    return 0;
}

/* Finds the files of a folder, as they are at one moment. Returns 0, -EAGAIN when they have changed
 * meanwhile, or another -errno. */
static int find_files(struct journal_reader *reader, int folder)
{
    struct journal_list list;
    struct stat opened, named;

    AUTO_CLOSE int current = open_one(folder, JOURNAL_FILE_CURRENT, &opened);
    if (current < 0 && current != -ENOENT)
        return current;
    int failed = journal_list_read(&list, folder);
    if (failed)
        return failed;
    bool is_there = fstatat(folder, JOURNAL_FILE_CURRENT, &named, 0) == 0 && S_ISREG(named.st_mode);
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

static int open_folder(struct journal_reader *reader, const char *path)
{
    size_t before = reader->file_count;
    int failed = -EAGAIN;

    AUTO_CLOSE int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
    for (int tries = 0; failed == -EAGAIN && tries < OPEN_TRIES; tries++)
        failed = find_files(reader, folder);
    if (!failed && reader->file_count > before)
        reader->folders[reader->folder_count++] = take_fd(&folder);
    return failed == -EAGAIN ? -EBUSY : failed;
}

int journal_reader_open(struct journal_reader *reader, const char *const *folders, size_t count)
{
    int failed = 0;
    *reader = (struct journal_reader){.source = JOURNAL_SOURCE_NONE};
    if (count > JOURNAL_READER_FOLDERS)
        return -E2BIG;
    for (size_t i = 0; i < count && !failed; i++)
        failed = open_folder(reader, folders[i]);
    if (!failed && !reader->file_count)
        failed = -ENOENT;
    if (!failed && !(reader->buffer = malloc(BUFFER_BYTES)))
        failed = -ENOMEM;
    reader->source_file = reader->file_count;
    if (failed)
        journal_reader_close(reader);
    return failed;
}

int journal_reader_open_file(struct journal_reader *reader, int fd, bool packed)
{
    *reader = (struct journal_reader){.source = JOURNAL_SOURCE_NONE, .source_file = 1};
    reader->files = calloc(1, sizeof *reader->files);
    reader->buffer = malloc(BUFFER_BYTES);
    if (!reader->files || !reader->buffer) {
        close(fd);
        journal_reader_close(reader);
        return -ENOMEM;
    }
    reader->files[reader->file_count++] = (struct journal_reader_file){fd, packed, 0, 0};
    return 0;
}

int journal_reader_open_service(struct journal_reader *reader, const char *logs,
                                const char *runtime, const char *name, const char *folder)
{
    char first[PATH_MAX], second[PATH_MAX];
    const char *folders[2];
    size_t count = 0;

    if (runtime) {
        if (!text_format(first, sizeof first, "%s/log/%s", runtime, name))
            return -ENAMETOOLONG;
        folders[count++] = first;
    }
    if (!folder && !text_format(second, sizeof second, "%s/%s", logs, name))
        return -ENAMETOOLONG;
    folders[count++] = folder ? folder : second;
    return journal_reader_open(reader, folders, count);
}

void journal_reader_close(struct journal_reader *reader)
{
    if (reader->files || reader->buffer) /* else it is all zeros */
        journal_source_close(&reader->source);
    for (size_t i = 0; i < reader->file_count; i++)
        if (reader->files[i].fd >= 0)
            close(reader->files[i].fd);
    for (size_t i = 0; i < reader->folder_count; i++)
        close(reader->folders[i]);
    free(reader->files);
    free(reader->buffer);
    *reader = (struct journal_reader){.source = JOURNAL_SOURCE_NONE};
}

/* Opens a sealed file. It may be compressed just now, and be there under its other name. */
static int open_sealed(const struct journal_reader *reader, const struct journal_reader_file *file,
                       bool *ret_packed)
{
    char name[JOURNAL_SEALED_BYTES];
    struct stat stat;

    journal_sealed_name(name, file->time_ns, JOURNAL_PLAIN);
    int fd = open_one(reader->folders[file->folder], name, &stat);
    *ret_packed = fd == -ENOENT;
    if (fd != -ENOENT)
        return fd;
    journal_sealed_name(name, file->time_ns, JOURNAL_PACKED);
    return open_one(reader->folders[file->folder], name, &stat);
}

/* Makes this file the one that is open. One that is gone is empty. Returns 0 or -errno. */
static int open_source(struct journal_reader *reader, size_t number)
{
    const struct journal_reader_file *file = &reader->files[number];
    bool packed = file->packed;

    if (reader->source_file == number)
        return 0;
    journal_source_close(&reader->source);
    reader->source_file = reader->file_count;
    int fd =
        file->fd >= 0 ? fcntl(file->fd, F_DUPFD_CLOEXEC, 0) : open_sealed(reader, file, &packed);
    if (fd == -1 && file->fd >= 0)
        fd = -errno;
    int failed = fd == -ENOENT ? 0 : fd < 0 ? fd : journal_source_open(&reader->source, fd, packed);
    if (!failed)
        reader->source_file = number;
    return failed;
}

/* ---- forwards ------------------------------------------------------------------------------ */

static void stand_at(struct journal_reader *reader, size_t file, off_t at)
{
    reader->file = file;
    reader->at = at;
    reader->begin = reader->end = 0;
    reader->in_long = false;
}

/* Gets more of the file behind what is in the buffer. Returns bytes, 0 at its end, or -errno. */
static ssize_t fill(struct journal_reader *reader)
{
    if (reader->begin) {
        memmove(reader->buffer, reader->buffer + reader->begin, reader->end - reader->begin);
        reader->end -= reader->begin;
        reader->begin = 0;
    }
    int failed = open_source(reader, reader->file);
    if (failed)
        return failed;
    ssize_t count = journal_source_read(&reader->source, reader->buffer + reader->end,
                                        BUFFER_BYTES - reader->end, reader->at);
    if (count < 0)
        return count;
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
        journal_parse_line(line, bytes, ret);
    reader->begin += bytes + skip;
    return 1;
}

int journal_reader_next(struct journal_reader *reader, struct journal_entry *ret)
{
    for (;;) {
        size_t used = reader->end - reader->begin;
        const char *line = reader->buffer + reader->begin;
        const char *end = memchr(line, '\n', used < ENTRY_BYTES ? used : ENTRY_BYTES);

        if (end == line && !reader->in_long) { /* nobody writes one */
            reader->begin++;
            continue;
        }
        if (end) {
            give(reader, (size_t)(end - line), 1, ret);
            reader->in_long = false;
            return 1;
        }
        if (used >= ENTRY_BYTES) {
            give(reader, ENTRY_BYTES - 1, 0, ret);
            reader->in_long = true;
            return 1;
        }
        ssize_t more = fill(reader);
        if (more < 0)
            return (int)more;
        if (more > 0)
            continue;
        if (used) { /* unfinished, or torn off */
            give(reader, used, 0, ret);
            reader->in_long = false;
            return 1;
        }
        if (reader->file + 1 >= reader->file_count)
            return 0;
        stand_at(reader, reader->file + 1, 0);
    }
}

/* ---- backwards ----------------------------------------------------------------------------- */

/* Whether a line that begins so is the rest of another. */
static bool is_rest(const char *beginning, size_t count)
{
    char line[JOURNAL_PREFIX_BYTES];
    struct journal_entry entry;

    /* Anything as text: it is the beginning that counts. */
    memset(line, ' ', sizeof line);
    memcpy(line, beginning, count < sizeof line ? count : sizeof line);
    return count > JOURNAL_TIME_BYTES + 1 && line[JOURNAL_TIME_BYTES + 1] == '-' &&
           journal_parse_line(line, count < sizeof line ? count : sizeof line, &entry);
}

/* The same for the line at this place, as far as it may lie behind what is in the buffer. */
static bool is_rest_at(struct journal_reader *reader, off_t at)
{
    char beginning[JOURNAL_PREFIX_BYTES];
    size_t used = 0;
    while (used < sizeof beginning) {
        ssize_t got = journal_source_read(&reader->source, beginning + used,
                                          sizeof beginning - used, at + (off_t)used);
        if (got <= 0)
            break;
        used += (size_t)got;
    }
    return is_rest(beginning, used);
}

/* A piece of the file, whole. Returns how many bytes it has: fewer only at the end of the file. */
static ssize_t read_piece(struct journal_reader *reader, off_t from, size_t count)
{
    size_t used = 0;
    while (used < count) {
        ssize_t got = journal_source_read(&reader->source, reader->buffer + used, count - used,
                                          from + (off_t)used);
        if (got < 0)
            return got;
        if (got == 0)
            break;
        used += (size_t)got;
    }
    return (ssize_t)used;
}

/* The lines that begin in a piece of the file, from its end. */
struct backwards {
    off_t size, from; /* of the file; of the piece */
    size_t bytes;
    char next; /* the byte behind the piece */
};

/* Whether an entry begins at this place of the piece. */
static bool begins_entry(struct journal_reader *reader, const struct backwards *piece, size_t at)
{
    off_t place = piece->from + (off_t)at;
    size_t there = at < piece->bytes ? piece->bytes - at : 0;

    if (place >= piece->size || (there ? reader->buffer[at] : piece->next) == '\n')
        return false;
    if (there >= JOURNAL_PREFIX_BYTES || place + (off_t)there == piece->size)
        return !is_rest(reader->buffer + at, there);
    return !is_rest_at(reader, place);
}

/* Looks for the last `*count` entries of the file; *count is lowered by those it has. Returns 1
 * when *ret_at is where they begin, 0 when there are too few, or -errno. */
static int seek_in_file(struct journal_reader *reader, size_t file, uint64_t *count, off_t *ret_at)
{
    int failed = open_source(reader, file);
    if (failed)
        return failed;
    struct backwards piece = {.size = journal_source_size(&reader->source)};
    off_t until = piece.size;

    while (until > 0) {
        piece.from = (until - 1) / BUFFER_BYTES * BUFFER_BYTES;
        ssize_t got = read_piece(reader, piece.from, (size_t)(until - piece.from));
        if (got < 0)
            return (int)got;
        piece.bytes = (size_t)got;
        for (size_t left = piece.bytes; left > 0;) {
            const char *end = memrchr(reader->buffer, '\n', left);
            if (!end)
                break;
            left = (size_t)(end - reader->buffer);
            if (!begins_entry(reader, &piece, left + 1) || --*count)
                continue;
            *ret_at = piece.from + (off_t)left + 1;
            return 1;
        }
        until = piece.from;
        piece.next = piece.bytes ? reader->buffer[0] : '\n';
    }
    if (piece.size <= 0)
        return (int)piece.size;
    /* The first line has no line end before it, and is in the buffer. */
    *ret_at = 0;
    return begins_entry(reader, &piece, 0) && --*count == 0;
}

int journal_reader_seek_last(struct journal_reader *reader, uint64_t count)
{
    off_t at = 0;
    if (!count) {
        size_t last = reader->file_count - 1;
        int failed = open_source(reader, last);
        off_t size = failed ? failed : journal_source_size(&reader->source);
        stand_at(reader, last, size < 0 ? 0 : size);
        return failed;
    }
    for (size_t file = reader->file_count; file-- > 0;) {
        int found = seek_in_file(reader, file, &count, &at);
        if (found < 0)
            return found;
        if (found) {
            stand_at(reader, file, at);
            return 0;
        }
    }
    stand_at(reader, 0, 0);
    return 0;
}
