/* What the journal keeps in memory that outlives it, whose calls and allocations fail, one after
 * the other: what cannot be made leaves nothing, what cannot be opened is as it was for the next
 * one, and what is damaged is none of ours. */
#include "base/text.h"
#include "faults.h"
#include "service-journal/backlogs.h"
#include "service-journal/counts.h"
#include "service-journal/intake-state.h"
#include "service-journal/queue.h"
#include "service-journal/spool.h"
#include "service-journal/state-internal.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE_BYTES 65536
#define ID         7
#define SLOT       3

static const int errors[] = {EIO, EMFILE};
static int expected; /* what a call fails with */

static void each(void (*attempt)(void), size_t least)
{
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        expected = errors[i];
        size_t failed = fault_each(FAULT_CALLS, errors[i], attempt);
        if (failed < least)
            fprintf(stderr, "only %zu calls failed\n", failed);
        CHECK(failed >= least);
    }
}

static void check_result(int failed)
{
    CHECK(failed == 0 || (fault_happened() && failed == -expected));
}

/* ---- made, or not -------------------------------------------------------------------------- */

static void create_state(void)
{
    struct journal_state state = {0};
    faults_begin();
    int failed = journal_state_create(&state);
    faults_end();
    check_result(failed);
    if (failed)
        return;
    CHECK_NUMBER(journal_state_slots(&state), 0);
    munmap(state.header, (size_t)RECORDS_AT);
    close(state.fd);
}

static void create_queue(void)
{
    struct queue queue;
    size_t room;
    faults_begin();
    int failed = queue_create(&queue);
    faults_end();
    check_result(failed);
    if (failed)
        return;
    queue_begin(&queue);
    CHECK(queue_place(&queue, 1, 0, 1, &room));
    queue_close_fd(&queue);
}

static void create_backlogs(void)
{
    struct backlogs backlogs;
    faults_begin();
    int failed = backlogs_create(&backlogs);
    faults_end();
    check_result(failed);
    CHECK(!failed || backlogs.fd < 0);
    if (!failed)
        close(backlogs.fd);
}

static void create_counts(void)
{
    const struct journal_counts some = {1, 2, 3, 4};
    struct counts counts;
    faults_begin();
    int failed = counts_create(&counts);
    faults_end();
    check_result(failed);
    CHECK(!failed || counts.fd < 0);
    counts_set(&counts, ID, &some); /* without memory it counts nothing, and does no harm */
    CHECK(!counts_no_room(&counts, ID) == !!failed);
    if (!failed)
        close(counts.fd);
}

static void create_spool(void)
{
    struct spool spool;
    faults_begin();
    int failed = spool_create(&spool);
    faults_end();
    check_result(failed);
    CHECK(!failed || spool.fd < 0);
    CHECK_NUMBER(spool_taken(&spool), 0);
    if (!failed)
        close(spool.fd);
}

static void create_intake(void)
{
    struct intake_state *state = NULL;
    int fd = -1;
    faults_begin();
    int failed = intake_state_create(&state, &fd);
    faults_end();
    check_result(failed);
    CHECK(failed ? fd < 0 && !state : fd >= 0);
    if (failed)
        return;
    intake_state_prepare(state);
    CHECK_NUMBER(state->datagrams[0].bytes[0], 0);
    munmap(state, sizeof *state);
    close(fd);
}

TEST(what_cannot_be_made_leaves_nothing_open)
{
    each(create_state, 3);
    each(create_queue, 5);
    each(create_backlogs, 4);
    each(create_counts, 4);
    each(create_spool, 3);
    each(create_intake, 3);
}

/* ---- opened, or as it was ------------------------------------------------------------------ */

static const struct journal_state_record web = {
    .id = ID, .flags = 1, .quota = QUOTA_DEFAULT, .name = "web", .folder = "/srv/logs"};

static void fill_state(struct journal_state *state)
{
    struct journal_state_match match = {.valid = 1, .run = {1, 2}, .expression = "ready"};
    struct journal_state_line line = {.used = 3, .text = "is "};
    CHECK_NUMBER(journal_state_create(state), 0);
    CHECK_NUMBER(journal_state_write(state, SLOT, &web), 0);
    CHECK_NUMBER(journal_state_write_match(state, ID, &match), 0);
    journal_state_note(state)->block = 5;
    CHECK_NUMBER(journal_state_write_line(state, ID, &line), 0);
    journal_state_live(state, SLOT)->counts.lines = 11;
    journal_state_set_sequence(state, 9);
}

static void finish_state(struct journal_state *state)
{
    munmap(state->header, (size_t)RECORDS_AT);
    close(state->fd);
}

static void check_state(const struct journal_state *state)
{
    struct journal_state_record record;
    struct journal_state_match match;
    struct journal_state_line line;
    CHECK_NUMBER(journal_state_sequence(state), 9);
    CHECK_NUMBER(journal_state_slots(state), SLOT + 1);
    CHECK_NUMBER(journal_state_live(state, SLOT)->counts.lines, 11);
    CHECK_NUMBER(journal_state_read(state, SLOT - 1, &record), -ENOENT);
    CHECK_NUMBER(journal_state_read(state, SLOT, &record), 0);
    CHECK(record.id == ID && record.flags == 1 && !record.ending);
    CHECK_TEXT(record.name, "web");
    CHECK_TEXT(record.folder, "/srv/logs");
    CHECK(journal_state_read_match(state, ID, &match));
    CHECK_TEXT(match.expression, "ready");
    CHECK(journal_state_read_line(state, ID, &line));
    CHECK(line.used == 3 && memcmp(line.text, "is ", 3) == 0);
}

static bool of_another_size;

static void open_state(void)
{
    struct journal_state state, opened = {0};
    bool moved = false;
    fill_state(&state);
    if (of_another_size)
        CHECK_NUMBER(ftruncate(state.fd, STATE_BYTES + PAGE_BYTES), 0);
    int fd = dup(state.fd);
    faults_begin();
    int failed = journal_state_open(&opened, fd, &moved);
    faults_end();
    check_result(failed);
    CHECK(!moved || of_another_size);
    if (failed) /* the next journal finds it as it was */
        CHECK_NUMBER(journal_state_open(&opened, dup(state.fd), &moved), 0);
    CHECK_NUMBER(moved, of_another_size);
    check_state(&opened);
    finish_state(&opened);
    finish_state(&state);
}

static void open_queue(void)
{
    struct queue queue, opened;
    size_t room;
    CHECK_NUMBER(queue_create(&queue), 0);
    queue_begin(&queue);
    char *place = queue_place(&queue, SLOT, 0, 4, &room);
    memcpy(place, "line", 4);
    queue_put(&queue, 4, 0);
    queue_commit(&queue);
    int fd = dup(queue.fd);
    faults_begin();
    int failed = queue_open(&opened, fd);
    faults_end();
    check_result(failed);
    if (failed)
        CHECK_NUMBER(queue_open(&opened, dup(queue.fd)), 0);
    uint64_t next;
    const struct queue_record *record = queue_get(&opened, queue_tail(&opened), &next);
    CHECK(record && record->slot == SLOT && memcmp(record->text, "line", 4) == 0);
    queue_close_fd(&opened);
    queue_close_fd(&queue);
}

static void fill_backlog(struct backlogs *backlogs)
{
    struct backlog_pool pool = {BACKLOG_POOL_BYTES};
    struct backlog backlog;
    CHECK_NUMBER(backlogs_open_one(backlogs, &pool, SLOT, "web", NULL, NULL, &backlog), 0);
    backlog_add(&backlog, &pool, "one\n", 4, &(struct backlog_record){0, 16, false});
    munmap(backlog.ring, BACKLOG_RING_BYTES);
}

static void open_backlogs(void)
{
    struct backlogs backlogs, opened;
    uint32_t slot = 0;
    CHECK_NUMBER(backlogs_create(&backlogs), 0);
    fill_backlog(&backlogs);
    int fd = dup(backlogs.fd);
    faults_begin();
    int failed = backlogs_open(&opened, fd);
    bool found = !failed && backlogs_find(&opened, &slot);
    faults_end();
    check_result(failed);
    CHECK(!failed || opened.fd < 0);
    CHECK(found || fault_happened());
    if (failed)
        CHECK_NUMBER(backlogs_open(&opened, dup(backlogs.fd)), 0);
    slot = 0;
    CHECK(backlogs_find(&opened, &slot));
    CHECK_NUMBER(slot, SLOT);
    slot++;
    CHECK(!backlogs_find(&opened, &slot));
    close(opened.fd);
    close(backlogs.fd);
}

static void forget_backlog(void)
{
    struct backlogs backlogs;
    uint32_t slot = 0;
    CHECK_NUMBER(backlogs_create(&backlogs), 0);
    fill_backlog(&backlogs);
    faults_begin();
    backlogs_forget(&backlogs, SLOT);
    faults_end();
    CHECK(fault_happened() || !backlogs_find(&backlogs, &slot));
    backlogs_forget(&backlogs, SLOT);
    slot = 0;
    CHECK(!backlogs_find(&backlogs, &slot));
    close(backlogs.fd);
}

static void open_counts(void)
{
    const struct journal_counts some = {1, 2, 3, 4};
    struct counts counts, opened;
    CHECK_NUMBER(counts_create(&counts), 0);
    counts_set(&counts, ID, &some);
    int fd = dup(counts.fd);
    faults_begin();
    int failed = counts_open(&opened, fd);
    int reading = failed ? -1 : counts_open_reading(&opened);
    faults_end();
    check_result(failed);
    CHECK(!failed || opened.fd < 0);
    CHECK(reading >= 0 || fault_happened());
    if (failed)
        CHECK_NUMBER(counts_open(&opened, dup(counts.fd)), 0);
    CHECK_NUMBER(opened.array[ID].bytes, 2);
    if (reading >= 0)
        close(reading);
    close(opened.fd);
    close(counts.fd);
}

static void open_spool(void)
{
    struct spool spool, opened;
    int ends[2];
    CHECK_NUMBER(spool_create(&spool), 0);
    CHECK_NUMBER(pipe(ends), 0);
    CHECK_NUMBER(write(ends[1], "block", 5), 5);
    CHECK_NUMBER(spool_take(&spool, ends[0], 100), 5);
    CHECK_NUMBER(spool_take(&spool, ends[0], 100), -EAGAIN);
    int fd = dup(spool.fd);
    faults_begin();
    int failed = spool_open(&opened, fd);
    faults_end();
    check_result(failed);
    CHECK(!failed || opened.fd < 0);
    if (failed)
        CHECK_NUMBER(spool_open(&opened, dup(spool.fd)), 0);
    CHECK_NUMBER(spool_taken(&opened), 5);
    CHECK(memcmp(opened.bytes, "block", 5) == 0);
    spool_done(&opened);
    CHECK_NUMBER(spool_taken(&spool), 0);
    close(ends[0]);
    close(ends[1]);
    close(opened.fd);
    close(spool.fd);
}

static void open_intake(void)
{
    struct intake_state *state = NULL, *opened = NULL;
    int fd = -1;
    CHECK_NUMBER(intake_state_create(&state, &fd), 0);
    text_format(state->dev_log, sizeof state->dev_log, "/dev/log");
    int copy = dup(fd);
    faults_begin();
    int failed = intake_state_open(&opened, copy);
    faults_end();
    check_result(failed);
    CHECK(!failed || !opened);
    if (failed)
        CHECK_NUMBER(intake_state_open(&opened, dup(fd)), 0);
    CHECK_TEXT(opened->dev_log, "/dev/log");
    munmap(opened, sizeof *opened);
    munmap(state, sizeof *state);
    close(fd);
}

TEST(what_cannot_be_opened_now_is_there_for_the_next_journal)
{
    of_another_size = false;
    each(open_state, 4);
    of_another_size = true; /* it is moved */
    each(open_state, 12);
    each(open_queue, 4);
    each(open_backlogs, 4);
    each(forget_backlog, 1);
    each(open_counts, 4);
    each(open_spool, 2);
    each(open_intake, 2);
}

/* ---- the state, used ----------------------------------------------------------------------- */

static void use_state(void)
{
    struct journal_state_match match = {.valid = 1, .run = {3, 4}, .expression = "other"}, got;
    struct journal_state_record changed = web, read;
    struct journal_state_line line = {.used = 2, .text = "of"}, got_line;
    struct journal_state state;
    fill_state(&state);
    changed.flags = 2;
    faults_begin();
    int written = journal_state_write(&state, SLOT, &changed);
    int matched = journal_state_write_match(&state, ID, &match);
    int lined = journal_state_write_line(&state, ID, &line);
    int failed = journal_state_read(&state, SLOT, &read);
    bool has_match = journal_state_read_match(&state, ID, &got);
    bool has_line = journal_state_read_line(&state, ID, &got_line);
    faults_end();
    check_result(written);
    check_result(matched);
    check_result(failed);
    CHECK(!lined || fault_happened());
    CHECK((has_match && has_line) || fault_happened());
    if (!failed)
        CHECK_NUMBER(read.flags, written ? 1 : 2); /* the old one or the new one */
    /* One that was not written whole is none: never one with the text of another. */
    if (journal_state_read_match(&state, ID, &got))
        CHECK(got.run[0] == (strcmp(got.expression, "other") == 0 ? 3 : 1));
    CHECK_NUMBER(journal_state_write(&state, SLOT, &changed), 0);
    CHECK_NUMBER(journal_state_write_match(&state, ID, &match), 0);
    CHECK(journal_state_read_match(&state, ID, &got) && strcmp(got.expression, "other") == 0);
    finish_state(&state);
}

TEST(a_call_that_fails_leaves_a_record_the_old_one_or_the_new_one)
{
    each(use_state, 12);
}

static void end_slot(void)
{
    struct journal_state_record read;
    struct journal_state state;
    fill_state(&state);
    faults_begin();
    int ended = journal_state_end(&state, SLOT);
    int matched = journal_state_set_matched(&state, ID);
    int unmatched = journal_state_clear_match(&state, ID);
    faults_end();
    check_result(ended);
    check_result(matched);
    check_result(unmatched);
    CHECK_NUMBER(journal_state_read(&state, SLOT, &read), 0);
    CHECK_NUMBER(read.ending, !ended);
    CHECK_NUMBER(journal_state_clear(&state, SLOT), 0);
    CHECK_NUMBER(journal_state_read(&state, SLOT, &read), -ENOENT);
    finish_state(&state);
}

TEST(a_slot_ends_or_is_still_what_it_was)
{
    each(end_slot, 3);
}

TEST(what_is_no_slot_and_no_id_has_no_place)
{
    struct journal_state_match match = {.valid = 1};
    struct journal_state state;
    fill_state(&state);
    CHECK_NUMBER(journal_state_write(&state, JOURNAL_SLOTS_MAX, &web), -ERANGE);
    CHECK_NUMBER(journal_state_end(&state, SLOT + 1), 0);
    CHECK_NUMBER(journal_state_clear(&state, SLOT + 1), 0);
    CHECK_NUMBER(journal_state_slots(&state), SLOT + 1);
    CHECK_NUMBER(journal_state_write_match(&state, IDS_MAX, &match), -ENOENT);
    CHECK(!journal_state_read_match(&state, IDS_MAX, &match));
    CHECK_NUMBER(journal_state_clear_match(&state, IDS_MAX), 0);
    check_state(&state);
    finish_state(&state);
}

/* A journal that was killed in the middle of a block writes that block again. */
TEST(of_a_line_what_a_block_left_counts_once_the_block_is_done)
{
    struct journal_state_line line = {.used = 7, .text = "is read"}, got;
    struct journal_state state;
    fill_state(&state);
    struct journal_note *note = journal_state_note(&state);
    note->block = 6;
    note->active = 1;
    CHECK_NUMBER(journal_state_write_line(&state, ID, &line), 0);
    CHECK(journal_state_read_line(&state, ID, &got) && got.used == 3);
    CHECK_NUMBER(journal_state_write_line(&state, ID, &line), 0); /* again */
    CHECK(journal_state_read_line(&state, ID, &got) && got.used == 3);
    note->active = 0;
    CHECK(journal_state_read_line(&state, ID, &got) && got.used == 7);
    note->block = 4; /* both are of blocks that are not done: nothing is read yet */
    note->active = 1;
    CHECK(journal_state_read_line(&state, ID, &got) && got.used == 0);
    finish_state(&state);
}

/* ---- damaged ------------------------------------------------------------------------------- */

/* What journal_state_open() says of a state in which a number was changed, and then cut or made
 * longer. A record is changed by its place in RECORDS_AT, … */
static int open_changed(off_t at, uint32_t number, off_t bytes, struct journal_state *ret)
{
    struct journal_state state;
    bool moved;
    fill_state(&state);
    if (at >= 0)
        CHECK_NUMBER(pwrite(state.fd, &number, sizeof number, at), sizeof number);
    CHECK_NUMBER(ftruncate(state.fd, bytes), 0);
    int failed = journal_state_open(ret, dup(state.fd), &moved);
    CHECK(failed || moved == (bytes != STATE_BYTES));
    close(state.fd);
    return failed;
}

static off_t in_record(size_t offset)
{
    return RECORDS_AT + (off_t)SLOT * RECORD_BYTES + (off_t)offset;
}

TEST(a_state_that_is_damaged_is_refused)
{
    const off_t longer = STATE_BYTES + PAGE_BYTES;
    struct journal_state state;
    static const struct {
        off_t at;
        uint32_t number;
        off_t bytes;
    } rows[] = {
        {0, 1, STATE_BYTES},                                              /* no magic */
        {offsetof(struct journal_state_header, version), 4, STATE_BYTES}, /* tells no layout */
        {LAYOUT_AT, 1, STATE_BYTES},                                      /* none, either */
        {-1, 0, 10},                                                      /* too short for … */
        {-1, 0, LAYOUT_AT + 10},                                          /* … each part */
        {-1, 0, HEADER_BYTES},                                            /**/
        {-1, 0, RECORDS_AT},                                              /**/
        {-1, 0, FOLDERS_AT},                                              /**/
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        CHECK_NUMBER(open_changed(rows[i].at, rows[i].number, rows[i].bytes, &state), -EPROTO);
    /* Only one that is moved is looked at as a whole. */
    CHECK_NUMBER(open_changed(in_record(offsetof(struct record, folder_bytes)), FOLDER_BYTES,
                              longer, &state),
                 -EPROTO);
    CHECK_NUMBER(open_changed(offsetof(struct journal_state_header, slots), JOURNAL_SLOTS_MAX + 1,
                              longer, &state),
                 -EPROTO);
}

TEST(what_cannot_be_in_a_state_is_left_out_of_it)
{
    struct journal_state_record record;
    struct journal_state state;
    static const struct {
        size_t offset;
        uint32_t number;
    } rows[] = {{offsetof(struct record, valid), 9},
                {offsetof(struct record, folder_bytes), FOLDER_BYTES}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CHECK_NUMBER(open_changed(in_record(rows[i].offset), rows[i].number, STATE_BYTES, &state),
                     0);
        CHECK_NUMBER(journal_state_read(&state, SLOT, &record), -ENOENT);
        finish_state(&state);
    }
    const off_t slots = offsetof(struct journal_state_header, slots);
    CHECK_NUMBER(open_changed(slots, UINT32_MAX, STATE_BYTES, &state), 0);
    CHECK_NUMBER(journal_state_slots(&state), JOURNAL_SLOTS_MAX);
    finish_state(&state);
    const off_t in_state = HEADER_BYTES + SLOT * (off_t)sizeof(struct journal_live) +
                           (off_t)offsetof(struct journal_live, in_state);
    CHECK_NUMBER(open_changed(in_state, 99, STATE_BYTES, &state), 0);
    CHECK_NUMBER(journal_state_live(&state, SLOT)->in_state, LINE_NONE);
    check_state(&state);
    finish_state(&state);
    const off_t used = MATCHES_AT + (off_t)ID * MATCH_BYTES + (off_t)offsetof(struct match, lines);
    for (off_t half = 0; half < 2; half++) {
        struct journal_state_line line;
        const off_t at = used + half * (off_t)sizeof line;
        CHECK_NUMBER(open_changed(at + (off_t)offsetof(struct journal_state_line, used),
                                  MATCH_LINE_BYTES + 1, STATE_BYTES, &state),
                     0);
        CHECK_NUMBER(journal_state_read_line(&state, ID, &line), half == 1);
        finish_state(&state);
    }
}
