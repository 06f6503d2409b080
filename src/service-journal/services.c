/* Services and their pipes: made, changed, gone on with after a kill, forgotten. */
#include "base/cleanup.h"
#include "base/text.h"
#include "service-journal/intake.h"
#include "service-journal/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BITS 64

/* Which slots are taken, and the lowest that may be free. */
static uint64_t slots_taken[JOURNAL_SLOTS_MAX / BITS + 1];
static uint32_t slot_hint = JOURNAL_SLOT_OWN + 1;

static bool slot_is_taken(uint32_t slot)
{
    return slots_taken[slot / BITS] >> slot % BITS & 1;
}

static void take_slot(uint32_t slot)
{
    slots_taken[slot / BITS] |= 1ull << slot % BITS;
}

static void free_slot(uint32_t slot)
{
    slots_taken[slot / BITS] &= ~(1ull << slot % BITS);
    if (slot < slot_hint)
        slot_hint = slot;
}

/* Returns JOURNAL_SLOTS_MAX when there is none. */
static uint32_t find_slot(void)
{
    while (slot_hint < JOURNAL_SLOTS_MAX && slot_is_taken(slot_hint))
        slot_hint++;
    return slot_hint;
}

/* ---- what the writer has to say ------------------------------------------------------------ */

static void take_words(struct journal *journal)
{
    static char words[WRITER_WORDS_BYTES];
    size_t used = writer_take_words(&journal->writer, words);
    for (size_t at = 0; at < used;) {
        enum log_level level = (enum log_level)words[at++];
        const char *end = memchr(words + at, '\n', used - at);
        size_t bytes = end ? (size_t)(end - words) - at : used - at;
        journal_say(journal, JOURNAL_OWN_ID, (enum journal_level)log_syslog_level(level),
                    words + at, bytes, 0);
        at += bytes + 1;
    }
}

static void cut_and_seal(struct journal *journal, struct service *service)
{
    journal_make_room(journal, journal_step_need(service));
    journal_begin_step(journal, service, NULL, 0);
    journal_cut(journal, service, true);
    journal_end_step(journal, service);
}

static void take_done(struct journal *journal)
{
    struct book *book;
    while ((book = writer_take_done(&journal->writer))) {
        if (!book->ended) {
            if (book->owner)
                cut_and_seal(journal, book->owner);
            continue;
        }
        *journal_state_live(&journal->state, book->slot) = (struct journal_live){0};
        journal_state_clear(&journal->state, book->slot);
        free_slot(book->slot);
        book_destroy(book);
    }
}

void journal_hear_writer(struct journal *journal)
{
    journal_look_for_room(journal);
    take_words(journal);
    take_done(journal);
}

static void on_writer(struct loop_fd *source, uint32_t events)
{
    struct journal *journal = container_of(source, struct journal, writer_source);
    uint64_t rung;
    (void)events;

    if (read(source->fd, &rung, sizeof rung) < 0)
        return;
    journal_hear_writer(journal);
    if (journal->on_drained)
        journal->on_drained(journal->context);
    if (journal->on_all_drained && writer_drained(&journal->writer) >= journal->all_drained) {
        void (*tell)(void *) = journal->on_all_drained;
        journal->on_all_drained = NULL;
        tell(journal->context);
    }
}

static void on_pipes(struct loop_fd *source, uint32_t events)
{
    struct journal *journal = container_of(source, struct journal, pipes_source);
    (void)events;
    loop_turn(&journal->pipes, false);
}

/* ---- the beginning ------------------------------------------------------------------------- */

int journal_init(struct journal *journal, const char *logs, const char *fallback)
{
    journal->spool.fd = journal->state.fd = journal->queue.fd = journal->backlogs.fd = -1;
    journal->counts = COUNTS_NONE;
    journal->own = (struct service){.journal = journal, .id = JOURNAL_OWN_ID};
    list_init(&journal->matched);
    list_init(&journal->busy);
    list_init(&journal->own.pipes);
    int failed = writer_init(&journal->writer, &journal->queue, &journal->backlogs, logs, fallback);
    if (!failed)
        failed = loop_init(&journal->loop);
    if (!failed)
        failed = loop_init(&journal->pipes);
    if (!failed)
        failed = loop_add(&journal->loop, &journal->pipes_source, journal->pipes.epoll_fd, EPOLLIN,
                          on_pipes);
    if (!failed)
        failed = loop_add(&journal->loop, &journal->writer_source, journal->writer.reader_fd,
                          EPOLLIN, on_writer);
    if (failed)
        return failed;
    take_slot(JOURNAL_SLOT_OWN);
    journal->own.book =
        writer_open(&journal->writer, JOURNAL_SLOT_OWN, JOURNAL_OWN_NAME, NULL, &QUOTA_DEFAULT);
    if (!journal->own.book)
        return -ENOMEM;
    journal->own.book->owner = &journal->own;
    return 0;
}

void journal_begin(struct journal *journal)
{
    struct journal_note *note = journal_state_note(&journal->state);

    journal->own.live = journal_state_live(&journal->state, JOURNAL_SLOT_OWN);
    /* What puts nothing into the queue moves no head: its message tells that it was done. */
    if (note->sequence && note->sequence <= journal_state_sequence(&journal->state))
        note->active = 0;
    if (note->active && note->slot < JOURNAL_SLOTS_MAX &&
        note->head == queue_head(&journal->queue)) {
        *journal_state_live(&journal->state, note->slot) = note->live;
        return;
    }
    if (note->active && note->slot < JOURNAL_SLOTS_MAX && note->pipe_inode &&
        note->after.done_bytes < spool_taken(&journal->spool)) {
        journal_begin_rest(journal, journal_state_live(&journal->state, note->slot));
        return;
    }
    if (note->active && note->sequence > journal_state_sequence(&journal->state))
        journal_state_set_sequence(&journal->state, note->sequence);
    note->active = 0;
    spool_done(&journal->spool);
}

static struct service_pipe *find_pipe(const struct service *service, uint64_t inode)
{
    list_for_each(node, &service->pipes)
    {
        struct service_pipe *pipe = container_of(node, struct service_pipe, node);
        if (pipe->inode == inode)
            return pipe;
    }
    return NULL;
}

/* What is left in the spool is put into the queue now; of a pipe that is gone, with an end. */
static void finish_step(struct journal *journal, struct service *service)
{
    struct journal_note *note = journal_state_note(&journal->state);
    static struct service_pipe gone;
    struct service_pipe *pipe = find_pipe(service, note->pipe_inode);
    size_t count = spool_taken(&journal->spool);

    if (!note->pipe_inode || count <= note->before.done_bytes)
        return;
    queue_begin(&journal->queue);
    gone = (struct service_pipe){.service = service, .inode = note->pipe_inode};
    pipe = pipe ? pipe : &gone;
    pipe->splitter = note->before.splitter;
    pipe->dropping = note->before.dropping;
    if (note->live.in_inode == pipe->inode)
        service->in = pipe;
    journal_put_block(journal, pipe, count, pipe == &gone);
}

/* Ends a line whose pipe is gone. */
static void end_lost_line(struct journal *journal, struct service *service)
{
    if (service->in || !service->restored || !service->live->in_inode)
        return;
    journal_make_room(journal, journal_step_need(service));
    journal_begin_step(journal, service, NULL, 0);
    if (service->live->in_state == LINE_OPEN)
        journal_put_line_end(journal, service);
    journal_end_step(journal, service);
}

int journal_go_on(struct journal *journal)
{
    struct journal_note *note = journal_state_note(&journal->state);

    writer_restore(&journal->writer);
    int failed = writer_start(&journal->writer, journal->state.written);
    if (failed)
        return failed;
    if (note->active && note->slot == JOURNAL_SLOT_OWN)
        note->active = 0;
    for (uint32_t id = 0; id < journal->service_count; id++)
        if (journal->services[id] && note->active &&
            journal->services[id]->book->slot == note->slot)
            finish_step(journal, journal->services[id]);
    note->active = 0;
    spool_done(&journal->spool);
    journal->recovered = true;
    for (uint32_t id = 0; id < journal->service_count; id++)
        if (journal->services[id])
            end_lost_line(journal, journal->services[id]);
    return 0;
}

/* ---- services ------------------------------------------------------------------------------ */

struct service *journal_find(const struct journal *journal, uint32_t id)
{
    uint32_t place = journal_place(id);
    return place < journal->service_count ? journal->services[place] : NULL;
}

static void free_service(struct service *service)
{
    match_destroy(service->match);
    if (service->console)
        buffer_finish(service->console);
    free(service->console);
    free(service);
}

static struct book *open_book(struct journal *journal, uint32_t slot,
                              const struct journal_state_record *record)
{
    return writer_open(&journal->writer, slot, record->name,
                       record->folder[0] ? record->folder : NULL, &record->quota);
}

static struct service *make_service(struct journal *journal, uint32_t slot,
                                    const struct journal_state_record *record)
{
    struct service *service = calloc(1, sizeof *service);
    if (!service)
        return NULL;
    service->journal = journal;
    service->id = record->id;
    service->live = journal_state_live(&journal->state, slot);
    list_init(&service->pipes);
    service->book = open_book(journal, slot, record);
    if (!service->book) {
        free_service(service);
        return NULL;
    }
    service->book->owner = service;
    service->book->no_room = counts_no_room(&journal->counts, record->id);
    take_slot(slot);
    return service;
}

static int make_room(struct journal *journal, uint32_t place)
{
    uint32_t count = journal->service_count ? journal->service_count : 64;
    if (place < journal->service_count)
        return 0;
    while (count <= place)
        count *= 2;
    struct service **services = realloc(journal->services, count * sizeof *services);
    if (!services)
        return -ENOMEM;
    memset(services + journal->service_count, 0,
           (count - journal->service_count) * sizeof *services);
    journal->services = services;
    journal->service_count = count;
    return 0;
}

static void set_flags(struct service *service, uint32_t flags)
{
    service->flags = flags;
    if ((flags & JOURNAL_FLAG_CONSOLE) && !service->console)
        service->console = calloc(1, sizeof *service->console);
    if (!(flags & JOURNAL_FLAG_CONSOLE) && service->console) {
        buffer_finish(service->console);
        free(service->console);
        service->console = NULL;
    }
}

static bool is_same(const struct service *service, const struct journal_state_record *record)
{
    const struct book *book = service->book;
    return strcmp(book->name, record->name) == 0 &&
           strcmp(book->folder ? book->folder : "", record->folder) == 0;
}

static int write_record(struct journal *journal, const struct service *service)
{
    const struct book *book = service->book;
    struct journal_state_record record = {
        .id = service->id, .flags = service->flags, .quota = book->quota};
    text_format(record.name, sizeof record.name, "%s", book->name);
    text_format(record.folder, sizeof record.folder, "%s", book->folder ? book->folder : "");
    return journal_state_write(&journal->state, book->slot, &record);
}

int journal_register(struct journal *journal, const struct journal_state_record *record)
{
    struct service *service = journal_find(journal, record->id);
    if (service && is_same(service, record))
        return journal_change(journal, record->id, record->flags, &record->quota);
    uint32_t slot = find_slot();
    int failed =
        slot == JOURNAL_SLOTS_MAX ? -ENFILE : make_room(journal, journal_place(record->id));
    if (failed)
        return failed;
    journal_forget(journal, record->id);
    struct service *made = make_service(journal, slot, record);
    if (!made)
        return -ENOMEM;
    made->live->output_inode = JOURNAL_LIVE_NO_OUTPUT;
    set_flags(made, record->flags);
    counts_begin(&journal->counts, record->id);
    journal->services[journal_place(record->id)] = made;
    return write_record(journal, made);
}

int journal_restore(struct journal *journal, uint32_t slot,
                    const struct journal_state_record *record)
{
    int failed = record->ending ? 0 : make_room(journal, journal_place(record->id));
    if (failed)
        return failed;
    if (record->ending) {
        struct book *book = open_book(journal, slot, record);
        if (book)
            writer_end(&journal->writer, book);
        take_slot(slot);
        return book ? 0 : -ENOMEM;
    }
    struct service *service = make_service(journal, slot, record);
    if (!service)
        return -ENOMEM;
    set_flags(service, record->flags);
    service->restored = true;
    service->rate = service->live->rate;
    counts_set(&journal->counts, service->id, &service->live->counts);
    journal->services[journal_place(record->id)] = service;
    journal_wait_for_rate(journal, service);
    return 0;
}

int journal_change(struct journal *journal, uint32_t id, uint32_t flags, const struct quota *quota)
{
    struct service *service = journal_find(journal, id);
    if (!service)
        return -ENOENT;
    if (service->flags != flags)
        set_flags(service, flags);
    if (!quota_equal(&service->book->quota, quota)) {
        journal_make_room(journal, journal_step_need(service));
        journal_begin_step(journal, service, NULL, 0);
        journal_say_dropped(journal, service);
        service->rate = (struct rate){0};
        journal_end_step(journal, service);
        writer_set_quota(&journal->writer, service->book, quota);
    }
    return write_record(journal, service);
}

/* ---- pipes --------------------------------------------------------------------------------- */

/* A read end of our own. The launcher's descriptor may be a description that others read or write
 * through, whose flags are not ours to set; only when there is no other way it is used itself. */
static int open_read_end(struct journal *journal, int fd)
{
    char path[32];
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0)
        return -errno;
    if ((flags & O_ACCMODE) == O_RDWR) {
        text_format(path, sizeof path, "/proc/self/fd/%d", fd);
        for (;;) {
            int own = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
            if (own >= 0) {
                close(fd);
                return own;
            }
            if ((errno != EMFILE && errno != ENFILE) ||
                !writer_give_up_descriptors(&journal->writer))
                break;
        }
    }
    return fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : fd;
}

/* Goes on where another journal was; another pipe has the place no more. */
static void take_place(struct service_pipe *pipe, enum pipe_place place)
{
    struct service *service = pipe->service;
    const struct journal_live *live = service->live;

    list_for_each(node, &service->pipes)
    {
        struct service_pipe *other = container_of(node, struct service_pipe, node);
        if (other->place == place)
            other->place = PIPE_OLD;
    }
    pipe->place = place;
    if (!service->restored || place >= JOURNAL_LIVE_PIPES ||
        live->pipes[place].inode != pipe->inode)
        return;
    pipe->splitter = live->pipes[place].splitter;
    pipe->dropping = live->pipes[place].dropping;
    if (live->in_inode == pipe->inode)
        service->in = pipe;
}

/* Takes `fd`, of which `stat` is. */
static int add_pipe(struct journal *journal, struct service *service, int fd,
                    const struct stat *stat, enum pipe_place place)
{
    AUTO_CLOSE int owned = fd;

    if (!S_ISFIFO(stat->st_mode))
        return -EINVAL;
    if (place == PIPE_OUTPUT) /* first, for else the next journal would not read it */
        service->live->output_inode = stat->st_ino;
    if (find_pipe(service, stat->st_ino))
        return 0;
    int own = open_read_end(journal, owned);
    if (own < 0)
        return own;
    take_fd(&owned);
    struct service_pipe *pipe = calloc(1, sizeof *pipe);
    int failed = pipe ? loop_add(&journal->pipes, &pipe->source, own, EPOLLIN, journal_on_readable)
                      : -ENOMEM;
    if (failed) {
        close(own);
        free(pipe);
        return failed;
    }
    list_init(&pipe->busy_node);
    pipe->service = service;
    pipe->inode = stat->st_ino;
    pipe->splitter.default_level = JOURNAL_INFO;
    take_place(pipe, place);
    list_append(&service->pipes, &pipe->node);
    if (service->restored)
        pace_take_up(journal, pipe);
    return 0;
}

int journal_add_pipe(struct journal *journal, uint32_t id, int fd, enum pipe_place place)
{
    struct service *service = journal_find(journal, id);
    AUTO_CLOSE int owned = fd;
    struct stat stat;

    if (!service)
        return -ENOENT;
    if (fstat(owned, &stat) < 0)
        return -errno;
    return add_pipe(journal, service, take_fd(&owned), &stat, place);
}

int journal_go_on_with_pipe(struct journal *journal, uint32_t id, int fd)
{
    struct service *service = journal_find(journal, id);
    struct stat stat;

    if (!service)
        return 0;
    if (fstat(fd, &stat) < 0)
        return -errno;
    if (service->live->output_inode && service->live->output_inode != stat.st_ino)
        return 0;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return copy < 0 ? -errno : add_pipe(journal, service, copy, &stat, PIPE_OUTPUT);
}

/* ---- ends ---------------------------------------------------------------------------------- */

void journal_end_rates(struct journal *journal)
{
    writer_begin_end(&journal->writer);
    for (uint32_t id = 0; id < journal->service_count; id++) {
        struct service *service = journal->services[id];
        if (!service || !service->rate.dropped)
            continue;
        journal_make_room(journal, journal_step_need(service));
        journal_begin_step(journal, service, NULL, 0);
        journal_say_dropped(journal, service);
        journal_end_step(journal, service);
    }
}

void journal_end_run(struct journal *journal, uint32_t id, enum journal_level level,
                     const char *text, uint64_t sequence)
{
    struct service *service = journal_find(journal, id);
    if (!service && *text)
        journal_say(journal, id, level, text, strlen(text), sequence);
    if (!service)
        return;
    intake_drain(journal->intake); /* there may be last words of it */
    journal_drain_service(journal, service);
    journal_make_room(journal, journal_step_need(service));
    journal_begin_step(journal, service, NULL, sequence);
    list_for_each(node, &service->pipes)
        journal_end_line(journal, container_of(node, struct service_pipe, node));
    journal_say_dropped(journal, service);
    if (*text)
        journal_put_event(journal, service, level, text, strlen(text));
    journal_end_step(journal, service);
    journal_unmatch(journal, id, NULL);
}

void journal_forget(struct journal *journal, uint32_t id)
{
    struct service *service = journal_find(journal, id);
    if (!service)
        return;
    journal_end_run(journal, id, JOURNAL_INFO, "", 0);
    list_for_each(node, &service->pipes)
        journal_close_pipe(journal, container_of(node, struct service_pipe, node));
    intake_forget(journal->intake, id);
    journal_state_end(&journal->state, service->book->slot);
    service->book->owner = NULL;
    writer_end(&journal->writer, service->book);
    journal->services[journal_place(id)] = NULL;
    free_service(service);
}
