/* The files of all journals.
 *
 * A file stays open while it is used, and is the first to be closed when descriptors get short.
 * Whether it is still the one in its folder is looked at with each block (removed: no link left;
 * emptied) and by name once a second (moved away). */
#include "journal/store-internal.h"

#include "base/cleanup.h"
#include "base/group.h"
#include "base/text.h"
#include "journal/rotation.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUP_NAME      "adm"
#define FOLDER_MODE     0750
#define FILE_MODE       0640
#define LOOK_AGAIN_NS   NS_PER_SEC
#define SYNCED_AT_ONCE  16 /* devices remembered while syncing */
#define ZEROS_BYTES     4096
#define NOTE_ROOM_BYTES 256

void journal_store_init(struct journal_store *store, const char *logs, const char *fallback)
{
    *store = (struct journal_store){
        .logs = logs,
        .fallback = fallback,
        .group = (gid_t)-1,
        .reserve_fd = -1,
    };
    list_init(&store->open);
}

void journal_store_open(struct journal_store *store)
{
    store->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (group_find(GROUP_FILE, GROUP_NAME, &store->group) < 0)
        return;
    /* What is made has our file system group: no chown for each. The second call only reads it. */
    setfsgid(store->group);
    store->makes_in_group = (gid_t)setfsgid((gid_t)-1) == store->group;
}

void journal_store_finish(struct journal_store *store)
{
    if (store->reserve_fd >= 0)
        close(store->reserve_fd);
    store->reserve_fd = -1;
}

void journal_file_init(struct journal_file *file, const char *name, const char *folder)
{
    *file = (struct journal_file){.name = name, .folder = folder, .fd = -1, .quota = QUOTA_DEFAULT};
    list_init(&file->open_node);
}

void store_close_file(struct journal_file *file)
{
    list_remove(&file->open_node);
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}

void journal_file_finish(struct journal_file *file)
{
    store_close_file(file);
}

bool journal_store_give_up_descriptor(struct journal_store *store)
{
    if (list_empty(&store->open))
        return false;
    store_close_file(container_of(list_first(&store->open), struct journal_file, open_node));
    return true;
}

/* ---- folders and opening ------------------------------------------------------------------- */

/* Makes one folder. The journals' own are for their group only. */
static int make_folder(const struct journal_store *store, const char *path, bool private)
{
    if (mkdir(path, private ? FOLDER_MODE : 0755) < 0)
        return -errno;
    if (private && store->group != (gid_t)-1 && !store->makes_in_group &&
        chown(path, (uid_t)-1, store->group) < 0) {
        /* It is readable for root then, which is the safe side. */
    }
    return 0;
}

/* Makes the folder, and only where that needs it what is missing above it: on most starts the
 * folder above is there, and looking at each part of the path is most of what a start costs us. */
static int make_folders(const struct journal_store *store, const char *path, size_t private_from)
{
    char part[PATH_MAX];
    size_t length = strlen(path);

    if (length >= sizeof part)
        return -ENAMETOOLONG;
    int failed = make_folder(store, path, length >= private_from);
    for (size_t i = 1; failed == -ENOENT && i < length; i++) {
        if (path[i] != '/')
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        make_folder(store, part, i >= private_from); /* what cannot be made is seen at the end */
    }
    if (failed == -ENOENT)
        failed = make_folder(store, path, length >= private_from);
    return failed == -EEXIST ? 0 : failed;
}

int journal_store_probe(const struct journal_store *store)
{
    char inside[PATH_MAX]; /* so that what is no folder is said to be none */
    int failed = make_folders(store, store->logs, strlen(store->logs));
    if (!failed && !text_format(inside, sizeof inside, "%s/.", store->logs))
        failed = -ENAMETOOLONG;
    if (!failed && access(inside, W_OK | X_OK) < 0)
        failed = -errno;
    return failed;
}

bool store_path(const struct journal_store *store, const struct journal_file *file,
                bool on_fallback, const char *leaf, char *path)
{
    if (file->folder && !on_fallback)
        return text_format(path, PATH_MAX, "%s/%s", file->folder, leaf);
    return text_format(path, PATH_MAX, "%s/%s/%s", on_fallback ? store->fallback : store->logs,
                       file->name, leaf);
}

int store_open_hard(struct journal_store *store, const char *path, int flags)
{
    /* A folder may be somewhere else by an administrator's link; a file may not, for who owns the
     * folder could have us write to any. */
    const int follow = flags & O_DIRECTORY ? 0 : O_NOFOLLOW;
    for (;;) {
        int fd = open(path, flags | follow | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, FILE_MODE);
        if (fd >= 0 || (errno != EMFILE && errno != ENFILE))
            return fd < 0 ? -errno : fd;
        if (journal_store_give_up_descriptor(store))
            continue;
        if (store->reserve_fd < 0)
            return -EMFILE;
        close(store->reserve_fd);
        store->reserve_fd = -1;
    }
}

/* Whether it is a file that we may write to: not one of another name, which somebody has linked
 * into a folder that is not ours alone. */
static bool is_journal(const char *path, int fd)
{
    char folder[PATH_MAX];
    struct stat stat_;

    if (fstat(fd, &stat_) < 0 || !S_ISREG(stat_.st_mode))
        return false;
    if (stat_.st_nlink <= 1)
        return true;
    text_format(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
    return stat(folder, &stat_) == 0 && stat_.st_uid == geteuid() &&
           !(stat_.st_mode & (S_IWGRP | S_IWOTH));
}

static int open_in(struct journal_store *store, struct journal_file *file, bool on_fallback)
{
    char path[PATH_MAX];
    const char *base = on_fallback ? store->fallback : file->folder ? file->folder : store->logs;
    const int flags = O_RDWR | O_APPEND | O_CREAT;

    if (!store_path(store, file, on_fallback, JOURNAL_FILE_CURRENT, path))
        return -ENAMETOOLONG;
    int fd = store_open_hard(store, path, flags);
    if (fd == -ENOENT) {
        char *slash = strrchr(path, '/');
        *slash = 0;
        int failed = make_folders(store, path, strlen(base));
        *slash = '/';
        if (failed)
            return failed;
        fd = store_open_hard(store, path, flags);
    }
    if (fd >= 0 && !is_journal(path, fd)) {
        close(fd);
        return -EINVAL;
    }
    return fd;
}

/* Errors that say "not in this place", for which the other place is tried. */
static bool is_no_place(int error)
{
    return error == -EROFS || error == -EACCES || error == -EPERM || error == -ENOENT ||
           error == -ENOTDIR || error == -ELOOP || error == -ENAMETOOLONG || error == -EISDIR ||
           error == -EINVAL || error == -ENXIO;
}

static int open_file(struct journal_store *store, struct journal_file *file, uint64_t now_ns)
{
    struct stat stat;
    bool on_fallback = false;

    int fd = open_in(store, file, false);
    if (fd >= 0 && journal_store_is_elsewhere(store, file)) {
        close(fd);
        int failed = store_move(store, file);
        on_fallback = failed < 0; /* no room for it, most likely: it stays where it is */
        fd = open_in(store, file, on_fallback);
    }
    if (is_no_place(fd) && !on_fallback && store->fallback) {
        int other = open_in(store, file, true);
        on_fallback = other >= 0;
        fd = on_fallback ? other : fd;
    }
    if (fd < 0)
        return fd;
    if (fstat(fd, &stat) < 0) {
        close(fd);
        return -EINVAL;
    }
    if (stat.st_size == 0 && store->group != (gid_t)-1 && stat.st_gid != store->group &&
        fchown(fd, (uid_t)-1, store->group) < 0) {
        /* It is readable for root then. */
    }
    file->fd = fd;
    file->on_fallback = on_fallback;
    file->size_bytes = (uint64_t)stat.st_size;
    file->device = stat.st_dev;
    file->inode = stat.st_ino;
    if (!stat.st_size)
        file->is_new = true;
    file->synced_bytes = file->size_bytes;
    file->checked_at_ns = now_ns;
    char last = '\n';
    if (stat.st_size && pread(fd, &last, 1, stat.st_size - 1) != 1)
        last = '\n';
    file->mid_line = last != '\n';
    list_append(&store->open, &file->open_node);
    return 0;
}

static bool is_still_there(const struct journal_store *store, struct journal_file *file,
                           uint64_t now_ns)
{
    char path[PATH_MAX];
    struct stat stat_;

    if (fstat(file->fd, &stat_) < 0 || stat_.st_nlink == 0)
        return false;
    /* Somebody has emptied it, or written to it: how long it is, and how it ends, is not known. */
    if ((uint64_t)stat_.st_size != file->size_bytes)
        return false;
    if (now_ns - file->checked_at_ns < LOOK_AGAIN_NS)
        return true;
    file->checked_at_ns = now_ns;
    /* From time to time also whether the right place can be written meanwhile. */
    return !file->on_fallback &&
           store_path(store, file, file->on_fallback, JOURNAL_FILE_CURRENT, path) &&
           lstat(path, &stat_) == 0 && stat_.st_dev == file->device && stat_.st_ino == file->inode;
}

static int ensure_open(struct journal_store *store, struct journal_file *file, uint64_t now_ns)
{
    if (file->fd >= 0 && !is_still_there(store, file, now_ns))
        store_close_file(file);
    if (file->fd < 0)
        return open_file(store, file, now_ns);
    list_remove(&file->open_node);
    list_append(&store->open, &file->open_node);
    return 0;
}

/* When the reserve was spent on this file, the file is closed and the reserve taken again. */
static void settle_descriptors(struct journal_store *store, struct journal_file *file)
{
    if (store->reserve_fd >= 0)
        return;
    store_close_file(file);
    store->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* ---- writing ------------------------------------------------------------------------------- */

/* The byte at a place before the end of the pieces: so the loop ends within them. */
static char byte_at(const struct iovec *pieces, size_t at)
{
    int piece = 0;
    /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): see above */
    for (; at >= pieces[piece].iov_len; piece++)
        at -= pieces[piece].iov_len;
    return ((const char *)pieces[piece].iov_base)[at];
}

/* Returns how many bytes were written; on fewer than there are file->error says why. Then they are
 * whole lines (or nothing): the others may be dropped before they can be written, and a torn one
 * would be left. */
static size_t write_some(struct journal_file *file, const struct iovec *pieces, int count)
{
    size_t wanted = rotation_total(pieces, count);
    ssize_t done = writev(file->fd, pieces, count);
    if (done < 0) {
        file->error = -errno;
        return 0;
    }
    size_t kept = (size_t)done;
    if (kept < wanted) {
        file->error = -ENOSPC; /* what cuts a write to a file short, but for a signal */
        kept = rotation_whole_lines(pieces, count, kept);
        if (kept < (size_t)done && ftruncate(file->fd, (off_t)(file->size_bytes + kept)) < 0)
            kept = (size_t)done;
    }
    if (!kept)
        return 0;
    file->mid_line = byte_at(pieces, kept - 1) != '\n';
    file->size_bytes += kept;
    return kept;
}

/* A whole line, or nothing. */
static bool write_all(struct journal_file *file, const char *bytes, size_t count)
{
    struct iovec piece = {(char *)bytes, count};
    return write_some(file, &piece, 1) == count;
}

/* After a power cut a file may be longer than what of it was on the disk (ext4 counts what is
 * appended to a block it has before that is written): what is missing are zeros at its end. They
 * go, with no line of ours. */
static void cut_zeros(struct journal_file *file)
{
    char bytes[ZEROS_BYTES];
    uint64_t end = file->size_bytes;
    size_t left = 0;

    while (end && !left) {
        size_t count = end % sizeof bytes ? end % sizeof bytes : sizeof bytes;
        if (pread(file->fd, bytes, count, (off_t)(end - count)) != (ssize_t)count)
            return;
        for (left = count; left && !bytes[left - 1]; left--) {
        }
        end -= count - left;
    }
    if (end == file->size_bytes || ftruncate(file->fd, (off_t)end) < 0)
        return;
    file->size_bytes = end;
    if (file->synced_bytes > end)
        file->synced_bytes = end;
    file->mid_line = left && bytes[left - 1] != '\n';
}

/* Makes the end of the file and what comes next fit together, which they do not: the one is in the
 * middle of a line, or the other goes on with one. */
static void join_end(struct journal_file *file, bool continues, uint64_t now_ns)
{
    char time[CLOCK_RFC3339_BYTES], prefix[JOURNAL_PREFIX_BYTES];

    if (!continues)
        cut_zeros(file);
    if (file->mid_line) {
        write_all(file, "\n", 1);
    } else if (continues) { /* its beginning was taken away */
        clock_format_rfc3339(time, now_ns);
        write_all(file, prefix,
                  journal_format_prefix(prefix, time, JOURNAL_CONTINUED, JOURNAL_INFO));
    }
}

int journal_store_prepare(struct journal_store *store, struct journal_file *file, bool continues,
                          uint64_t now_ns)
{
    file->error = file->to_cut ? journal_store_rewind(store, file, &file->cut) : 0;
    if (!file->error || !file->to_cut)
        file->error = ensure_open(store, file, now_ns);
    if (!file->error && file->mid_line != continues)
        join_end(file, continues, now_ns);
    if (file->error)
        store_close_file(file);
    return file->error;
}

/* Forgets all but the first bytes of the pieces. */
static void cut_pieces(struct iovec *pieces, int *count, size_t bytes)
{
    int piece = 0;
    while (bytes > pieces[piece].iov_len)
        bytes -= pieces[piece++].iov_len;
    pieces[piece].iov_len = bytes;
    *count = piece + 1;
}

/* Forgets the first bytes of the pieces. Returns the first that has any left. */
static struct iovec *skip_pieces(struct iovec *pieces, int *count, size_t bytes)
{
    while (*count && bytes >= pieces->iov_len) {
        bytes -= pieces->iov_len;
        pieces++;
        --*count;
    }
    if (*count) {
        pieces->iov_base = (char *)pieces->iov_base + bytes;
        pieces->iov_len -= bytes;
    }
    return pieces;
}

static size_t fitting(const struct journal_file *file, const struct iovec *pieces, int count)
{
    return rotation_fitting(file->size_bytes, file->mid_line, file->quota.max_size_bytes, pieces,
                            count);
}

/* Writes some of the pieces, into a new file where `current` is full. When that cannot be put aside
 * it goes on growing, and the next batch tries again. Returns as write_some(). */
static size_t write_next(struct journal_store *store, struct journal_file *file,
                         const struct iovec *pieces, int count, uint64_t now_ns)
{
    struct iovec some[JOURNAL_PIECES_MOST];

    memcpy(some, pieces, (size_t)count * sizeof *pieces);
    size_t fit = fitting(file, pieces, count);
    if (!fit) {
        bool sealed = journal_store_seal(store, file) == 0;
        /* It is closed also where its descriptor was needed. */
        file->error = file->fd < 0 ? open_file(store, file, now_ns) : 0;
        if (file->error)
            return 0;
        fit = sealed ? fitting(file, pieces, count) : 0;
    }
    cut_pieces(some, &count, fit ? fit : rotation_total(pieces, count));
    return write_some(file, some, count);
}

size_t journal_store_write(struct journal_store *store, struct journal_file *file,
                           struct iovec *pieces, int count, uint64_t now_ns)
{
    size_t done = 0;
    pieces = skip_pieces(pieces, &count, 0);
    while (!file->error && count) {
        size_t some = write_next(store, file, pieces, count, now_ns);
        done += some;
        pieces = skip_pieces(pieces, &count, some);
    }
    if (file->error)
        store_close_file(file);
    settle_descriptors(store, file);
    return done;
}

bool journal_store_write_dropped(struct journal_store *store, struct journal_file *file,
                                 const struct journal_dropped *dropped, uint64_t now_ns)
{
    char storage[NOTE_ROOM_BYTES], time[CLOCK_RFC3339_BYTES], prefix[JOURNAL_PREFIX_BYTES];
    struct text text;

    if (journal_store_prepare(store, file, false, now_ns) < 0)
        return false;
    text_init(&text, storage, sizeof storage);
    clock_format_rfc3339(time, dropped->time_ns);
    text_add_bytes(&text, prefix,
                   journal_format_prefix(prefix, time, JOURNAL_EVENT_MARK, JOURNAL_WARNING));
    text_printf(&text, "dropped lines=%llu reason=\"%s\"\n", (unsigned long long)dropped->lines,
                dropped->reason);
    if (!write_all(file, text.data, text.used_bytes))
        store_close_file(file);
    return !file->error;
}

int journal_store_sync_fds(struct journal_store *store, struct journal_file *file, int *ret_file,
                           int *ret_folder)
{
    char path[PATH_MAX];
    int fd, folder = -1;

    if (!store_path(store, file, file->on_fallback, JOURNAL_FILE_CURRENT, path))
        return -ENAMETOOLONG;
    fd = file->fd >= 0 ? fcntl(file->fd, F_DUPFD_CLOEXEC, 0)
                       : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    if (file->is_new && store_path(store, file, file->on_fallback, ".", path)) {
        folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder < 0 && (errno == EMFILE || errno == ENFILE)) {
            int failed = -errno;
            close(fd);
            return failed;
        }
    }
    file->is_new = false;
    file->synced_bytes = file->size_bytes;
    *ret_file = fd;
    *ret_folder = folder;
    return 0;
}

/* ---- the end ------------------------------------------------------------------------------- */

void journal_store_sync(struct journal_store *store, bool whole)
{
    dev_t synced[SYNCED_AT_ONCE];
    size_t count = 0;

    list_for_each(node, &store->open)
    {
        const struct journal_file *file = container_of(node, struct journal_file, open_node);
        size_t at = 0;
        while (whole && at < count && synced[at] != file->device)
            at++;
        if (whole && at < count)
            continue;
        /* An error here has nobody to be told: the machine is going down. */
        if (whole && count < SYNCED_AT_ONCE && syncfs(file->fd) == 0)
            synced[count++] = file->device;
        else
            fsync(file->fd);
    }
}
