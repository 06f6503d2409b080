/* Layouts on a record: written, read and compared; and entries moved from one to another. */
#include "base/layout.h"

#include <errno.h>
#include <string.h>

#define MAGIC 0x74756f79616c6e6full /* "onlayout" */

struct layout_head {
    uint64_t magic;
    uint32_t version, least_reader;
    uint32_t part_count, field_count;
    uint32_t part_bytes, field_bytes;
};
_Static_assert(sizeof(struct layout_head) == 32, "no padding");

size_t layout_bytes(const struct layout *layout)
{
    return sizeof(struct layout_head) + layout->part_count * sizeof(struct layout_part) +
           layout->field_count * sizeof(struct layout_field);
}

int layout_put(const struct layout *layout, void *place, size_t room)
{
    const struct layout_head head = {.magic = MAGIC,
                                     .version = layout->version,
                                     .least_reader = layout->least_reader,
                                     .part_count = (uint32_t)layout->part_count,
                                     .field_count = (uint32_t)layout->field_count,
                                     .part_bytes = sizeof(struct layout_part),
                                     .field_bytes = sizeof(struct layout_field)};
    size_t parts_bytes = layout->part_count * sizeof *layout->parts;
    char *at = place;
    if (layout_bytes(layout) > room || layout->part_count > LAYOUT_PARTS_MAX ||
        layout->field_count > LAYOUT_FIELDS_MAX)
        return -ENOSPC;
    memcpy(at, &head, sizeof head);
    memcpy(at + sizeof head, layout->parts, parts_bytes);
    memcpy(at + sizeof head + parts_bytes, layout->fields,
           layout->field_count * sizeof *layout->fields);
    return 0;
}

/* ---- reading ------------------------------------------------------------------------------- */

static bool is_integer(const struct layout_field *field)
{
    return field->kind == FIELD_UNSIGNED || field->kind == FIELD_SIGNED;
}

static bool is_good(const struct layout_told *told, const struct layout_field *field)
{
    if (field->part >= told->part_count)
        return false;
    uint32_t part_bytes = told->parts[field->part].bytes, bytes = field->bytes;
    if (!bytes || bytes > part_bytes || field->offset > part_bytes - bytes)
        return false;
    return !is_integer(field) || bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8;
}

int layout_get(const void *place, size_t room, struct layout_told *ret)
{
    struct layout_head head;
    if (room < sizeof head)
        return -EPROTO;
    memcpy(&head, place, sizeof head);
    if (head.magic != MAGIC || head.part_count > LAYOUT_PARTS_MAX ||
        head.field_count > LAYOUT_FIELDS_MAX || head.part_bytes < sizeof ret->parts[0] ||
        head.field_bytes < sizeof ret->fields[0] || head.part_bytes > room ||
        head.field_bytes > room)
        return -EPROTO;
    size_t fields_at = sizeof head + (size_t)head.part_count * head.part_bytes;
    if (fields_at + (size_t)head.field_count * head.field_bytes > room)
        return -EPROTO;

    ret->version = head.version;
    ret->least_reader = head.least_reader;
    ret->part_count = head.part_count;
    ret->field_count = head.field_count;
    const char *at = (const char *)place + sizeof head;
    for (uint32_t i = 0; i < head.part_count; i++)
        memcpy(&ret->parts[i], at + (size_t)i * head.part_bytes, sizeof ret->parts[i]);
    at = (const char *)place + fields_at;
    for (uint32_t i = 0; i < head.field_count; i++) {
        memcpy(&ret->fields[i], at + (size_t)i * head.field_bytes, sizeof ret->fields[i]);
        if (!is_good(ret, &ret->fields[i]))
            return -EPROTO;
    }
    return 0;
}

bool layout_is_same(const struct layout *layout, const struct layout_told *told)
{
    return told->version == layout->version && told->least_reader == layout->least_reader &&
           told->part_count == layout->part_count && told->field_count == layout->field_count &&
           memcmp(told->parts, layout->parts, layout->part_count * sizeof *layout->parts) == 0 &&
           memcmp(told->fields, layout->fields, layout->field_count * sizeof *layout->fields) == 0;
}

/* ---- moving -------------------------------------------------------------------------------- */

static bool fits_together(const struct layout_field *ours, const struct layout_field *theirs)
{
    if (is_integer(ours) && is_integer(theirs))
        return true;
    if (ours->kind != theirs->kind)
        return false;
    return ours->kind != FIELD_BYTES || ours->bytes == theirs->bytes;
}

int layout_plan(struct layout_plan *plan, const struct layout *to, const struct layout_told *from,
                const struct layout_field **ret_field)
{
    plan->to = to;
    plan->from = from;
    for (size_t i = 0; i < to->field_count; i++) {
        const struct layout_field *ours = &to->fields[i];
        plan->source[i] = -1;
        for (uint32_t k = 0; k < from->field_count; k++) {
            const struct layout_field *theirs = &from->fields[k];
            if (theirs->part != ours->part || theirs->id != ours->id)
                continue;
            if (!fits_together(ours, theirs)) {
                *ret_field = ours;
                return -EPROTO;
            }
            plan->source[i] = (int16_t)k;
            break;
        }
    }
    return 0;
}

/* As the 64 bits that both kinds have in common; sign-extended where theirs is signed. */
static uint64_t get_integer(const char *at, const struct layout_field *field)
{
    bool is_signed = field->kind == FIELD_SIGNED;
    union {
        uint8_t u8;
        uint16_t u16;
        uint32_t u32;
        uint64_t u64;
    } value;
    memcpy(&value, at, field->bytes);
    switch (field->bytes) {
    case 1:
        return is_signed ? (uint64_t)(int8_t)value.u8 : value.u8;
    case 2:
        return is_signed ? (uint64_t)(int16_t)value.u16 : value.u16;
    case 4:
        return is_signed ? (uint64_t)(int32_t)value.u32 : value.u32;
    default:
        return value.u64;
    }
}

/* Whether the value, of a field of that kind, can be had in ours. */
static bool can_hold(const struct layout_field *ours, uint64_t value, bool value_is_signed)
{
    bool negative = value_is_signed && (int64_t)value < 0;
    unsigned bits = ours->bytes * 8;
    if (ours->kind == FIELD_UNSIGNED)
        return !negative && (bits == 64 || value >> bits == 0) &&
               (!ours->below || value < ours->below);
    if (negative)
        return bits == 64 || (int64_t)value >= -(INT64_C(1) << (bits - 1));
    return value >> (bits - 1) == 0;
}

static bool move_integer(const struct layout_field *ours, const struct layout_field *theirs,
                         const char *source, char *target)
{
    uint64_t value = get_integer(source, theirs);
    if (!can_hold(ours, value, theirs->kind == FIELD_SIGNED))
        return false;
    uint8_t u8 = (uint8_t)value;
    uint16_t u16 = (uint16_t)value;
    uint32_t u32 = (uint32_t)value;
    const void *from = ours->bytes == 1   ? (const void *)&u8
                       : ours->bytes == 2 ? (const void *)&u16
                       : ours->bytes == 4 ? (const void *)&u32
                                          : (const void *)&value;
    memcpy(target, from, ours->bytes);
    return true;
}

static bool move_text(const struct layout_field *ours, const struct layout_field *theirs,
                      const char *source, char *target)
{
    size_t length = strnlen(source, theirs->bytes);
    if (ours->kind == FIELD_TEXT && (length == theirs->bytes || length >= ours->bytes))
        return false;
    if (length >= ours->bytes)
        length = ours->bytes - 1;
    memset(target, 0, ours->bytes);
    memcpy(target, source, length);
    return true;
}

int layout_move(const struct layout_plan *plan, unsigned part, const void *source, void *target,
                const struct layout_field **ret_field)
{
    for (size_t i = 0; i < plan->to->field_count; i++) {
        const struct layout_field *ours = &plan->to->fields[i];
        if (ours->part != part || plan->source[i] < 0)
            continue;
        const struct layout_field *theirs = &plan->from->fields[plan->source[i]];
        const char *from = (const char *)source + theirs->offset;
        char *to = (char *)target + ours->offset;
        bool moved = true;
        if (is_integer(ours))
            moved = move_integer(ours, theirs, from, to);
        else if (ours->kind == FIELD_TEXT || ours->kind == FIELD_WORDS)
            moved = move_text(ours, theirs, from, to);
        else
            memcpy(to, from, ours->bytes);
        if (!moved) {
            *ret_field = ours;
            return -EPROTO;
        }
    }
    return 0;
}

int layout_check(const struct layout *layout, unsigned part, const void *entry,
                 const struct layout_field **ret_field)
{
    for (size_t i = 0; i < layout->field_count; i++) {
        const struct layout_field *field = &layout->fields[i];
        const char *at = (const char *)entry + field->offset;
        if (field->part != part)
            continue;
        bool good = is_integer(field)
                        ? can_hold(field, get_integer(at, field), field->kind == FIELD_SIGNED)
                        : field->kind == FIELD_BYTES || memchr(at, 0, field->bytes);
        if (!good) {
            *ret_field = field;
            return -EPROTO;
        }
    }
    return 0;
}
