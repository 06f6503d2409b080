/* Reads a journal.
 *
 * The newest file is opened first: when it is rotated between two opens, the file that is
 * `previous` then is the one we have already, and only the new `current` is missing. */
#include "journal/reader.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "journal/store.h"

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

/* ---- opening ------------------------------------------------------------------------------- */

/* Returns a descriptor, -ENOENT for what is no file, or -errno. */
static int open_one(const char *folder, const char *leaf, struct stat *ret_stat)
{
    char path[PATH_MAX];
    if (!text_format(path, sizeof path, "%s/%s", folder, leaf))
        return -ENAMETOOLONG;
    /* Non-blocking: what lies there may be a FIFO. */
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOTDIR ? -ENOENT : -errno;
    if (fstat(fd, ret_stat) < 0)
        return -errno;
    return S_ISREG(ret_stat->st_mode) ? take_fd(&fd) : -ENOENT;
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Opens the files of a folder. Returns how many, or -errno. */
static int open_folder(struct journal_reader *reader, const char *folder)
{
    struct stat current_stat, previous_stat;

    for (int tries = 0; tries < OPEN_TRIES; tries++) {
        AUTO_CLOSE int current = open_one(folder, JOURNAL_FILE_CURRENT, &current_stat);
        AUTO_CLOSE int previous = open_one(folder, JOURNAL_FILE_PREVIOUS, &previous_stat);
        if (current < 0 && current != -ENOENT)
            return current;
        if (previous < 0 && previous != -ENOENT)
            return previous;
        if (current >= 0 && previous >= 0 && is_same_file(&current_stat, &previous_stat))
            continue;
        size_t before = reader->file_count;
        if (previous >= 0)
            reader->fds[reader->file_count++] = take_fd(&previous);
        if (current >= 0)
            reader->fds[reader->file_count++] = take_fd(&current);
        return (int)(reader->file_count - before);
    }
    return -EBUSY;
}

int journal_reader_open(struct journal_reader *reader, const char *const *folders, size_t count)
{
    int failed = 0;
    *reader = (struct journal_reader){0};
    if (count > JOURNAL_READER_FILES / 2)
        return -E2BIG;
    for (size_t i = 0; i < count && !failed; i++) {
        int opened = open_folder(reader, folders[i]);
        failed = opened < 0 ? opened : 0;
    }
    if (!failed && !reader->file_count)
        failed = -ENOENT;
    if (!failed && !(reader->buffer = malloc(BUFFER_BYTES)))
        failed = -ENOMEM;
    if (failed)
        journal_reader_close(reader);
    return failed;
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
    for (size_t i = 0; i < reader->file_count; i++)
        close(reader->fds[i]);
    free(reader->buffer);
    *reader = (struct journal_reader){0};
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
    ssize_t count = pread(reader->fds[reader->file], reader->buffer + reader->end,
                          BUFFER_BYTES - reader->end, reader->at);
    if (count < 0)
        return -errno;
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

/* Whether the line that begins at `at` is the rest of another. */
static bool is_continued(int fd, off_t at)
{
    char beginning[JOURNAL_PREFIX_BYTES];
    struct journal_entry entry;

    /* Anything as text: it is the beginning that counts. */
    memset(beginning, ' ', sizeof beginning);
    ssize_t count = pread(fd, beginning, sizeof beginning, at);
    return count > JOURNAL_TIME_BYTES + 1 && beginning[JOURNAL_TIME_BYTES + 1] == '-' &&
           journal_parse_line(beginning, (size_t)count, &entry);
}

/* Looks for the last `*count` entries of the file; *count is lowered by those it has. Returns 1
 * when *ret_at is where they begin, 0 when there are too few, or -errno. */
static int seek_in_file(struct journal_reader *reader, int fd, uint64_t *count, off_t *ret_at)
{
    off_t size = lseek(fd, 0, SEEK_END), until = size;

    while (until > 0) {
        off_t from = until > BUFFER_BYTES ? until - BUFFER_BYTES : 0;
        ssize_t got = pread(fd, reader->buffer, (size_t)(until - from), from);
        if (got < 0)
            return -errno;
        for (size_t left = (size_t)got; left > 0;) {
            const char *end = memrchr(reader->buffer, '\n', left);
            if (!end)
                break;
            left = (size_t)(end - reader->buffer);
            off_t begin = from + (off_t)left + 1;
            if (begin >= size || is_continued(fd, begin) || --*count)
                continue;
            *ret_at = begin;
            return 1;
        }
        until = from;
    }
    if (size <= 0)
        return size < 0 ? -errno : 0;
    /* The first line has no line end before it. */
    *ret_at = 0;
    return !is_continued(fd, 0) && --*count == 0;
}

int journal_reader_seek_last(struct journal_reader *reader, uint64_t count)
{
    off_t at = 0;
    if (!count) {
        size_t last = reader->file_count - 1;
        off_t size = lseek(reader->fds[last], 0, SEEK_END);
        stand_at(reader, last, size < 0 ? 0 : size);
        return 0;
    }
    for (size_t file = reader->file_count; file-- > 0;) {
        int found = seek_in_file(reader, reader->fds[file], &count, &at);
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
