/* The store's sealed files: sealing, what the quota no longer allows, and the way back.
 *
 * Nothing here is remembered from one call to the next: each looks into the folder, so that what a
 * killed journal has left, and what people do there, is seen. */
#include "journal/store-internal.h"

#include "base/cleanup.h"
#include "journal/folder.h"
#include "journal/rotation.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NS_PER_US 1000u
/* A file rests before it is compressed: who prints without a pause has the quota remove each one
 * before that is over, so that nobody compresses in vain while the processors are needed. */
#define REST_NS (2 * NS_PER_SEC)

int store_open_folder(struct journal_store *store, const struct journal_file *file,
                      bool on_fallback, struct journal_list *list)
{
    char path[PATH_MAX];
    *list = (struct journal_list){0};
    if (!store_path(store, file, on_fallback, ".", path))
        return -ENAMETOOLONG;
    int folder = store_open_hard(store, path, O_RDONLY | O_DIRECTORY);
    if (folder < 0)
        return folder;
    int failed = journal_list_read(list, folder);
    while ((failed == -EMFILE || failed == -ENFILE) && journal_store_give_up_descriptor(store))
        failed = journal_list_read(list, folder);
    if (failed)
        close(folder);
    return failed ? failed : folder;
}

static bool remove_form(int folder, const struct journal_sealed *sealed, enum journal_form form)
{
    char name[JOURNAL_SEALED_BYTES];
    journal_sealed_name(name, sealed->time_ns, form);
    return unlinkat(folder, name, 0) == 0; /* else it is found again the next time */
}

/* A compressor may be at it, and further than it was when the folder was listed. It makes the
 * unfinished file before it opens the plain one, and renames it when it is done: in this order
 * either there is no plain one to open, or nothing to rename, or what it has made is removed. */
bool store_remove_sealed(int folder, const struct journal_sealed *sealed)
{
    bool plain = remove_form(folder, sealed, JOURNAL_PLAIN);
    bool torn = remove_form(folder, sealed, JOURNAL_TORN);
    bool packed = remove_form(folder, sealed, JOURNAL_PACKED);
    return plain || torn || packed;
}

/* ---- sealing ------------------------------------------------------------------------------- */

/* The time of the first entry of `current`; where that is none, when it was written last. Returns
 * 0, -ENOENT when there is no such file, or nothing in it, or another -errno. */
static int read_first_time(int folder, uint64_t *ret_ns)
{
    char line[JOURNAL_TIME_BYTES + 1] = "";
    struct stat stat;
    AUTO_CLOSE int fd = openat(folder, JOURNAL_FILE_CURRENT,
                               O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);

    if (fd < 0 || fstat(fd, &stat) < 0)
        return -errno;
    if (!S_ISREG(stat.st_mode) || !stat.st_size)
        return -ENOENT;
    if (pread(fd, line, JOURNAL_TIME_BYTES, 0) != JOURNAL_TIME_BYTES ||
        !journal_parse_time(line, ret_ns))
        *ret_ns = (uint64_t)stat.st_mtim.tv_sec * NS_PER_SEC + (uint64_t)stat.st_mtim.tv_nsec;
    return 0;
}

/* A sealed file is whole, also after a power cut. Where it cannot be synced there is nothing more
 * to be done for it. */
static void sync_current(int folder)
{
    AUTO_CLOSE int fd = openat(folder, JOURNAL_FILE_CURRENT,
                               O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
    if (fd >= 0)
        fdatasync(fd);
}

int journal_store_seal(struct journal_store *store, struct journal_file *file)
{
    char name[JOURNAL_SEALED_BYTES];
    struct journal_list list;
    uint64_t time_ns = 0;

    AUTO_CLOSE int folder = store_open_folder(store, file, file->on_fallback, &list);
    if (folder < 0)
        return folder;
    int failed = read_first_time(folder, &time_ns);
    time_ns -= time_ns % NS_PER_US;
    if (list.count && list.files[list.count - 1].time_ns >= time_ns)
        time_ns = list.files[list.count - 1].time_ns + NS_PER_US;
    journal_list_finish(&list);
    journal_sealed_name(name, time_ns, JOURNAL_PLAIN);
    if (!failed && !file->on_fallback)
        sync_current(folder);
    if (!failed && renameat(folder, JOURNAL_FILE_CURRENT, folder, name) < 0)
        failed = -errno;
    if (failed)
        return failed;
    store_close_file(file);
    file->sealed = true;
    return 0;
}

/* ---- what the quota allows ----------------------------------------------------------------- */

/* When it was written last. One that cannot be looked at is as new as can be. */
static uint64_t written_s(int folder, const struct journal_sealed *sealed)
{
    char name[JOURNAL_SEALED_BYTES];
    struct stat stat;
    journal_sealed_name(name, sealed->time_ns,
                        sealed->forms & JOURNAL_PLAIN ? JOURNAL_PLAIN : JOURNAL_PACKED);
    return fstatat(folder, name, &stat, AT_SYMLINK_NOFOLLOW) == 0 ? (uint64_t)stat.st_mtim.tv_sec
                                                                  : UINT32_MAX;
}

/* For how long a file has to rest yet. One of a time to come was written before the clock was set
 * back. */
static uint64_t rest_ns(int folder, const char *name, uint64_t now_ns)
{
    struct stat stat;
    if (fstatat(folder, name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    uint64_t sealed_ns =
        (uint64_t)stat.st_mtim.tv_sec * NS_PER_SEC + (uint64_t)stat.st_mtim.tv_nsec;
    return now_ns >= sealed_ns && now_ns - sealed_ns < REST_NS ? sealed_ns + REST_NS - now_ns : 0;
}

static void add_work(int folder, struct journal_work *work, const struct journal_sealed *sealed,
                     uint64_t now_ns)
{
    if (!(sealed->forms & JOURNAL_PLAIN) || work->count == JOURNAL_WORK_MOST)
        return;
    char *name = work->names[work->count];
    journal_sealed_name(name, sealed->time_ns, JOURNAL_PLAIN);
    uint64_t rest = rest_ns(folder, name, now_ns);
    if (!rest)
        work->count++;
    else if (!work->later_ns || rest < work->later_ns)
        work->later_ns = rest;
}

static void tidy_folder(int folder, const struct journal_list *list, const struct quota *quota,
                        uint64_t now_ns, struct journal_work *work)
{
    size_t whole = 0;
    for (size_t i = 0; i < list->count; i++)
        whole += !journal_sealed_is_litter(&list->files[i]);
    for (size_t i = 0; i < list->count; i++) {
        const struct journal_sealed *sealed = &list->files[i];
        bool litter = journal_sealed_is_litter(sealed);
        uint64_t when_s = quota->max_age_s && !litter ? written_s(folder, sealed) : 0;
        if (litter) {
            /* No more than that: it may have got its name while the folder was listed. */
            remove_form(folder, sealed, JOURNAL_TORN);
        } else if (rotation_removes(quota, whole, when_s, now_ns / NS_PER_SEC)) {
            store_remove_sealed(folder, sealed);
            whole--;
        } else {
            add_work(folder, work, sealed, now_ns);
        }
    }
}

bool journal_store_is_old(struct journal_store *store, struct journal_file *file, uint64_t now_ns)
{
    char path[PATH_MAX];
    uint64_t first_ns;

    if (!file->quota.max_age_s || !store_path(store, file, file->on_fallback, ".", path))
        return false;
    AUTO_CLOSE int folder = store_open_hard(store, path, O_RDONLY | O_DIRECTORY);
    return folder >= 0 && read_first_time(folder, &first_ns) == 0 &&
           rotation_is_old(&file->quota, first_ns, now_ns);
}

void journal_store_tidy(struct journal_store *store, struct journal_file *file, uint64_t now_ns,
                        struct journal_work *work)
{
    *work = (struct journal_work){.folder = -1};
    file->sealed = false;
    for (int on_fallback = 0; on_fallback < (store->fallback ? 2 : 1); on_fallback++) {
        struct journal_list list;
        AUTO_CLOSE int folder = store_open_folder(store, file, on_fallback, &list);
        if (folder < 0)
            continue;
        /* What waits to be moved is not compressed: nobody else is to be at it then. */
        struct journal_work ignored = {.count = JOURNAL_WORK_MOST};
        tidy_folder(folder, &list, &file->quota, now_ns, on_fallback ? &ignored : work);
        if (work->count && work->folder < 0)
            work->folder = take_fd(&folder);
        journal_list_finish(&list);
    }
}

/* ---- the way back -------------------------------------------------------------------------- */

/* 1: it is the file; 0: it is another one, or none; or -errno: that cannot be told. */
static int is_file(int folder, const char *name, const struct journal_cut *cut)
{
    struct stat found;
    if (fstatat(folder, name, &found, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    return found.st_dev == (dev_t)cut->device && found.st_ino == (ino_t)cut->inode;
}

/* What was begun since. 0 or -errno: there is some of it. */
static int remove_later(int folder, const struct journal_list *list, size_t from)
{
    static const enum journal_form forms[] = {JOURNAL_PLAIN, JOURNAL_TORN, JOURNAL_PACKED};
    for (size_t later = list->count; later-- > from;)
        for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
            if (!remove_form(folder, &list->files[later], forms[i]) && errno != ENOENT)
                return -errno;
    return 0;
}

/* Gives a sealed file its name back, and removes what was begun since. Killed in between it does
 * the rest the next time. 1; 0: none is the file; or -errno. */
static int unseal(int folder, const struct journal_list *list, const struct journal_cut *cut)
{
    char name[JOURNAL_SEALED_BYTES];
    size_t at = list->count;
    int found = 0;

    while (!found && at-- > 0) {
        journal_sealed_name(name, list->files[at].time_ns, JOURNAL_PLAIN);
        if (list->files[at].forms & JOURNAL_PLAIN)
            found = is_file(folder, name, cut);
    }
    if (found <= 0)
        return found;
    int failed = remove_later(folder, list, at + 1);
    if (!failed && renameat(folder, name, folder, JOURNAL_FILE_CURRENT) < 0)
        failed = -errno;
    return failed ? failed : 1;
}

static int cut_current(int folder, const struct journal_cut *cut)
{
    struct stat stat;
    AUTO_CLOSE int fd = openat(folder, JOURNAL_FILE_CURRENT,
                               O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &stat) < 0)
        return -errno;
    if (stat.st_dev != (dev_t)cut->device || stat.st_ino != (ino_t)cut->inode)
        return -ENOENT; /* it was exchanged since it was looked at */
    /* Shorter than it was: somebody else had it, and zeros would not mend that. */
    if ((uint64_t)stat.st_size > cut->bytes && ftruncate(fd, (off_t)cut->bytes) < 0)
        return -errno;
    return 0;
}

/* -ENOENT: it is not in this place. */
static int rewind_in(struct journal_store *store, const struct journal_file *file, bool on_fallback,
                     const struct journal_cut *cut)
{
    struct journal_list list;
    AUTO_CLOSE int folder = store_open_folder(store, file, on_fallback, &list);
    if (folder == -ENOTDIR || folder == -ELOOP || folder == -ENAMETOOLONG)
        return -ENOENT; /* it cannot have been there */
    if (folder < 0)
        return folder;
    int found = is_file(folder, JOURNAL_FILE_CURRENT, cut);
    if (!found)
        found = unseal(folder, &list, cut);
    journal_list_finish(&list);
    return found > 0 ? cut_current(folder, cut) : found ? found : -ENOENT;
}

int journal_store_rewind(struct journal_store *store, struct journal_file *file,
                         const struct journal_cut *cut)
{
    const struct journal_cut to = *cut;
    int failed = -ENOENT;

    store_close_file(file);
    for (int on_fallback = 0; on_fallback < (store->fallback ? 2 : 1); on_fallback++) {
        int here = failed ? rewind_in(store, file, on_fallback, &to) : 0;
        if (!here || failed == -ENOENT)
            failed = here;
    }
    if (file->to_cut && (!failed || failed == -ENOENT))
        file->sealed = true; /* it was not tidied meanwhile */
    file->to_cut = failed && failed != -ENOENT;
    file->cut = to;
    return failed;
}
