/* The quota of the whole system.
 *
 * What is above it goes file by file, the oldest of all first, whichever journal it is of;
 * `current` stays. Few at a time: removing a large file keeps a disk busy. Folders below LOGS that
 * no service has any more are found once, after the start, and when a service is forgotten. */
#include "service-journal/total.h"
#include "base/clock.h"
#include "log/log.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#define DEFAULT_PARTS       10          /* of the file system, one of them, … */
#define DEFAULT_LEAST_BYTES (16u << 20) /* … but a file of one service, … */
#define DEFAULT_MOST_BYTES  (4ull << 30)
#define AT_ONCE             16 /* files */
#define MORE_NS             (20 * NS_PER_MS)
#define LOOK_NS             (2 * NS_PER_SEC) /* after the start; the boot goes first */

struct stray {
    struct total_share share;
    struct list node;
    struct journal_file file;
    char name[];
};

/* ---- how much ------------------------------------------------------------------------------ */

/* 0: it cannot be told, and there is no limit. */
static uint64_t limit_of(struct total *total)
{
    struct statvfs stat;
    uint64_t limit = total->max_bytes;
    if (limit || statvfs(total->store->logs, &stat) < 0)
        return limit;
    limit = (uint64_t)stat.f_blocks * stat.f_frsize / DEFAULT_PARTS;
    return limit < DEFAULT_LEAST_BYTES  ? DEFAULT_LEAST_BYTES
           : limit < DEFAULT_MOST_BYTES ? limit
                                        : DEFAULT_MOST_BYTES;
}

/* How long `current` is; not what somebody else has made of it in a folder of his own. */
static uint64_t longest_of(const struct journal_file *file)
{
    const uint64_t most = file->quota.max_size_bytes + JOURNAL_LINE_BYTES;
    return file->size_bytes < most ? file->size_bytes : most;
}

/* As it was measured, or as long as it has become since. */
static uint64_t current_of(const struct total_share *share)
{
    const uint64_t current = share->measure.current_bytes;
    const uint64_t longest = share->file->fd >= 0 ? longest_of(share->file) : 0;
    return longest > current ? longest : current;
}

/* Looks at no disk. */
static uint64_t used_of(const struct total *total)
{
    uint64_t used = 0;
    list_for_each(node, &total->shares)
    {
        const struct total_share *share = container_of(node, struct total_share, node);
        used += share->measure.sealed_bytes + current_of(share);
    }
    return used;
}

/* Not one that was sealed in a batch that is not done: that may have to come back. */
static struct total_share *find_oldest(const struct total *total)
{
    struct total_share *oldest = NULL;
    list_for_each(node, &total->shares)
    {
        struct total_share *share = container_of(node, struct total_share, node);
        if (share->measure.oldest_ns && !share->file->sealed &&
            (!oldest || share->measure.oldest_ns < oldest->measure.oldest_ns))
            oldest = share;
    }
    return oldest;
}

/* Why they are above it when there is nothing to remove. TOTAL_BELOW: that is not known yet. */
static enum total_state find_reason(const struct total *total, uint64_t limit)
{
    uint64_t current = 0;
    bool comes = false; /* what was sealed in the batch that is not done */
    list_for_each(node, &total->shares)
    {
        const struct total_share *share = container_of(node, struct total_share, node);
        current += current_of(share);
        comes = comes || share->file->sealed;
    }
    return current > limit ? TOTAL_CURRENT_ABOVE : comes ? TOTAL_BELOW : TOTAL_SEALED_STAY;
}

/* Once, until they are below it again, or it is for another reason. */
static void say_above(struct total *total, uint64_t limit)
{
    const enum total_state state = find_reason(total, limit);
    if (state == TOTAL_BELOW || state == total->state)
        return;
    total->state = state;
    LOG(WARNING,
        state == TOTAL_CURRENT_ABOVE
            ? "The journals' current files alone are above the quota of all journals"
            : "The journals are above the quota of all journals, and files cannot be removed",
        TEXT("logs", total->store->logs), NUMBER("bytes", used_of(total)), NUMBER("quota", limit));
}

static void on_more(struct loop_timer *timer);

static void keep(struct total *total)
{
    const uint64_t limit = limit_of(total);
    if (used_of(total) <= limit)
        total->state = TOTAL_BELOW;
    for (int i = 0; limit && used_of(total) > limit; i++) {
        struct total_share *share = find_oldest(total);
        if (!share) {
            say_above(total, limit);
            return;
        }
        if (i == AT_ONCE) {
            loop_set_timer(total->loop, &total->more, clock_now_ns() + MORE_NS, on_more);
            return;
        }
        const uint64_t oldest_ns = share->measure.oldest_ns;
        bool removed = journal_store_remove_sealed(total->store, share->file, oldest_ns);
        journal_store_measure(total->store, share->file, &share->measure);
        if (!removed && share->measure.oldest_ns == oldest_ns)
            share->measure.oldest_ns = 0; /* it cannot be: others go, until it is looked at again */
    }
}

static void on_more(struct loop_timer *timer)
{
    keep(container_of(timer, struct total, more));
}

/* ---- whose --------------------------------------------------------------------------------- */

static struct stray *find_stray(const struct total *total, const char *name)
{
    list_for_each(node, &total->strays)
    {
        struct stray *stray = container_of(node, struct stray, node);
        if (strcmp(stray->name, name) == 0)
            return stray;
    }
    return NULL;
}

static void drop_stray(struct stray *stray)
{
    list_remove(&stray->share.node);
    list_remove(&stray->node);
    free(stray);
}

/* Without memory, or with nothing in it, it does not count. */
static void add_stray(struct total *total, const char *name)
{
    const size_t bytes = strlen(name) + 1;
    struct stray *stray = calloc(1, sizeof *stray + bytes);
    if (!stray)
        return;
    memcpy(stray->name, name, bytes);
    journal_file_init(&stray->file, stray->name, NULL);
    stray->share.file = &stray->file;
    list_append(&total->shares, &stray->share.node);
    list_append(&total->strays, &stray->node);
    journal_store_measure(total->store, &stray->file, &stray->share.measure);
    if (!stray->share.measure.sealed_bytes && !stray->share.measure.current_bytes)
        drop_stray(stray);
}

static void on_look(struct loop_timer *timer)
{
    struct total *total = container_of(timer, struct total, look);
    DIR *folder = opendir(total->store->logs);
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        if (entry->d_name[0] != '.' && entry->d_type == DT_DIR &&
            !total->count_written(total->context, entry->d_name) &&
            !find_stray(total, entry->d_name))
            add_stray(total, entry->d_name);
    if (folder)
        closedir(folder);
    keep(total);
}

void total_init(struct total *total, struct journal_store *store, struct loop *loop,
                unsigned (*count_written)(void *context, const char *name), void *context)
{
    *total = (struct total){
        .store = store, .loop = loop, .count_written = count_written, .context = context};
    list_init(&total->shares);
    list_init(&total->strays);
    loop_set_timer(loop, &total->look, clock_now_ns() + LOOK_NS, on_look);
}

/* Without memory it does not count. */
static struct total_share *make_share(struct total *total, const struct journal_file *file)
{
    struct stray *stray = file->folder ? NULL : find_stray(total, file->name);
    struct total_share *share = calloc(1, sizeof *share);
    if (stray)
        drop_stray(stray);
    if (!share)
        return NULL;
    share->file = file;
    list_append(&total->shares, &share->node);
    return share;
}

void total_measure(struct total *total, struct total_share **share, const struct journal_file *file)
{
    struct journal_measure measure;
    journal_store_measure(total->store, file, &measure);
    if (!*share && (measure.sealed_bytes || measure.current_bytes))
        *share = make_share(total, file);
    if (!*share)
        return;
    (*share)->measure = measure;
    keep(total);
}

void total_leave(struct total *total, struct total_share **share, const struct journal_file *file)
{
    if (*share)
        list_remove(&(*share)->node);
    free(*share);
    *share = NULL;
    if (!file->folder && total->count_written(total->context, file->name) <= 1)
        add_stray(total, file->name);
}

void total_set(struct total *total, uint64_t max_bytes)
{
    total->max_bytes = max_bytes;
    total->changed = true;
}

void total_look(struct total *total)
{
    if (!total->changed)
        return;
    total->changed = false;
    keep(total);
}
