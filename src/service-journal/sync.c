/* What was written and is not on the disk: when each file is due, and the thread that syncs. */
#include "service-journal/sync.h"
#include "base/clock.h"
#include "service-journal/writer.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define URGENT_MS   1000
#define PARTS       5 /* a sync begins when a fifth of the time is left, for the sync itself */
#define QUARTERS    4 /* of a file: what is left to be synced when it is sealed is little */
#define STACK_BYTES (64u << 10)

void sync_init(struct sync *sync)
{
    *sync = (struct sync){.interval_ms = SYNC_DEFAULT_MS};
    pthread_mutex_init(&sync->lock, NULL);
    pthread_cond_init(&sync->given, NULL);
}

/* ---- the thread ---------------------------------------------------------------------------- */

/* Takes what was given; waits for it. */
static size_t take(struct sync *sync, struct sync_fd *fds)
{
    pthread_mutex_lock(&sync->lock);
    while (!sync->count)
        pthread_cond_wait(&sync->given, &sync->lock);
    size_t count = sync->count;
    memcpy(fds, sync->fds, count * sizeof *fds);
    sync->count = 0;
    pthread_mutex_unlock(&sync->lock);
    return count;
}

/* A folder has no data: its entries are what fdatasync(2) may leave out. */
static int bring(const struct sync_fd *fd)
{
    return fd->is_folder ? fsync(fd->fd) : fdatasync(fd->fd);
}

static void *run(void *context)
{
    struct writer *writer = context;
    struct sync *sync = &writer->sync;
    struct sync_fd fds[2 * SYNC_AT_ONCE];

    for (;;) {
        size_t count = take(sync, fds);
        int failed = 0;
        for (size_t i = 0; i < count; i++) {
            if (bring(&fds[i]) < 0 && errno != EINVAL && errno != EROFS)
                failed = -errno;
            close(fds[i].fd);
        }
        pthread_mutex_lock(&sync->lock);
        sync->busy = false;
        sync->failed = failed;
        pthread_mutex_unlock(&sync->lock);
        writer_wake(writer);
    }
    return NULL;
}

static int make_thread(struct writer *writer)
{
    pthread_attr_t attributes;
    if (writer->sync.has_thread)
        return 0;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    int failed = pthread_create(&writer->sync.thread, &attributes, run, writer);
    pthread_attr_destroy(&attributes);
    writer->sync.has_thread = !failed;
    return -failed;
}

/* ---- when ---------------------------------------------------------------------------------- */

static void on_time(struct loop_timer *timer)
{
    container_of(timer, struct sync, timer)->due = true;
}

static void wait_until(struct writer *writer, uint64_t at_ns)
{
    struct loop_timer *timer = &writer->sync.timer;
    if (!timer->set || at_ns < timer->at_ns)
        loop_set_timer(&writer->loop, timer, at_ns, on_time);
}

static uint64_t delay_ns(const struct writer *writer, bool urgent)
{
    uint64_t ms = writer->sync.interval_ms;
    if (urgent && ms > URGENT_MS)
        ms = URGENT_MS;
    return ms * NS_PER_MS / PARTS * (PARTS - 1);
}

/* The next journal has to know, too. */
static void set_unsynced(struct writer *writer, struct book *book, uint64_t at_ns)
{
    book->sync_at_ns = at_ns;
    writer->written[book->slot].unsynced = at_ns != 0;
}

void sync_written(struct writer *writer, struct book *book, bool urgent)
{
    const struct journal_file *file = &book->file;
    uint64_t now_ns = clock_now_ns(), at_ns = now_ns + delay_ns(writer, urgent);
    const uint64_t quarter = file->quota.max_size_bytes / QUARTERS;

    if (file->on_fallback) /* which is memory */
        return;
    if (file->size_bytes - file->synced_bytes >= quarter)
        at_ns = now_ns;
    if (book->sync_at_ns && book->sync_at_ns <= at_ns)
        return;
    set_unsynced(writer, book, at_ns);
    wait_until(writer, at_ns);
}

void sync_restored(struct writer *writer)
{
    list_for_each(node, &writer->books)
    {
        struct book *book = container_of(node, struct book, node);
        if (!writer->written[book->slot].unsynced)
            continue;
        book->sync_at_ns = clock_now_ns();
        wait_until(writer, book->sync_at_ns);
    }
}

/* ---- what ---------------------------------------------------------------------------------- */

static void say_failed(struct writer *writer)
{
    struct sync *sync = &writer->sync;
    pthread_mutex_lock(&sync->lock);
    int failed = sync->failed;
    pthread_mutex_unlock(&sync->lock);
    if (failed && failed != sync->error)
        LOG(WARNING, "What was written could not be brought to the disk",
            TEXT("logs", writer->store.logs), TEXT("error", strerror(-failed)));
    sync->error = failed;
}

static bool is_without_descriptor(int failed)
{
    return failed == -EMFILE || failed == -ENFILE;
}

/* Adds what is due of one book. Returns 0 or -errno. */
static int add_book(struct writer *writer, struct book *book, struct sync_fd *fds, size_t *count)
{
    int file, folder, failed;
    do
        failed = journal_store_sync_fds(&writer->store, &book->file, &file, &folder);
    while (is_without_descriptor(failed) && journal_store_give_up_descriptor(&writer->store));
    if (failed)
        return failed;
    fds[(*count)++] = (struct sync_fd){file, false};
    if (folder >= 0)
        fds[(*count)++] = (struct sync_fd){folder, true};
    return 0;
}

/* The files that are due, or nearly. What is left is due at `*ret_next_ns` (0: nothing). */
static size_t collect(struct writer *writer, struct sync_fd *fds, uint64_t *ret_next_ns)
{
    uint64_t by_ns = clock_now_ns() + delay_ns(writer, true) / PARTS, next_ns = 0;
    size_t count = 0;

    list_for_each(node, &writer->books)
    {
        struct book *book = container_of(node, struct book, node);
        if (!book->sync_at_ns)
            continue;
        if (book->sync_at_ns <= by_ns && count + 2 <= (size_t)2 * SYNC_AT_ONCE) {
            bool again = is_without_descriptor(add_book(writer, book, fds, &count));
            /* Any other failure: it is gone, and what is written next is due again. */
            set_unsynced(writer, book, again ? by_ns : 0);
        }
        if (book->sync_at_ns && (!next_ns || book->sync_at_ns < next_ns))
            next_ns = book->sync_at_ns;
    }
    *ret_next_ns = next_ns;
    return count;
}

void sync_turn(struct writer *writer)
{
    struct sync *sync = &writer->sync;
    struct sync_fd fds[2 * SYNC_AT_ONCE];
    uint64_t next_ns;

    say_failed(writer);
    if (!sync->due)
        return;
    pthread_mutex_lock(&sync->lock);
    bool busy = sync->busy;
    pthread_mutex_unlock(&sync->lock);
    if (busy) /* it wakes us */
        return;
    sync->due = false;
    size_t count = collect(writer, fds, &next_ns);
    if (next_ns)
        wait_until(writer, next_ns);
    if (!count)
        return;
    int failed = make_thread(writer);
    if (failed) { /* then it is the writer who waits */
        for (size_t i = 0; i < count; i++) {
            bring(&fds[i]);
            close(fds[i].fd);
        }
        return;
    }
    pthread_mutex_lock(&sync->lock);
    memcpy(sync->fds, fds, count * sizeof *fds);
    sync->count = count;
    sync->busy = true;
    pthread_cond_signal(&sync->given);
    pthread_mutex_unlock(&sync->lock);
}

void sync_all(struct writer *writer, bool whole)
{
    struct sync_fd fds[2];
    list_for_each(node, &writer->books)
    {
        struct book *book = container_of(node, struct book, node);
        size_t count = 0;
        /* One that is open is synced below. */
        if (book->sync_at_ns && book->file.fd < 0 && !add_book(writer, book, fds, &count))
            while (count) {
                bring(&fds[--count]);
                close(fds[count].fd);
            }
        set_unsynced(writer, book, 0);
    }
    journal_store_sync(&writer->store, whole);
}
