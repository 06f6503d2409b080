/* The fields of the state. A field's number, the first argument of its row, never means anything
 * else: a new field gets a new one, and one that is no more leaves a gap. */
#include "service-launcher/state-layout.h"

#include "protocol/hand-over.h"
#include "service/machine.h"
#include "service/record.h"

#define ROW(number, part, kind, type, member)                                                      \
    LAYOUT_FIELD(number, STATE_PART_##part, FIELD_##kind, struct type, member)
#define ROW_BELOW(number, part, type, member, below)                                               \
    LAYOUT_FIELD_BELOW(number, STATE_PART_##part, struct type, member, below)

#define HEADER(number, kind, member)        ROW(number, HEADER, kind, state_header, member)
#define HEADER_BELOW(number, member, below) ROW_BELOW(number, HEADER, state_header, member, below)
#define RECORD(number, kind, member)        ROW(number, RECORD, kind, service_record, member)
#define RECORD_BELOW(number, member, below) ROW_BELOW(number, RECORD, service_record, member, below)
#define BODY(number, kind, member)          ROW(number, BODY, kind, service_body, member)
#define BODY_BELOW(number, member, below)   ROW_BELOW(number, BODY, service_body, member, below)

static const struct layout_part parts[STATE_PARTS] = {
    [STATE_PART_HEADER] = {0, sizeof(struct state_header), 1},
    [STATE_PART_RECORD] = {STATE_HEADER_BYTES, sizeof(struct service_record), 0}, /* header.slots */
    [STATE_PART_BODY] = {offsetof(struct service_record, body), sizeof(struct service_body), 2},
};

static const struct layout_field fields[] = {
    HEADER(1, UNSIGNED, slots),
    HEADER_BELOW(2, shut_down, SHUT_DOWN_HOWS),
    HEADER(3, SIGNED, exit_status),
    HEADER(4, UNSIGNED, essential_slot),
    HEADER(5, UNSIGNED, link_sequence),
    HEADER(6, UNSIGNED, generation),
    HEADER(7, UNSIGNED, booted),
    HEADER(8, UNSIGNED, realtime_offset_ns),
    HEADER_BELOW(9, upgrade_stage, UPGRADE_STAGES),
    HEADER(10, UNSIGNED, upgrade_asked),
    HEADER(11, UNSIGNED, upgrade_done),
    HEADER(12, UNSIGNED, upgrade_failed),
    HEADER(13, WORDS, upgrade_id),
    HEADER(14, WORDS, upgrade_text),
    HEADER(15, WORDS, upgrade_from),
    HEADER(16, UNSIGNED, upgrade_at_ns),
    HEADER(17, UNSIGNED, next_serial),

    RECORD(1, TEXT, name),
    RECORD_BELOW(2, live, 2),
    RECORD(3, SIGNED, main_pid),
    RECORD(4, SIGNED, hook_pid),
    RECORD(5, UNSIGNED, spawning),
    RECORD(6, SIGNED, follower_pid),
    RECORD(7, WORDS, status),
    RECORD(8, UNSIGNED, asked),

#ifdef CONIT_STATE_VARIANT
    HEADER(900, BYTES, news),
    RECORD(900, UNSIGNED, news),
    BODY(900, UNSIGNED, news),
    BODY(901, BYTES, more_news),
#endif
    BODY_BELOW(1, state, SERVICE_STATES),
    BODY(2, UNSIGNED, wanted),
    BODY(3, UNSIGNED, by_hand),
    BODY(4, UNSIGNED, blocked),
    BODY(5, UNSIGNED, restarting),
    BODY_BELOW(6, exit_kind, EXIT_KINDS),
    BODY(7, UNSIGNED, failed_start),
    BODY_BELOW(8, timed_out, TIMED_OUT_KINDS),
    BODY(9, UNSIGNED, gone),
    BODY(10, UNSIGNED, retry),
    BODY(11, UNSIGNED, asked),
    BODY(12, UNSIGNED, reload),
    BODY_BELOW(13, forked, FORK_STAGES),
    BODY(14, UNSIGNED, by_mark),
    BODY(15, UNSIGNED, ready_met),
    BODY_BELOW(16, told, TOLD_KINDS),
    BODY_BELOW(17, extended, SERVICE_STATES + 1),
    BODY_BELOW(18, type, SERVICE_TYPES),
    BODY(19, SIGNED, exit_value),
    BODY_BELOW(20, reason.code, REASON_CODES),
    BODY_BELOW(21, reason.step, STEPS),
    BODY(22, UNSIGNED, reason.service),
    BODY(23, SIGNED, reason.number),
    BODY_BELOW(24, cause.code, REASON_CODES),
    BODY_BELOW(25, cause.step, STEPS),
    BODY(26, UNSIGNED, cause.service),
    BODY(27, SIGNED, cause.number),
    BODY(28, UNSIGNED, restarts),
    BODY(29, UNSIGNED, in_row),
    BODY(30, UNSIGNED, hook),
    BODY(31, UNSIGNED, ended),
    BODY(32, UNSIGNED, since_ns),
    BODY(33, UNSIGNED, ready_ns),
    BODY(34, UNSIGNED, deadline_ns),
    BODY(35, BYTES, invocation),
    BODY(36, UNSIGNED, pid_file.inode),
    BODY(37, UNSIGNED, pid_file.changed_ns),
    BODY(38, UNSIGNED, ready_mark.inode),
    BODY(39, UNSIGNED, ready_mark.changed_ns),
    BODY(40, UNSIGNED, watchdog_ms),
    BODY(41, SIGNED, session),
    BODY(42, UNSIGNED, needs_from_ns),
    BODY(43, UNSIGNED, begun_as),
    BODY(44, UNSIGNED, down_from_ns),
    BODY(45, UNSIGNED, reload_failed),
    BODY(46, UNSIGNED, reloads),
    BODY(47, SIGNED, hook_ended),
};

const struct layout state_layout = {
    .version = STATE_VERSION,
    .least_reader = STATE_LEAST_READER,
    .parts = parts,
    .part_count = STATE_PARTS,
    .fields = fields,
    .field_count = sizeof fields / sizeof fields[0],
};

/* ---- version 1 ----------------------------------------------------------------------------- */

static const struct layout_part parts_1[STATE_PARTS] = {
    [STATE_PART_HEADER] = {0, 72, 1},
    [STATE_PART_RECORD] = {4096, 712, 0},
    [STATE_PART_BODY] = {232, 176, 2},
};

static const struct layout_field fields_1[] = {
    {1, STATE_PART_HEADER, FIELD_UNSIGNED, 16, 4, 0},  /* slots */
    {2, STATE_PART_HEADER, FIELD_UNSIGNED, 20, 4, 0},  /* shut_down */
    {3, STATE_PART_HEADER, FIELD_SIGNED, 24, 4, 0},    /* exit_status */
    {4, STATE_PART_HEADER, FIELD_UNSIGNED, 28, 4, 0},  /* essential_slot */
    {5, STATE_PART_HEADER, FIELD_UNSIGNED, 32, 8, 0},  /* link_sequence */
    {6, STATE_PART_HEADER, FIELD_UNSIGNED, 40, 8, 0},  /* generation */
    {7, STATE_PART_HEADER, FIELD_UNSIGNED, 48, 4, 0},  /* booted */
    {8, STATE_PART_HEADER, FIELD_UNSIGNED, 56, 8, 0},  /* realtime_offset_ns */
    {1, STATE_PART_RECORD, FIELD_TEXT, 0, 208, 0},     /* name */
    {2, STATE_PART_RECORD, FIELD_UNSIGNED, 208, 4, 0}, /* live */
    {3, STATE_PART_RECORD, FIELD_SIGNED, 212, 4, 0},   /* main_pid */
    {4, STATE_PART_RECORD, FIELD_SIGNED, 216, 4, 0},   /* hook_pid */
    {5, STATE_PART_RECORD, FIELD_UNSIGNED, 220, 4, 0}, /* spawning */
    {6, STATE_PART_RECORD, FIELD_SIGNED, 224, 4, 0},   /* follower_pid */
    {7, STATE_PART_RECORD, FIELD_WORDS, 584, 128, 0},  /* status */
    {1, STATE_PART_BODY, FIELD_UNSIGNED, 0, 1, 0},     /* state */
    {2, STATE_PART_BODY, FIELD_UNSIGNED, 1, 1, 0},     /* wanted */
    {3, STATE_PART_BODY, FIELD_UNSIGNED, 2, 1, 0},     /* by_hand */
    {4, STATE_PART_BODY, FIELD_UNSIGNED, 3, 1, 0},     /* blocked */
    {5, STATE_PART_BODY, FIELD_UNSIGNED, 4, 1, 0},     /* restarting */
    {6, STATE_PART_BODY, FIELD_UNSIGNED, 5, 1, 0},     /* exit_kind */
    {7, STATE_PART_BODY, FIELD_UNSIGNED, 6, 1, 0},     /* failed_start */
    {8, STATE_PART_BODY, FIELD_UNSIGNED, 7, 1, 0},     /* timed_out */
    {9, STATE_PART_BODY, FIELD_UNSIGNED, 8, 1, 0},     /* gone */
    {10, STATE_PART_BODY, FIELD_UNSIGNED, 9, 1, 0},    /* retry */
    {11, STATE_PART_BODY, FIELD_UNSIGNED, 10, 1, 0},   /* asked */
    {12, STATE_PART_BODY, FIELD_UNSIGNED, 11, 1, 0},   /* reload */
    {13, STATE_PART_BODY, FIELD_UNSIGNED, 12, 1, 0},   /* forked */
    {14, STATE_PART_BODY, FIELD_UNSIGNED, 13, 1, 0},   /* by_mark */
    {15, STATE_PART_BODY, FIELD_UNSIGNED, 14, 1, 0},   /* ready_met */
    {16, STATE_PART_BODY, FIELD_UNSIGNED, 15, 1, 0},   /* told */
    {17, STATE_PART_BODY, FIELD_UNSIGNED, 16, 1, 0},   /* extended */
    {18, STATE_PART_BODY, FIELD_UNSIGNED, 17, 1, 0},   /* type */
    {19, STATE_PART_BODY, FIELD_SIGNED, 20, 4, 0},     /* exit_value */
    {20, STATE_PART_BODY, FIELD_UNSIGNED, 24, 2, 0},   /* reason.code */
    {21, STATE_PART_BODY, FIELD_UNSIGNED, 26, 2, 0},   /* reason.step */
    {22, STATE_PART_BODY, FIELD_UNSIGNED, 28, 4, 0},   /* reason.service */
    {23, STATE_PART_BODY, FIELD_SIGNED, 32, 4, 0},     /* reason.number */
    {24, STATE_PART_BODY, FIELD_UNSIGNED, 36, 2, 0},   /* cause.code */
    {25, STATE_PART_BODY, FIELD_UNSIGNED, 38, 2, 0},   /* cause.step */
    {26, STATE_PART_BODY, FIELD_UNSIGNED, 40, 4, 0},   /* cause.service */
    {27, STATE_PART_BODY, FIELD_SIGNED, 44, 4, 0},     /* cause.number */
    {28, STATE_PART_BODY, FIELD_UNSIGNED, 48, 4, 0},   /* restarts */
    {29, STATE_PART_BODY, FIELD_UNSIGNED, 52, 4, 0},   /* in_row */
    {30, STATE_PART_BODY, FIELD_UNSIGNED, 56, 4, 0},   /* hook */
    {31, STATE_PART_BODY, FIELD_UNSIGNED, 60, 4, 0},   /* ended */
    {32, STATE_PART_BODY, FIELD_UNSIGNED, 64, 8, 0},   /* since_ns */
    {33, STATE_PART_BODY, FIELD_UNSIGNED, 72, 8, 0},   /* ready_ns */
    {34, STATE_PART_BODY, FIELD_UNSIGNED, 80, 8, 0},   /* deadline_ns */
    {35, STATE_PART_BODY, FIELD_BYTES, 88, 16, 0},     /* invocation */
    {36, STATE_PART_BODY, FIELD_UNSIGNED, 104, 8, 0},  /* pid_file.inode */
    {37, STATE_PART_BODY, FIELD_UNSIGNED, 112, 8, 0},  /* pid_file.changed_ns */
    {38, STATE_PART_BODY, FIELD_UNSIGNED, 120, 8, 0},  /* ready_mark.inode */
    {39, STATE_PART_BODY, FIELD_UNSIGNED, 128, 8, 0},  /* ready_mark.changed_ns */
    {40, STATE_PART_BODY, FIELD_UNSIGNED, 136, 8, 0},  /* watchdog_ms */
    {41, STATE_PART_BODY, FIELD_SIGNED, 144, 4, 0},    /* session */
    {42, STATE_PART_BODY, FIELD_UNSIGNED, 152, 8, 0},  /* needs_from_ns */
    {43, STATE_PART_BODY, FIELD_UNSIGNED, 160, 8, 0},  /* begun_as */
    {44, STATE_PART_BODY, FIELD_UNSIGNED, 168, 8, 0},  /* down_from_ns */
};

const struct layout state_layout_1 = {
    .version = 1,
    .least_reader = 1,
    .parts = parts_1,
    .part_count = STATE_PARTS,
    .fields = fields_1,
    .field_count = sizeof fields_1 / sizeof fields_1[0],
};
