/* Merging journals: a heap of sources by the time of their next entry. Of entries with the same
 * time the one whose journal was added first comes first. */
#include "slc/log-merge.h"

#include "base/text.h"
#include "slc/log-loss.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define READ_AHEAD_MOST                                                                            \
    2 /* sources, as one service has: of many others the threads would be too many */
#define BACK_MOST (1ull << 22) /* entries that are gone back over at once */

/* Has each source of a name know the one of them that is a stopgap. 0 or -ENOMEM. */
static int know_stopgap(struct log_merge *merge, struct log_source *source)
{
    json_t *indices = json_object_get(merge->named, source->name), *index;
    size_t i;

    if (!indices) {
        indices = json_array();
        if (json_object_set_new_nocheck(merge->named, source->name, indices) < 0) /* any bytes */
            return -ENOMEM;
    }
    json_array_foreach(indices, i, index)
    {
        struct log_source *other = merge->all[json_integer_value(index)];
        if (source->is_stopgap)
            other->stopgap = source;
        else if (other->is_stopgap)
            source->stopgap = other;
    }
    return json_array_append_new(indices, json_integer((json_int_t)source->index)) < 0 ? -ENOMEM
                                                                                       : 0;
}

int log_merge_add(struct log_merge *merge, const char *name, const char *folder, bool is_stopgap)
{
    struct log_source **all, **heap;
    struct log_source *source;

    if ((!merge->known && !(merge->known = json_object())) ||
        (!merge->named && !(merge->named = json_object())))
        return -ENOMEM;
    if (json_object_get(merge->known, folder))
        return -EEXIST;
    all = reallocarray(merge->all, merge->all_count + 1, sizeof(*all));
    if (!all)
        return -ENOMEM;
    merge->all = all;
    heap = reallocarray(merge->heap, merge->all_count + 1, sizeof(*heap));
    if (!heap)
        return -ENOMEM;
    merge->heap = heap;
    source = calloc(1, sizeof *source);
    if (!source || !(source->name = strdup(name)) || !(source->folder = strdup(folder))) {
        free(source ? source->name : NULL);
        free(source);
        return -ENOMEM;
    }
    json_object_set_new_nocheck(merge->known, folder, json_true());
    source->is_stopgap = is_stopgap;
    source->stop = JOURNAL_PLACE_NEVER;
    source->index = merge->all_count;
    merge->all[merge->all_count++] = source;
    return know_stopgap(merge, source);
}

int log_merge_add_all(struct log_merge *merge, const char *root, bool is_stopgap)
{
    char path[PATH_MAX];
    DIR *folder = opendir(root);
    struct dirent *entry;
    int r = 0;

    if (!folder)
        return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
    while (r == 0 && (entry = readdir(folder))) {
        if (entry->d_name[0] == '.' ||
            (entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN && entry->d_type != DT_LNK))
            continue;
        if (text_format(path, sizeof path, "%s/%s", root, entry->d_name))
            r = log_merge_add(merge, entry->d_name, path, is_stopgap);
        r = r == -EEXIST ? 0 : r;
    }
    closedir(folder);
    return r;
}

/* Goes on in a file that was read before. 0, or -errno: it is to be called again. */
static int find_again(struct log_source *source)
{
    int r = journal_reader_go_on(&source->reader);
    source->astray = r < 0;
    return r < 0 ? r : 0;
}

int log_merge_open(struct log_merge *merge, struct log_source *source)
{
    bool whole;
    int failed;

    if (source->is_open)
        return 0;
    failed = journal_reader_open(&source->reader, source->folder);
    if (failed)
        return failed;
    source->is_open = true;
    source->reader.whole_lines = merge->follow;
    source->reader.bookmarks = &source->bookmarks;
    source->reader.reads_ahead = merge->all_count <= READ_AHEAD_MOST;
    source->reader.since_ns = merge->filter.since_ns;
    source->reader.until_ns = merge->filter.until_ns;
    if (merge->filter.matcher)
        source->reader.literal =
            matcher_literal(merge->filter.matcher, &source->reader.literal_bytes, &whole);
    return find_again(source);
}

void log_merge_close(struct log_source *source)
{
    journal_reader_close(&source->reader);
    source->is_open = false;
}

/* ---- the heap ------------------------------------------------------------------------------- */

static bool is_before(const struct log_merge *merge, const struct log_source *a,
                      const struct log_source *b)
{
    if (a->time_ns != b->time_ns)
        return a->time_ns < b->time_ns;
    /* A journal goes on in the stopgap. But followed, what is in both has to be seen there first.
     */
    if (a->is_stopgap != b->is_stopgap)
        return merge->follow ? a->is_stopgap : b->is_stopgap;
    return a->index < b->index;
}

static void swap(struct log_merge *merge, size_t a, size_t b)
{
    struct log_source *kept = merge->heap[a];
    merge->heap[a] = merge->heap[b];
    merge->heap[b] = kept;
}

static void sink(struct log_merge *merge, size_t at)
{
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < merge->count; child++)
            if (is_before(merge, merge->heap[child], merge->heap[least]))
                least = child;
        if (least == at)
            return;
        swap(merge, at, least);
        at = least;
    }
}

static void push(struct log_merge *merge, struct log_source *source)
{
    size_t at = merge->count++;

    merge->heap[at] = source;
    source->in_heap = true;
    for (; at && is_before(merge, merge->heap[at], merge->heap[(at - 1) / 2]); at = (at - 1) / 2)
        swap(merge, at, (at - 1) / 2);
}

/* ---- one source ----------------------------------------------------------------------------- */

/* Looks at which files there are now. Returns 1, 0 when there is none any more, or -errno. */
static int refresh(const struct log_merge *merge, struct log_source *source)
{
    log_loss_tell_of(merge, source);
    int r = journal_reader_refresh(&source->reader, source->folder);

    source->changed = false;
    source->losses_told = r < 0 ? source->losses_told : 0;
    if (r == -ENOENT) {
        source->losses_told = 0;
        journal_reader_close(&source->reader);
        source->is_open = false;
        return 0;
    }
    if (r > 0)
        r = find_again(source);
    return r < 0 ? r : 1;
}

/* Reads the source's next entry that counts. Returns 1, 0 at its end, or -errno. */
static int advance(const struct log_merge *merge, struct log_source *source)
{
    for (;;) {
        int r = source->astray ? find_again(source) : 0;
        if (r == 0)
            r = journal_joiner_next(&source->joiner, &source->reader, &source->entry);
        if (r < 0)
            return r;
        if (r == 0 && source->changed && (r = refresh(merge, source)) > 0)
            continue;
        if (r <= 0)
            return r;
        if (source->entry.time_ns)
            source->time_ns = source->entry.time_ns;
        if (log_filter_takes(&merge->filter, &source->entry, source->time_ns))
            return 1;
    }
}

/* The same, to be handed out. */
static int advance_to_show(const struct log_merge *merge, struct log_source *source)
{
    int r = advance(merge, source);
    if (r > 0 && merge->follow && source->is_stopgap) {
        int failed = log_moved_note(&source->moved, &source->entry);
        r = failed ? failed : r;
    }
    return r;
}

static void stand(struct log_source *source, struct journal_place from, struct journal_place stop)
{
    journal_joiner_finish(&source->joiner);
    source->joiner = (struct journal_joiner){0};
    source->time_ns = 0;
    journal_reader_stand(&source->reader, from, stop);
}

/* ---- where to begin ------------------------------------------------------------------------- */

/* How many entries between these places are wanted. */
static int count_between(struct log_merge *merge, struct log_source *source,
                         struct journal_place from, struct journal_place stop, uint64_t *count)
{
    int r;

    stand(source, from, stop);
    while ((r = advance(merge, source)) > 0)
        (*count)++;
    return r;
}

/* Moves source->from back until `most` wanted entries follow, or to `first`. *ret_count is how many
 * do. Each step goes back over as many again as all before it, so that little is read in vain. */
static int go_back(struct log_merge *merge, struct log_source *source, struct journal_place first,
                   uint64_t most, uint64_t *ret_count)
{
    struct journal_place until = source->from, from;
    uint64_t step = most < BACK_MOST ? most + 1 : BACK_MOST;
    int r = 1;

    *ret_count = 0;
    while (*ret_count < most && journal_place_is_before(first, until)) {
        from = until;
        r = journal_reader_back(&source->reader, &from, step);
        if (r < 0)
            return r;
        if (journal_place_is_before(from, first))
            from = first;
        r = count_between(merge, source, from, until, ret_count);
        if (r < 0)
            return r;
        until = from;
        step = step < BACK_MOST / 4 ? step * 4 : BACK_MOST;
    }
    source->from = until;
    return 0;
}

/* Finds where this source begins and ends. */
static int find_places(struct log_merge *merge, struct log_source *source, uint64_t most,
                       uint64_t *ret_count)
{
    struct journal_place first = JOURNAL_PLACE_BEGIN, end;
    int r = journal_reader_end(&source->reader, &source->stop);

    *ret_count = 0;
    if (r == 0 && merge->filter.since_ns)
        r = journal_reader_find_time(&source->reader, merge->filter.since_ns, &first);
    source->from = first;
    if (r == 0 && most != UINT64_MAX) {
        end = source->stop;
        if (merge->filter.until_ns != UINT64_MAX)
            r = journal_reader_find_end(&source->reader, merge->filter.until_ns, &end);
        source->from = journal_place_is_before(end, first) ? first : end;
        /* To follow behind the last line, of which the end may be missing, that is begun with. */
        if (r == 0 && (most || merge->follow))
            r = go_back(merge, source, first, most ? most : 1, ret_count);
    }
    if (merge->follow)
        source->stop = JOURNAL_PLACE_NEVER;
    return r;
}

static int begin_source(struct log_merge *merge, struct log_source *source)
{
    int r;

    stand(source, source->from, source->stop);
    r = advance_to_show(merge, source);
    if (r > 0)
        push(merge, source);
    if (r > 0 && (source->from.file || source->from.at))
        source->begun_ns = source->time_ns;
    return r;
}

/* The newest N of all are among the newest N of each. */
int log_merge_begin(struct log_merge *merge, uint64_t most)
{
    uint64_t total = 0, count;
    const struct journal_entry *entry;
    const char *name;
    int r = 0;

    for (size_t i = 0; i < merge->all_count && r >= 0; i++) {
        struct log_source *source = merge->all[i];
        if (!source->is_open)
            continue;
        r = find_places(merge, source, most, &count);
        total += count;
        if (r >= 0)
            r = begin_source(merge, source);
    }
    for (; r >= 0 && most != UINT64_MAX && total > most; total--)
        r = log_merge_next(merge, &name, &entry);
    return r < 0 ? r : 0;
}

/* ---- reading -------------------------------------------------------------------------------- */

/* Whether the first source's entry was shown already where it was before it was moved. What is
 * there and was not looked at is read first, and may be the first one then. 1, 0 or -errno. */
static int was_shown(struct log_merge *merge, struct log_source *source)
{
    struct log_source *stopgap = source->stopgap;

    if (stopgap->is_open && !stopgap->in_heap) {
        int r = log_merge_look_again(merge, stopgap);
        if (r < 0 || merge->heap[0] != source)
            return r;
    }
    if (log_moved_take(&stopgap->moved, &source->entry)) {
        stopgap->begun_ns = 0;
        return 1;
    }
    if (merge->live && source->time_ns <= stopgap->begun_ns)
        return 1;
    if (!stopgap->is_open && source->time_ns > stopgap->time_ns) /* all of it has come again */
        log_moved_finish(&stopgap->moved);
    return 0;
}

/* Goes on to the next entry of the source whose entry is the oldest. 0 or -errno. */
static int pass_over(struct log_merge *merge)
{
    struct log_source *first = merge->heap[0];
    int r = advance_to_show(merge, first);

    if (r < 0)
        return r;
    if (r == 0) {
        first->in_heap = false;
        merge->heap[0] = merge->heap[--merge->count];
    }
    sink(merge, 0);
    return 0;
}

int log_merge_next(struct log_merge *merge, const char **ret_name, const struct journal_entry **ret)
{
    int r = merge->taken ? pass_over(merge) : 0;

    merge->taken = merge->taken && r < 0;
    while (r == 0 && merge->count) {
        struct log_source *first = merge->heap[0];
        if (merge->follow && first->stopgap) {
            r = was_shown(merge, first);
            if (r > 0)
                r = pass_over(merge);
            else if (r == 0 && merge->heap[0] == first)
                merge->taken = true;
        } else {
            merge->taken = true;
        }
        if (merge->taken) {
            *ret_name = first->name;
            *ret = &first->entry;
            return 1;
        }
    }
    merge->live |= r == 0;
    return r;
}

int log_merge_look_again(struct log_merge *merge, struct log_source *source)
{
    int r;

    if (source->in_heap)
        return 0;
    if (!source->is_open) {
        r = log_merge_open(merge, source);
        if (r < 0)
            return r == -ENOENT ? 0 : r;
    }
    r = advance_to_show(merge, source);
    if (r > 0)
        push(merge, source);
    return r < 0 ? r : 0;
}

void log_merge_finish(struct log_merge *merge)
{
    for (size_t i = 0; i < merge->all_count; i++) {
        journal_joiner_finish(&merge->all[i]->joiner);
        log_moved_finish(&merge->all[i]->moved);
        journal_reader_close(&merge->all[i]->reader);
        free(merge->all[i]->name);
        free(merge->all[i]->folder);
        free(merge->all[i]);
    }
    free(merge->all);
    free(merge->heap);
    json_decref(merge->known);
    json_decref(merge->named);
    *merge = (struct log_merge){0};
}
