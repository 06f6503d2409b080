/* Layouts: what a record tells of itself is believed as far as it can be true, and what moves from
 * one layout to another is what both know. */
#include "base/layout.h"
#include "test.h"

#include <errno.h>

struct one {
    uint32_t count;
    int16_t change;
    uint8_t kind;
    char name[8];
    char words[8];
    uint64_t id[2];
};

/* The same, said otherwise: other places, other lengths, and more. */
struct two {
    uint64_t news;
    char name[16];
    uint64_t id[2];
    char words[16];
    int64_t change;
    uint64_t count;
    uint32_t kind;
};

static const struct layout_part parts_one[] = {{0, sizeof(struct one), 1}};
static const struct layout_part parts_two[] = {{0, sizeof(struct two), 1}};

static const struct layout_field fields_one[] = {
    LAYOUT_FIELD(1, 0, FIELD_UNSIGNED, struct one, count),
    LAYOUT_FIELD(2, 0, FIELD_SIGNED, struct one, change),
    LAYOUT_FIELD_BELOW(3, 0, struct one, kind, 5),
    LAYOUT_FIELD(4, 0, FIELD_TEXT, struct one, name),
    LAYOUT_FIELD(5, 0, FIELD_WORDS, struct one, words),
    LAYOUT_FIELD(6, 0, FIELD_BYTES, struct one, id),
};
static const struct layout_field fields_two[] = {
    LAYOUT_FIELD(7, 0, FIELD_UNSIGNED, struct two, news),
    LAYOUT_FIELD(4, 0, FIELD_TEXT, struct two, name),
    LAYOUT_FIELD(6, 0, FIELD_BYTES, struct two, id),
    LAYOUT_FIELD(5, 0, FIELD_WORDS, struct two, words),
    LAYOUT_FIELD(2, 0, FIELD_SIGNED, struct two, change),
    LAYOUT_FIELD(1, 0, FIELD_UNSIGNED, struct two, count),
    LAYOUT_FIELD_BELOW(3, 0, struct two, kind, 9),
};
static const struct layout one = {1, 1, parts_one, fields_one, 1, 6};
static const struct layout two = {2, 1, parts_two, fields_two, 1, 7};

static char place[1024];
static struct layout_told told;
static const struct layout_field *bad;

/* What a program that knows `to` makes of an entry of `from`. */
static int move(const struct layout *from, const void *source, const struct layout *to,
                void *target)
{
    struct layout_plan plan;
    CHECK_NUMBER(layout_put(from, place, sizeof place), 0);
    CHECK_NUMBER(layout_get(place, sizeof place, &told), 0);
    bad = NULL;
    int failed = layout_plan(&plan, to, &told, &bad);
    return failed ? failed : layout_move(&plan, 0, source, target, &bad);
}

TEST(what_is_told_is_known_again)
{
    CHECK_NUMBER(layout_put(&one, place, sizeof place), 0);
    CHECK_NUMBER(layout_get(place, sizeof place, &told), 0);
    CHECK(layout_is_same(&one, &told));
    CHECK(!layout_is_same(&two, &told));
    CHECK_NUMBER(told.version, 1);
    struct layout_told others[6] = {told, told, told, told, told, told};
    others[0].version++;
    others[1].least_reader++;
    others[2].part_count++;
    others[3].field_count++;
    memset(&others[4].parts[0], 0xff, sizeof others[4].parts[0]);
    memset(&others[5].fields[0], 0xff, sizeof others[5].fields[0]);
    for (size_t i = 0; i < 6; i++)
        CHECK(!layout_is_same(&one, &others[i]));
    struct layout large = one;
    large.part_count = LAYOUT_PARTS_MAX + 1;
    CHECK_NUMBER(layout_put(&large, place, SIZE_MAX), -ENOSPC);
    large = one;
    large.field_count = LAYOUT_FIELDS_MAX + 1;
    CHECK_NUMBER(layout_put(&large, place, SIZE_MAX), -ENOSPC);
    CHECK_NUMBER(layout_put(&one, place, layout_bytes(&one) - 1), -ENOSPC);
    CHECK_NUMBER(layout_put(&one, place, layout_bytes(&one)), 0);
}

TEST(fields_move_to_where_the_other_one_has_them_and_what_only_it_has_stays)
{
    const struct one from = {7, -3, 4, "web", "fine", {1, UINT64_MAX}};
    struct two to = {.news = 99};
    CHECK_NUMBER(move(&one, &from, &two, &to), 0);
    CHECK_NUMBER(to.count, 7);
    CHECK_NUMBER(to.change, -3);
    CHECK_NUMBER(to.kind, 4);
    CHECK_TEXT(to.name, "web");
    CHECK_TEXT(to.words, "fine");
    CHECK(to.id[0] == 1 && to.id[1] == UINT64_MAX);
    CHECK_NUMBER(to.news, 99);

    struct one back = {0};
    CHECK_NUMBER(move(&two, &to, &one, &back), 0);
    CHECK(back.count == 7 && back.change == -3 && back.kind == 4);
    CHECK_TEXT(back.name, "web");
}

TEST(a_value_that_does_not_fit_is_refused_and_named)
{
    static const struct {
        struct two from;
        int field; /* 0: it fits */
    } cases[] = {
        {{.count = UINT32_MAX}, 0},
        {{.count = UINT64_C(1) << 32}, 1},
        {{.change = INT16_MAX}, 0},
        {{.change = INT16_MAX + 1}, 2},
        {{.change = INT16_MIN}, 0},
        {{.change = INT16_MIN - 1}, 2},
        {{.kind = 4}, 0},
        {{.kind = 5}, 3},
        {{.kind = 256}, 3},
        {{.name = "1234567"}, 0},
        {{.name = "12345678"}, 4},
        {{.name = "0123456789abcdef"}, 4},
        {{.words = "0123456789abcdef"}, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct one to = {0};
        int result = move(&two, &cases[i].from, &one, &to);
        CHECK_NUMBER(result, cases[i].field ? -EPROTO : 0);
        CHECK_NUMBER(bad ? bad->id : 0, cases[i].field);
    }
}

TEST(words_are_cut_where_they_do_not_fit)
{
    const struct two from = {.words = "0123456789"};
    struct one to = {0};
    CHECK_NUMBER(move(&two, &from, &one, &to), 0);
    CHECK_TEXT(to.words, "0123456");
}

TEST(a_number_that_is_a_text_elsewhere_is_refused)
{
    static const struct layout_field fields[] = {
        LAYOUT_FIELD(4, 0, FIELD_UNSIGNED, struct one, count),
    };
    static const struct layout other = {1, 1, parts_one, fields, 1, 1};
    struct one from = {0}, to = {0};
    CHECK_NUMBER(move(&other, &from, &one, &to), -EPROTO);
    CHECK_NUMBER(bad->id, 4);
}

TEST(a_field_that_is_something_else_elsewhere_is_refused)
{
    static const struct layout_field fields[][1] = {
        {LAYOUT_FIELD(1, 0, FIELD_TEXT, struct one, name)},  /* a number here */
        {LAYOUT_FIELD(6, 0, FIELD_BYTES, struct one, name)}, /* of 16 bytes here */
    };
    for (size_t i = 0; i < 2; i++) {
        const struct layout other = {1, 1, parts_one, fields[i], 1, 1};
        struct one from = {0}, to = {0};
        CHECK_NUMBER(move(&other, &from, &one, &to), -EPROTO);
        CHECK_NUMBER(bad->id, fields[i][0].id);
    }
}

struct small {
    int8_t change;
    uint8_t count;
};

TEST(a_small_number_keeps_its_sign_and_below_zero_there_is_nothing_unsigned)
{
    static const struct layout_part parts[] = {{0, sizeof(struct small), 1}};
    static const struct layout_field signed_fields[] = {
        LAYOUT_FIELD(2, 0, FIELD_SIGNED, struct small, change),
    };
    static const struct layout_field other_fields[] = {
        LAYOUT_FIELD(1, 0, FIELD_SIGNED, struct small, change),
    };
    static const struct layout change = {1, 1, parts, signed_fields, 1, 1};
    static const struct layout count = {1, 1, parts, other_fields, 1, 1};
    struct one to = {.count = 77};
    CHECK_NUMBER(move(&change, &(struct small){.change = -100}, &one, &to), 0);
    CHECK_NUMBER(to.change, -100);
    CHECK_NUMBER(move(&count, &(struct small){.change = 100}, &one, &to), 0);
    CHECK_NUMBER(to.count, 100);
    CHECK_NUMBER(move(&count, &(struct small){.change = -1}, &one, &to), -EPROTO);
    CHECK_NUMBER(bad->id, 1);
    CHECK_NUMBER(to.count, 100);
    struct two long_one = {.count = 77}; /* of 64 bits, which would hold those of -1 */
    CHECK_NUMBER(move(&count, &(struct small){.change = -1}, &two, &long_one), -EPROTO);
    CHECK_NUMBER(long_one.count, 77);
}

TEST(a_later_layout_whose_entries_are_longer_is_read)
{
    /* Head, parts of 24 bytes, fields of 20. */
    uint32_t *words = (uint32_t *)place;
    CHECK_NUMBER(layout_put(&one, place, sizeof place), 0);
    char longer[1024] = "";
    memcpy(longer, place, 32);
    memcpy(longer + 32, place + 32, 16);
    for (size_t i = 0; i < one.field_count; i++)
        memcpy(longer + 32 + 24 + i * 20, place + 48 + i * 16, 16);
    memcpy(place, longer, sizeof longer);
    words[6] = 24;
    words[7] = 20;
    CHECK_NUMBER(layout_get(place, sizeof place, &told), 0);
    CHECK(layout_is_same(&one, &told));
}

/* Each byte in turn is made another: whatever is told then, all of it lies where it says. */
TEST(no_damage_leads_outside)
{
    size_t bytes = layout_bytes(&two);
    for (size_t at = 0; at < bytes; at++) {
        for (int bit = 0; bit < 8; bit++) {
            CHECK_NUMBER(layout_put(&two, place, sizeof place), 0);
            place[at] = (char)(place[at] ^ 1 << bit);
            if (layout_get(place, bytes, &told) < 0)
                continue;
            CHECK(told.part_count <= LAYOUT_PARTS_MAX && told.field_count <= LAYOUT_FIELDS_MAX);
            for (uint32_t i = 0; i < told.field_count; i++) {
                const struct layout_field *field = &told.fields[i];
                CHECK(field->part < told.part_count);
                CHECK((uint64_t)field->offset + field->bytes <= told.parts[field->part].bytes);
            }
        }
    }
    CHECK_NUMBER(layout_put(&two, place, sizeof place), 0);
    for (size_t room = 0; room < bytes; room++)
        CHECK_NUMBER(layout_get(place, room, &told), -EPROTO);
}
