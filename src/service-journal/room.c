/* Room in the queue. While the writer gets on, a full queue is ordinary back-pressure: the pipes
 * are left alone, and hold the services for a moment. When it has finished nothing for a second the
 * disk hangs: what it has not begun goes into the backlogs, so that services go on. */
#include "service-journal/journal.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#define PATIENCE_MS       1000
#define GROWTH            40    /* a block of nothing but line ends gets so many times as long */
#define GROWTH_PARTS      4     /* of 1, in which it is kept what a pipe's blocks have grown by */
#define GROWTH_DECAY      8     /* one of so many parts is forgotten with each block */
#define SPARE_BYTES       32768 /* for events, which are not left alone */
#define BLOCK_LEAST_BYTES 4096
#define ENOUGH_BYTES      (QUEUE_BYTES / 4) /* room for which pipes are looked at again */
#define STEP_BYTES        4096              /* the longest event, and what `rate` has to say */

_Static_assert(ENOUGH_BYTES > SPARE_BYTES + BLOCK_LEAST_BYTES * GROWTH, "that is room for a block");

static bool is_hung(struct journal *journal)
{
    return journal->hung && writer_progress(&journal->writer) == journal->hung_progress;
}

static void take_back(struct journal *journal)
{
    bool first = !is_hung(journal);
    writer_take_back(&journal->writer);
    journal->hung = true;
    journal->hung_progress = writer_progress(&journal->writer);
    if (first)
        LOG(WARNING, "The journals' disk does not answer; their newest lines are kept in memory",
            TEXT("logs", journal->writer.store.logs));
}

static void go_on(struct journal *journal)
{
    journal->stalled = false;
    loop_change(&journal->loop, &journal->pipes_source, EPOLLIN);
    pace_go_on(journal);
}

static void be_patient(struct journal *journal);

void journal_look_for_room(struct journal *journal)
{
    if (journal->hung && !is_hung(journal)) {
        journal->hung = false;
        LOG(INFO, "The journals' disk answers again", TEXT("logs", journal->writer.store.logs));
    }
    if (!journal->stalled)
        return;
    /* Asked for first: the writer may move just now, and then sleep. */
    writer_want_room(&journal->writer, ENOUGH_BYTES);
    if (queue_room(&journal->queue) >= ENOUGH_BYTES)
        go_on(journal);
}

static void on_patience(struct loop_timer *timer)
{
    struct journal *journal = container_of(timer, struct journal, patience);
    if (!journal->stalled)
        return;
    if (writer_progress(&journal->writer) == journal->patience_progress) {
        take_back(journal);
        go_on(journal);
    } else {
        be_patient(journal);
        journal_look_for_room(journal);
    }
}

static void be_patient(struct journal *journal)
{
    journal->patience_progress = writer_progress(&journal->writer);
    loop_set_timer(&journal->loop, &journal->patience, clock_now_ns() + PATIENCE_MS * NS_PER_MS,
                   on_patience);
}

static void on_drain_time(struct loop_timer *timer)
{
    struct journal *journal = container_of(timer, struct journal, drain_patience);
    if (writer_drained(&journal->writer) == journal->drain_asked)
        return;
    if (writer_progress(&journal->writer) != journal->drain_progress) {
        journal_wait_for_drain(journal, journal->drain_asked);
        return;
    }
    journal->drained_in_vain = journal->drain_asked;
    journal->on_drained(journal->context);
}

void journal_wait_for_drain(struct journal *journal, uint64_t number)
{
    journal->drain_asked = number;
    journal->drain_progress = writer_progress(&journal->writer);
    loop_set_timer(&journal->loop, &journal->drain_patience,
                   clock_now_ns() + PATIENCE_MS * NS_PER_MS, on_drain_time);
}

bool journal_is_drained(const struct journal *journal, uint64_t number)
{
    return writer_drained(&journal->writer) >= number || journal->drained_in_vain >= number;
}

/* For how much of a block there is room, by what the last ones have grown by. When it grows by
 * more, the rest has to wait. */
static size_t block_bytes(const struct service_pipe *pipe, size_t room)
{
    size_t growth = pipe->growth ? pipe->growth : GROWTH * GROWTH_PARTS;
    return (room - SPARE_BYTES) * GROWTH_PARTS / growth;
}

/* At once to what is more: a service that prints line ends now and then does not have us wait. */
void journal_learn_growth(struct service_pipe *pipe, size_t count, size_t put_bytes)
{
    size_t growth = put_bytes * GROWTH_PARTS / count + 1;
    uint8_t left = (uint8_t)(pipe->growth - pipe->growth / GROWTH_DECAY);
    pipe->growth = growth > left ? (uint8_t)(growth < UINT8_MAX ? growth : UINT8_MAX) : left;
}

size_t journal_room_left(const struct journal *journal)
{
    size_t left = queue_left(&journal->queue);
    return left > SPARE_BYTES ? left - SPARE_BYTES : 0;
}

size_t journal_part_room(const struct journal *journal, size_t count)
{
    size_t most = journal_room_left(journal) / GROWTH;
    return count < most ? count : most;
}

size_t journal_block_room(struct journal *journal, const struct service_pipe *pipe)
{
    size_t room = queue_room(&journal->queue);
    if (room < SPARE_BYTES + BLOCK_LEAST_BYTES * GROWTH && is_hung(journal)) {
        take_back(journal);
        room = queue_room(&journal->queue);
    }
    if (room >= SPARE_BYTES + BLOCK_LEAST_BYTES * GROWTH)
        return block_bytes(pipe, room);
    if (!journal->stalled) {
        journal->stalled = true;
        loop_change(&journal->loop, &journal->pipes_source, 0);
        be_patient(journal);
        journal_look_for_room(journal); /* there may be some by now */
    }
    return 0;
}

void journal_make_room(struct journal *journal, size_t bytes)
{
    struct pollfd bell = {.fd = journal->writer.reader_fd, .events = POLLIN};
    uint64_t progress = writer_progress(&journal->writer), rung;
    bool ring = false;

    while (queue_room(&journal->queue) < bytes) {
        if (is_hung(journal)) {
            take_back(journal);
            continue;
        }
        writer_want_room(&journal->writer, bytes);
        if (queue_room(&journal->queue) >= bytes)
            break;
        int ready = poll(&bell, 1, PATIENCE_MS);
        if (ready == 1 && read(bell.fd, &rung, sizeof rung) > 0)
            ring = true;
        uint64_t now = writer_progress(&journal->writer);
        if (ready == 0 && now == progress)
            take_back(journal);
        progress = now;
    }
    if (ring) /* what it was rung for besides is still to be done */
        writer_ring(&journal->writer);
}

size_t journal_wait_for_block_room(struct journal *journal, const struct service_pipe *pipe)
{
    journal_make_part_room(journal);
    return block_bytes(pipe, queue_room(&journal->queue));
}

void journal_make_part_room(struct journal *journal)
{
    journal_make_room(journal, SPARE_BYTES + BLOCK_LEAST_BYTES * GROWTH);
}

size_t journal_step_need(const struct service *service)
{
    size_t ends = 0;
    list_for_each(node, &service->pipes) ends += JOURNAL_SPLITTER_ROOM;
    return queue_need(STEP_BYTES + ends);
}
