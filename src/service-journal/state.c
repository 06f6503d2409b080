/* What the next journal has to know, in a memfd that init holds. */
#include "service-journal/state-internal.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static off_t record_at(uint32_t slot)
{
    return RECORDS_AT + (off_t)slot * RECORD_BYTES;
}

static off_t folder_at(uint32_t slot)
{
    return FOLDERS_AT + (off_t)slot * FOLDER_BYTES;
}

/* Pages that nobody touches are not there. */
static int map(struct journal_state *state)
{
    char *pages = mmap(NULL, (size_t)RECORDS_AT, PROT_READ | PROT_WRITE, MAP_SHARED, state->fd, 0);
    if (pages == MAP_FAILED)
        return -errno;
    state->header = (struct journal_state_header *)pages;
    state->lives = (struct journal_live *)(pages + HEADER_BYTES);
    state->written = (struct journal_written *)(pages + WRITTEN_AT);
    return 0;
}

static void forget(struct journal_state *state)
{
    munmap(state->header, (size_t)RECORDS_AT);
    close(state->fd);
}

int journal_state_create(struct journal_state *state)
{
    int failed;
    state->fd = memfd_create("journal-state", MFD_CLOEXEC);
    if (state->fd < 0)
        return -errno;
    failed = ftruncate(state->fd, STATE_BYTES) < 0 ? -errno : map(state);
    if (failed) {
        close(state->fd);
        return failed;
    }
    *state->header = (struct journal_state_header){.magic = MAGIC,
                                                   .version = VERSION,
                                                   .record_bytes = RECORD_BYTES,
                                                   .folder_bytes = FOLDER_BYTES,
                                                   .live_bytes = sizeof(struct journal_live)};
    failed = layout_put(&journal_state_layout, (char *)state->header + LAYOUT_AT, LAYOUT_ROOM);
    if (failed)
        forget(state);
    return failed;
}

int journal_state_get(int fd, void *into, size_t count, off_t at)
{
    ssize_t got = pread(fd, into, count, at);
    return got == (ssize_t)count ? 0 : got < 0 ? -errno : -EPROTO;
}

/* What a state tells of itself; -EPROTO: it is none, or none that we may read. */
static int read_layout(int fd, struct layout_told *ret, bool *ret_is_ours, bool *ret_needs_backlogs)
{
    static char page[LAYOUT_ROOM];
    struct journal_state_header header;
    struct stat stat;
    if (fstat(fd, &stat) < 0)
        return -errno;
    int failed = journal_state_get(fd, &header, sizeof header, 0);
    if (!failed && (header.magic != MAGIC || header.version < FIRST_TOLD))
        failed = -EPROTO;
    if (!failed)
        failed = journal_state_get(fd, page, sizeof page, LAYOUT_AT);
    if (failed)
        return failed;
    if (layout_get(page, sizeof page, ret) < 0 || ret->least_reader > VERSION)
        return -EPROTO;
    *ret_needs_backlogs = ret->least_reader > LEAST_READER;
    if (*ret_needs_backlogs) /* for now only */
        ret->least_reader = LEAST_READER;
    /* A page that the file does not have would be a SIGBUS later. */
    *ret_is_ours = stat.st_size == STATE_BYTES && layout_is_same(&journal_state_layout, ret);
    return 0;
}

static void mend_live(struct journal_live *live)
{
    for (size_t i = 0; i < JOURNAL_LIVE_PIPES; i++)
        journal_splitter_mend(&live->pipes[i].splitter);
    if (live->in_state > LINE_RESUMED)
        live->in_state = LINE_NONE;
}

/* What cannot be was written by nobody of ours. Lines of a slot that never had a record are not
 * looked at: that would make their pages. */
static void mend(struct journal_state *state)
{
    struct journal_note *note = journal_state_note(state);
    if (state->header->slots > JOURNAL_SLOTS_MAX)
        state->header->slots = JOURNAL_SLOTS_MAX;
    for (uint32_t slot = 0; slot < state->header->slots; slot++)
        mend_live(&state->lives[slot]);
    mend_live(&note->live);
    journal_splitter_mend(&note->before.splitter);
    journal_splitter_mend(&note->after.splitter);
}

int journal_state_open(struct journal_state *state, int fd, bool *ret_moved)
{
    static struct layout_told told;
    bool is_ours = false, needs_backlogs = false;
    int failed = read_layout(fd, &told, &is_ours, &needs_backlogs);

    if (!failed && is_ours) {
        state->fd = fd;
        failed = map(state);
    } else if (!failed) {
        failed = journal_state_create(state);
        if (!failed && (failed = journal_state_move(state, fd, &told)) < 0)
            forget(state);
    }
    if (failed || !is_ours)
        close(fd);
    if (!failed)
        mend(state);
    *ret_moved = !failed && !is_ours;
    state->needs_backlogs = !failed && needs_backlogs;
    return failed;
}

void journal_state_need_backlogs(struct journal_state *state, bool needed)
{
    struct layout layout = journal_state_layout;
    if (needed)
        layout.least_reader = LEAST_READER_OF_BACKLOGS;
    if (state->needs_backlogs != needed)
        layout_put(&layout, (char *)state->header + LAYOUT_AT, LAYOUT_ROOM);
    state->needs_backlogs = needed;
}

struct journal_note *journal_state_note(const struct journal_state *state)
{
    return &state->header->note;
}

struct journal_live *journal_state_live(const struct journal_state *state, uint32_t slot)
{
    return &state->lives[slot];
}

uint64_t journal_state_sequence(const struct journal_state *state)
{
    return state->header->sequence;
}

void journal_state_set_sequence(struct journal_state *state, uint64_t sequence)
{
    state->header->sequence = sequence;
}

uint32_t journal_state_slots(const struct journal_state *state)
{
    return state->header->slots;
}

/* ---- records ------------------------------------------------------------------------------- */

int journal_state_read(const struct journal_state *state, uint32_t slot,
                       struct journal_state_record *ret)
{
    struct record record;
    if (slot >= journal_state_slots(state))
        return -ENOENT;
    int failed = journal_state_get(state->fd, &record, sizeof record, record_at(slot));
    if (failed)
        return failed;
    if (record.valid == RECORD_NONE || record.valid > RECORD_ENDING ||
        record.folder_bytes >= sizeof ret->folder || !memchr(record.name, 0, sizeof record.name))
        return -ENOENT;
    if (record.folder_bytes &&
        (failed = journal_state_get(state->fd, ret->folder, record.folder_bytes, folder_at(slot))) <
            0)
        return failed;
    ret->folder[record.folder_bytes] = 0;
    ret->id = record.id;
    ret->ending = record.valid == RECORD_ENDING;
    ret->flags = record.flags;
    ret->quota = record.quota.max_size_bytes ? record.quota : QUOTA_DEFAULT;
    memcpy(ret->name, record.name, sizeof ret->name);
    return 0;
}

int journal_state_put(int fd, const void *bytes, size_t count, off_t at)
{
    ssize_t done = pwrite(fd, bytes, count, at);
    return done == (ssize_t)count ? 0 : done < 0 ? -errno : -ENOSPC;
}

static int put_valid(struct journal_state *state, uint32_t slot, uint32_t valid)
{
    return journal_state_put(state->fd, &valid, sizeof valid,
                             record_at(slot) + (off_t)offsetof(struct record, valid));
}

int journal_state_write(struct journal_state *state, uint32_t slot,
                        const struct journal_state_record *from)
{
    struct record record = {.valid = RECORD_ACTIVE,
                            .id = from->id,
                            .flags = from->flags,
                            .folder_bytes = (uint32_t)strlen(from->folder),
                            .quota = from->quota};

    if (slot >= JOURNAL_SLOTS_MAX)
        return -ERANGE;
    memcpy(record.name, from->name, sizeof record.name);
    int failed = 0;
    if (record.folder_bytes)
        failed = journal_state_put(state->fd, from->folder, record.folder_bytes, folder_at(slot));
    /* One system call, and within a page: a kill finds the old one or the new one. */
    if (!failed)
        failed = journal_state_put(state->fd, &record, sizeof record, record_at(slot));
    if (!failed && slot >= state->header->slots)
        state->header->slots = slot + 1;
    return failed;
}

int journal_state_end(struct journal_state *state, uint32_t slot)
{
    return slot < journal_state_slots(state) ? put_valid(state, slot, RECORD_ENDING) : 0;
}

int journal_state_clear(struct journal_state *state, uint32_t slot)
{
    return slot < journal_state_slots(state) ? put_valid(state, slot, RECORD_NONE) : 0;
}

/* ---- matches ------------------------------------------------------------------------------- */

static off_t match_at(uint32_t id)
{
    return MATCHES_AT + (off_t)id * MATCH_BYTES;
}

static off_t line_at(uint32_t id, size_t half)
{
    return match_at(id) + (off_t)offsetof(struct match, lines) +
           (off_t)(half * sizeof(struct journal_state_line));
}

int journal_state_write_match(struct journal_state *state, uint32_t id,
                              const struct journal_state_match *match)
{
    static const struct journal_state_line none;
    struct journal_state_match written = *match;
    const uint32_t valid = 1;

    if (id >= IDS_MAX)
        return -ENOENT;
    int failed = journal_state_clear_match(state, id);
    for (size_t half = 0; half < 2 && !failed; half++)
        failed = journal_state_put(state->fd, &none, offsetof(struct journal_state_line, text),
                                   line_at(id, half));
    written.valid = 0;
    if (!failed)
        failed = journal_state_put(state->fd, &written, sizeof written, match_at(id));
    return failed ? failed : journal_state_put(state->fd, &valid, sizeof valid, match_at(id));
}

bool journal_state_read_match(const struct journal_state *state, uint32_t id,
                              struct journal_state_match *ret)
{
    return id < IDS_MAX && pread(state->fd, ret, sizeof *ret, match_at(id)) == sizeof *ret &&
           ret->valid && memchr(ret->expression, 0, sizeof ret->expression);
}

int journal_state_set_matched(struct journal_state *state, uint32_t id)
{
    const uint32_t matched = 1;
    return journal_state_put(state->fd, &matched, sizeof matched,
                             match_at(id) + (off_t)offsetof(struct journal_state_match, matched));
}

int journal_state_clear_match(struct journal_state *state, uint32_t id)
{
    const uint32_t valid = 0;
    if (id >= IDS_MAX)
        return 0;
    return journal_state_put(state->fd, &valid, sizeof valid, match_at(id));
}

/* Reads the heads of both halves. */
static bool read_blocks(const struct journal_state *state, uint32_t id, uint64_t blocks[2])
{
    for (size_t half = 0; half < 2; half++)
        if (pread(state->fd, &blocks[half], sizeof blocks[half], line_at(id, half)) !=
            sizeof blocks[half])
            return false;
    return true;
}

int journal_state_write_line(struct journal_state *state, uint32_t id,
                             const struct journal_state_line *line)
{
    const size_t head = offsetof(struct journal_state_line, text);
    struct journal_state_line written = {
        .block = state->header->note.block, .used = line->used, .cut = line->cut};
    uint64_t blocks[2];

    if (!read_blocks(state, id, blocks))
        return -EIO;
    /* The older one; that of this block itself, if a journal that was killed had written it. */
    size_t half = blocks[0] == written.block   ? 0
                  : blocks[1] == written.block ? 1
                                               : blocks[0] > blocks[1];
    int failed =
        journal_state_put(state->fd, line->text, line->used, line_at(id, half) + (off_t)head);
    return failed ? failed : journal_state_put(state->fd, &written, head, line_at(id, half));
}

bool journal_state_read_line(const struct journal_state *state, uint32_t id,
                             struct journal_state_line *ret)
{
    const struct journal_note *note = journal_state_note(state);
    uint64_t blocks[2];

    if (!read_blocks(state, id, blocks))
        return false;
    for (size_t half = 0; half < 2; half++)
        if (note->active && blocks[half] >= note->block)
            blocks[half] = 0;
    size_t half = blocks[1] > blocks[0];
    if (pread(state->fd, ret, sizeof *ret, line_at(id, half)) != (ssize_t)sizeof *ret ||
        ret->used > sizeof ret->text)
        return false;
    if (!blocks[half])
        ret->used = ret->cut = 0;
    return true;
}
