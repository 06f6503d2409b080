/* The services, their pipes, and the way of their lines into the store.
 *
 * One block a pipe and turn, so that a service that floods gets no more than its share; it is
 * written before anything else is taken. */
#include "service-journal/journal.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "journal/show.h"
#include "log/console.h"
#include "service-journal/intake.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define BLOCK_BYTES        65536  /* read at once: what a pipe holds */
#define FORMATTED_BYTES    131072 /* written at once */
#define RETRY_NS           (250 * NS_PER_MS)
#define CONSOLE_LINE_BYTES 1000
#define DRAIN_BYTES        (1 << 20) /* of one pipe; the largest that pipe(7) allows a user */

static char block[BLOCK_BYTES], formatted[FORMATTED_BYTES];

/* ---- writing ------------------------------------------------------------------------------- */

static void keep_quota(struct journal *journal, struct service *service);

/* Tries to write what waits. Returns true when some still does. */
static bool retry_all(struct journal *journal)
{
    if (list_empty(&journal->store.waiting))
        return false;
    bool left = journal_store_retry(&journal->store, clock_read_ns(CLOCK_REALTIME));
    for (uint32_t id = 0; id < journal->service_count; id++)
        if (journal->services[id])
            keep_quota(journal, journal->services[id]);
    return left;
}

static void on_retry(struct loop_timer *timer)
{
    struct journal *journal = container_of(timer, struct journal, retry);
    if (retry_all(journal))
        loop_set_timer(&journal->loop, timer, clock_now_ns() + RETRY_NS, on_retry);
}

/* What was sealed meanwhile is the keeper's, where a kill cannot make it come back. */
static void keep_quota(struct journal *journal, struct service *service)
{
    if (service->file.sealed && !journal->in_block)
        keeper_sealed(&journal->keeper, service);
}

static void append(struct journal *journal, struct service *service, const char *bytes,
                   size_t count, uint64_t now_ns)
{
    if (!count)
        return;
    journal_store_append(&journal->store, &service->file, bytes, count, now_ns);
    keep_quota(journal, service);
    if (!list_empty(&journal->store.waiting) && !journal->retry.set)
        loop_set_timer(&journal->loop, &journal->retry, clock_now_ns() + RETRY_NS, on_retry);
}

/* Ends the line that the file ends with, if it is another pipe's. */
static void take_line(struct journal *journal, struct service *service, struct service_pipe *from,
                      const char *time, uint64_t now_ns)
{
    char end[JOURNAL_SPLITTER_ROOM];
    if (service->in && service->in != from)
        append(journal, service, end, journal_splitter_end(&service->in->splitter, time, end),
               now_ns);
    service->in = from;
}

static void show_line(const struct service *service, struct buffer *shown)
{
    static struct buffer line;
    if (buffer_append(&line, service->name, strlen(service->name)) == 0 &&
        buffer_append(&line, ": ", 2) == 0 &&
        journal_show_escaped(&line, buffer_bytes(shown), buffer_used(shown)) == 0 &&
        buffer_append(&line, "\n", 1) == 0)
        console_write(buffer_bytes(&line), buffer_used(&line));
    buffer_consume(&line, buffer_used(&line));
    buffer_consume(shown, buffer_used(shown));
}

/* The console gets whole lines, however they were printed. Without memory it does not get them. */
static void show(const struct service *service, const char *bytes, size_t count)
{
    struct buffer *shown = service->console;
    while (count) {
        size_t most = CONSOLE_LINE_BYTES - buffer_used(shown);
        size_t take = count < most ? count : most;
        const char *end = memchr(bytes, '\n', take);
        if (end)
            take = (size_t)(end - bytes);
        if (buffer_append(shown, bytes, take) < 0)
            return;
        bytes += take + (end != NULL);
        count -= take + (end != NULL);
        if (end || buffer_used(shown) >= CONSOLE_LINE_BYTES)
            show_line(service, shown);
    }
}

/* ---- the rate ------------------------------------------------------------------------------ */

/* A line that the service did not print. */
static void write_event(struct journal *journal, struct service *service, enum journal_level level,
                        const char *text, size_t bytes)
{
    char line[JOURNAL_PREFIX_BYTES + JOURNAL_LINK_TEXT_BYTES + 2], time[CLOCK_RFC3339_BYTES];
    uint64_t now_ns = clock_read_ns(CLOCK_REALTIME);
    size_t used = 0;

    clock_format_rfc3339(time, now_ns);
    if (service->in)
        used = journal_splitter_cut(&service->in->splitter, line);
    used += journal_format_prefix(
        line + used, time, service == &journal->own ? JOURNAL_OUTPUT : JOURNAL_EVENT_MARK, level);
    memcpy(line + used, text, bytes);
    used += bytes;
    line[used++] = '\n';
    append(journal, service, line, used, now_ns);
}

static void add_interval(struct text *text, uint32_t interval_ms)
{
    static const struct {
        uint32_t ms;
        const char *unit;
    } units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "min"}, {1000, "s"}, {1, "ms"}};
    size_t i = 0;
    while (interval_ms % units[i].ms)
        i++;
    if (interval_ms != units[i].ms)
        text_add_unsigned(text, interval_ms / units[i].ms);
    text_add(text, units[i].unit);
}

/* Says how many lines are missing here. */
static void say_dropped(struct journal *journal, struct service *service, uint32_t dropped)
{
    char storage[120];
    struct text text;
    if (!dropped)
        return;
    text_init(&text, storage, sizeof storage);
    text_printf(&text, "dropped lines=%u reason=\"rate %u/", dropped,
                service->file.quota.rate_lines);
    add_interval(&text, service->file.quota.rate_interval_ms);
    text_add_char(&text, '"');
    write_event(journal, service, JOURNAL_WARNING, text.data, text.used_bytes);
}

/* Whether or not the interval is over. */
static void say_dropped_now(struct journal *journal, struct service *service)
{
    uint32_t dropped = service->rate.dropped;
    if (!dropped)
        return;
    service->rate.dropped = 0;
    say_dropped(journal, service, dropped);
    journal_state_write_dropped(&journal->state, service->id, 0, false);
}

static void on_rates(struct loop_timer *timer)
{
    struct journal *journal = container_of(timer, struct journal, rates);
    uint64_t now_ns = clock_now_ns(), next_ns = 0;
    for (uint32_t id = 0; id < journal->service_count; id++) {
        struct service *service = journal->services[id];
        if (!service || !service->rate.dropped)
            continue;
        uint64_t at_ns = service->rate.since_ns + service->file.quota.rate_interval_ms * NS_PER_MS;
        if (at_ns <= now_ns)
            say_dropped_now(journal, service);
        else if (!next_ns || at_ns < next_ns)
            next_ns = at_ns;
    }
    if (next_ns)
        loop_set_timer(&journal->loop, timer, next_ns, on_rates);
}

static void wait_for_rate(struct journal *journal, const struct service *service)
{
    uint64_t at_ns = service->rate.since_ns + service->file.quota.rate_interval_ms * NS_PER_MS;
    if (service->rate.dropped && (!journal->rates.set || at_ns < journal->rates.at_ns))
        loop_set_timer(&journal->loop, &journal->rates, at_ns, on_rates);
}

/* ---- blocks -------------------------------------------------------------------------------- */

static void write_run(struct journal *journal, struct service_pipe *pipe, const char *bytes,
                      size_t count)
{
    struct service *service = pipe->service;
    char time[CLOCK_RFC3339_BYTES];
    uint64_t now_ns = clock_read_ns(CLOCK_REALTIME);

    clock_format_rfc3339(time, now_ns);
    if (service->console)
        show(service, bytes, count);
    take_line(journal, service, pipe, time, now_ns);
    while (count) {
        size_t used = journal_splitter_feed(&pipe->splitter, time, &bytes, &count, formatted,
                                            sizeof formatted);
        append(journal, service, formatted, used, now_ns);
    }
}

/* Leaves out the lines that are too many. */
static void write_limited(struct journal *journal, struct service_pipe *pipe, const char *bytes,
                          size_t count)
{
    struct service *service = pipe->service;
    const struct quota *quota = &service->file.quota;
    const uint32_t dropped = service->rate.dropped;
    const bool dropping = pipe->dropping;

    say_dropped(journal, service, rate_begin(&service->rate, quota, clock_now_ns()));
    while (count) {
        const struct journal_splitter *splitter = &pipe->splitter;
        bool in_line = splitter->state != LINE_NONE || splitter->held_bytes, drop;
        size_t run = rate_run(&service->rate, quota, in_line, &pipe->dropping, bytes, count, &drop);
        if (!drop)
            write_run(journal, pipe, bytes, run);
        bytes += run;
        count -= run;
    }
    if (service->rate.dropped == dropped && pipe->dropping == dropping)
        return;
    journal_state_write_dropped(&journal->state, service->id, service->rate.dropped,
                                pipe->dropping);
    wait_for_rate(journal, service);
}

static void write_block(struct journal *journal, struct service_pipe *pipe, const char *bytes,
                        size_t count)
{
    if (pipe->service->file.quota.rate_lines || pipe->dropping)
        write_limited(journal, pipe, bytes, count);
    else
        write_run(journal, pipe, bytes, count);
    /* Whatever the rate has left out; and now that the line is in the file. */
    journal_look(journal, pipe, bytes, count);
}

static void end_line(struct journal *journal, struct service_pipe *pipe)
{
    struct service *service = pipe->service;
    char time[CLOCK_RFC3339_BYTES], end[JOURNAL_SPLITTER_ROOM];
    uint64_t now_ns = clock_read_ns(CLOCK_REALTIME);

    clock_format_rfc3339(time, now_ns);
    if (pipe->splitter.held_bytes)
        take_line(journal, service, pipe, time, now_ns);
    append(journal, service, end, journal_splitter_end(&pipe->splitter, time, end), now_ns);
    if (service->in == pipe)
        service->in = NULL;
    pipe->dropping = false;
    if (service->match && service->match->pipe_inode == pipe->inode)
        match_end_line(service->match);
    if (service->console && buffer_used(service->console))
        show_line(service, service->console);
}

/* ---- reading ------------------------------------------------------------------------------- */

static void close_pipe(struct journal *journal, struct service_pipe *pipe)
{
    int fd = pipe->source.fd;
    end_line(journal, pipe);
    loop_remove(&journal->loop, &pipe->source);
    close(fd);
    list_remove(&pipe->node);
    free(pipe);
}

/* Says what comes next, so that a kill from here on is mended by the next journal. */
static void note_block(struct journal *journal, struct service_pipe *pipe)
{
    struct journal_note *note = journal_state_note(&journal->state);
    struct journal_file *file = &pipe->service->file;
    bool open = journal_store_prepare(&journal->store, file, clock_read_ns(CLOCK_REALTIME)) == 0;

    note->id = pipe->service->id;
    note->pipe_inode = pipe->inode;
    note->file_device = open ? file->device : 0;
    note->file_inode = open ? file->inode : 0;
    note->file_bytes = open ? file->size_bytes : 0;
    note->splitter = pipe->splitter;
    note->rate = pipe->service->rate;
    note->dropping = pipe->dropping;
    note->block++;
    journal->in_block = true;
    __atomic_store_n(&note->active, 1, __ATOMIC_SEQ_CST);
}

/* The order matters: a note without bytes is nothing, bytes without a note are nobody's. */
static void end_block(struct journal *journal)
{
    __atomic_store_n(&journal_state_note(&journal->state)->active, 0, __ATOMIC_SEQ_CST);
    spool_done(&journal->spool);
    journal->in_block = false;
}

/* How much may be taken at once, so that no more than one file is filled by it: at worst, one that
 * holds nothing but line ends, a block gets this many times as long. */
static size_t block_bytes(const struct service *service, size_t most)
{
    const uint64_t bytes = service->file.quota.max_size_bytes / (2 * JOURNAL_PREFIX_BYTES);
    return bytes < most ? (size_t)bytes : most;
}

/* Reads up to `most` bytes at once. Returns how many, 0 when there are none now, or -1 when the
 * pipe is over. */
static ssize_t read_block(struct journal *journal, struct service_pipe *pipe, size_t most)
{
    const char *bytes = block;
    ssize_t count;

    most = block_bytes(pipe->service, most);
    if (journal->spool.fd >= 0) {
        note_block(journal, pipe);
        count = spool_take(&journal->spool, pipe->source.fd, most);
        bytes = journal->spool.bytes;
    } else {
        count = read(pipe->source.fd, block, most < sizeof block ? most : sizeof block);
        count = count < 0 ? -errno : count;
    }
    if (count > 0)
        write_block(journal, pipe, bytes, (size_t)count);
    if (journal->spool.fd >= 0)
        end_block(journal);
    keep_quota(journal, pipe->service);
    return count > 0 ? count : count == -EAGAIN || count == -EINTR ? 0 : -1;
}

static void on_readable(struct loop_fd *source, uint32_t events)
{
    struct service_pipe *pipe = container_of(source, struct service_pipe, source);
    struct journal *journal = pipe->service->journal;
    (void)events;
    if (read_block(journal, pipe, sizeof block) < 0)
        close_pipe(journal, pipe);
}

/* Reads what is in the pipe now; what is printed meanwhile may stay. */
static void drain_pipe(struct journal *journal, struct service_pipe *pipe)
{
    int waiting = 0;
    if (ioctl(pipe->source.fd, FIONREAD, &waiting) < 0)
        return;
    if (waiting > DRAIN_BYTES)
        waiting = DRAIN_BYTES;
    while (waiting > 0) {
        ssize_t count = read_block(journal, pipe, (size_t)waiting);
        if (count <= 0)
            return; /* an end is seen again by the loop */
        waiting -= (int)count;
    }
}

void journal_drain_service(struct journal *journal, struct service *service)
{
    list_for_each(node, &service->pipes)
        drain_pipe(journal, container_of(node, struct service_pipe, node));
}

void journal_drain(struct journal *journal)
{
    intake_drain(journal->intake);
    for (uint32_t id = 0; id < journal->service_count; id++)
        if (journal->services[id])
            journal_drain_service(journal, journal->services[id]);
    retry_all(journal);
}

/* ---- services ------------------------------------------------------------------------------ */

int journal_init(struct journal *journal, const char *logs, const char *fallback)
{
    journal->spool.fd = -1;
    journal_store_init(&journal->store, logs, fallback);
    journal->own = (struct service){
        .journal = journal, .id = JOURNAL_OWN_ID, .name = (char *)JOURNAL_OWN_NAME};
    list_init(&journal->matched);
    list_init(&journal->own.pipes);
    list_init(&journal->own.due_node);
    list_init(&journal->own.unpacked_node);
    keeper_init(&journal->keeper, journal);
    journal_file_init(&journal->own.file, JOURNAL_OWN_NAME, NULL);
    int failed = loop_init(&journal->loop);
    if (!failed)
        keeper_add(&journal->keeper, &journal->own);
    return failed;
}

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
    free(service->name);
    free(service->folder);
    free(service);
}

static struct service *make_service(struct journal *journal, uint32_t id,
                                    const struct journal_state_record *record)
{
    struct service *service = calloc(1, sizeof *service);
    if (!service)
        return NULL;
    service->journal = journal;
    service->id = id;
    service->name = strdup(record->name);
    service->folder = record->folder[0] ? strdup(record->folder) : NULL;
    list_init(&service->pipes);
    list_init(&service->due_node);
    list_init(&service->unpacked_node);
    journal_file_init(&service->file, service->name, service->folder);
    service->file.quota = record->quota;
    service->rate.dropped = record->dropped;
    service->was_dropping = record->dropping;
    if (service->name && (service->folder || !record->folder[0]))
        return service;
    free_service(service);
    return NULL;
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
    return strcmp(service->name, record->name) == 0 &&
           strcmp(service->folder ? service->folder : "", record->folder) == 0;
}

int journal_register(struct journal *journal, uint32_t id,
                     const struct journal_state_record *record)
{
    struct service *service = journal_find(journal, id);
    if (service && is_same(service, record)) {
        return journal_change(journal, id, record->flags, &record->quota);
    }
    int failed = make_room(journal, journal_place(id));
    if (failed)
        return failed;
    struct service *made = make_service(journal, id, record);
    if (!made)
        return -ENOMEM;
    journal_forget(journal, id);
    set_flags(made, record->flags);
    journal->services[journal_place(id)] = made;
    keeper_add(&journal->keeper, made);
    wait_for_rate(journal, made);
    return 0;
}

int journal_change(struct journal *journal, uint32_t id, uint32_t flags, const struct quota *quota)
{
    struct service *service = journal_find(journal, id);
    if (!service)
        return -ENOENT;
    if (service->flags != flags)
        set_flags(service, flags);
    if (quota_equal(&service->file.quota, quota))
        return 0;
    say_dropped_now(journal, service);
    service->rate = (struct rate){0};
    service->file.quota = *quota;
    keeper_changed(&journal->keeper, service);
    return 0;
}

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
                !journal_store_give_up_descriptor(&journal->store))
                break;
        }
    }
    return fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : fd;
}

static void adopt_line(struct journal *journal, struct service_pipe *pipe)
{
    struct journal_file *file = &pipe->service->file;
    AUTO_FREE char *tail = NULL;
    bool end;

    ssize_t bytes = journal_store_adopt(&journal->store, file, &tail);
    if (bytes <= 0)
        return;
    size_t torn = journal_splitter_adopt(&pipe->splitter, tail, (size_t)bytes, &end);
    if (end) /* the store writes a line end before what comes next */
        file->mid_line = false;
    else if (torn)
        journal_store_cut(&journal->store, file, torn);
    else
        pipe->service->in = pipe;
}

int journal_add_pipe(struct journal *journal, uint32_t id, int fd, bool adopted)
{
    struct service *service = journal_find(journal, id);
    AUTO_CLOSE int owned = fd;
    struct stat stat;

    if (!service)
        return -ENOENT;
    if (fstat(owned, &stat) < 0)
        return -errno;
    if (!S_ISFIFO(stat.st_mode))
        return -EINVAL;
    list_for_each(node, &service->pipes) if (container_of(node, struct service_pipe, node)->inode ==
                                             stat.st_ino) return 0;
    int own = open_read_end(journal, owned);
    if (own < 0)
        return own;
    take_fd(&owned);
    struct service_pipe *pipe = calloc(1, sizeof *pipe);
    int failed =
        pipe ? loop_add(&journal->loop, &pipe->source, own, EPOLLIN, on_readable) : -ENOMEM;
    if (failed) {
        close(own);
        free(pipe);
        return failed;
    }
    pipe->service = service;
    pipe->inode = stat.st_ino;
    pipe->splitter.default_level = JOURNAL_INFO;
    list_append(&service->pipes, &pipe->node);
    if (adopted) {
        pipe->dropping = service->was_dropping;
        adopt_line(journal, pipe);
    }
    service->was_dropping = false;
    return 0;
}

static struct service_pipe *find_pipe(const struct journal *journal,
                                      const struct journal_note *note)
{
    const struct service *service = journal_find(journal, note->id);
    if (!service)
        return NULL;
    list_for_each(node, &service->pipes)
    {
        struct service_pipe *pipe = container_of(node, struct service_pipe, node);
        if (pipe->inode == note->pipe_inode)
            return pipe;
    }
    return NULL;
}

void journal_finish_block(struct journal *journal)
{
    struct journal_note *note = journal_state_note(&journal->state);
    size_t count = spool_taken(&journal->spool);

    if (journal->spool.fd < 0)
        return;
    struct service_pipe *pipe = note->active && count ? find_pipe(journal, note) : NULL;
    if (pipe) {
        struct journal_file *file = &pipe->service->file;
        if (note->file_inode)
            journal_store_rewind(&journal->store, file, note->file_device, note->file_inode,
                                 note->file_bytes);
        journal->in_block = true;
        pipe->splitter = note->splitter;
        pipe->dropping = note->dropping;
        pipe->service->rate = note->rate;
        file->mid_line = note->splitter.state == LINE_OPEN;
        pipe->service->in = file->mid_line ? pipe : NULL;
        write_block(journal, pipe, journal->spool.bytes, count);
    }
    end_block(journal);
    if (pipe)
        keep_quota(journal, pipe->service);
}

void journal_say(struct journal *journal, uint32_t id, enum journal_level level, const char *text,
                 size_t bytes)
{
    struct service *service = journal_find(journal, id);
    if (!service)
        service = &journal->own;
    journal_drain_service(journal, service);
    write_event(journal, service, level, text,
                bytes > JOURNAL_LINK_TEXT_BYTES ? JOURNAL_LINK_TEXT_BYTES : bytes);
}

void journal_end_rates(struct journal *journal)
{
    journal->keeper.ending = true;
    for (uint32_t id = 0; id < journal->service_count; id++)
        if (journal->services[id])
            say_dropped_now(journal, journal->services[id]);
}

void journal_cut_line(struct service *service)
{
    char end[JOURNAL_SPLITTER_ROOM];
    if (service->in)
        append(service->journal, service, end, journal_splitter_cut(&service->in->splitter, end),
               clock_read_ns(CLOCK_REALTIME));
}

void journal_end_run(struct journal *journal, uint32_t id)
{
    struct service *service = journal_find(journal, id);
    if (!service)
        return;
    intake_drain(journal->intake); /* there may be last words of it */
    journal_drain_service(journal, service);
    list_for_each(node, &service->pipes)
        end_line(journal, container_of(node, struct service_pipe, node));
    journal_unmatch(journal, id, NULL);
    say_dropped_now(journal, service);
}

void journal_forget(struct journal *journal, uint32_t id)
{
    struct service *service = journal_find(journal, id);
    if (!service)
        return;
    journal_drain_service(journal, service);
    list_for_each(node, &service->pipes)
        close_pipe(journal, container_of(node, struct service_pipe, node));
    journal_unmatch(journal, id, NULL);
    say_dropped_now(journal, service);
    if (!list_empty(&service->file.waiting_node)) {
        journal_store_retry(&journal->store, clock_read_ns(CLOCK_REALTIME));
        if (!list_empty(&service->file.waiting_node))
            LOG(WARNING, "The last lines of a service cannot be written",
                TEXT("service", service->name), TEXT("error", strerror(-service->file.error)),
                NUMBER("bytes", service->file.backlog.used));
    }
    intake_forget(journal->intake, id);
    keeper_drop(&journal->keeper, service);
    journal_file_finish(&journal->store, &service->file);
    journal->services[journal_place(id)] = NULL;
    free_service(service);
}
