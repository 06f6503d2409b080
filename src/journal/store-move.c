/* From the place where journals are begun while LOGS cannot be written to where they belong.
 *
 * No step needs to be remembered: each leaves behind what shows that it was done. A sealed file is
 * copied under the name of a file that is being compressed, renamed, and then removed here. What
 * is in `current` is appended, and then removed here: how much of it is there already is seen by
 * its first line, whose time no other has. */
#include "journal/store-internal.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "journal/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_BYTES 65536
#define KEY_BYTES   64 /* of the first line, at most */
#define NS_PER_US   1000u

static char here[CHUNK_BYTES], there[CHUNK_BYTES], window[CHUNK_BYTES];

/* Whether the end of a file, from a place on, is the beginning of another. */
static bool is_begun_at(int from, int to, off_t at, off_t size)
{
    for (off_t done = 0; at + done < size;) {
        ssize_t count = pread(to, there, sizeof there, at + done);
        if (count <= 0 || pread(from, here, (size_t)count, done) != count ||
            memcmp(here, there, (size_t)count) != 0)
            return false;
        done += count;
    }
    return true;
}

/* How many bytes of the one are at the end of the other already, from the beginning of a line on.
 */
static off_t find_begun(int from, off_t from_size, int to, off_t to_size)
{
    char key[KEY_BYTES];
    ssize_t key_bytes = pread(from, key, sizeof key, 0);
    off_t at = to_size > from_size ? to_size - from_size : 0;

    while (key_bytes > 0 && at < to_size) {
        const off_t start = at ? at - 1 : 0; /* the byte before tells whether a line begins */
        ssize_t count = pread(to, window, sizeof window, start);
        bool begins = !at;
        if (count <= 0)
            return 0;
        for (ssize_t i = 0; i < count; i++) {
            size_t left = (size_t)(count - i);
            if (begins &&
                memcmp(window + i, key, left < (size_t)key_bytes ? left : (size_t)key_bytes) == 0 &&
                is_begun_at(from, to, start + i, to_size))
                return to_size - start - i;
            begins = window[i] == '\n';
        }
        at = start + count;
    }
    return 0;
}

/* Where it ends earlier than it did when it was looked at, somebody has cut it off, and what was
 * behind that is not to be had by another try either. */
static int copy(int from, off_t at, int to)
{
    ssize_t count;
    while ((count = pread(from, here, sizeof here, at)) > 0) {
        ssize_t done = write(to, here, (size_t)count);
        if (done < 0)
            return -errno;
        if (done < count)
            return -ENOSPC;
        at += count;
    }
    return count < 0 ? -errno : 0;
}

/* `to` is the open `current` in the right place. */
static int move_current(int folder, int to)
{
    struct stat from_stat, to_stat;
    char last = '\n';
    AUTO_CLOSE int from =
        openat(folder, JOURNAL_FILE_CURRENT, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (from < 0)
        return errno == ENOENT ? 0 : -errno;
    if (fstat(from, &from_stat) < 0 || fstat(to, &to_stat) < 0)
        return -errno;
    off_t done = find_begun(from, from_stat.st_size, to, to_stat.st_size);
    if (!done && to_stat.st_size && pread(to, &last, 1, to_stat.st_size - 1) == 1 && last != '\n' &&
        write(to, "\n", 1) != 1)
        return -errno;
    int failed = copy(from, done, to);
    /* What came half-way there is taken up the next time. */
    if (!failed && unlinkat(folder, JOURNAL_FILE_CURRENT, 0) < 0)
        failed = -errno;
    return failed;
}

static bool is_there(int target, const char *name, int folder)
{
    struct stat a, b;
    return fstatat(target, name, &a, AT_SYMLINK_NOFOLLOW) == 0 &&
           fstatat(folder, name, &b, AT_SYMLINK_NOFOLLOW) == 0 && a.st_size == b.st_size;
}

static int copy_sealed(int folder, const char *name, int target, const char *torn)
{
    AUTO_CLOSE int from = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (from < 0)
        return -errno;
    /* Made here, and nobody's link. One that is there and cannot be removed is in the way of it. */
    unlinkat(target, torn, 0);
    AUTO_CLOSE int to = openat(target, torn, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (to < 0)
        return -errno;
    int failed = copy(from, 0, to);
    if (!failed && fdatasync(to) < 0)
        failed = -errno;
    if (!failed && renameat(target, torn, target, name) < 0)
        failed = -errno;
    if (failed)
        unlinkat(target, torn, 0);
    return failed;
}

/* One sealed file in one form. `*newest_ns` is the newest in the right place. */
static int move_sealed(int folder, uint64_t time_ns, enum journal_form form, int target,
                       uint64_t *newest_ns)
{
    char name[JOURNAL_SEALED_BYTES], other[JOURNAL_SEALED_BYTES], torn[JOURNAL_SEALED_BYTES];
    int failed = 0;

    journal_sealed_name(name, time_ns, form);
    if (!is_there(target, name, folder)) {
        if (time_ns <= *newest_ns) { /* the clock was set back: the order is what counts */
            time_ns = *newest_ns + NS_PER_US;
            journal_sealed_name(other, time_ns, form);
            if (renameat(folder, name, folder, other) < 0)
                return -errno;
            memcpy(name, other, sizeof name);
        }
        journal_sealed_name(torn, time_ns, JOURNAL_TORN);
        failed = copy_sealed(folder, name, target, torn);
    }
    if (time_ns > *newest_ns)
        *newest_ns = time_ns;
    return failed ? failed : unlinkat(folder, name, 0) < 0 ? -errno : 0;
}

static int move_all_sealed(int folder, const struct journal_list *list, int target)
{
    struct journal_list have;
    int failed = journal_list_read(&have, target);
    if (failed)
        return failed;
    uint64_t newest_ns = have.count ? have.files[have.count - 1].time_ns : 0;
    journal_list_finish(&have);
    for (size_t i = 0; i < list->count && !failed; i++) {
        const struct journal_sealed *sealed = &list->files[i];
        enum journal_form form = sealed->forms & JOURNAL_PLAIN ? JOURNAL_PLAIN : JOURNAL_PACKED;
        if (!journal_sealed_is_litter(sealed))
            failed = move_sealed(folder, sealed->time_ns, form, target, &newest_ns);
        if (!failed) /* what is left of it */
            store_remove_sealed(folder, sealed);
    }
    return failed;
}

static int move_files(struct journal_store *store, struct journal_file *file, int folder)
{
    struct journal_list list;
    char path[PATH_MAX];
    int failed = journal_list_read(&list, folder);

    if (!failed && list.count && store_path(store, file, false, ".", path)) {
        AUTO_CLOSE int target = store_open_hard(store, path, O_RDONLY | O_DIRECTORY);
        /* What is older comes first. */
        failed = target < 0 ? target : journal_store_seal(store, file);
        failed = failed == -ENOENT ? 0 : failed;
        if (!failed)
            failed = move_all_sealed(folder, &list, target);
        file->sealed = true;
    }
    journal_list_finish(&list);
    if (failed || !store_path(store, file, false, JOURNAL_FILE_CURRENT, path))
        return failed;
    AUTO_CLOSE int to = store_open_hard(store, path, O_RDWR | O_APPEND | O_CREAT);
    return to < 0 ? to : move_current(folder, to);
}

bool journal_store_is_elsewhere(const struct journal_store *store, const struct journal_file *file)
{
    char path[PATH_MAX];
    return store->fallback && store_path(store, file, true, ".", path) && access(path, F_OK) == 0;
}

bool journal_store_has_fallback(const struct journal_store *store)
{
    return store->fallback && access(store->fallback, F_OK) == 0;
}

int store_move(struct journal_store *store, struct journal_file *file)
{
    char path[PATH_MAX];
    if (!store_path(store, file, true, ".", path))
        return -ENAMETOOLONG;
    AUTO_CLOSE int folder = store_open_hard(store, path, O_RDONLY | O_DIRECTORY);
    if (folder < 0)
        return folder == -ENOENT ? 0 : folder;
    file->on_fallback = false;
    int failed = move_files(store, file, folder);
    if (!failed && text_format(path, sizeof path, "%s/%s", store->fallback, file->name))
        rmdir(path); /* what others have put there stays */
    if (!failed)
        rmdir(store->fallback); /* the last one has left it */
    return failed;
}
