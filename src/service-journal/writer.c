/* The writer's thread and its loop, and what the other thread asks of it.
 *
 * It sleeps while there is nothing to do. Of what comes line by line it makes a batch every few
 * milliseconds, so that a chatty service costs no write and no wake-up a line. */
#include "service-journal/writer.h"
#include "base/clock.h"
#include "service-journal/writer-batch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define PAUSE_NS     (5 * NS_PER_MS) /* between batches that are not full */
#define ENOUGH_BYTES (64u << 10)     /* for which there is no pause */
#define RETRY_NS     (250 * NS_PER_MS)
/* Of backlogs that are tried again, after which the others wait for their turn. */
#define FAILURES_MOST  64
#define STACK_BYTES    (256u << 10) /* pages that are never used are not there */
#define DESCRIPTORS    16           /* given up at once */
#define DESCRIPTORS_MS 1000
#define NEVER          UINT64_MAX

static _Thread_local bool is_writer;

static void ring(int fd)
{
    const uint64_t one = 1;
    if (write(fd, &one, sizeof one) < 0) { /* it is rung already */
    }
}

void writer_ring(struct writer *writer)
{
    ring(writer->reader_fd);
}

void writer_wake(struct writer *writer)
{
    ring(writer->bell_fd);
}

void writer_advance(struct writer *writer)
{
    writer->progress++;
    uint64_t wanted = writer->wanted_room;
    if (wanted && queue_free(writer->queue) >= wanted &&
        atomic_compare_exchange_strong(&writer->wanted_room, &wanted, 0))
        writer_ring(writer);
}

/* ---- what was asked ------------------------------------------------------------------------ */

static void take_news(struct writer *writer)
{
    struct list *node;
    pthread_mutex_lock(&writer->lock);
    while ((node = list_take(&writer->news))) {
        struct book *book = container_of(node, struct book, news_node);
        bool is_new = book->is_new, changed = book->quota_changed;
        book->is_new = book->quota_changed = false;
        if (book->ends)
            list_append(&writer->ending, node);
        if (is_new || changed)
            book->file.quota = book->quota;
        if (is_new) {
            list_append(&writer->books, &book->node);
            writer_restore_cut(writer, book);
        }
        pthread_mutex_unlock(&writer->lock);
        if (is_new)
            keeper_add(&writer->keeper, book);
        else if (changed)
            keeper_changed(&writer->keeper, book);
        pthread_mutex_lock(&writer->lock);
    }
    pthread_mutex_unlock(&writer->lock);
}

static void end_book(struct writer *writer, struct book *book)
{
    if (writer_has_backlog(book))
        writer_retry_one(writer, book);
    if (writer_has_backlog(book))
        LOG(WARNING, "The last lines of a service cannot be written", TEXT("service", book->name),
            TEXT("error", writer_reason(book)), NUMBER("lines", backlog_lines(book->backlog)));
    keeper_drop(&writer->keeper, book);
    journal_file_finish(&book->file);
    writer->written[book->slot] = (struct journal_written){0};
    pthread_mutex_lock(&writer->lock);
    writer_drop_backlog(writer, book);
    list_remove(&book->waiting_node);
    list_remove(&book->node);
    list_remove(&book->news_node);
    list_remove(&book->done_node);
    writer_set_book(book->slot, NULL);
    book->ended = true;
    list_append(&writer->done, &book->done_node);
    pthread_mutex_unlock(&writer->lock);
    writer_ring(writer);
}

static void end_books(struct writer *writer)
{
    list_for_each(node, &writer->ending)
    {
        struct book *book = container_of(node, struct book, news_node);
        pthread_mutex_lock(&writer->lock);
        bool over = queue_tail(writer->queue) >= book->end_at;
        pthread_mutex_unlock(&writer->lock);
        if (over)
            end_book(writer, book);
    }
}

static void on_retry(struct loop_timer *timer)
{
    container_of(timer, struct writer, retry)->retry_now = true;
}

static void try_backlogs(struct writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    bool now = writer->fresh || writer->retry_now;
    pthread_mutex_unlock(&writer->lock);
    if (now) {
        unsigned most = writer->retry_all ? UINT_MAX : FAILURES_MOST;
        writer->retry_now = writer->retry_all = false;
        writer_retry(writer, most);
    }
    pthread_mutex_lock(&writer->lock);
    bool wait = writer->has_lines;
    pthread_mutex_unlock(&writer->lock);
    if (wait && !writer->retry.set)
        loop_set_timer(&writer->loop, &writer->retry, clock_now_ns() + RETRY_NS, on_retry);
}

static void give_up_descriptors(struct writer *writer)
{
    if (!writer->descriptors_wanted)
        return;
    uint32_t given = 0;
    while (given < DESCRIPTORS && journal_store_give_up_descriptor(&writer->store))
        given++;
    writer->descriptors_given = given;
    writer->descriptors_wanted = false;
    writer_ring(writer);
}

/* Does all that was asked for up to now, and says so. */
static void drain(struct writer *writer)
{
    uint64_t wanted = writer->drain_wanted;
    if (wanted == writer->drain_done)
        return;
    for (uint64_t head = queue_head(writer->queue);
         queue_tail(writer->queue) < head && writer_batch(writer);)
        try_backlogs(writer);
    writer->retry_now = writer->retry_all = true;
    try_backlogs(writer);
    if (writer->drain_sync)
        sync_all(writer, writer->drain_sync == WRITER_SYNC_ALL);
    writer->drain_done = wanted;
    writer_ring(writer);
}

/* ---- the loop ------------------------------------------------------------------------------ */

static void on_pause(struct loop_timer *timer)
{
    (void)timer; /* the turn looks at the queue */
}

/* Writes a batch, if it is time for one. Returns true when there may be another. */
static bool write_next(struct writer *writer)
{
    uint64_t now_ns = clock_now_ns();
    uint64_t used = queue_head(writer->queue) - queue_tail(writer->queue);

    if (!used)
        return false;
    if (used < ENOUGH_BYTES && now_ns < writer->next_batch_ns) {
        if (!writer->pause.set)
            loop_set_timer(&writer->loop, &writer->pause, writer->next_batch_ns, on_pause);
        return false;
    }
    writer_batch(writer);
    writer->next_batch_ns = now_ns + PAUSE_NS;
    return true;
}

/* Says when the other thread is to wake us. Returns true when that was already. */
static bool fall_asleep(struct writer *writer)
{
    uint64_t tail = queue_tail(writer->queue);
    uint64_t wake_at = tail + (writer->pause.set ? ENOUGH_BYTES : 1);
    writer->wake_at = wake_at;
    uint64_t head = queue_head(writer->queue);
    return head >= wake_at;
}

static void stand_still(struct writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    while (writer->stop) {
        if (!atomic_exchange(&writer->is_stopped, true))
            writer_ring(writer);
        pthread_cond_wait(&writer->go, &writer->lock);
    }
    writer->is_stopped = false;
    pthread_mutex_unlock(&writer->lock);
}

static bool on_turn(void *context)
{
    struct writer *writer = context;

    stand_still(writer);
    writer->wake_at = NEVER;
    writer->keeper.ending = writer->ending_machine;
    take_news(writer);
    total_look(&writer->total);
    give_up_descriptors(writer);
    drain(writer);
    try_backlogs(writer);
    sync_turn(writer);
    if (write_next(writer))
        return true;
    end_books(writer);
    return fall_asleep(writer);
}

/* The bell is edge-triggered: nobody has to read it. */
static void on_bell(struct loop_fd *source, uint32_t events)
{
    (void)source;
    (void)events;
}

static void on_mounts(struct loop_fd *source, uint32_t events)
{
    (void)events;
    keeper_mounts_changed(&container_of(source, struct writer, mounts)->keeper);
}

/* A change is told by EPOLLPRI, once. Without it the folder is looked at when something is written.
 */
static void watch_mounts(struct writer *writer)
{
    int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && loop_add(&writer->loop, &writer->mounts, fd, EPOLLPRI, on_mounts) < 0)
        close(fd);
}

static void *run(void *context)
{
    struct writer *writer = context;
    is_writer = true;
    journal_store_open(&writer->store);
    writer_rewind(writer);
    int failed = journal_store_probe(&writer->store);
    if (failed)
        LOG(WARNING, "Journals cannot be written where they should",
            TEXT("logs", writer->store.logs), TEXT("error", strerror(-failed)),
            TEXT("instead", writer->store.fallback));
    watch_mounts(writer);
    take_news(writer);
    sync_restored(writer);
    /* What comes before a backlog is written before it is tried. */
    while (queue_tail(writer->queue) < writer->again && writer_batch(writer)) {
    }
    failed = loop_run(&writer->loop);
    LOG(FATAL, "The journal cannot go on", TEXT("error", strerror(-failed)));
    _exit(1);
}

static unsigned count_written(void *context, const char *name)
{
    const struct writer *writer = context;
    unsigned count = 0;
    list_for_each(node, &writer->books)
    {
        const struct book *book = container_of(node, struct book, node);
        count += !book->file.folder && strcmp(book->file.name, name) == 0;
    }
    return count;
}

int writer_init(struct writer *writer, struct queue *queue, struct backlogs *backlogs,
                const char *logs, const char *fallback)
{
    *writer = (struct writer){
        .queue = queue, .backlogs = backlogs, .wake_at = NEVER, .pool = {BACKLOG_POOL_BYTES}};
    journal_store_init(&writer->store, logs, fallback);
    list_init(&writer->books);
    list_init(&writer->ending);
    list_init(&writer->waiting);
    list_init(&writer->trying);
    list_init(&writer->news);
    list_init(&writer->done);
    pthread_mutex_init(&writer->lock, NULL);
    pthread_cond_init(&writer->go, NULL);
    keeper_init(&writer->keeper, writer);
    sync_init(&writer->sync);
    writer->bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    writer->reader_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (writer->bell_fd < 0 || writer->reader_fd < 0)
        return -errno;
    int failed = loop_init(&writer->loop);
    total_init(&writer->total, &writer->store, &writer->loop, count_written, writer);
    writer->loop.on_turn = on_turn;
    writer->loop.turn_context = writer;
    return failed ? failed
                  : loop_add(&writer->loop, &writer->bell, writer->bell_fd, EPOLLIN | EPOLLET,
                             on_bell);
}

int writer_start(struct writer *writer, struct journal_written *written)
{
    pthread_attr_t attributes;
    writer->claimed = queue_tail(writer->queue);
    writer->written = written;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    int failed = pthread_create(&writer->thread, &attributes, run, writer);
    pthread_attr_destroy(&attributes);
    return -failed;
}

/* ---- for the other thread ------------------------------------------------------------------ */

/* Under the lock; true when the writer is to be woken for it. */
static bool add_news(struct writer *writer, struct book *book)
{
    bool first = list_empty(&writer->news);
    if (list_empty(&book->news_node))
        list_append(&writer->news, &book->news_node);
    return first;
}

struct book *writer_open(struct writer *writer, uint32_t slot, const char *name, const char *folder,
                         const struct quota *quota)
{
    struct book *book = calloc(1, sizeof *book);
    if (!book)
        return NULL;
    book->slot = slot;
    book->name = strdup(name);
    book->folder = folder ? strdup(folder) : NULL;
    list_init(&book->node);
    list_init(&book->due_node);
    list_init(&book->unpacked_node);
    list_init(&book->waiting_node);
    list_init(&book->news_node);
    list_init(&book->done_node);
    if (!book->name || (folder && !book->folder)) {
        book_destroy(book);
        return NULL;
    }
    journal_file_init(&book->file, book->name, book->folder);
    book->file.quota = book->quota = *quota;
    book->is_new = true;
    pthread_mutex_lock(&writer->lock);
    writer_set_book(slot, book);
    bool wake = add_news(writer, book);
    pthread_mutex_unlock(&writer->lock);
    if (wake)
        ring(writer->bell_fd);
    return book;
}

void book_destroy(struct book *book)
{
    free(book->name);
    free(book->folder);
    free(book);
}

void writer_set_quota(struct writer *writer, struct book *book, const struct quota *quota)
{
    pthread_mutex_lock(&writer->lock);
    book->quota = *quota;
    book->quota_changed = true;
    add_news(writer, book);
    pthread_mutex_unlock(&writer->lock);
    ring(writer->bell_fd);
}

void writer_set_total(struct writer *writer, uint64_t max_bytes)
{
    total_set(&writer->total, max_bytes);
    ring(writer->bell_fd);
}

void writer_end(struct writer *writer, struct book *book)
{
    pthread_mutex_lock(&writer->lock);
    book->ends = true;
    book->no_room = NULL; /* its id may soon be another one's */
    if (book->backlog)
        book->backlog->count = NULL;
    book->end_at = queue_head(writer->queue);
    add_news(writer, book);
    pthread_mutex_unlock(&writer->lock);
    ring(writer->bell_fd);
}

struct book *writer_take_done(struct writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    struct list *node = list_take(&writer->done);
    pthread_mutex_unlock(&writer->lock);
    return node ? container_of(node, struct book, done_node) : NULL;
}

void writer_see(struct writer *writer)
{
    uint64_t wake_at = writer->wake_at;
    if (queue_head(writer->queue) >= wake_at &&
        atomic_compare_exchange_strong(&writer->wake_at, &wake_at, NEVER))
        ring(writer->bell_fd);
}

void writer_want_room(struct writer *writer, size_t bytes)
{
    writer->wanted_room = bytes;
}

uint64_t writer_drain(struct writer *writer, enum writer_sync sync)
{
    if (sync > writer->drain_sync)
        writer->drain_sync = sync;
    uint64_t number = ++writer->drain_wanted;
    ring(writer->bell_fd);
    return number;
}

uint64_t writer_drained(const struct writer *writer)
{
    return writer->drain_done;
}

uint64_t writer_progress(const struct writer *writer)
{
    return writer->progress;
}

bool writer_give_up_descriptors(struct writer *writer)
{
    struct pollfd bell = {.fd = writer->reader_fd, .events = POLLIN};
    writer->descriptors_wanted = true;
    ring(writer->bell_fd);
    for (uint64_t until_ns = clock_now_ns() + DESCRIPTORS_MS * NS_PER_MS;
         writer->descriptors_wanted && clock_now_ns() < until_ns;) {
        uint64_t rung;
        if (poll(&bell, 1, DESCRIPTORS_MS) == 1 &&
            read(writer->reader_fd, &rung, sizeof rung) < 0) { /* looked at again */
        }
    }
    ring(writer->reader_fd); /* what it was rung for besides is still to be done */
    return !writer->descriptors_wanted && writer->descriptors_given;
}

void writer_set_sync(struct writer *writer, uint32_t interval_ms)
{
    writer->sync.interval_ms = interval_ms ? interval_ms : SYNC_DEFAULT_MS;
}

void writer_begin_end(struct writer *writer)
{
    writer->ending_machine = true;
}

void writer_stop(struct writer *writer, bool stop)
{
    pthread_mutex_lock(&writer->lock);
    writer->stop = stop;
    pthread_cond_signal(&writer->go);
    pthread_mutex_unlock(&writer->lock);
    ring(writer->bell_fd);
}

bool writer_is_stopped(const struct writer *writer)
{
    return writer->is_stopped;
}

bool writer_keeps_lines(struct writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    bool keeps = !list_empty(&writer->waiting);
    pthread_mutex_unlock(&writer->lock);
    return keeps;
}

/* ---- our own lines ------------------------------------------------------------------------- */

bool writer_is_self(void)
{
    return is_writer;
}

void writer_say(struct writer *writer, enum log_level level, const char *line, size_t bytes)
{
    pthread_mutex_lock(&writer->lock);
    if (writer->words_used + bytes + 1 <= sizeof writer->words) {
        writer->words[writer->words_used++] = (char)level;
        memcpy(writer->words + writer->words_used, line, bytes);
        writer->words_used += bytes;
    }
    pthread_mutex_unlock(&writer->lock);
    writer_ring(writer);
}

size_t writer_take_words(struct writer *writer, char words[static WRITER_WORDS_BYTES])
{
    pthread_mutex_lock(&writer->lock);
    size_t used = writer->words_used;
    memcpy(words, writer->words, used);
    writer->words_used = 0;
    pthread_mutex_unlock(&writer->lock);
    return used;
}

void writer_want_cut(struct writer *writer, struct book *book)
{
    pthread_mutex_lock(&writer->lock);
    if (list_empty(&book->done_node) && !book->ends)
        list_append(&writer->done, &book->done_node);
    pthread_mutex_unlock(&writer->lock);
    writer_ring(writer);
}
