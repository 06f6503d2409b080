/* The thread that writes: it takes records out of the queue and puts them into files, keeps quotas,
 * and keeps what cannot be written. It alone touches a disk.
 *
 * Of one journal, from old to new: its files, the batch under way, its backlog, the queue. The
 * writer takes from the queue into the batch, or, where there is a backlog, behind that; what of a
 * batch cannot be written goes back in front of it. While the disk hangs, the other thread takes
 * what the writer has not begun from the queue into the backlogs. So lines stay in order whatever
 * happens. Both do that under the lock, under which nobody waits for anything else. */
#pragma once

#include "base/list.h"
#include "journal/store.h"
#include "log/log.h"
#include "loop/loop.h"
#include "service-journal/backlogs.h"
#include "service-journal/keeper.h"
#include "service-journal/queue.h"
#include "service-journal/state.h"
#include "service-journal/sync.h"
#include "service-journal/total.h"

#include <pthread.h>

#define WRITER_WORDS_BYTES 8192 /* lines of ours that wait for the other thread */

/* One journal, as the writer sees it. There are thousands: what is small stands together. */
struct book {
    uint32_t slot;
    uint32_t batch_place; /* one more than it; 0: nothing of it is in the batch */
    void *owner;          /* the other thread's */
    char *name, *folder;  /* owned; folder NULL: below LOGS */
    struct journal_file file;
    struct list node;                    /* the writer's books */
    struct list due_node, unpacked_node; /* the keeper's */
    struct total_share *share;           /* of the whole system's quota */
    uint64_t sync_at_ns;                 /* CLOCK_BOOTTIME; 0: all is on the disk */
    uint64_t due_at_ns;                  /* the keeper's; valid in its list */
    bool stays_unpacked;                 /* compressing failed; tried again at the next seal */
    /* Under the lock: */
    bool is_new, quota_changed, ends;
    bool ended;               /* `done_node`: ended; else it is to be cut */
    struct backlog *backlog;  /* NULL: none; NULL again when it is empty */
    uint64_t *no_room;        /* where lines are counted that it drops; NULL: nowhere */
    uint64_t lost_lines;      /* there was no memory for one; to be said */
    struct list waiting_node; /* has a backlog */
    struct list news_node;    /* is new, has another quota, or ends */
    struct quota quota;       /* the other thread alone writes it */
    uint64_t end_at;          /* of the queue; behind it is nothing of this book */
    struct list done_node;    /* for the other thread: ended, or to be cut */
};

/* What a drain is to bring to the disk. */
enum writer_sync { WRITER_SYNC_NOTHING, WRITER_SYNC_FILES, WRITER_SYNC_ALL };

struct writer {
    struct queue *queue;
    struct backlogs *backlogs;
    struct journal_store store;
    struct loop loop;
    struct loop_fd bell, mounts;
    struct loop_timer pause, retry;
    struct keeper keeper;
    struct sync sync;
    struct total total;
    struct list books, ending;
    struct journal_written *written; /* by slot */
    uint64_t next_batch_ns;
    bool retry_now, retry_all;
    pthread_t thread;
    /* Between the threads: */
    int bell_fd, reader_fd;    /* eventfds: rung for the writer, for the reader */
    _Atomic uint64_t wake_at;  /* the writer is woken when the head is there */
    _Atomic uint64_t progress; /* things finished */
    _Atomic uint64_t wanted_room;
    _Atomic uint64_t drain_wanted, drain_done;
    _Atomic uint32_t drain_sync, descriptors_given;
    _Atomic bool descriptors_wanted, ending_machine;
    pthread_mutex_t lock;
    uint64_t claimed; /* taken out of the queue up to here */
    uint64_t again;   /* up to here another journal had: of that, backlogs have some */
    struct backlog_pool pool;
    struct list waiting, news, done;
    struct list trying; /* book.waiting_node: taken out of `waiting` by the writer */
    bool fresh;         /* there are backlogs that were not tried */
    bool has_lines;     /* and of those that wait one has something to write */
    bool stop;          /* the thread is to stand still; it does */
    _Atomic bool is_stopped;
    pthread_cond_t go;
    char words[WRITER_WORDS_BYTES];
    size_t words_used;
};

/* `logs` and `fallback` outlive it. Returns 0 or -errno. */
int writer_init(struct writer *writer, struct queue *queue, struct backlogs *backlogs,
                const char *logs, const char *fallback);

/* Goes on with the backlogs of another journal, before anything is put into the queue; queue and
 * backlogs are there, and the books open. */
void writer_restore(struct writer *writer);

/* Begins to write: first what another journal had under way, then what is in the queue. The books
 * of all that is in it are open by then. Returns 0 or -errno. */
int writer_start(struct writer *writer, struct journal_written *written);

/* ---- for the other thread; none of them waits for a disk ---- */

/* A book for a slot that has none. NULL without memory. */
struct book *writer_open(struct writer *writer, uint32_t slot, const char *name, const char *folder,
                         const struct quota *quota);

void writer_set_quota(struct writer *writer, struct book *book, const struct quota *quota);

/* What all journals may have on the disk together; 0: the default. */
void writer_set_total(struct writer *writer, uint64_t max_bytes);

/* Nothing more is put into the queue for it. When all is written, or cannot be, it is in `done`. */
void writer_end(struct writer *writer, struct book *book);

/* What `done` has next: a book that has ended, to be freed by book_destroy(), or whose unfinished
 * line is to be cut and the file sealed. NULL: none. */
struct book *writer_take_done(struct writer *writer);
void book_destroy(struct book *book);

/* There is more in the queue. */
void writer_see(struct writer *writer);

/* Asks to be woken when the queue has so much room. */
void writer_want_room(struct writer *writer, size_t bytes);

/* Asks for all that is in the queue now to be written, and backlogs to be tried. The number is
 * that of writer_drained() when it is done. */
uint64_t writer_drain(struct writer *writer, enum writer_sync sync);
uint64_t writer_drained(const struct writer *writer);

/* Changes with each thing that was finished. */
uint64_t writer_progress(const struct writer *writer);

/* Takes what is not begun out of the queue into the backlogs, which drop their oldest lines. */
void writer_take_back(struct writer *writer);

/* Asks for descriptors that files have open, and waits for them for a while. False: none came. */
bool writer_give_up_descriptors(struct writer *writer);

/* Within what time all is on the disk that is written from now on and not urgent; 0: the default.
 */
void writer_set_sync(struct writer *writer, uint32_t interval_ms);

/* The machine goes down: nothing more is compressed. */
void writer_begin_end(struct writer *writer);

/* Has the thread stand still between two batches, or go on. It rings when it stands. */
void writer_stop(struct writer *writer, bool stop);
bool writer_is_stopped(const struct writer *writer);

/* Whether there are lines in backlogs. */
bool writer_keeps_lines(struct writer *writer);

/* ---- for both ---- */

/* Whether this is the writer's thread. */
bool writer_is_self(void);

/* A line of ours, for the other thread to put into the journal. Dropped when there is no room. */
void writer_say(struct writer *writer, enum log_level level, const char *line, size_t bytes);

/* Takes all lines that wait, each behind a byte of level, with a line end; returns bytes. */
size_t writer_take_words(struct writer *writer, char words[static WRITER_WORDS_BYTES]);

/* ---- the writer's own ---- */

/* Something was finished. */
void writer_advance(struct writer *writer);

/* Wakes the writer; for any thread. */
void writer_wake(struct writer *writer);

/* Wakes the other thread. */
void writer_ring(struct writer *writer);

/* Has the unfinished line of a book cut, and its file sealed. */
void writer_want_cut(struct writer *writer, struct book *book);
