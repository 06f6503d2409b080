/* Compressing a sealed file: frames that can be decompressed one by one, and a table of them.
 *
 * A lock on the unfinished file keeps two of us from writing it at once: the journal that started
 * one may have been killed, and the next one starts another. */
#include "journal/compress.h"
#include "base/cleanup.h"
#include "journal/folder.h"
#include "journal/seek-table.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <zstd.h>

#define LEVEL 3

struct compressing {
    int from, to;
    ZSTD_CCtx *context;
    struct seek_table_entry *entries;
    size_t count, room, packed_room;
    char *text, *packed;
};

static int write_all(int fd, const void *bytes, size_t count)
{
    const char *at = bytes;
    while (count) {
        ssize_t done = write(fd, at, count);
        if (done < 0 && errno != EINTR)
            return -errno;
        if (done == 0)
            return -ENOSPC;
        at += done > 0 ? done : 0;
        count -= done > 0 ? (size_t)done : 0;
    }
    return 0;
}

/* Reads the next frame's text: all of JOURNAL_FRAME_BYTES but at the end. */
static ssize_t read_text(struct compressing *c)
{
    size_t used = 0;
    while (used < JOURNAL_FRAME_BYTES) {
        ssize_t got = read(c->from, c->text + used, JOURNAL_FRAME_BYTES - used);
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got == 0)
            break;
        used += got > 0 ? (size_t)got : 0;
    }
    return (ssize_t)used;
}

static int note_frame(struct compressing *c, size_t bytes, size_t text_bytes)
{
    if (c->count == c->room) {
        size_t room = c->room ? c->room * 2 : 64;
        void *grown = reallocarray(c->entries, room, sizeof *c->entries);
        if (!grown)
            return -ENOMEM;
        c->entries = grown;
        c->room = room;
    }
    c->entries[c->count++] =
        (struct seek_table_entry){htole32((uint32_t)bytes), htole32((uint32_t)text_bytes)};
    return 0;
}

static int write_table(const struct compressing *c)
{
    const size_t bytes = c->count * sizeof *c->entries;
    const struct seek_table_end end = {.frames = htole32((uint32_t)c->count),
                                       .magic = htole32(SEEK_TABLE_MAGIC)};
    const struct seek_table_head head = {htole32(SEEK_TABLE_HEAD_MAGIC),
                                         htole32((uint32_t)(bytes + sizeof end))};
    int failed = write_all(c->to, &head, sizeof head);
    if (!failed)
        failed = write_all(c->to, c->entries, bytes);
    return failed ? failed : write_all(c->to, &end, sizeof end);
}

static int write_frames(struct compressing *c)
{
    ssize_t got;
    while ((got = read_text(c)) > 0) {
        size_t bytes = ZSTD_compress2(c->context, c->packed, c->packed_room, c->text, (size_t)got);
        if (ZSTD_isError(bytes))
            return -ENOMEM; /* there is room for any result */
        int failed = write_all(c->to, c->packed, bytes);
        if (!failed)
            failed = note_frame(c, bytes, (size_t)got);
        if (failed)
            return failed;
    }
    return got < 0 ? (int)got : write_table(c);
}

static int write_packed(int from, int to)
{
    struct compressing c = {.from = from,
                            .to = to,
                            .context = ZSTD_createCCtx(),
                            .packed_room = ZSTD_compressBound(JOURNAL_FRAME_BYTES)};
    int failed = -ENOMEM;

    c.text = malloc(JOURNAL_FRAME_BYTES);
    c.packed = malloc(c.packed_room);
    if (c.context && c.text && c.packed) {
        ZSTD_CCtx_setParameter(c.context, ZSTD_c_compressionLevel, LEVEL);
        ZSTD_CCtx_setParameter(c.context, ZSTD_c_checksumFlag, 1);
        failed = write_frames(&c);
    }
    ZSTD_freeCCtx(c.context);
    free(c.text);
    free(c.packed);
    free(c.entries);
    return failed;
}

/* Opens the unfinished file, empty and locked. */
static int open_torn(int folder, const char *torn)
{
    struct stat opened, named;
    AUTO_CLOSE int fd =
        openat(folder, torn, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? -EBUSY : -errno;
    /* Whoever had the lock may have given it its name, or removed it. */
    if (fstat(fd, &opened) < 0 || fstatat(folder, torn, &named, AT_SYMLINK_NOFOLLOW) < 0 ||
        opened.st_ino != named.st_ino || opened.st_dev != named.st_dev)
        return -EBUSY;
    if (!S_ISREG(opened.st_mode))
        return -EINVAL;
    /* Another name of a file that is somebody else's: it goes, and that file stays as it is. */
    if (opened.st_nlink > 1)
        return unlinkat(folder, torn, 0) < 0 ? -errno : -EBUSY;
    return ftruncate(fd, 0) < 0 ? -errno : take_fd(&fd);
}

/* Who may read it, and since when it has not been written. */
static int copy_attributes(int to, const struct stat *from)
{
    const struct timespec times[2] = {from->st_atim, from->st_mtim};
    if (fchown(to, from->st_uid, from->st_gid) < 0 && fchown(to, (uid_t)-1, from->st_gid) < 0) {
        /* It is readable for fewer then, which is the safe side. */
    }
    if (fchmod(to, from->st_mode & 0666) < 0 || futimens(to, times) < 0 || fsync(to) < 0)
        return -errno;
    return 0;
}

/* What is left of making `packed`, when the unfinished file is there. */
static int pack(int folder, const char *name, const char *packed, const char *torn, int to)
{
    struct stat stat;
    AUTO_CLOSE int from = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (from < 0)
        return -errno;
    if (fstat(from, &stat) < 0 || !S_ISREG(stat.st_mode))
        return -EINVAL;
    /* One that has its name is whole: only the removal of the plain one was left to do. */
    if (faccessat(folder, packed, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return unlinkat(folder, torn, 0) < 0 ? -errno : 0;
    int failed = write_packed(from, to);
    if (!failed)
        failed = copy_attributes(to, &stat);
    if (!failed && renameat(folder, torn, folder, packed) < 0)
        failed = -errno;
    if (!failed && fsync(folder) < 0)
        failed = -errno; /* the plain one stays until that is sure */
    return failed;
}

int journal_compress(int folder, const char *name)
{
    char torn[JOURNAL_SEALED_BYTES], packed[JOURNAL_SEALED_BYTES];
    enum journal_form form;
    uint64_t time_ns;

    if (!journal_sealed_parse(name, &time_ns, &form) || form != JOURNAL_PLAIN)
        return -EINVAL;
    journal_sealed_name(torn, time_ns, JOURNAL_TORN);
    journal_sealed_name(packed, time_ns, JOURNAL_PACKED);
    /* Before the plain one is opened: who removes that removes this one, or what it has become,
     * after it (store_remove_sealed()). So nothing that was removed comes back. */
    AUTO_CLOSE int to = open_torn(folder, torn);
    int failed = to < 0 ? to : pack(folder, name, packed, torn, to);
    if (to >= 0)
        unlinkat(folder, failed ? torn : name, 0);
    /* The quota may have removed it while we were at it, and what we made of it. */
    return failed && faccessat(folder, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT
               ? 0
               : failed;
}
