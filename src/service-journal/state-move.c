/* The journal's state between versions: its fields, and what a journal of another layout has left
 * moved into one of ours. A field's number, the first argument of its row, never means anything
 * else. */
#include "service-journal/state-internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum part { HEADER, LIVE, RECORD, FOLDER, MATCH, LINE, WRITTEN, PARTS };

#define FIRST_PARTS 6 /* that each version has had */

#define ENTRY_MOST 32768 /* no entry of any part is longer */

#define HEADER(number, kind, member)                                                               \
    LAYOUT_FIELD(number, HEADER, FIELD_##kind, struct journal_state_header, member)
#define LIVE(number, kind, member)                                                                 \
    LAYOUT_FIELD(number, LIVE, FIELD_##kind, struct journal_live, member)
#define WRITTEN(number, kind, member)                                                              \
    LAYOUT_FIELD(number, WRITTEN, FIELD_##kind, struct journal_written, member)
#define RECORD(number, kind, member)                                                               \
    LAYOUT_FIELD(number, RECORD, FIELD_##kind, struct record, member)
#define MATCH(number, kind, member)                                                                \
    LAYOUT_FIELD(number, MATCH, FIELD_##kind, struct journal_state_match, member)
#define LINE(number, kind, member)                                                                 \
    LAYOUT_FIELD(number, LINE, FIELD_##kind, struct journal_state_line, member)

static const struct layout_part parts[PARTS] = {
    [HEADER] = {0, sizeof(struct journal_state_header), 1},
    [LIVE] = {HEADER_BYTES, sizeof(struct journal_live), JOURNAL_SLOTS_MAX},
    [RECORD] = {RECORDS_AT, RECORD_BYTES, JOURNAL_SLOTS_MAX},
    [FOLDER] = {FOLDERS_AT, FOLDER_BYTES, JOURNAL_SLOTS_MAX},
    [MATCH] = {MATCHES_AT, MATCH_BYTES, IDS_MAX},
    [LINE] = {offsetof(struct match, lines), sizeof(struct journal_state_line), 2},
    [WRITTEN] = {WRITTEN_AT, sizeof(struct journal_written), JOURNAL_SLOTS_MAX},
};

static const struct layout_field fields[] = {
    HEADER(1, UNSIGNED, slots),
    HEADER(2, UNSIGNED, sequence),
    HEADER(3, UNSIGNED, note.block),
    LIVE(1, UNSIGNED, pipes[0].inode),
    LIVE(2, UNSIGNED, pipes[0].splitter.line_bytes),
    LIVE(3, UNSIGNED, pipes[0].splitter.state),
    LIVE(4, UNSIGNED, pipes[0].splitter.level),
    LIVE(5, UNSIGNED, pipes[0].splitter.default_level),
    LIVE(6, UNSIGNED, pipes[0].splitter.held_bytes),
    LIVE(7, UNSIGNED, pipes[0].splitter.worst),
    LIVE(8, BYTES, pipes[0].splitter.held),
    LIVE(9, UNSIGNED, pipes[0].dropping),
    LIVE(21, UNSIGNED, pipes[1].inode),
    LIVE(22, UNSIGNED, pipes[1].splitter.line_bytes),
    LIVE(23, UNSIGNED, pipes[1].splitter.state),
    LIVE(24, UNSIGNED, pipes[1].splitter.level),
    LIVE(25, UNSIGNED, pipes[1].splitter.default_level),
    LIVE(26, UNSIGNED, pipes[1].splitter.held_bytes),
    LIVE(27, UNSIGNED, pipes[1].splitter.worst),
    LIVE(28, BYTES, pipes[1].splitter.held),
    LIVE(29, UNSIGNED, pipes[1].dropping),
    LIVE(41, UNSIGNED, in_inode),
    LIVE(42, UNSIGNED, in_state),
    /* 43 was WRITTEN 5. */
    LIVE(44, UNSIGNED, rate.since_ns),
    LIVE(45, UNSIGNED, rate.lines),
    LIVE(46, UNSIGNED, rate.dropped),
    LIVE(47, UNSIGNED, counts.lines),
    LIVE(48, UNSIGNED, counts.bytes),
    LIVE(49, UNSIGNED, counts.over_rate),
    LIVE(50, UNSIGNED, counts.no_room),
    LIVE(51, UNSIGNED, output_inode),
    RECORD(1, UNSIGNED, valid),
    RECORD(2, UNSIGNED, id),
    RECORD(3, UNSIGNED, flags),
    RECORD(4, UNSIGNED, folder_bytes),
    RECORD(5, TEXT, name),
    RECORD(6, UNSIGNED, quota.max_size_bytes),
    RECORD(7, UNSIGNED, quota.keep),
    RECORD(8, UNSIGNED, quota.max_age_s),
    RECORD(9, UNSIGNED, quota.rate_lines),
    RECORD(10, UNSIGNED, quota.rate_interval_ms),
    MATCH(1, UNSIGNED, valid),
    MATCH(2, UNSIGNED, matched),
    MATCH(3, BYTES, run),
    MATCH(4, UNSIGNED, pipe_inode),
    MATCH(5, TEXT, expression),
    LINE(1, UNSIGNED, block),
    LINE(2, UNSIGNED, used),
    LINE(3, UNSIGNED, cut),
    LINE(4, BYTES, text),
    WRITTEN(1, UNSIGNED, device),
    WRITTEN(2, UNSIGNED, inode),
    WRITTEN(3, UNSIGNED, bytes),
    WRITTEN(4, UNSIGNED, to_cut),
    WRITTEN(5, UNSIGNED, unsynced),
};

const struct layout journal_state_layout = {
    .version = VERSION,
    .least_reader = LEAST_READER,
    .parts = parts,
    .part_count = PARTS,
    .fields = fields,
    .field_count = sizeof fields / sizeof fields[0],
};

/* ---- moving -------------------------------------------------------------------------------- */

struct move {
    struct layout_plan plan;
    const struct layout_told *told;
    int from_fd;
    struct journal_state *state;
};

/* Reads an entry of theirs, without touching a page that is not there, and moves it. */
static int move_at(const struct move *move, enum part part, uint64_t at, void *target)
{
    static char entry[ENTRY_MOST];
    const struct layout_field *bad;
    size_t bytes = move->told->parts[part].bytes;
    int failed =
        bytes > sizeof entry ? -EPROTO : journal_state_get(move->from_fd, entry, bytes, (off_t)at);
    return failed ? failed : layout_move(&move->plan, part, entry, target, &bad);
}

static uint64_t place_of(const struct move *move, enum part part, uint32_t number)
{
    return move->told->parts[part].at + (uint64_t)number * move->told->parts[part].bytes;
}

static int move_match(const struct move *move, uint32_t id)
{
    struct match match = {0};
    int failed = id < IDS_MAX && id < move->told->parts[MATCH].count
                     ? move_at(move, MATCH, place_of(move, MATCH, id), &match.match)
                     : 0;
    for (uint32_t half = 0; half < 2 && !failed && match.match.valid; half++)
        failed = move_at(move, LINE, place_of(move, MATCH, id) + place_of(move, LINE, half),
                         &match.lines[half]);
    if (failed || !match.match.valid)
        return failed;
    return journal_state_put(move->state->fd, &match, sizeof match,
                             MATCHES_AT + (off_t)id * MATCH_BYTES);
}

/* What does not tell what is on the disk has all of it to be synced. */
static int move_written(const struct move *move, uint32_t slot)
{
    struct journal_written *written = &move->state->written[slot];
    if (move->told->part_count > WRITTEN)
        return slot < move->told->parts[WRITTEN].count
                   ? move_at(move, WRITTEN, place_of(move, WRITTEN, slot), written)
                   : 0;
    written->unsynced = 1;
    return 0;
}

static int move_slot(const struct move *move, uint32_t slot)
{
    char folder[FOLDER_BYTES] = "";
    struct record record = {0};
    int failed = move_at(move, LIVE, place_of(move, LIVE, slot), &move->state->lives[slot]);
    if (!failed)
        failed = move_written(move, slot);
    if (!failed)
        failed = move_at(move, RECORD, place_of(move, RECORD, slot), &record);
    if (failed || record.valid == RECORD_NONE)
        return failed;
    if (record.folder_bytes >= sizeof folder ||
        record.folder_bytes > move->told->parts[FOLDER].bytes)
        return -EPROTO;
    if (record.folder_bytes)
        failed = journal_state_get(move->from_fd, folder, record.folder_bytes,
                                   (off_t)place_of(move, FOLDER, slot));
    if (!failed)
        failed = journal_state_put(move->state->fd, folder, sizeof folder,
                                   FOLDERS_AT + (off_t)slot * FOLDER_BYTES);
    if (!failed)
        failed = journal_state_put(move->state->fd, &record, sizeof record,
                                   RECORDS_AT + (off_t)slot * RECORD_BYTES);
    return failed ? failed : move_match(move, record.id);
}

int journal_state_move(struct journal_state *state, int from_fd, const struct layout_told *told)
{
    static struct move move;
    const struct layout_field *bad;
    move = (struct move){.told = told, .from_fd = from_fd, .state = state};
    if (told->part_count < FIRST_PARTS)
        return -EPROTO;
    int failed = layout_plan(&move.plan, &journal_state_layout, told, &bad);
    if (!failed)
        failed = move_at(&move, HEADER, 0, state->header);
    uint32_t slots = state->header->slots;
    if (!failed && (slots > JOURNAL_SLOTS_MAX || slots > told->parts[LIVE].count ||
                    slots > told->parts[RECORD].count || slots > told->parts[FOLDER].count))
        failed = -EPROTO;
    /* The first slot is our own, and has no record. */
    if (!failed)
        failed = move_at(&move, LIVE, place_of(&move, LIVE, JOURNAL_SLOT_OWN),
                         &state->lives[JOURNAL_SLOT_OWN]);
    if (!failed)
        failed = move_written(&move, JOURNAL_SLOT_OWN);
    for (uint32_t slot = 0; slot < slots && !failed; slot++)
        failed = move_slot(&move, slot);
    return failed;
}
