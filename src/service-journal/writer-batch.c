/* From the queue into files.
 *
 * A batch is what lies next in the queue, gathered by journal, so that of a hundred that print at
 * once each gets one write. Before its first write to a file it is noted how long that was: after a
 * kill the next journal cuts it back, and writes the batch again. */
#include "service-journal/writer-batch.h"

#include "base/clock.h"
#include "journal/lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_BYTES  (256u << 10) /* a quarter of the queue: the other thread fills the rest */
#define BATCH_PIECES 1024
#define NO_PIECE     UINT32_MAX
#define REASON_HUNG  "the disk did not answer"

struct piece {
    char *bytes;
    uint32_t count, flags, next;
    uint64_t at; /* the record's */
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

const char *writer_reason(const struct book *book)
{
    int error = book->file.error ? -book->file.error : book->backlog ? book->backlog->now.error : 0;
    return error ? strerror(error) : REASON_HUNG;
}

void writer_drop_backlog(struct writer *writer, struct book *book)
{
    if (book->backlog)
        backlog_close(book->backlog, &writer->pool);
    free(book->backlog);
    book->backlog = NULL;
}

/* ---- backlogs, under the lock ------------------------------------------------------------- */

/* False: there is no memory for it. */
static bool has_backlog(struct writer *writer, struct book *book)
{
    if (book->backlog)
        return true;
    struct backlog *backlog = calloc(1, sizeof *backlog);
    if (!backlog || backlogs_open_one(writer->backlogs, &writer->pool, book->slot, book->name,
                                      book->folder, book->no_room, backlog) < 0) {
        free(backlog);
        return false;
    }
    book->backlog = backlog;
    return true;
}

static void wait_for_disk(struct writer *writer, struct book *book)
{
    if (list_empty(&book->waiting_node) && writer_has_backlog(book))
        list_append(&writer->waiting, &book->waiting_node);
    /* What is only in the middle of a line that was dropped waits for its end, not for the disk. */
    if (book->backlog && (backlog_used(book->backlog) || book->backlog->now.dropped_lines))
        writer->has_lines = true;
}

/* Is stored with the change that follows, for the journal after a kill. */
static void note_error(struct book *book)
{
    if (book->file.error)
        book->backlog->now.error = (uint16_t)-book->file.error;
}

/* There was no memory for a backlog. Who prints next has one, or what he prints is counted, too. */
static void lose(struct book *book, const char *bytes, size_t count)
{
    uint64_t lines = lines_count(bytes, count);
    book->lost_lines += lines;
    if (book->no_room)
        __atomic_fetch_add(book->no_room, lines, __ATOMIC_RELAXED);
}

/* In front of what is kept by now. They are in the count already. */
static void note_lost(struct book *book)
{
    if (book->lost_lines)
        backlog_drop_more(book->backlog, book->lost_lines);
    book->lost_lines = 0;
}

static void keep(struct writer *writer, struct book *book, const struct queue_record *record,
                 uint64_t at, uint64_t next)
{
    if (!has_backlog(writer, book)) {
        lose(book, record->text, record->bytes);
        return;
    }
    backlog_add(book->backlog, &writer->pool, record->text, record->bytes,
                &(struct backlog_record){at, next, record->flags & QUEUE_CONTINUES});
    note_lost(book);
    wait_for_disk(writer, book);
}

/* What of a chunk could not be written. */
static void give_chunk_back(struct writer *writer, struct book *book, size_t done, bool continues)
{
    const struct backlogs_chunk *chunk = writer->backlogs->chunk;
    note_error(book);
    backlog_give_back(book->backlog, &writer->pool, writer->backlogs->chunk_bytes + done,
                      chunk->bytes - done, continues);
    wait_for_disk(writer, book);
}

/* What of a piece could not be written. */
static void give_back(struct writer *writer, struct book *book, const struct piece *piece,
                      size_t skip)
{
    bool continues = skip ? book->file.mid_line : piece->flags & QUEUE_CONTINUES;
    if (skip == piece->count)
        return;
    if (!has_backlog(writer, book)) {
        lose(book, piece->bytes + skip, piece->count - skip);
        return;
    }
    note_error(book);
    backlog_give_record_back(book->backlog, &writer->pool, piece->bytes + skip, piece->count - skip,
                             &(struct backlog_record){piece->at, writer->claimed, continues}, skip);
    note_lost(book);
    wait_for_disk(writer, book);
}

/* Nothing of the list's books is in the queue from there on. */
static void end_at_most(struct list *list, uint64_t at)
{
    list_for_each(node, list)
    {
        struct book *book = container_of(node, struct book, news_node);
        if (book->end_at > at)
            book->end_at = at;
    }
}

/* Takes the records from a place on out of the queue, into the backlogs. Killed in the middle, the
 * next journal does it again: what is in a backlog already is left out. */
static void take_back(struct writer *writer, uint64_t claimed)
{
    struct backlogs_intent *intent = writer->backlogs->intent;
    const struct queue_record *record;
    uint64_t next;

    intent->claimed = claimed;
    intent->head = queue_head(writer->queue);
    __atomic_store_n(&intent->active, 1, __ATOMIC_SEQ_CST);
    for (uint64_t at = claimed; (record = queue_get(writer->queue, at, &next)); at = next) {
        struct book *book = writer_book(record->slot);
        if (book)
            keep(writer, book, record, at, next);
    }
    queue_take_back(writer->queue, claimed);
    end_at_most(&writer->ending, claimed);
    end_at_most(&writer->news, claimed);
}

/* From here on there are other records at these places. */
static void forget_records(struct writer *writer, uint64_t at)
{
    list_for_each(waiting, &writer->waiting)
        backlog_cut_records(container_of(waiting, struct book, waiting_node)->backlog, at);
    list_for_each(trying, &writer->trying)
        backlog_cut_records(container_of(trying, struct book, waiting_node)->backlog, at);
    __atomic_store_n(&writer->backlogs->intent->active, 0, __ATOMIC_SEQ_CST);
}

/* What another journal had begun is done again first, whenever the writer gets to it: of that some
 * is in backlogs already, and the rest belongs in front of them. */
void writer_take_back(struct writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    const uint64_t from = writer->claimed > writer->again ? writer->claimed : writer->again;
    take_back(writer, from);
    forget_records(writer, from);
    writer->fresh = true;
    pthread_mutex_unlock(&writer->lock);
    writer_want_room(writer, 1); /* the batch under way ends */
}

void writer_restore(struct writer *writer)
{
    const struct backlogs_intent *intent = writer->backlogs->intent;
    struct backlogs *backlogs = writer->backlogs;

    pthread_mutex_lock(&writer->lock);
    for (uint32_t slot = 0; backlogs_find(backlogs, &slot); slot++) {
        struct book *book = writer_book(slot);
        if (!book)
            backlogs_forget(backlogs, slot);
        else if (has_backlog(writer, book))
            list_append(&writer->waiting, &book->waiting_node);
    }
    if (intent->active && intent->head == queue_head(writer->queue) &&
        intent->claimed >= queue_tail(writer->queue) && intent->claimed <= intent->head)
        take_back(writer, intent->claimed);
    forget_records(writer, queue_head(writer->queue));
    list_for_each(node, &writer->waiting)
    {
        const struct book *book = container_of(node, struct book, waiting_node);
        if (book->backlog->now.until > writer->again)
            writer->again = book->backlog->now.until;
    }
    writer->fresh = true;
    pthread_mutex_unlock(&writer->lock);
}

/* ---- files --------------------------------------------------------------------------------- */

void writer_restore_cut(struct writer *writer, struct book *book)
{
    const struct journal_written *written = &writer->written[book->slot];
    if (!written->to_cut)
        return;
    book->file.cut = (struct journal_cut){written->device, written->inode, written->bytes};
    book->file.to_cut = true;
}

/* The next journal has to know, too, what is to be taken back, until that is done. */
static void note_cut(struct writer *writer, const struct book *book)
{
    struct journal_written *written = &writer->written[book->slot];
    const struct journal_cut *cut = &book->file.cut;
    if (book->file.to_cut) {
        written->device = cut->device;
        written->inode = cut->inode;
        written->bytes = cut->bytes;
    }
    if (written->to_cut != book->file.to_cut)
        __atomic_store_n(&written->to_cut, book->file.to_cut, __ATOMIC_SEQ_CST);
}

static int prepare_file(struct writer *writer, struct book *book, bool continues, uint64_t now_ns)
{
    int failed = journal_store_prepare(&writer->store, &book->file, continues, now_ns);
    note_cut(writer, book);
    return failed;
}

/* Takes back what a killed journal had begun to write. Where that cannot be done nothing is written
 * to that file until it can: what comes goes into the backlog. */
static void rewind_file(struct writer *writer, struct book *book, const struct journal_cut *cut)
{
    int failed = journal_store_rewind(&writer->store, &book->file, cut);
    note_cut(writer, book);
    if (book->file.to_cut)
        LOG(WARNING,
            "What a killed journal had begun to write cannot be taken back yet, and must be",
            TEXT("service", book->name), TEXT("error", strerror(-failed)));
}

/* ---- the batch ---------------------------------------------------------------------------- */

/* Adds the first bytes of the record at `place`. False: not in this batch any more. */
static bool add_piece(struct book *book, const struct queue_record *record, uint64_t place,
                      uint32_t bytes)
{
    const uint32_t at = batch.pieces;
    if (at == BATCH_PIECES || (!book->batch_place && batch.count == QUEUE_NOTES))
        return false;
    struct share *share = &batch.shares[book->batch_place ? book->batch_place - 1 : batch.count];
    /* So that no more than one file is filled before the quota is looked at. */
    if (book->batch_place && share->bytes + bytes > book->file.quota.max_size_bytes / 2)
        return false;
    pieces[at] = (struct piece){(char *)record->text, bytes, record->flags, NO_PIECE, place};
    if (!book->batch_place) {
        *share = (struct share){.book = book, .first = at};
        book->batch_place = ++batch.count;
    } else {
        pieces[share->last].next = at;
    }
    share->last = batch.pieces++;
    share->bytes += bytes;
    return true;
}

/* Where there is a backlog what comes next goes behind it. But after a kill the batch is done
 * again, of which some may be in the backlog already, and what is before that in the file again.
 * False: not in this batch any more. */
static bool claim_record(struct writer *writer, struct book *book,
                         const struct queue_record *record, uint64_t at, uint64_t next)
{
    /* What was lost before it is said first. */
    const bool lost = book->lost_lines && has_backlog(writer, book);
    const struct backlog_state *now = book->backlog ? &book->backlog->now : NULL;

    if (lost) {
        keep(writer, book, record, at, next);
        return true;
    }
    if (!now || !writer_has_backlog(book) || at < now->from)
        return add_piece(book, record, at, record->bytes);
    if (at == now->from && at < now->until && now->from_skip && now->from_skip <= record->bytes)
        return add_piece(book, record, at, now->from_skip);
    keep(writer, book, record, at, next);
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
        if (book && !claim_record(writer, book, record, at, next))
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
    while (count--)
        give_back(writer, book, &pieces[order[count]], count ? 0 : done);
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

    if (prepare_file(writer, book, continues, now_ns) == 0)
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

/* What another journal had taken out of a backlog, and was writing. */
static void rewind_chunk(struct writer *writer)
{
    const struct backlogs_chunk *chunk = writer->backlogs->chunk;
    struct book *book = chunk->number ? writer_book(chunk->slot) : NULL;

    if (!book || !book->backlog || book->backlog->now.chunk != chunk->number ||
        chunk->bytes > BACKLOGS_CHUNK_BYTES)
        return;
    if (chunk->opened)
        rewind_file(writer, book,
                    &(struct journal_cut){chunk->device, chunk->inode, chunk->file_bytes});
    pthread_mutex_lock(&writer->lock);
    if (chunk->dropped)
        backlog_drop_more(book->backlog, chunk->dropped);
    else
        give_chunk_back(writer, book, 0, chunk->continues);
    wait_for_disk(writer, book);
    pthread_mutex_unlock(&writer->lock);
}

void writer_rewind(struct writer *writer)
{
    rewind_chunk(writer);
    for (size_t i = 0; i < QUEUE_NOTES; i++) {
        const struct queue_note *note = queue_noted(writer->queue, i);
        struct book *book = note ? writer_book(note->slot) : NULL;
        if (book)
            rewind_file(writer, book,
                        &(struct journal_cut){note->device, note->inode, note->bytes});
        writer_advance(writer);
    }
    queue_forget_notes(writer->queue);
}

/* ---- backlogs, tried again ----------------------------------------------------------------- */

static uint64_t has_dropped(struct writer *writer, const struct book *book)
{
    pthread_mutex_lock(&writer->lock);
    uint64_t dropped = book->backlog->now.dropped_lines;
    pthread_mutex_unlock(&writer->lock);
    return dropped;
}

/* Takes what is to be said of dropped lines out of a backlog. 0: nothing is. *ret_ns: the time of
 * the line behind them, if one is kept: for readers times in a file go up. */
static uint64_t take_dropped(struct writer *writer, struct book *book, uint64_t *ret_ns)
{
    struct backlogs *backlogs = writer->backlogs;
    pthread_mutex_lock(&writer->lock);
    uint64_t dropped = book->backlog->now.dropped_lines;
    if (dropped) {
        uint64_t number = backlogs_begin_chunk(backlogs, book->slot);
        backlogs->chunk->dropped = dropped;
        backlog_take_dropped(book->backlog, number);
        *ret_ns = backlog_oldest_ns(book->backlog);
    }
    pthread_mutex_unlock(&writer->lock);
    return dropped;
}

/* Has the file ready for a chunk, and how long it is noted. */
static bool prepare(struct writer *writer, struct book *book, bool continues, uint64_t now_ns)
{
    const struct journal_file *file = &book->file;
    if (prepare_file(writer, book, continues, now_ns) < 0)
        return false;
    backlogs_note_file(writer->backlogs, file->device, file->inode, file->size_bytes);
    return true;
}

/* Says what was dropped so far. */
static bool write_dropped(struct writer *writer, struct book *book, const char *reason,
                          uint64_t now_ns)
{
    uint64_t oldest_ns = 0, dropped = take_dropped(writer, book, &oldest_ns);
    if (!dropped)
        return true;
    const struct journal_dropped what = {dropped, reason, oldest_ns ? oldest_ns : now_ns};
    bool written = prepare(writer, book, false, now_ns) &&
                   journal_store_write_dropped(&writer->store, &book->file, &what, now_ns);
    pthread_mutex_lock(&writer->lock);
    note_error(book);
    if (written)
        backlog_done(book->backlog);
    else
        backlog_drop_more(book->backlog, dropped);
    pthread_mutex_unlock(&writer->lock);
    return written;
}

/* Takes what comes next out of a backlog. */
static size_t take_chunk(struct writer *writer, struct book *book)
{
    struct backlogs *backlogs = writer->backlogs;
    size_t used = 0;

    pthread_mutex_lock(&writer->lock);
    if (!book->backlog->now.dropped_lines && backlog_used(book->backlog)) {
        bool continues = book->backlog->now.continues;
        uint64_t number = backlogs_begin_chunk(backlogs, book->slot);
        backlogs->chunk->continues = continues;
        used = backlog_take(book->backlog, backlogs->chunk_bytes, BACKLOGS_CHUNK_BYTES, number,
                            &backlogs->chunk->bytes);
    }
    pthread_mutex_unlock(&writer->lock);
    return used;
}

/* Writes what was taken. Returns false when it could not be written, or not all. */
static bool write_chunk(struct writer *writer, struct book *book, size_t count, uint64_t now_ns)
{
    bool continues = writer->backlogs->chunk->continues;
    struct iovec piece = {writer->backlogs->chunk_bytes, count};
    size_t done = 0;

    if (prepare(writer, book, continues, now_ns))
        done = journal_store_write(&writer->store, &book->file, &piece, 1, now_ns);
    writer_advance(writer);
    if (done) /* what is in it is not known any more */
        sync_written(writer, book, true);
    pthread_mutex_lock(&writer->lock);
    if (done == count)
        backlog_done(book->backlog);
    else
        give_chunk_back(writer, book, done, done ? book->file.mid_line : continues);
    pthread_mutex_unlock(&writer->lock);
    return done == count;
}

/* Returns true when nothing is left. */
static bool write_backlog(struct writer *writer, struct book *book, uint64_t now_ns)
{
    char reason[64];
    size_t count;

    snprintf(reason, sizeof reason, "%s", writer_reason(book));
    do {
        if (!write_dropped(writer, book, reason, now_ns))
            return false;
        while ((count = take_chunk(writer, book)) > 0)
            if (!write_chunk(writer, book, count, now_ns))
                return false;
    } while (has_dropped(writer, book));
    return true;
}

static void move_all(struct list *from, struct list *to)
{
    struct list *node;
    while ((node = list_take(from)))
        list_append(to, node);
}

static void settle_backlog(struct writer *writer, struct book *book)
{
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

void writer_retry_one(struct writer *writer, struct book *book)
{
    write_backlog(writer, book, clock_read_ns(CLOCK_REALTIME));
    settle_backlog(writer, book);
}

void writer_retry(struct writer *writer, unsigned failures_most)
{
    uint64_t now_ns = clock_read_ns(CLOCK_REALTIME);
    unsigned failures = 0;

    pthread_mutex_lock(&writer->lock);
    writer->fresh = writer->has_lines = false;
    move_all(&writer->waiting, &writer->trying);
    pthread_mutex_unlock(&writer->lock);
    while (!list_empty(&writer->trying) && failures < failures_most) {
        struct book *book = container_of(list_first(&writer->trying), struct book, waiting_node);
        failures += !write_backlog(writer, book, now_ns);
        settle_backlog(writer, book);
    }
    pthread_mutex_lock(&writer->lock);
    writer->has_lines = writer->has_lines || !list_empty(&writer->trying);
    move_all(&writer->waiting, &writer->trying);
    move_all(&writer->trying, &writer->waiting);
    pthread_mutex_unlock(&writer->lock);
}
