/* From the queue into files.
 *
 * A batch is what lies next in the queue, gathered by journal, so that of a hundred that print at
 * once each gets one write. Before its first write to a file it is noted how long that was: after a
 * kill the next journal cuts it back, and writes the batch again. */
#include "service-journal/writer-batch.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_BYTES  (256u << 10) /* a quarter of the queue: the other thread fills the rest */
#define BATCH_PIECES 1024
#define NO_PIECE     UINT32_MAX
#define CHUNK_BYTES  65536 /* of a backlog, written at once */
#define REASON_HUNG  "the disk did not answer"

struct piece {
    char *bytes;
    uint32_t count, flags, next;
};

/* What of one journal is in a batch. */
struct share {
    struct book *book;
    uint32_t first, last; /* pieces */
    uint32_t bytes;
};

struct batch {
    struct share shares[QUEUE_NOTES];
    uint32_t count, pieces;
};

/* The writer's. Pages that are never used are not there. */
static struct book *books[JOURNAL_SLOTS_MAX];
static struct batch batch;
static struct piece pieces[BATCH_PIECES];
static char chunk[CHUNK_BYTES];

void writer_set_book(uint32_t slot, struct book *book)
{
    books[slot] = book;
}

struct book *writer_book(uint32_t slot)
{
    return slot < JOURNAL_SLOTS_MAX ? books[slot] : NULL;
}

bool writer_has_backlog(const struct book *book)
{
    return book->backlog && backlog_is_needed(book->backlog);
}

void writer_drop_backlog(struct writer *writer, struct book *book)
{
    if (book->backlog && book->backlog->used)
        backlog_consume(book->backlog, &writer->pool, book->backlog->used);
    free(book->backlog);
    book->backlog = NULL;
}

/* ---- backlogs, under the lock ------------------------------------------------------------- */

/* Without memory for it lines are lost that nobody counts: the kernel is about to end somebody. */
static bool has_backlog(struct book *book)
{
    if (!book->backlog)
        book->backlog = calloc(1, sizeof *book->backlog);
    return book->backlog;
}

static void wait_for_disk(struct writer *writer, struct book *book)
{
    if (list_empty(&book->waiting_node) && (book->backlog->used || book->backlog->dropped_lines))
        list_append(&writer->waiting, &book->waiting_node);
}

/* What was dropped since there were so many. */
static void count_dropped(struct book *book, uint64_t before)
{
    if (book->no_room)
        __atomic_fetch_add(book->no_room, book->backlog->dropped_lines - before, __ATOMIC_RELAXED);
}

static void keep(struct writer *writer, struct book *book, const char *bytes, size_t count,
                 bool continues)
{
    bool first = !book->backlog || !backlog_is_needed(book->backlog);
    if (!has_backlog(book))
        return;
    if (first)
        book->continues = continues;
    uint64_t dropped = book->backlog->dropped_lines;
    backlog_add(book->backlog, &writer->pool, bytes, count);
    count_dropped(book, dropped);
    wait_for_disk(writer, book);
}

static void give_back(struct writer *writer, struct book *book, const char *bytes, size_t count,
                      bool continues)
{
    if (!count || !has_backlog(book))
        return;
    uint64_t dropped = book->backlog->dropped_lines;
    backlog_give_back(book->backlog, &writer->pool, bytes, count);
    count_dropped(book, dropped);
    book->continues = continues;
    wait_for_disk(writer, book);
}

void writer_take_back(struct writer *writer)
{
    const struct queue_record *record;
    uint64_t next;

    pthread_mutex_lock(&writer->lock);
    for (uint64_t at = writer->claimed; (record = queue_get(writer->queue, at, &next)); at = next) {
        struct book *book = writer_book(record->slot);
        if (book)
            keep(writer, book, record->text, record->bytes, record->flags & QUEUE_CONTINUES);
    }
    list_for_each(node, &writer->ending)
    {
        struct book *book = container_of(node, struct book, news_node);
        if (book->end_at > writer->claimed)
            book->end_at = writer->claimed;
    }
    list_for_each(node, &writer->news)
    {
        struct book *book = container_of(node, struct book, news_node);
        if (book->end_at > writer->claimed)
            book->end_at = writer->claimed;
    }
    queue_take_back(writer->queue, writer->claimed);
    writer->fresh = true;
    pthread_mutex_unlock(&writer->lock);
    writer_want_room(writer, 1); /* the batch under way ends */
}

/* ---- the batch ---------------------------------------------------------------------------- */

/* False: not in this batch any more. */
static bool add_piece(struct book *book, const struct queue_record *record)
{
    const uint32_t at = batch.pieces;
    if (at == BATCH_PIECES || (!book->batch_place && batch.count == QUEUE_NOTES))
        return false;
    struct share *share = &batch.shares[book->batch_place ? book->batch_place - 1 : batch.count];
    /* So that no more than one file is filled before the quota is looked at. */
    if (book->batch_place && share->bytes + record->bytes > book->file.quota.max_size_bytes / 2)
        return false;
    pieces[at] = (struct piece){(char *)record->text, record->bytes, record->flags, NO_PIECE};
    if (!book->batch_place) {
        *share = (struct share){.book = book, .first = at};
        book->batch_place = ++batch.count;
    } else {
        pieces[share->last].next = at;
    }
    share->last = batch.pieces++;
    share->bytes += record->bytes;
    return true;
}

/* Takes what comes next out of the queue. Returns where the rest begins. */
static uint64_t claim(struct writer *writer)
{
    const struct queue_record *record;
    uint64_t begin = queue_tail(writer->queue), at = begin, next;

    batch.count = batch.pieces = 0;
    pthread_mutex_lock(&writer->lock);
    uint64_t head = queue_head(writer->queue);
    while (at - begin < BATCH_BYTES && (record = queue_get(writer->queue, at, &next))) {
        struct book *book = writer_book(record->slot);
        bool seal = record->flags & QUEUE_SEAL;
        if (book && writer_has_backlog(book))
            keep(writer, book, record->text, record->bytes, record->flags & QUEUE_CONTINUES);
        else if (book && !add_piece(book, record))
            break;
        at = next;
        if (seal)
            break;
    }
    /* What is no record is nobody's; it would stop everything for ever. */
    if (at == begin)
        at = head;
    writer->claimed = at;
    pthread_mutex_unlock(&writer->lock);
    return at;
}

/* Puts what was not written of the pieces from `first` on back, in front of the backlog. */
static void give_back_pieces(struct writer *writer, struct book *book, uint32_t first, size_t done)
{
    uint32_t order[BATCH_PIECES / 8] = {0};
    size_t count = 0, all = sizeof order / sizeof order[0];

    for (uint32_t at = first; at != NO_PIECE && count < all; at = pieces[at].next)
        order[count++] = at;
    if (count == all && pieces[order[count - 1]].next != NO_PIECE)
        give_back_pieces(writer, book, pieces[order[count - 1]].next, 0);
    while (count--) {
        const struct piece *piece = &pieces[order[count]];
        size_t skip = count ? 0 : done;
        give_back(writer, book, piece->bytes + skip, piece->count - skip,
                  skip ? book->file.mid_line : piece->flags & QUEUE_CONTINUES);
    }
}

/* Writes up to JOURNAL_PIECES_MOST pieces. Returns the next, NO_PIECE at the end or on failure. */
static uint32_t write_pieces(struct writer *writer, struct book *book, uint32_t first,
                             uint64_t now_ns)
{
    struct iovec vector[JOURNAL_PIECES_MOST];
    uint32_t at = first, flags = 0;
    size_t total = 0;
    int count = 0;

    for (; at != NO_PIECE && count < JOURNAL_PIECES_MOST; at = pieces[at].next) {
        vector[count++] = (struct iovec){pieces[at].bytes, pieces[at].count};
        total += pieces[at].count;
        flags |= pieces[at].flags;
    }
    size_t done = book->file.error
                      ? 0
                      : journal_store_write(&writer->store, &book->file, vector, count, now_ns);
    writer_advance(writer);
    if (done)
        sync_written(writer, book, flags & QUEUE_URGENT);
    if (done == total)
        return at;
    at = first;
    while (done >= pieces[at].count) {
        done -= pieces[at].count;
        at = pieces[at].next;
    }
    pthread_mutex_lock(&writer->lock);
    give_back_pieces(writer, book, at, done);
    pthread_mutex_unlock(&writer->lock);
    return NO_PIECE;
}

static void write_share(struct writer *writer, size_t number, uint64_t now_ns)
{
    const struct share *share = &batch.shares[number];
    struct book *book = share->book;
    struct journal_file *file = &book->file;
    bool continues = pieces[share->first].flags & QUEUE_CONTINUES;
    bool seal = pieces[share->last].flags & QUEUE_SEAL;

    if (journal_store_prepare(&writer->store, file, continues, now_ns) == 0)
        queue_note(writer->queue, number, book->slot, file->device, file->inode, file->size_bytes);
    for (uint32_t at = share->first; at != NO_PIECE;)
        at = write_pieces(writer, book, at, now_ns);
    if (seal && !file->error && !file->mid_line)
        journal_store_seal(&writer->store, file);
}

bool writer_batch(struct writer *writer)
{
    uint64_t now_ns = clock_read_ns(CLOCK_REALTIME), end = claim(writer);

    if (end == queue_tail(writer->queue))
        return false;
    for (size_t i = 0; i < batch.count; i++)
        write_share(writer, i, now_ns);
    queue_done(writer->queue, end);
    writer_advance(writer);
    for (size_t i = 0; i < batch.count; i++) {
        struct book *book = batch.shares[i].book;
        book->batch_place = 0;
        if (book->file.sealed)
            keeper_sealed(&writer->keeper, book);
    }
    return true;
}

void writer_rewind(struct writer *writer)
{
    for (size_t i = 0; i < QUEUE_NOTES; i++) {
        const struct queue_note *note = queue_noted(writer->queue, i);
        struct book *book = note ? writer_book(note->slot) : NULL;
        if (book)
            journal_store_rewind(&writer->store, &book->file, (dev_t)note->device,
                                 (ino_t)note->inode, note->bytes);
        writer_advance(writer);
    }
    queue_forget_notes(writer->queue);
}

/* ---- backlogs, tried again ----------------------------------------------------------------- */

static const char *reason_of(const struct book *book)
{
    return book->file.error ? strerror(-book->file.error) : REASON_HUNG;
}

static uint64_t has_dropped(struct writer *writer, const struct book *book)
{
    pthread_mutex_lock(&writer->lock);
    uint64_t dropped = book->backlog ? book->backlog->dropped_lines : 0;
    pthread_mutex_unlock(&writer->lock);
    return dropped;
}

/* Says what was dropped so far. */
static bool write_dropped(struct writer *writer, struct book *book, const char *reason,
                          uint64_t now_ns)
{
    uint64_t dropped = has_dropped(writer, book);
    if (!dropped)
        return true;
    if (!journal_store_write_dropped(&writer->store, &book->file, dropped, reason, now_ns))
        return false;
    pthread_mutex_lock(&writer->lock);
    book->backlog->dropped_lines -= dropped;
    book->continues = false;
    pthread_mutex_unlock(&writer->lock);
    return true;
}

/* How much of a chunk is whole lines; all of it where no line ends. */
static size_t whole_lines(size_t used)
{
    const char *end = memrchr(chunk, '\n', used);
    return end ? (size_t)(end - chunk) + 1 : used;
}

/* Takes what comes next out of a backlog: whole lines as far as they fit, for what is left in it
 * may be dropped before it is written. */
static size_t take_chunk(struct writer *writer, struct book *book, bool *ret_continues)
{
    struct iovec parts[2];
    size_t used = 0;

    pthread_mutex_lock(&writer->lock);
    *ret_continues = book->continues;
    if (book->backlog && !book->backlog->dropped_lines)
        for (int i = 0, count = backlog_pieces(book->backlog, parts); i < count; i++) {
            size_t take =
                parts[i].iov_len < sizeof chunk - used ? parts[i].iov_len : sizeof chunk - used;
            memcpy(chunk + used, parts[i].iov_base, take);
            used += take;
        }
    if (used == sizeof chunk)
        used = whole_lines(used);
    if (used) {
        book->continues = chunk[used - 1] != '\n';
        backlog_consume(book->backlog, &writer->pool, used);
    }
    pthread_mutex_unlock(&writer->lock);
    return used;
}

/* Returns true when nothing is left. */
static bool write_backlog(struct writer *writer, struct book *book, uint64_t now_ns)
{
    char reason[64];
    size_t count;
    bool continues;

    snprintf(reason, sizeof reason, "%s", reason_of(book));
    do {
        if (!write_dropped(writer, book, reason, now_ns))
            return false;
        while ((count = take_chunk(writer, book, &continues)) > 0) {
            struct iovec piece = {chunk, count};
            size_t done = 0;
            if (journal_store_prepare(&writer->store, &book->file, continues, now_ns) == 0)
                done = journal_store_write(&writer->store, &book->file, &piece, 1, now_ns);
            writer_advance(writer);
            if (done) /* what is in it is not known any more */
                sync_written(writer, book, true);
            if (done == count)
                continue;
            pthread_mutex_lock(&writer->lock);
            give_back(writer, book, chunk + done, count - done,
                      done ? book->file.mid_line : continues);
            pthread_mutex_unlock(&writer->lock);
            return false;
        }
    } while (has_dropped(writer, book));
    return true;
}

bool writer_retry(struct writer *writer)
{
    uint64_t now_ns = clock_read_ns(CLOCK_REALTIME);
    struct list trying, *node;
    bool left = false;

    list_init(&trying);
    pthread_mutex_lock(&writer->lock);
    writer->fresh = false;
    while ((node = list_take(&writer->waiting)))
        list_append(&trying, node);
    pthread_mutex_unlock(&writer->lock);
    while (!list_empty(&trying)) {
        struct book *book = container_of(list_first(&trying), struct book, waiting_node);
        left = !write_backlog(writer, book, now_ns) || left;
        pthread_mutex_lock(&writer->lock);
        list_remove(&book->waiting_node);
        if (writer_has_backlog(book))
            wait_for_disk(writer, book);
        else
            writer_drop_backlog(writer, book);
        pthread_mutex_unlock(&writer->lock);
        if (book->file.sealed)
            keeper_sealed(&writer->keeper, book);
    }
    return left;
}
