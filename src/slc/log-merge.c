/* Merging journals: a heap of sources by the time of their next entry. Of entries with the same
 * time the one whose journal was opened first comes first. */
#include "slc/log-merge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int log_merge_open(struct log_merge *merge, const char *logs, const char *runtime, const char *name,
                   const char *folder)
{
    struct log_source **all = reallocarray(merge->all, merge->all_count + 1, sizeof(*all));
    struct log_source **heap;
    struct log_source *source;
    int r;

    if (!all)
        return -ENOMEM;
    merge->all = all;
    heap = reallocarray(merge->heap, merge->all_count + 1, sizeof(*heap));
    if (!heap)
        return -ENOMEM;
    merge->heap = heap;
    source = calloc(1, sizeof *source);
    if (!source || !(source->name = strdup(name))) {
        free(source);
        return -ENOMEM;
    }
    r = journal_reader_open_service(&source->reader, logs, runtime, name, folder);
    if (r < 0) {
        free(source->name);
        free(source);
        return r;
    }
    source->index = merge->all_count;
    merge->all[merge->all_count++] = source;
    return 0;
}

/* ---- the heap ------------------------------------------------------------------------------- */

static bool is_before(const struct log_source *a, const struct log_source *b)
{
    return a->time_ns < b->time_ns || (a->time_ns == b->time_ns && a->index < b->index);
}

static void sink(struct log_merge *merge, size_t at)
{
    struct log_source **heap = merge->heap;

    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < merge->count; child++)
            if (is_before(heap[child], heap[least]))
                least = child;
        if (least == at)
            return;
        struct log_source *swap = heap[at];
        heap[at] = heap[least];
        heap[least] = swap;
        at = least;
    }
}

/* Reads the source's next entry that counts. Returns 1, 0 at its end, or -errno. */
static int advance(const struct log_merge *merge, struct log_source *source)
{
    int r;

    do
        r = journal_joiner_next(&source->joiner, &source->reader, &source->entry);
    while (r > 0 && merge->only_output && source->entry.mark == JOURNAL_EVENT_MARK);
    if (r > 0 && source->entry.time_ns)
        source->time_ns = source->entry.time_ns;
    return r;
}

/* Has every source stand so that its newest `most` entries follow; UINT64_MAX, all of them, only
 * where nothing was read yet. */
static int restart(struct log_merge *merge, uint64_t most)
{
    merge->count = 0;
    merge->taken = false;
    for (size_t i = 0; i < merge->all_count; i++) {
        struct log_source *source = merge->all[i];
        int r;
        journal_joiner_finish(&source->joiner);
        source->joiner = (struct journal_joiner){0};
        source->time_ns = 0;
        r = most == UINT64_MAX ? 0 : journal_reader_seek_last(&source->reader, most);
        if (r == 0)
            r = advance(merge, source);
        if (r < 0)
            return r;
        if (r > 0)
            merge->heap[merge->count++] = source;
    }
    for (size_t at = merge->count / 2; at-- > 0;)
        sink(merge, at);
    return 0;
}

int log_merge_next(struct log_merge *merge, const char **ret_name, const struct journal_entry **ret)
{
    if (merge->taken) {
        int r = advance(merge, merge->heap[0]);
        if (r < 0)
            return r;
        if (r == 0)
            merge->heap[0] = merge->heap[--merge->count];
        sink(merge, 0);
        merge->taken = false;
    }
    if (!merge->count)
        return 0;
    merge->taken = true;
    *ret_name = merge->heap[0]->name;
    *ret = &merge->heap[0]->entry;
    return 1;
}

/* How many entries follow, and whether they are all there are. */
static int count_entries(struct log_merge *merge, uint64_t *ret_count)
{
    const struct journal_entry *entry;
    const char *name;
    int r;

    *ret_count = 0;
    while ((r = log_merge_next(merge, &name, &entry)) > 0)
        (*ret_count)++;
    return r;
}

/* The newest N of all are among the newest N of each. Where some do not count, more of each are
 * looked at, until there are enough or looking at more finds no more. */
int log_merge_begin(struct log_merge *merge, uint64_t most)
{
    uint64_t of_each = most, count = 0, before = 0;
    const struct journal_entry *entry;
    const char *name;
    int r;

    if (most == UINT64_MAX || (merge->all_count <= 1 && !merge->only_output))
        return restart(merge, most);
    for (;;) {
        r = restart(merge, of_each);
        if (r == 0)
            r = count_entries(merge, &count);
        if (r < 0)
            return r;
        if (count >= most || !merge->only_output || of_each > UINT64_MAX / 16 ||
            (count == before && of_each > most * 1024 + 65536))
            break;
        before = count;
        of_each = of_each * 8 + 8;
    }
    r = restart(merge, of_each);
    for (; r >= 0 && count > most; count--)
        r = log_merge_next(merge, &name, &entry);
    return r < 0 ? r : 0;
}

void log_merge_finish(struct log_merge *merge)
{
    for (size_t i = 0; i < merge->all_count; i++) {
        journal_joiner_finish(&merge->all[i]->joiner);
        journal_reader_close(&merge->all[i]->reader);
        free(merge->all[i]->name);
        free(merge->all[i]);
    }
    free(merge->all);
    free(merge->heap);
    *merge = (struct log_merge){0};
}
