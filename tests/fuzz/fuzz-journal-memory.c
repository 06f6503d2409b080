/* What a journal has left in memory for the next one, damaged in any way: its state, the queue of
 * lines on their way to the disk, or what came from /dev/log. It is refused, or all of it can be
 * used. The first byte says which, and whether a state is read as another version's; the rest is
 * patch.h's. */
#include "journal/splitter.h"
#include "patch.h"
#include "service-journal/intake-state.h"
#include "service-journal/queue.h"
#include "service-journal/state.h"

#include <errno.h>
#include <sys/mman.h>

#define SLOTS 3

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

/* ---- the state ------------------------------------------------------------------------------- */

static int make_state(bool of_other_version)
{
    struct journal_state state;
    struct journal_state_match match = {.pipe_inode = 5, .expression = "listening"};
    struct journal_state_line line = {.used = 4, .text = "lead"};

    demand(journal_state_create(&state) == 0, "there is memory");
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        struct journal_state_record record = {.id = slot, .quota = QUOTA_DEFAULT, .name = "web"};
        if (slot == 1)
            memcpy(record.folder, "/srv/web/logs", 14);
        demand(journal_state_write(&state, slot, &record) == 0, "there is memory");
        journal_state_live(&state, slot)->pipes[0].splitter =
            (struct journal_splitter){.default_level = JOURNAL_INFO, .held_bytes = 1, .held = "<"};
    }
    journal_state_note(&state)->block = 3;
    demand(journal_state_write_match(&state, 1, &match) == 0, "there is memory");
    demand(journal_state_write_line(&state, 1, &line) == 0, "there is memory");
    int fd = dup(state.fd);
    munmap(state.header, (size_t)((char *)state.lives - (char *)state.header));
    close(state.fd);
    if (of_other_version) /* docs/state.md: the layout's version, and the least one of a reader */
        demand(pwrite(fd, (const uint32_t[2]){99, 1}, 8, 32768 + 8) == 8, "there is memory");
    return fd;
}

static void use_splitter(struct journal_splitter splitter)
{
    static const char text[] = "3>bad\nwell\n<";
    static const char time[JOURNAL_TIME_BYTES + 1] = "2026-11-22T13:54:00.123456Z";
    char out[JOURNAL_SPLITTER_ROOM + 64];
    const char *in = text;
    size_t count = sizeof text - 1;

    for (int rounds = 0; count; rounds++) {
        demand(rounds < 100, "it gets on");
        size_t used = journal_splitter_feed(&splitter, time, &in, &count, out, sizeof out);
        demand(used <= sizeof out, "there is room for what it puts out");
    }
    demand(journal_splitter_cut(&splitter, out) <= JOURNAL_SPLITTER_ROOM, "and for a cut");
    demand(journal_splitter_end(&splitter, time, out) <= JOURNAL_SPLITTER_ROOM, "and for an end");
}

static void use_slot(struct journal_state *state, uint32_t slot)
{
    struct journal_state_record record;
    struct journal_live *live = journal_state_live(state, slot);

    if (journal_state_read(state, slot, &record) == 0) {
        demand(memchr(record.name, 0, sizeof record.name), "a name ends");
        demand(memchr(record.folder, 0, sizeof record.folder), "a folder ends");
        demand(record.quota.max_size_bytes, "there is a quota");
    }
    for (size_t i = 0; i < JOURNAL_LIVE_PIPES; i++)
        use_splitter(live->pipes[i].splitter);
}

static void use_state(int fd)
{
    static struct journal_state_line line;
    struct journal_state state;
    struct journal_state_match match;
    bool moved;

    if (journal_state_open(&state, fd, &moved) < 0)
        return;
    uint32_t slots = journal_state_slots(&state);
    demand(slots <= JOURNAL_SLOTS_MAX, "there are no more slots than there can be");
    for (uint32_t slot = 0; slot < slots && slot <= SLOTS; slot++)
        use_slot(&state, slot);
    if (slots)
        use_slot(&state, slots - 1);
    use_splitter(journal_state_note(&state)->before.splitter);
    use_splitter(journal_state_note(&state)->after.splitter);
    for (uint32_t id = 0; id < SLOTS; id++) {
        if (journal_state_read_match(&state, id, &match))
            demand(memchr(match.expression, 0, sizeof match.expression), "an expression ends");
        if (journal_state_read_line(&state, id, &line))
            demand(line.used <= sizeof line.text, "a line has its place");
    }
    munmap(state.header, (size_t)((char *)state.lives - (char *)state.header));
    close(state.fd);
}

/* ---- the queue ------------------------------------------------------------------------------- */

static int make_queue(void)
{
    struct queue queue;
    size_t room;
    demand(queue_create(&queue) == 0, "there is memory");
    queue_begin(&queue);
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        char *place = queue_place(&queue, slot, 0, 6, &room);
        demand(place && room >= 6, "there is room");
        memcpy(place, "lines\n", 6);
        queue_put(&queue, 6, QUEUE_URGENT);
    }
    queue_commit(&queue);
    queue_note(&queue, 0, 1, 2, 3, 4);
    int fd = dup(queue.fd);
    munmap(queue.ring, 2 * (size_t)QUEUE_BYTES);
    munmap(queue.header, 65536);
    close(queue.fd);
    return fd;
}

static void use_queue(int fd)
{
    const struct queue_record *record;
    struct queue queue;
    size_t room, sum = 0;
    uint64_t next;

    if (queue_open(&queue, fd) < 0)
        return;
    uint64_t begin = queue_tail(&queue);
    for (uint64_t at = begin; (record = queue_get(&queue, at, &next)); at = next) {
        demand(next > at && next - begin <= QUEUE_BYTES, "records come to an end");
        demand(record->bytes <= QUEUE_RECORD_BYTES, "a record has its place");
        for (uint32_t i = 0; i < record->bytes; i++)
            sum += (unsigned char)record->text[i];
    }
    for (size_t i = 0; i < QUEUE_NOTES; i++)
        sum += queue_noted(&queue, i) != NULL;
    queue_done(&queue, queue_head(&queue)); /* as the writer does with what is no record */
    queue_begin(&queue);
    char *place = queue_place(&queue, 1, 0, QUEUE_RECORD_BYTES, &room);
    demand(place && room >= QUEUE_RECORD_BYTES, "an empty one has room");
    memset(place, (int)sum, QUEUE_RECORD_BYTES);
    queue_put(&queue, QUEUE_RECORD_BYTES, 0);
    queue_commit(&queue);
    record = queue_get(&queue, queue_tail(&queue), &next);
    demand(record && record->bytes == QUEUE_RECORD_BYTES, "what is put is got");
    munmap(queue.ring, 2 * (size_t)QUEUE_BYTES);
    munmap(queue.header, 65536);
    close(queue.fd);
}

/* ---- what came from elsewhere ---------------------------------------------------------------- */

static int make_intake(void)
{
    struct intake_state *state;
    int fd;
    demand(intake_state_create(&state, &fd) == 0, "there is memory");
    memcpy(state->dev_log, "/dev/log", 9);
    memcpy(state->datagrams[0].sender.service, "web", 4);
    state->headers[0].msg_len = 10;
    state->told = 1;
    munmap(state, sizeof *state);
    return fd;
}

static void use_intake(int fd)
{
    struct intake_state *state;
    if (intake_state_open(&state, fd) < 0)
        return;
    demand(memchr(state->dev_log, 0, sizeof state->dev_log), "a path ends");
    demand(memchr(state->cgroup, 0, sizeof state->cgroup), "a path ends");
    for (size_t i = 0; i < INTAKE_DATAGRAMS; i++)
        demand(memchr(state->datagrams[i].sender.service, 0, JOURNAL_LINK_NAME_BYTES),
               "a name ends");
    intake_state_prepare(state);
    munmap(state, sizeof *state);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    if (!count)
        return 0;
    const int kind = bytes[0] % 4;
    int fd = kind < 2 ? make_state(kind) : kind == 2 ? make_queue() : make_intake();
    patch_file(fd, bytes + 1, count - 1);
    if (kind < 2)
        use_state(fd);
    else if (kind == 2)
        use_queue(fd);
    else
        use_intake(fd);
    return 0;
}
