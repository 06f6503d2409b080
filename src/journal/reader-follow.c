/* Following a journal across its rotation: it is opened again, and the file that was being read is
 * looked for among what is there now. `current` that was sealed keeps its inode; one that was
 * compressed keeps the time at which it was written last. And a file that is read on is looked at
 * whether it begins as it did: `: >current` leaves it what it was, but for what is in it. */
#include "journal/folder.h"
#include "journal/reader-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- a file that is emptied ---------------------------------------------------------------- */

/* Returns how many bytes the file begins with; 0, too, where it cannot be read; or -errno where
 * that is of us. */
static ssize_t read_head(struct journal_reader *reader, size_t file,
                         char head[static JOURNAL_HEAD_BYTES])
{
    int failed = journal_reader_open_source(reader, file);
    if (failed)
        return failed;
    ssize_t got = journal_source_read(&reader->source, head, JOURNAL_HEAD_BYTES, 0);
    return got < 0 && !journal_reader_is_ours((int)got) ? 0 : got;
}

int journal_reader_note_head(struct journal_reader *reader)
{
    ssize_t bytes = read_head(reader, reader->file, reader->head);
    if (bytes < 0)
        return (int)bytes;
    reader->head_bytes = (size_t)bytes;
    return 0;
}

void journal_reader_add_to_head(struct journal_reader *reader, const char *bytes, size_t count)
{
    size_t room = JOURNAL_HEAD_BYTES - reader->head_bytes;
    if (count > room)
        count = room;
    memcpy(reader->head + reader->head_bytes, bytes, count);
    reader->head_bytes += count;
}

int journal_reader_was_emptied(struct journal_reader *reader)
{
    char head[JOURNAL_HEAD_BYTES];
    ssize_t got = read_head(reader, reader->file, head);
    size_t bytes = (size_t)got;

    if (got < 0)
        return (int)got;
    reader->head_due = false;
    return memcmp(head, reader->head, bytes < reader->head_bytes ? bytes : reader->head_bytes) != 0;
}

/* ---- how far files were read --------------------------------------------------------------- */

static bool is_inode(const struct stat *stat, dev_t device, ino_t inode)
{
    return stat->st_ino == inode && stat->st_dev == device;
}

/* One that is empty is of any. */
static bool is_of(const struct journal_bookmark *mark, const char *head, size_t bytes)
{
    return memcmp(mark->head, head, bytes < mark->head_bytes ? bytes : mark->head_bytes) == 0;
}

void journal_reader_remember(const struct journal_reader *reader)
{
    struct stat stat = {.st_ino = 0};
    size_t i = 0;
    if (!reader->bookmarks || !reader->head_bytes)
        return;
    struct journal_bookmark *all = reader->bookmarks->all;
    while (i < JOURNAL_BOOKMARKS - 1 && !is_of(&all[i], reader->head, reader->head_bytes))
        i++;
    memmove(all + 1, all, i * sizeof *all);
    fstat(reader->source.fd, &stat); /* none is known: it is found by what it begins with, or not */
    all[0] = (struct journal_bookmark){.head_bytes = reader->head_bytes,
                                       .device = stat.st_dev,
                                       .inode = stat.st_ino,
                                       .at = journal_reader_place(reader).at};
    memcpy(all[0].head, reader->head, sizeof all[0].head);
}

/* The bookmark of the file that begins so, or NULL. */
static const struct journal_bookmark *find_by_head(const struct journal_bookmarks *marks,
                                                   const char *head, size_t bytes)
{
    for (size_t i = 0; i < JOURNAL_BOOKMARKS; i++)
        if (marks->all[i].head_bytes >= JOURNAL_TIME_BYTES && marks->all[i].head_bytes <= bytes &&
            is_of(&marks->all[i], head, bytes))
            return &marks->all[i];
    return NULL;
}

/* The bookmark of the file, of which there is less than it began with, or NULL: only where it is
 * `current`, and all others were read, for its number may be another file's by now. What it has
 * then is no more of that one, which is seen like in one that was emptied. */
static const struct journal_bookmark *find_by_inode(const struct journal_reader *reader,
                                                    const char *head, size_t bytes)
{
    const int fd = reader->files[reader->file].fd;
    struct stat stat;

    if (fd < 0 || fstat(fd, &stat) < 0)
        return NULL;
    for (size_t i = 0; i < JOURNAL_BOOKMARKS; i++) {
        const struct journal_bookmark *mark = &reader->bookmarks->all[i];
        if (is_inode(&stat, mark->device, mark->inode) && is_of(mark, head, bytes))
            return mark;
    }
    return NULL;
}

int journal_reader_go_on(struct journal_reader *reader)
{
    const struct journal_bookmark *mark = NULL;
    char head[JOURNAL_HEAD_BYTES];
    size_t file = reader->file_count;
    ssize_t bytes;

    if (!reader->bookmarks->all[0].head_bytes)
        return 0;
    while (!mark && file-- > 0) {
        bytes = read_head(reader, file, head);
        if (bytes < 0)
            return (int)bytes;
        mark = find_by_head(reader->bookmarks, head, (size_t)bytes);
    }
    if (!mark) {
        file = reader->file;
        bytes = read_head(reader, file, head);
        if (bytes < 0)
            return (int)bytes;
        mark = find_by_inode(reader, head, (size_t)bytes);
    }
    if (!mark)
        return 0;
    journal_reader_stand(reader, (struct journal_place){file, mark->at}, reader->stop);
    memcpy(reader->head, mark->head, sizeof reader->head);
    reader->head_bytes = mark->head_bytes;
    reader->head_due = true;
    return 1;
}

/* ---- other files --------------------------------------------------------------------------- */

/* Whether this file is the one with that inode, or made of it. 1, 0 or -errno. */
static int is_same(const struct journal_reader *reader, size_t number, const struct stat *wanted)
{
    const struct journal_reader_file *file = &reader->files[number];
    char name[JOURNAL_SEALED_BYTES];
    struct stat stat;

    if (file->fd >= 0)
        return fstat(file->fd, &stat) < 0 ? -errno
                                          : is_inode(&stat, wanted->st_dev, wanted->st_ino);
    journal_sealed_name(name, file->time_ns, JOURNAL_PLAIN);
    if (fstatat(reader->folder, name, &stat, AT_SYMLINK_NOFOLLOW) == 0)
        return is_inode(&stat, wanted->st_dev, wanted->st_ino);
    if (errno != ENOENT)
        return -errno;
    journal_sealed_name(name, file->time_ns, JOURNAL_PACKED);
    if (fstatat(reader->folder, name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno; /* the quota has removed it */
    return stat.st_mtim.tv_sec == wanted->st_mtim.tv_sec &&
           stat.st_mtim.tv_nsec == wanted->st_mtim.tv_nsec;
}

/* The number of the sealed file with this name, or file_count. */
static size_t find_sealed(const struct journal_reader *reader, uint64_t time_ns)
{
    size_t i = 0;
    while (i < reader->file_count &&
           (reader->files[i].fd >= 0 || reader->files[i].time_ns != time_ns))
        i++;
    return i;
}

/* Finds the file of `fresh` that the reader stands in; file_count: none. 0 or -errno. */
static int find_file(const struct journal_reader *reader, const struct journal_reader *fresh,
                     size_t *ret)
{
    const struct journal_reader_file *file = &reader->files[reader->file];
    struct stat stat;
    size_t i = fresh->file_count;
    int r = 0;

    *ret = fresh->file_count;
    if (file->fd < 0) {
        *ret = find_sealed(fresh, file->time_ns);
        return 0;
    }
    if (fstat(file->fd, &stat) < 0)
        return -errno;
    while (i > 0 && r == 0)
        r = is_same(fresh, --i, &stat);
    if (r > 0)
        *ret = i;
    return r < 0 ? r : 0;
}

/* Stands in `fresh` where reading goes on. Only of the file that was being read is it known what it
 * began with. Returns 0, 1 when that one is gone, or -errno. */
static int stand_in_fresh(const struct journal_reader *reader, struct journal_reader *fresh)
{
    struct journal_place place = {.file = 0};
    size_t file, first = 0;
    int r = find_file(reader, fresh, &file);

    if (r < 0)
        return r;
    if (file < fresh->file_count) {
        place = (struct journal_place){file, journal_reader_place(reader).at};
        journal_reader_stand(fresh, place, JOURNAL_PLACE_NEVER);
        if (place.at) {
            memcpy(fresh->head, reader->head, reader->head_bytes);
            fresh->head_bytes = reader->head_bytes;
            fresh->head_due = true;
        }
        return 0;
    }
    while (first < fresh->file_count && fresh->files[first].fd < 0 &&
           find_sealed(reader, fresh->files[first].time_ns) < reader->file_count)
        first++;
    place.file = first;
    r = first < fresh->file_count ? 0 : journal_reader_end(fresh, &place);
    if (r < 0)
        return r;
    journal_reader_stand(fresh, place, JOURNAL_PLACE_NEVER);
    return 1;
}

int journal_reader_refresh(struct journal_reader *reader, const char *folder)
{
    struct journal_reader fresh;
    int r = journal_reader_open(&fresh, folder);

    if (r == 0)
        r = stand_in_fresh(reader, &fresh);
    if (r == 1 || r == -ENOENT)
        journal_reader_remember(reader);
    if (r < 0) {
        journal_reader_close(&fresh);
        return r;
    }
    fresh.whole_lines = reader->whole_lines;
    fresh.reads_ahead = reader->reads_ahead;
    fresh.literal = reader->literal;
    fresh.literal_bytes = reader->literal_bytes;
    fresh.bookmarks = reader->bookmarks;
    fresh.until_ns = reader->until_ns; /* not since_ns: all that is new is wanted */
    journal_reader_close(reader);
    *reader = fresh;
    return r;
}
