/* The memfd with every service's record. The mapping has its full size from the start, so that
 * records never move when the file grows under it. */
#include "service-launcher/state.h"
#include "service-launcher/state-layout.h"

#include "base/text.h"
#include "protocol/hand-over.h"
#include "service/name.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(sizeof(struct state_header) <= STATE_LAYOUT_AT, "the layout stands behind it");
_Static_assert(STATE_SLOTS_MAX == KEY_READY_FIRST - KEY_SERVICE_FIRST &&
                   STATE_SLOTS_MAX == KEY_FEED_FIRST - KEY_READY_FIRST,
               "each slot has two keys with init");

static size_t bytes_of(uint32_t slots)
{
    return STATE_HEADER_BYTES + (size_t)slots * sizeof(struct service_record);
}

static int map(struct state *state)
{
    char *memory = mmap(NULL, bytes_of(STATE_SLOTS_MAX), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_NORESERVE, state->fd, 0);
    if (memory == MAP_FAILED)
        return -errno;
    state->header = (struct state_header *)memory;
    state->records = (struct service_record *)(memory + STATE_HEADER_BYTES);
    return 0;
}

int state_create(struct state *state)
{
    *state = (struct state){.fd = memfd_create("conit-state", MFD_CLOEXEC)};
    if (state->fd < 0)
        return -errno;
    int failed = ftruncate(state->fd, STATE_HEADER_BYTES) < 0 ? -errno : map(state);
    if (!failed)
        failed = layout_put(&state_layout, (char *)state->header + STATE_LAYOUT_AT,
                            STATE_HEADER_BYTES - STATE_LAYOUT_AT);
    if (failed) {
        state_finish(state);
        return failed;
    }
    state->header->version = STATE_VERSION;
    state->header->record_bytes = sizeof(struct service_record);
    state->header->essential_slot = SLOT_NONE;
    __atomic_store_n(&state->header->magic, STATE_MAGIC, __ATOMIC_RELEASE);
    return 0;
}

/* ---- one that is there --------------------------------------------------------------------- */

/* Another launcher's state, mapped as it is. */
struct former {
    const char *bytes;
    size_t size;
    uint32_t slots;
    struct layout_told layout;
};

static const struct state_header *header_of(const struct former *former)
{
    return (const struct state_header *)former->bytes;
}

/* Of version 1, which tells none, we know it. */
static int read_layout(struct former *former)
{
    char known[STATE_HEADER_BYTES - STATE_LAYOUT_AT];
    if (header_of(former)->version > 1)
        return layout_get(former->bytes + STATE_LAYOUT_AT, STATE_HEADER_BYTES - STATE_LAYOUT_AT,
                          &former->layout);
    int failed = layout_put(&state_layout_1, known, sizeof known);
    return failed ? failed : layout_get(known, sizeof known, &former->layout);
}

/* Whether all parts are where the file has bytes, so that everything in them can be read. */
static bool has_its_parts(const struct former *former)
{
    const struct layout_part *parts = former->layout.parts;
    const struct layout_part *header = &parts[STATE_PART_HEADER];
    const struct layout_part *record = &parts[STATE_PART_RECORD];
    const struct layout_part *body = &parts[STATE_PART_BODY];
    if (former->layout.part_count < STATE_PARTS || header->at || header->bytes > former->size ||
        header->bytes < sizeof(uint64_t) + 3 * sizeof(uint32_t) || !record->bytes ||
        record->at > former->size || !body->bytes || body->at > record->bytes ||
        body->bytes > (record->bytes - body->at) / 2)
        return false;
    return former->slots <= STATE_SLOTS_MAX &&
           former->slots <= (former->size - record->at) / record->bytes;
}

static int judge(struct former *former, char *why)
{
    if (former->size < STATE_HEADER_BYTES || header_of(former)->magic != STATE_MAGIC) {
        text_format(why, STATE_WHY_BYTES, "it is no state of a launcher");
        return -EPROTO;
    }
    former->slots = header_of(former)->slots;
    if (read_layout(former) < 0 || !has_its_parts(former)) {
        text_format(why, STATE_WHY_BYTES, "the state says of its layout what cannot be");
        return -EPROTO;
    }
    if (former->layout.least_reader > STATE_VERSION) {
        text_format(why, STATE_WHY_BYTES,
                    "the state has version %u, which needs a launcher that knows version %u: this "
                    "one knows up to %u",
                    former->layout.version, former->layout.least_reader, STATE_VERSION);
        return -EPROTO;
    }
    return 0;
}

static int map_former(struct former *former, int fd, char *why)
{
    struct stat stat;
    if (fstat(fd, &stat) < 0)
        return -errno;
    if (stat.st_size < STATE_HEADER_BYTES) {
        text_format(why, STATE_WHY_BYTES, "it is no state of a launcher");
        return -EPROTO;
    }
    *former = (struct former){.size = (size_t)stat.st_size};
    void *bytes = mmap(NULL, former->size, PROT_READ, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED)
        return -errno;
    former->bytes = bytes;
    return judge(former, why);
}

static int say_field(char *why, const struct layout_field *field, const char *name)
{
    static const char *const part_names[STATE_PARTS] = {"header", "record", "body"};
    text_format(why, STATE_WHY_BYTES,
                "field %u of the %s has a value this launcher does not know%s%s", field->id,
                part_names[field->part], *name ? ": service " : "", name);
    return -EPROTO;
}

/* Names become names of files. */
static int check_name(const struct service_record *record, char *why)
{
    const char *problem = service_name_problem(record->name, strlen(record->name), NULL);
    if (!record->name[0] || !problem)
        return 0;
    text_format(why, STATE_WHY_BYTES, "the name of a service %s", problem);
    return -EPROTO;
}

/* What is used as it is, is looked at before: nothing that it says leads anywhere else. Of a record
 * that is free, and of the half that does not count, nothing is used. */
static int check(const struct state *state, char *why)
{
    const struct layout_field *bad;
    if (layout_check(&state_layout, STATE_PART_HEADER, state->header, &bad) < 0)
        return say_field(why, bad, "");
    for (uint32_t slot = 0; slot < state->header->slots; slot++) {
        const struct service_record *record = &state->records[slot];
        if (!record->name[0])
            continue;
        if (layout_check(&state_layout, STATE_PART_RECORD, record, &bad) < 0)
            return say_field(why, bad, "");
        if (layout_check(&state_layout, STATE_PART_BODY, &record->body[record->live], &bad) < 0)
            return say_field(why, bad, record->name);
        int failed = check_name(record, why);
        if (failed)
            return failed;
    }
    return 0;
}

/* The half that does not count is not moved. */
static int move_record(const struct layout_plan *plan, const char *from,
                       struct service_record *record, char *why)
{
    const struct layout_part *body = &plan->from->parts[STATE_PART_BODY];
    const struct layout_field *bad;
    int failed = layout_move(plan, STATE_PART_RECORD, from, record, &bad);
    if (!failed && record->name[0])
        failed = layout_move(plan, STATE_PART_BODY,
                             from + body->at + (size_t)(record->live & 1) * body->bytes,
                             &record->body[0], &bad);
    if (failed)
        return say_field(why, bad, record->name);
    record->live = 0;
    return check_name(record, why);
}

static int move(const struct former *former, struct state *state, char *why)
{
    struct layout_plan plan;
    const struct layout_field *bad;
    const struct layout_part *records = &former->layout.parts[STATE_PART_RECORD];
    if (layout_plan(&plan, &state_layout, &former->layout, &bad) < 0 ||
        layout_move(&plan, STATE_PART_HEADER, former->bytes, state->header, &bad) < 0)
        return say_field(why, bad, "");
    state->header->slots = 0; /* there are as many as there is room for */
    int failed = state_grow(state, former->slots);
    for (uint32_t slot = 0; slot < former->slots && !failed; slot++)
        failed = move_record(&plan, former->bytes + records->at + (size_t)slot * records->bytes,
                             &state->records[slot], why);
    return failed;
}

int state_open(struct state *state, int fd, bool copy, bool *ret_moved, char *why)
{
    struct former former = {0};
    *state = (struct state){.fd = -1};
    *why = 0;
    int failed = map_former(&former, fd, why);
    bool moved = !failed && (copy || !layout_is_same(&state_layout, &former.layout));
    if (failed || moved) {
        if (!failed)
            failed = state_create(state);
        if (!failed)
            failed = move(&former, state, why);
        close(fd);
    } else {
        state->fd = fd;
        failed = map(state);
        if (!failed)
            failed = check(state, why);
    }
    if (former.bytes)
        munmap((void *)former.bytes, former.size);
    if (failed)
        state_finish(state);
    else
        *ret_moved = moved;
    return failed;
}

int state_grow(struct state *state, uint32_t slots)
{
    if (slots <= state->header->slots)
        return 0;
    if (slots > STATE_SLOTS_MAX)
        return -EOVERFLOW;
    /* Whatever lies behind the records there are is no record: what is new is empty. */
    if (ftruncate(state->fd, (off_t)bytes_of(state->header->slots)) < 0 ||
        ftruncate(state->fd, (off_t)bytes_of(slots)) < 0)
        return -errno;
    __atomic_store_n(&state->header->slots, slots, __ATOMIC_RELEASE);
    return 0;
}

void state_finish(struct state *state)
{
    if (state->header)
        munmap(state->header, bytes_of(STATE_SLOTS_MAX));
    if (state->fd >= 0)
        close(state->fd);
    *state = (struct state){.fd = -1};
}
