/* How a record that outlives its program is laid out, told by the record itself: which parts it has
 * (a header, an array of entries …), and of each part which fields, each by a number that never
 * means anything else. So a program of another version finds what it knows, leaves out what it does
 * not know, and has its own defaults for what is not there.
 *
 *   place + 0     struct layout_head
 *   behind        part_count times struct layout_part, part_bytes apart
 *   behind        field_count times struct layout_field, field_bytes apart
 *
 * Later versions may make the three structs longer, never shorter. docs/state.md has the rules for
 * changes. Pure: no system call, no memory of its own. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LAYOUT_PARTS_MAX  16
#define LAYOUT_FIELDS_MAX 256

enum field_kind {
    FIELD_UNSIGNED = 1, /* of 1, 2, 4 or 8 bytes, which may be others in another version */
    FIELD_SIGNED = 2,
    FIELD_TEXT = 3,  /* ends in NUL; may be shorter or longer in another version, if it fits */
    FIELD_BYTES = 4, /* of this length only */
    FIELD_WORDS = 5, /* text for people: is cut where it does not fit */
};

struct layout_field {
    uint16_t id; /* among its part's; never used for anything else again */
    uint8_t part, kind;
    uint32_t offset, bytes; /* in its part */
    uint32_t below;         /* FIELD_UNSIGNED: values have to be below it; 0: any */
};
_Static_assert(sizeof(struct layout_field) == 16, "no padding");

/* `count` entries of `bytes` each, the first one at `at` of whatever they are in. */
struct layout_part {
    uint64_t at;
    uint32_t bytes, count;
};
_Static_assert(sizeof(struct layout_part) == 16, "no padding");

/* What a program knows. */
struct layout {
    uint32_t version;
    uint32_t least_reader; /* programs that know no version as high as this have to refuse it */
    const struct layout_part *parts;
    const struct layout_field *fields;
    size_t part_count, field_count;
};

/* What a record tells. */
struct layout_told {
    uint32_t version, least_reader;
    uint32_t part_count, field_count;
    struct layout_part parts[LAYOUT_PARTS_MAX];
    struct layout_field fields[LAYOUT_FIELDS_MAX];
};

#define LAYOUT_FIELD(number, part_, kind_, type, member)                                           \
    {                                                                                              \
        .id = (number), .part = (part_), .kind = (kind_), .offset = offsetof(type, member),        \
        .bytes = sizeof(((type *)NULL)->member)                                                    \
    }
#define LAYOUT_FIELD_BELOW(number, part_, type, member, below_)                                    \
    {                                                                                              \
        .id = (number), .part = (part_), .kind = FIELD_UNSIGNED, .offset = offsetof(type, member), \
        .bytes = sizeof(((type *)NULL)->member), .below = (below_)                                 \
    }

/* Bytes that layout_put() writes. */
size_t layout_bytes(const struct layout *layout);

/* Writes it to `place`, which has `room` bytes. Returns 0 or -ENOSPC. */
int layout_put(const struct layout *layout, void *place, size_t room);

/* Reads what is at `place`. Returns 0, or -EPROTO for what is none, or is damaged: then *ret is of
 * no use. Every field of *ret lies in its part. */
int layout_get(const void *place, size_t room, struct layout_told *ret);

/* Whether what is told is in each byte what we know: then a record can be used as it is. */
bool layout_is_same(const struct layout *layout, const struct layout_told *told);

/* Where what we know is found in what is told. */
struct layout_plan {
    const struct layout *to;
    const struct layout_told *from;
    int16_t source[LAYOUT_FIELDS_MAX]; /* by our field: the index of theirs; -1: it has none */
};

/* Returns 0, or -EPROTO: the field (of ours) *ret_field is there as something that we cannot make
 * ours of. The two layouts are not copied. */
int layout_plan(struct layout_plan *plan, const struct layout *to, const struct layout_told *from,
                const struct layout_field **ret_field);

/* Moves one entry of a part from theirs to ours; what theirs does not have stays as it is in
 * `target`. Returns 0, or -EPROTO: *ret_field has a value that we cannot take. */
int layout_move(const struct layout_plan *plan, unsigned part, const void *source, void *target,
                const struct layout_field **ret_field);

/* Whether one entry of ours holds only values that we could take, and texts that end. Returns 0, or
 * -EPROTO: *ret_field is one that does not. */
int layout_check(const struct layout *layout, unsigned part, const void *entry,
                 const struct layout_field **ret_field);
