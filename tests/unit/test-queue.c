/* The queue between the journal's threads: what is put comes out, once, in order, whole; and what
 * a process that is killed leaves is what it had committed. */
#include "service-journal/queue.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define ROUNDS      200000
#define EXPECTED    4096
#define PIECE_BYTES 700

static uint32_t seed = 1;

static uint32_t random_below(uint32_t bound)
{
    seed = seed * 1664525 + 1013904223;
    return (uint32_t)((uint64_t)seed * bound >> 32);
}

/* What is expected to come out: pieces of text by their first number and length. */
static struct {
    uint32_t slot, first, bytes;
} expected[EXPECTED];
static size_t expected_first, expected_count;

/* Puts a piece; joins it to the last expected one where the queue may have joined it. */
static bool put_piece(struct queue *queue, uint32_t slot, uint32_t first, uint32_t bytes)
{
    size_t room;
    char *place = queue_place(queue, slot, 0, bytes, &room);
    if (!place)
        return false;
    CHECK(room >= bytes);
    for (uint32_t i = 0; i < bytes; i++)
        place[i] = (char)(first + i);
    queue_put(queue, bytes, first % 7 == 0 ? QUEUE_URGENT : 0);
    size_t at = (expected_first + expected_count++) % EXPECTED;
    expected[at].slot = slot;
    expected[at].first = first;
    expected[at].bytes = bytes;
    return true;
}

/* Takes one record, which has one expected piece or several. */
static bool take_record(struct queue *queue)
{
    uint64_t next;
    const struct queue_record *record = queue_get(queue, queue_tail(queue), &next);
    if (!record)
        return false;
    for (uint32_t used = 0; used < record->bytes;) {
        size_t at = expected_first++ % EXPECTED;
        CHECK(expected_count-- > 0);
        CHECK_NUMBER(record->slot, expected[at].slot);
        CHECK(used + expected[at].bytes <= record->bytes);
        bool same = true;
        for (uint32_t i = 0; i < expected[at].bytes; i++)
            same = same && record->text[used + i] == (char)(expected[at].first + i);
        CHECK(same);
        used += expected[at].bytes;
    }
    queue_done(queue, next);
    return true;
}

static void put_some(struct queue *queue, bool commit)
{
    size_t before = expected_count;
    queue_begin(queue);
    for (uint32_t i = random_below(6); i > 0 && expected_count < EXPECTED; i--)
        if (!put_piece(queue, random_below(3), random_below(1000), 1 + random_below(PIECE_BYTES)))
            break;
    if (commit)
        queue_commit(queue);
    else
        expected_count = before;
}

/* Another process maps what the first one left. */
static void change_process(struct queue *queue)
{
    int fd = fcntl(queue->fd, F_DUPFD_CLOEXEC, 0);
    munmap(queue->ring, 2 * (size_t)QUEUE_BYTES);
    munmap(queue->header, 65536);
    close(queue->fd);
    CHECK_NUMBER(queue_open(queue, fd), 0);
}

TEST(what_is_put_behind_a_seal_is_in_another_record)
{
    const struct queue_record *record;
    struct queue queue;
    size_t room;
    uint64_t next;

    CHECK_NUMBER(queue_create(&queue), 0);
    queue_begin(&queue);
    memcpy(queue_place(&queue, 1, 0, 4, &room), "one\n", 4);
    queue_put(&queue, 4, 0);
    CHECK(queue_place(&queue, 1, 0, 0, &room) != NULL);
    queue_put(&queue, 0, QUEUE_SEAL);
    memcpy(queue_place(&queue, 1, 0, 4, &room), "two\n", 4);
    queue_put(&queue, 4, 0);
    queue_commit(&queue);
    record = queue_get(&queue, queue_tail(&queue), &next);
    CHECK(record && record->bytes == 4 && (record->flags & QUEUE_SEAL));
    record = queue_get(&queue, next, &next);
    CHECK(record && record->bytes == 4 && !(record->flags & QUEUE_SEAL));
    CHECK(!memcmp(record->text, "two\n", 4));
}

TEST(random_pieces_come_out_once_in_order_and_whole_whoever_is_killed_when)
{
    struct queue queue;
    size_t least = QUEUE_BYTES;
    CHECK_NUMBER(queue_create(&queue), 0);
    for (int round = 0; round < ROUNDS; round++) {
        /* In turns it fills up and runs dry. */
        bool filling = round / 3000 % 2;
        if (random_below(4) < (filling ? 3 : 1))
            put_some(&queue, random_below(10) > 0);
        else
            take_record(&queue);
        if (random_below(2000) == 0)
            change_process(&queue);
        if (queue_room(&queue) < least)
            least = queue_room(&queue);
    }
    queue_begin(&queue);
    while (take_record(&queue)) {
    }
    CHECK_NUMBER(expected_count, 0);
    CHECK_NUMBER(queue_head(&queue), queue_tail(&queue));
    CHECK_NUMBER(queue_room(&queue), QUEUE_BYTES);
    CHECK(least < QUEUE_BYTES / 4);
    CHECK(queue_head(&queue) > 3 * (uint64_t)QUEUE_BYTES);
}

TEST(a_full_queue_has_no_place_and_what_is_said_to_fit_fits)
{
    struct queue queue;
    size_t room, used = 0, most = 1;
    CHECK_NUMBER(queue_create(&queue), 0);
    queue_begin(&queue);
    while (queue_need(most) <= QUEUE_BYTES)
        most++;
    for (most--; used < most;) {
        size_t least = used + 256 < most ? 256 : most - used;
        char *place = queue_place(&queue, 1, 0, least, &room);
        CHECK(place);
        if (!place)
            return;
        size_t take = room < most - used ? room : most - used;
        place[0] = place[take - 1] = 'x';
        queue_put(&queue, take, 0);
        used += take;
    }
    while (queue_place(&queue, 2, 0, QUEUE_RECORD_BYTES, &room))
        queue_put(&queue, QUEUE_RECORD_BYTES, 0);
    queue_commit(&queue);
    CHECK(!queue_place(&queue, 3, 0, QUEUE_RECORD_BYTES, &room));
}

TEST(what_is_taken_back_was_never_there)
{
    struct queue queue;
    uint64_t next;
    CHECK_NUMBER(queue_create(&queue), 0);
    expected_first = expected_count = 0;
    queue_begin(&queue);
    CHECK(put_piece(&queue, 1, 5, 100));
    queue_commit(&queue);
    uint64_t kept = queue_head(&queue);
    queue_begin(&queue);
    CHECK(put_piece(&queue, 2, 50, 100));
    queue_commit(&queue);
    expected_count--;
    queue_take_back(&queue, kept);
    queue_begin(&queue);
    CHECK(put_piece(&queue, 3, 7, 100));
    queue_commit(&queue);
    CHECK(take_record(&queue));
    CHECK(take_record(&queue));
    CHECK(!queue_get(&queue, queue_tail(&queue), &next));
}

TEST(a_note_counts_until_the_batch_is_done)
{
    struct queue queue;
    CHECK_NUMBER(queue_create(&queue), 0);
    CHECK(!queue_noted(&queue, 0));
    queue_begin(&queue);
    CHECK(put_piece(&queue, 1, 5, 100));
    queue_commit(&queue);
    queue_note(&queue, 0, 1, 2, 3, 4);
    const struct queue_note *note = queue_noted(&queue, 0);
    CHECK(note && note->slot == 1 && note->device == 2 && note->inode == 3 && note->bytes == 4);
    CHECK(!queue_noted(&queue, 1));
    queue_done(&queue, queue_head(&queue));
    CHECK(!queue_noted(&queue, 0));
    queue_note(&queue, 0, 1, 2, 3, 4);
    queue_forget_notes(&queue);
    CHECK(!queue_noted(&queue, 0));
}

TEST(what_is_no_queue_is_refused)
{
    struct queue queue;
    CHECK_NUMBER(queue_open(&queue, memfd_create("short", MFD_CLOEXEC)), -EPROTO);
    int fd = memfd_create("zeros", MFD_CLOEXEC);
    CHECK_NUMBER(ftruncate(fd, 65536 + QUEUE_BYTES), 0);
    CHECK_NUMBER(queue_open(&queue, fd), -EPROTO);
}
