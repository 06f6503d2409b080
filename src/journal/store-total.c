/* The store's view of all a journal has on the disk, for the quota of the whole system. */
#include "journal/store-internal.h"

#include "base/cleanup.h"
#include "journal/folder.h"

#include <fcntl.h>
#include <sys/stat.h>

#define BLOCK_BYTES 512 /* of st_blocks; stat(3type) */

static const enum journal_form forms[] = {JOURNAL_PLAIN, JOURNAL_PACKED, JOURNAL_TORN};

/* No more than it has on the disk: a file with holes in somebody's own folder is not to cost others
 * their lines. */
static uint64_t size_of(int folder, const char *name)
{
    struct stat stat;
    if (fstatat(folder, name, &stat, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(stat.st_mode))
        return 0;
    uint64_t bytes = (uint64_t)stat.st_size, on_disk = (uint64_t)stat.st_blocks * BLOCK_BYTES;
    return bytes < on_disk ? bytes : on_disk;
}

static uint64_t size_of_sealed(int folder, const struct journal_sealed *sealed)
{
    char name[JOURNAL_SEALED_BYTES];
    uint64_t bytes = 0;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (!(sealed->forms & forms[i]))
            continue;
        journal_sealed_name(name, sealed->time_ns, forms[i]);
        bytes += size_of(folder, name);
    }
    return bytes;
}

void journal_store_measure(struct journal_store *store, const struct journal_file *file,
                           struct journal_measure *ret)
{
    struct journal_measure measure = {0};
    for (int on_fallback = 0; on_fallback < (store->fallback ? 2 : 1); on_fallback++) {
        struct journal_list list;
        AUTO_CLOSE int folder = store_open_folder(store, file, on_fallback, &list);
        if (folder < 0)
            continue;
        measure.current_bytes += size_of(folder, JOURNAL_FILE_CURRENT);
        for (size_t i = 0; i < list.count; i++)
            measure.sealed_bytes += size_of_sealed(folder, &list.files[i]);
        if (list.count && (!measure.oldest_ns || list.files[0].time_ns < measure.oldest_ns))
            measure.oldest_ns = list.files[0].time_ns;
        journal_list_finish(&list);
    }
    *ret = measure;
}

bool journal_store_remove_sealed(struct journal_store *store, const struct journal_file *file,
                                 uint64_t time_ns)
{
    bool found = false;
    for (int on_fallback = 0; on_fallback < (store->fallback ? 2 : 1); on_fallback++) {
        struct journal_list list;
        AUTO_CLOSE int folder = store_open_folder(store, file, on_fallback, &list);
        if (folder < 0)
            continue;
        for (size_t i = 0; i < list.count && list.files[i].time_ns <= time_ns; i++)
            if (list.files[i].time_ns == time_ns)
                found |= store_remove_sealed(folder, &list.files[i]);
        journal_list_finish(&list);
    }
    return found;
}
