/* A state of a launcher, damaged in any way: what a new launcher maps is refused with a reason, or
 * all of it can be used, and the manager goes on with it. The first byte says whether it is ours or
 * that of the first version, and whether a copy is made; then come patches: where (u16), how many
 * bytes (u8), and these. 0xffff: the file ends at that many records and bytes. */
#include "base/text.h"
#include "demand.h"
#include "service-launcher/state-layout.h"
#include "service-launcher/state.h"
#include "service/machine.h"
#include "service/name.h"
#include "tests/unit/fake-kernel.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RECORDS 3

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static struct fake fake;

/* ---- making it ------------------------------------------------------------------------------- */

static void fill(struct service_record *record, const char *name, unsigned state)
{
    text_format(record->name, sizeof record->name, "%s", name);
    text_format(record->status, sizeof record->status, "well");
    record->main_pid = 77;
    record->live = 1;
    record->body[1] = (struct service_body){.state = (uint8_t)state, .wanted = 1, .since_ns = 5};
    record->body[1].reason = (struct reason){.code = REASON_WAITS_FOR, .service = 1};
}

static int make(void)
{
    struct state state;
    demand(state_create(&state) == 0 && state_grow(&state, RECORDS) == 0, "there is memory");
    fill(&state.records[0], "a", STATE_RUNNING);
    fill(&state.records[1], "b", STATE_STARTING);
    fill(&state.records[2], "c", STATE_BACKING_OFF);
    int fd = dup(state.fd);
    state_finish(&state);
    return fd;
}

static void patch(int fd, const uint8_t *bytes, size_t count)
{
    while (count >= 3) {
        uint16_t at;
        memcpy(&at, bytes, sizeof at);
        size_t length = bytes[2];
        bytes += 3;
        count -= 3;
        if (at == UINT16_MAX) {
            demand(ftruncate(fd, (off_t)(length * 100)) == 0, "a memfd can be cut");
            continue;
        }
        length = length < count ? length : count;
        demand(pwrite(fd, bytes, length, at) == (ssize_t)length, "there is memory");
        bytes += length;
        count -= length;
    }
}

/* ---- looking at it --------------------------------------------------------------------------- */

static void check_record(const struct service_record *record)
{
    const struct service_body *body = &record->body[record->live];
    demand(record->live < 2, "one half counts");
    demand(!service_name_problem(record->name, strlen(record->name), NULL), "a name is a name");
    demand(memchr(record->status, 0, sizeof record->status), "a status ends");
    demand(body->state < SERVICE_STATES, "a state is one");
    demand(body->reason.code < REASON_CODES && body->cause.code < REASON_CODES, "reasons are");
    demand(body->exit_kind < 4 && body->type <= TYPE_TARGET, "and so is the rest");
}

/* A launcher goes on with it: whatever it says, everything comes to an end and can be shown. */
static void go_on(const struct state *state)
{
    fake_init(&fake);
    fake_add(&fake, "a", TYPE_DAEMON);
    fake_add(&fake, "b", TYPE_TASK);
    fake_add(&fake, "c", TYPE_DAEMON);
    fake_tie(&fake, "a", NEEDS, "b");
    fake_load(&fake);
    for (uint32_t i = 0; i < RECORDS && i < state->header->slots; i++)
        if (!strcmp(fake.records[i].name, state->records[i].name))
            fake.records[i] = state->records[i];
    fake_recover(&fake);
    fake_run(&fake);
    for (int i = 0; i < 20 && fake_next_timer(&fake); i++)
        fake_run(&fake);
    for (uint32_t i = 0; i < RECORDS; i++) {
        demand(*fake_shown(&fake, fake.records[i].name), "a state can be shown");
        demand(fake_reason(&fake, fake.records[i].name) != NULL, "and why it is");
    }
    fake_finish(&fake);
}

static void use(struct state *state)
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < state->header->slots; i++) {
        used += state->records[i].name[0] != 0;
        if (state->records[i].name[0])
            check_record(&state->records[i]);
    }
    demand(used <= RECORDS + 1, "no more records than were there");
    go_on(state);
    uint32_t slots = state->header->slots;
    demand(state_grow(state, slots + 1) == 0 && state->header->slots == slots + 1, "it can grow");
    demand(!state->records[slots].name[0] || slots < RECORDS, "what is new is free");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct state state;
    char why[STATE_WHY_BYTES];
    bool moved = false;

    if (!count)
        return 0;
    int fd = make();
    if (bytes[0] & 1)
        demand(pwrite(fd, &(uint32_t){1}, 4, 8) == 4, "there is memory");
    patch(fd, bytes + 1, count - 1);
    int failed = state_open(&state, fd, bytes[0] & 2, &moved, why);
    demand(failed == 0 || failed == -EPROTO, "it is taken or refused");
    demand(!failed || *why, "what is refused is told why");
    if (failed)
        return 0;
    use(&state);
    state_finish(&state);
    return 0;
}
