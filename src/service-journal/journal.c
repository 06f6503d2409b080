/* Lines: from a service's pipe into the queue, block by block; events; what the rate leaves out.
 *
 * One block a pipe and turn, so that a service that floods gets no more than its share. A block
 * goes from the pipe by splice(2) into the spool, and from there, line by line, into the queue;
 * whenever this process is killed, it is in one of the three. How much longer it gets on that way
 * is known only then: what there is no room for stays in the spool until there is. */
#include "service-journal/journal.h"
#include "base/clock.h"
#include "base/text.h"
#include "journal/lines.h"
#include "journal/show.h"
#include "log/console.h"
#include "service-journal/intake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CONSOLE_LINE_BYTES 1000
#define DRAIN_BYTES        (1 << 20) /* of one pipe; the largest that pipe(7) allows a user */
#define PLACE_LEAST_BYTES  256       /* for some of a line */
#define NO_HEAD            UINT64_MAX
#define STEP_BACK_NS       NS_PER_SEC /* of the clock; what is less stays in one file */

/* ---- steps --------------------------------------------------------------------------------- */

static struct journal_place place_of(const struct service_pipe *pipe, size_t done_bytes)
{
    return (struct journal_place){pipe->splitter, pipe->dropping, (uint32_t)done_bytes};
}

void journal_begin_step(struct journal *journal, struct service *service,
                        const struct service_pipe *pipe, uint64_t sequence)
{
    struct journal_note *note = journal_state_note(&journal->state);

    queue_begin(&journal->queue);
    note->slot = service->book->slot;
    note->head = queue_head(&journal->queue);
    note->sequence = sequence;
    note->live = *service->live;
    note->pipe_inode = pipe ? pipe->inode : 0;
    note->before = pipe ? place_of(pipe, 0) : (struct journal_place){.done_bytes = 0};
    note->block++;
    __atomic_store_n(&note->active, 1, __ATOMIC_SEQ_CST);
}

/* While the note changes its step counts as carried out, which it is. */
void journal_begin_rest(struct journal *journal, const struct journal_live *live)
{
    struct journal_note *note = journal_state_note(&journal->state);

    queue_begin(&journal->queue);
    __atomic_store_n(&note->head, NO_HEAD, __ATOMIC_SEQ_CST);
    note->live = *live;
    note->before = note->after;
    note->block++;
    __atomic_store_n(&note->head, queue_head(&journal->queue), __ATOMIC_SEQ_CST);
}

/* The order matters: until the head is stored the step is to be done again, and with what was noted
 * for it; what is noted here counts from then on. */
static void carry_out(struct journal *journal, struct service *service)
{
    struct journal_live *live = service->live;
    list_for_each(node, &service->pipes)
    {
        const struct service_pipe *pipe = container_of(node, struct service_pipe, node);
        if (pipe->place >= JOURNAL_LIVE_PIPES)
            continue;
        live->pipes[pipe->place].inode = pipe->inode;
        live->pipes[pipe->place].splitter = pipe->splitter;
        live->pipes[pipe->place].dropping = pipe->dropping;
    }
    live->in_inode = service->in ? service->in->inode : 0;
    live->in_state = service->in ? service->in->splitter.state : LINE_NONE;
    live->rate = service->rate;
    queue_commit(&journal->queue);
}

static void tell_others(struct journal *journal, const struct service *service)
{
    counts_set(&journal->counts, service->id, &service->live->counts);
    writer_see(&journal->writer);
}

/* The message counts as carried out before the note goes, which says so until then. */
void journal_end_step(struct journal *journal, struct service *service)
{
    struct journal_note *note = journal_state_note(&journal->state);
    carry_out(journal, service);
    if (note->sequence)
        journal_state_set_sequence(&journal->state, note->sequence);
    __atomic_store_n(&note->active, 0, __ATOMIC_SEQ_CST);
    tell_others(journal, service);
}

/* A part of a block is put; the rest stays noted. */
static void end_part(struct journal *journal, struct service_pipe *pipe, size_t done_bytes)
{
    journal_state_note(&journal->state)->after = place_of(pipe, done_bytes);
    carry_out(journal, pipe->service);
    tell_others(journal, pipe->service);
}

/* Whether what comes next goes on with an unfinished line. */
static unsigned flags_now(const struct service *service)
{
    return service->in && service->in->splitter.state == LINE_OPEN ? QUEUE_CONTINUES : 0;
}

/* Puts bytes that are one piece; `flags` are those of before them. */
static void put(struct journal *journal, struct service *service, const char *bytes, size_t count,
                unsigned flags, enum journal_level worst)
{
    size_t room;
    char *place =
        count ? queue_place(&journal->queue, service->book->slot, flags, count, &room) : NULL;
    if (!place)
        return;
    memcpy(place, bytes, count);
    queue_put(&journal->queue, count, worst <= JOURNAL_ERR ? QUEUE_URGENT : 0);
}

void journal_put_line_end(struct journal *journal, struct service *service)
{
    put(journal, service, "\n", 1, QUEUE_CONTINUES, JOURNAL_DEBUG);
}

/* ---- lines --------------------------------------------------------------------------------- */

/* Whether a line has begun that is put, not one that the rate leaves out. */
static bool is_in_line(const struct service_pipe *pipe)
{
    return pipe->splitter.state != LINE_NONE || pipe->splitter.held_bytes;
}

/* Ends the line that was put last, if it is another pipe's. One that the rate leaves out goes on:
 * it counts with its own end. */
static void take_line(struct journal *journal, struct service *service, struct service_pipe *from,
                      const char *time)
{
    char end[JOURNAL_SPLITTER_ROOM] = "";
    if (service->in && service->in != from) {
        unsigned flags = flags_now(service);
        service->live->counts.lines += is_in_line(service->in);
        put(journal, service, end, journal_splitter_end(&service->in->splitter, time, end), flags,
            JOURNAL_DEBUG);
    }
    service->in = from;
}

static void show_line(const struct service *service, struct buffer *shown)
{
    static struct buffer line;
    if (buffer_append(&line, service->book->name, strlen(service->book->name)) == 0 &&
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

void journal_cut(struct journal *journal, struct service *service, bool seal)
{
    char end[JOURNAL_SPLITTER_ROOM] = "";
    unsigned flags = flags_now(service);
    size_t room;

    if (service->in)
        put(journal, service, end, journal_splitter_cut(&service->in->splitter, end), flags,
            JOURNAL_DEBUG);
    if (seal && queue_place(&journal->queue, service->book->slot, flags_now(service), 0, &room))
        queue_put(&journal->queue, 0, QUEUE_SEAL);
}

/* The time of what comes next. Where the clock was set back what came before is sealed: so times go
 * up in each file, and a reader finds one by halves. */
static void format_now(struct journal *journal, struct service *service,
                       char time[static CLOCK_RFC3339_BYTES])
{
    const uint64_t now_ns = clock_read_ns(CLOCK_REALTIME);
    if (now_ns + STEP_BACK_NS < service->latest_ns) {
        journal_cut(journal, service, true);
        service->latest_ns = now_ns;
    }
    if (now_ns > service->latest_ns)
        service->latest_ns = now_ns;
    clock_format_rfc3339(time, now_ns);
}

void journal_put_event(struct journal *journal, struct service *service, enum journal_level level,
                       const char *text, size_t bytes)
{
    char line[JOURNAL_PREFIX_BYTES + JOURNAL_LINK_TEXT_BYTES + 2], time[CLOCK_RFC3339_BYTES];

    if (bytes > JOURNAL_LINK_TEXT_BYTES)
        bytes = JOURNAL_LINK_TEXT_BYTES;
    format_now(journal, service, time);
    journal_cut(journal, service, false);
    size_t used = journal_format_prefix(
        line, time, service == &journal->own ? JOURNAL_OUTPUT : JOURNAL_EVENT_MARK, level);
    memcpy(line + used, text, bytes);
    used += bytes;
    line[used++] = '\n';
    put(journal, service, line, used, 0, level);
}

/* Says how many lines are missing here. */
static void say_dropped(struct journal *journal, struct service *service, uint32_t dropped)
{
    char storage[120];
    struct text text;
    if (!dropped)
        return;
    text_init(&text, storage, sizeof storage);
    text_printf(&text, "dropped lines=%u reason=\"rate ", dropped);
    text_add_rate(&text, service->book->quota.rate_lines, service->book->quota.rate_interval_ms);
    text_add_char(&text, '"');
    journal_put_event(journal, service, JOURNAL_WARNING, text.data, text.used_bytes);
}

void journal_say_dropped(struct journal *journal, struct service *service)
{
    uint32_t dropped = service->rate.dropped;
    service->rate.dropped = 0;
    say_dropped(journal, service, dropped);
}

static uint64_t rate_over_ns(const struct service *service)
{
    return service->rate.since_ns + service->book->quota.rate_interval_ms * NS_PER_MS;
}

static void on_rates(struct loop_timer *timer)
{
    struct journal *journal = container_of(timer, struct journal, rates);
    uint64_t now_ns = clock_now_ns(), next_ns = 0;
    for (uint32_t id = 0; id < journal->service_count; id++) {
        struct service *service = journal->services[id];
        if (!service || !service->rate.dropped)
            continue;
        uint64_t at_ns = rate_over_ns(service);
        if (at_ns <= now_ns) {
            journal_make_room(journal, journal_step_need(service));
            journal_begin_step(journal, service, NULL, 0);
            journal_say_dropped(journal, service);
            journal_end_step(journal, service);
        } else if (!next_ns || at_ns < next_ns) {
            next_ns = at_ns;
        }
    }
    if (next_ns)
        loop_set_timer(&journal->loop, timer, next_ns, on_rates);
}

void journal_wait_for_rate(struct journal *journal, const struct service *service)
{
    uint64_t at_ns = rate_over_ns(service);
    if (service->rate.dropped && (!journal->rates.set || at_ns < journal->rates.at_ns))
        loop_set_timer(&journal->loop, &journal->rates, at_ns, on_rates);
}

/* ---- blocks -------------------------------------------------------------------------------- */

/* All that a service prints and that the rate leaves goes through here, once. Returns how much of
 * it was put: as far as there is room. */
static size_t write_run(struct journal *journal, struct service_pipe *pipe, const char *bytes,
                        size_t count)
{
    struct service *service = pipe->service;
    const char *begin = bytes;
    char time[CLOCK_RFC3339_BYTES];
    size_t left;

    format_now(journal, service, time);
    take_line(journal, service, pipe, time);
    while (count && (left = journal_room_left(journal)) > PLACE_LEAST_BYTES) {
        size_t room;
        char *place = queue_place(&journal->queue, service->book->slot, flags_now(service),
                                  PLACE_LEAST_BYTES, &room);
        if (!place)
            break;
        pipe->splitter.worst =
            pipe->splitter.state == LINE_NONE ? JOURNAL_DEBUG : pipe->splitter.level;
        size_t used = journal_splitter_feed(&pipe->splitter, time, &bytes, &count, place,
                                            room < left ? room : left);
        queue_put(&journal->queue, used, pipe->splitter.worst <= JOURNAL_ERR ? QUEUE_URGENT : 0);
    }
    if (service->console)
        show(service, begin, (size_t)(bytes - begin));
    return (size_t)(bytes - begin);
}

/* Leaves out the lines that are too many. Returns as write_run(); but how much that will be has to
 * be known before, for what the rate has let through is to be put. */
static size_t write_limited(struct journal *journal, struct service_pipe *pipe, const char *bytes,
                            size_t count)
{
    struct service *service = pipe->service;
    const struct quota *quota = &service->book->quota;
    const size_t part = count = journal_part_room(journal, count);

    say_dropped(journal, service, rate_begin(&service->rate, quota, clock_now_ns()));
    const uint32_t dropped = service->rate.dropped;
    while (count) {
        bool drop;
        size_t run =
            rate_run(&service->rate, quota, is_in_line(pipe), &pipe->dropping, bytes, count, &drop);
        if (!drop)
            write_run(journal, pipe, bytes, run);
        bytes += run;
        count -= run;
    }
    service->live->counts.over_rate += service->rate.dropped - dropped;
    journal_wait_for_rate(journal, service);
    return part;
}

/* Returns how many bytes were taken. */
static size_t write_part(struct journal *journal, struct service_pipe *pipe, const char *bytes,
                         size_t count)
{
    struct journal_counts *counts = &pipe->service->live->counts;
    count = pipe->service->book->quota.rate_lines || pipe->dropping
                ? write_limited(journal, pipe, bytes, count)
                : write_run(journal, pipe, bytes, count);
    counts->lines += lines_count(bytes, count);
    counts->bytes += count;
    /* Whatever the rate has left out. */
    journal_look(journal, pipe, bytes, count);
    return count;
}

void journal_put_block(struct journal *journal, struct service_pipe *pipe, size_t count,
                       bool is_last)
{
    const size_t begin = journal_state_note(&journal->state)->before.done_bytes;
    uint64_t head = queue_head(&journal->queue);
    size_t done = begin, put_bytes = 0;

    for (;;) {
        done += write_part(journal, pipe, journal->spool.bytes + done, count - done);
        if (done == count)
            break;
        end_part(journal, pipe, done);
        put_bytes += queue_head(&journal->queue) - head;
        journal->in_block = true;
        journal_make_part_room(journal);
        journal->in_block = false;
        journal_begin_rest(journal, pipe->service->live);
        head = queue_head(&journal->queue);
    }
    if (is_last)
        journal_end_line(journal, pipe);
    journal_state_note(&journal->state)->after = place_of(pipe, count);
    journal_end_step(journal, pipe->service);
    journal_learn_growth(pipe, count - begin, put_bytes + queue_head(&journal->queue) - head);
}

void journal_end_line(struct journal *journal, struct service_pipe *pipe)
{
    struct service *service = pipe->service;
    char time[CLOCK_RFC3339_BYTES], end[JOURNAL_SPLITTER_ROOM] = "";

    service->live->counts.lines += is_in_line(pipe) || pipe->dropping;
    clock_format_rfc3339(time, clock_read_ns(CLOCK_REALTIME));
    if (pipe->splitter.held_bytes)
        take_line(journal, service, pipe, time);
    unsigned flags = service->in == pipe ? flags_now(service) : 0;
    put(journal, service, end, journal_splitter_end(&pipe->splitter, time, end), flags,
        JOURNAL_INFO);
    if (service->in == pipe)
        service->in = NULL;
    pipe->dropping = false;
    if (service->match && service->match->pipe_inode == pipe->inode)
        match_end_line(service->match);
    if (service->console && buffer_used(service->console))
        show_line(service, service->console);
}

/* ---- reading ------------------------------------------------------------------------------- */

void journal_close_pipe(struct journal *journal, struct service_pipe *pipe)
{
    struct service *service = pipe->service;
    int fd = pipe->source.fd;

    journal_make_room(journal, journal_step_need(service));
    journal_begin_step(journal, service, NULL, 0);
    journal_end_line(journal, pipe);
    journal_end_step(journal, service);
    loop_remove(&journal->pipes, &pipe->source);
    pace_forget(journal, pipe);
    close(fd);
    list_remove(&pipe->node);
    free(pipe);
}

/* Takes up to `most` bytes at once; there is room for them. Returns how many, 0 when there are none
 * now, or -1 when the pipe is over. */
static ssize_t read_block(struct journal *journal, struct service_pipe *pipe, size_t most)
{
    journal_begin_step(journal, pipe->service, pipe, 0);
    ssize_t count = spool_take(&journal->spool, pipe->source.fd, most);
    if (count <= 0) {
        journal_end_step(journal, pipe->service);
        return count == -EAGAIN || count == -EINTR ? 0 : -1;
    }
    journal_put_block(journal, pipe, (size_t)count, false);
    spool_done(&journal->spool);
    return count;
}

ssize_t journal_read_pipe(struct journal *journal, struct service_pipe *pipe)
{
    size_t most = journal_block_room(journal, pipe);
    ssize_t count = most ? read_block(journal, pipe, most) : 0;
    if (count < 0)
        journal_close_pipe(journal, pipe);
    return count;
}

void journal_on_readable(struct loop_fd *source, uint32_t events)
{
    struct service_pipe *pipe = container_of(source, struct service_pipe, source);
    struct journal *journal = pipe->service->journal;
    (void)events;
    ssize_t count = journal_read_pipe(journal, pipe);
    if (count > 0)
        pace_see(journal, pipe, (size_t)count);
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
        size_t most = journal_wait_for_block_room(journal, pipe);
        ssize_t count = read_block(journal, pipe, (size_t)waiting < most ? (size_t)waiting : most);
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

uint64_t journal_drain(struct journal *journal, enum writer_sync sync)
{
    intake_drain(journal->intake);
    for (uint32_t id = 0; id < journal->service_count; id++)
        if (journal->services[id])
            journal_drain_service(journal, journal->services[id]);
    uint64_t number = writer_drain(&journal->writer, sync);
    journal_wait_for_drain(journal, number);
    return number;
}

void journal_say(struct journal *journal, uint32_t id, enum journal_level level, const char *text,
                 size_t bytes, uint64_t sequence)
{
    struct service *service = journal_find(journal, id);
    if (!service)
        service = &journal->own;
    journal_drain_service(journal, service);
    journal_make_room(journal, journal_step_need(service));
    journal_begin_step(journal, service, NULL, sequence);
    journal_put_event(journal, service, level, text, bytes);
    journal_end_step(journal, service);
}
