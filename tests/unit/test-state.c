/* The state across versions: what a launcher of another layout left is taken up by what both know,
 * and what cannot be is refused in words. */
#include "base/layout.h"
#include "service-launcher/state-layout.h"
#include "service-launcher/state.h"
#include "service/machine.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static struct state state;
static char why[STATE_WHY_BYTES];
static bool moved;

/* A state with `web`, and with a slot behind it that is free. */
static void make(void)
{
    CHECK_NUMBER(state_create(&state), 0);
    CHECK_NUMBER(state_grow(&state, 2), 0);
    struct service_record *record = &state.records[0];
    memcpy(record->name, "web", 4);
    memcpy(record->status, "serving", 8);
    record->main_pid = 812;
    record->live = 1;
    record->body[0].state = STATE_FAILED;
    record->body[1] = (struct service_body){.state = STATE_RUNNING,
                                            .wanted = 1,
                                            .exit_value = -1,
                                            .cause = {.number = -7},
                                            .since_ns = UINT64_C(1) << 40,
                                            .invocation = {1, 2}};
    state.header->generation = 3;
    state.header->essential_slot = 1;
}

/* What a launcher finds that was given the descriptor. */
static int take_up(int fd, bool copy)
{
    return state_open(&state, fd, copy, &moved, why);
}

static int leave(void)
{
    int fd = fcntl(state.fd, F_DUPFD_CLOEXEC, 0);
    state_finish(&state);
    return fd;
}

static void check_web(void)
{
    const struct service_record *record = &state.records[0];
    const struct service_body *body = &record->body[record->live & 1];
    CHECK_NUMBER(state.header->slots, 2);
    CHECK_NUMBER(state.header->generation, 3);
    CHECK_NUMBER(state.header->essential_slot, 1);
    CHECK_TEXT(record->name, "web");
    CHECK_TEXT(record->status, "serving");
    CHECK_NUMBER(record->main_pid, 812);
    CHECK_NUMBER(body->state, STATE_RUNNING);
    CHECK_NUMBER(body->wanted, 1);
    CHECK_NUMBER(body->exit_value, -1);
    CHECK_NUMBER(body->cause.number, -7);
    CHECK_NUMBER(body->since_ns, UINT64_C(1) << 40);
    CHECK(body->invocation[0] == 1 && body->invocation[1] == 2);
    CHECK_NUMBER(state.records[1].name[0], 0);
}

TEST(a_state_of_our_own_layout_is_used_as_it_is)
{
    make();
    CHECK_NUMBER(take_up(leave(), false), 0);
    CHECK(!moved);
    check_web();
    state_finish(&state);
}

TEST(a_copy_leaves_the_former_state_alone)
{
    make();
    int fd = leave(), former = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    CHECK_NUMBER(take_up(fd, true), 0);
    CHECK(moved);
    check_web();
    state.records[0].main_pid = 1;
    state_finish(&state);
    CHECK_NUMBER(take_up(former, false), 0);
    check_web();
    state_finish(&state);
}

/* As the version before this one wrote it: by hand, for nothing writes it any more. */
TEST(a_state_of_version_1_which_tells_no_layout_is_taken_up)
{
    enum { RECORDS_AT = 4096, RECORD = 712, BODY_AT = 232, BODY = 176 };
    int fd = memfd_create("version-1", MFD_CLOEXEC);
    CHECK_NUMBER(ftruncate(fd, RECORDS_AT + 2 * RECORD), 0);
    char *bytes = mmap(NULL, RECORDS_AT + 2 * RECORD, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    uint32_t *header = (uint32_t *)bytes;
    *(uint64_t *)bytes = STATE_MAGIC;
    header[2] = 1;
    header[3] = RECORD;
    header[4] = 2;                 /* slots */
    header[7] = 1;                 /* essential_slot */
    *(uint64_t *)(bytes + 40) = 3; /* generation */
    char *record = bytes + RECORDS_AT, *body = record + BODY_AT + BODY;
    memcpy(record, "web", 4);
    *(uint32_t *)(record + 208) = 1; /* live */
    *(int32_t *)(record + 212) = 812;
    memcpy(record + 584, "serving", 8);
    body[0] = STATE_RUNNING;
    body[1] = 1;
    *(int32_t *)(body + 20) = -1;
    *(int32_t *)(body + 44) = -7;
    *(uint64_t *)(body + 64) = UINT64_C(1) << 40;
    *(uint64_t *)(body + 88) = 1;
    *(uint64_t *)(body + 96) = 2;
    munmap(bytes, RECORDS_AT + 2 * RECORD);
    CHECK_NUMBER(take_up(fd, false), 0);
    CHECK(moved);
    check_web();
    CHECK_NUMBER(state.header->version, STATE_VERSION);
    state_finish(&state);
}

/* Overwrites what the state tells of its layout. */
static int leave_with(const struct layout *layout)
{
    CHECK_NUMBER(layout_put(layout, (char *)state.header + STATE_LAYOUT_AT,
                            STATE_HEADER_BYTES - STATE_LAYOUT_AT),
                 0);
    return leave();
}

TEST(a_later_state_that_says_so_is_refused_in_words)
{
    struct layout later = state_layout;
    make();
    later.version = 9;
    later.least_reader = 8;
    CHECK_NUMBER(take_up(leave_with(&later), false), -EPROTO);
    CHECK_TEXT(why,
               "the state has version 9, which needs a launcher that knows version 8: this one "
               "knows up to 2");
}

TEST(a_later_state_that_any_launcher_may_read_is_moved)
{
    struct layout later = state_layout;
    make();
    later.version = 9;
    CHECK_NUMBER(take_up(leave_with(&later), false), 0);
    CHECK(moved);
    check_web();
    state_finish(&state);
}

TEST(a_state_of_a_service_that_we_do_not_know_is_refused_and_named)
{
    struct layout later = state_layout;
    make();
    later.version = 9;
    state.records[0].body[1].state = SERVICE_STATES;
    CHECK_NUMBER(take_up(leave_with(&later), false), -EPROTO);
    CHECK_TEXT(why, "field 1 of the body has a value this launcher does not know: service web");
}

TEST(what_is_no_state_is_refused)
{
    int fd = memfd_create("nothing", MFD_CLOEXEC);
    CHECK_NUMBER(take_up(fd, false), -EPROTO);
    CHECK_TEXT(why, "it is no state of a launcher");
    fd = memfd_create("zeros", MFD_CLOEXEC);
    CHECK_NUMBER(ftruncate(fd, 8192), 0);
    CHECK_NUMBER(take_up(fd, false), -EPROTO);
    CHECK_TEXT(why, "it is no state of a launcher");
    make();
    state.header->slots = 3; /* more than the file has */
    CHECK_NUMBER(take_up(leave(), false), -EPROTO);
    CHECK_TEXT(why, "the state says of its layout what cannot be");
}

/* A field without a row would be lost in an upgrade. */
TEST(each_byte_of_the_records_is_a_fields_or_known_to_be_none)
{
    static const size_t unused[STATE_PARTS] = {
        /* magic, version, record_bytes; reserved, reserved_too */
        [STATE_PART_HEADER] = 16 + 8,
        /* body, reserved */
        [STATE_PART_RECORD] = 2 * sizeof(struct service_body) + 4,
        /* between type and exit_value; behind session */
        [STATE_PART_BODY] = 1 + 4,
    };
    for (unsigned part = 0; part < STATE_PARTS; part++) {
        char used[2048] = "";
        size_t bytes = state_layout.parts[part].bytes, left = 0;
        CHECK(bytes <= sizeof used);
        for (size_t i = 0; i < state_layout.field_count; i++) {
            const struct layout_field *field = &state_layout.fields[i];
            for (size_t k = 0; field->part == part && k < field->bytes; k++)
                CHECK_NUMBER(used[field->offset + k]++, 0);
        }
        for (size_t i = 0; i < bytes; i++)
            left += !used[i];
        CHECK_NUMBER(left, unused[part]);
    }
}

TEST(numbers_of_fields_are_given_once)
{
    for (size_t i = 0; i < state_layout.field_count; i++)
        for (size_t k = 0; k < i; k++)
            CHECK(state_layout.fields[i].part != state_layout.fields[k].part ||
                  state_layout.fields[i].id != state_layout.fields[k].id);
}

/* They are in states that other versions read: new ones come at the end, and none is used again. */
TEST(numbers_in_the_state_mean_what_they_have_always_meant)
{
    static const char *const states[] = {
        "BROKEN",   "STOPPED",   "WAITING",     "PREPARING", "STARTING", "SETTLING",
        "RUNNING",  "RELOADING", "LEAVING",     "STOPPING",  "KILLING",  "ENDING",
        "SWEEPING", "FINISHING", "BACKING_OFF", "DONE",      "FAILED",   "SKIPPED",
    };
    CHECK(SERVICE_STATES >= sizeof states / sizeof states[0]);
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        CHECK_TEXT(machine_states[i].name, states[i]);
    CHECK_NUMBER(REASON_STOPPED, 11);
    CHECK_NUMBER(REASON_EXITED, 14);
    CHECK_NUMBER(REASON_STEP_FAILED, 19);
    CHECK_NUMBER(REASON_BROKEN, 23);
    CHECK_NUMBER(REASON_TRIGGER, 36);
    CHECK_NUMBER(REASON_WHEN_TIME_OUT, 38);
    CHECK_NUMBER(REASON_RELOAD_UNKNOWN, 39);
    CHECK_NUMBER(STEP_CLONE, 7);
    CHECK_NUMBER(STEP_EXECUTE, 22);
    CHECK_NUMBER(STEP_FROZEN, 25);
    CHECK_NUMBER(TYPE_TARGET, 3);
    CHECK_NUMBER(FORK_GUESSED, 3);
    CHECK_NUMBER(TIMED_OUT_READY, 4);
    CHECK_NUMBER(TOLD_STOPPING, 2);
}

TEST(a_record_that_is_new_is_empty_whatever_lies_behind_the_others)
{
    static const char junk[] = "junk";
    CHECK_NUMBER(state_create(&state), 0);
    CHECK_NUMBER(state_grow(&state, 1), 0);
    off_t end = (off_t)((const char *)&state.records[1] - (const char *)state.header);
    CHECK_NUMBER(pwrite(state.fd, junk, sizeof junk, end), sizeof junk);
    CHECK_NUMBER(state_grow(&state, 2), 0);
    CHECK_TEXT(state.records[1].name, "");
    state_finish(&state);
}

TEST(there_are_just_so_many_records)
{
    CHECK_NUMBER(state_create(&state), 0);
    CHECK_NUMBER(state_grow(&state, STATE_SLOTS_MAX + 1), -EOVERFLOW);
    CHECK_NUMBER(state.header->slots, 0);
    CHECK_NUMBER(state_grow(&state, STATE_SLOTS_MAX), 0);
    state.records[STATE_SLOTS_MAX - 1].main_pid = 7;
    CHECK_NUMBER(state.header->slots, STATE_SLOTS_MAX);
    state_finish(&state);
}
