/* The inside of pattern.c: an expression as a tree. */
#pragma once

#include "journal/pattern.h"

#include <stdint.h>

enum pattern_kind {
    PATTERN_NOTHING, /* the empty text */
    PATTERN_SET,     /* one byte of a set */
    PATTERN_BEGIN,
    PATTERN_END,
    PATTERN_BOTH,   /* left, then right */
    PATTERN_EITHER, /* left or right */
    PATTERN_REPEAT, /* left, `least` to `most` times */
};

#define PATTERN_FOR_EVER UINT32_MAX /* in `most` */

struct pattern_set {
    uint64_t bits[4];
};

struct pattern_tree {
    enum pattern_kind kind;
    uint32_t left, right; /* in pattern_trees.nodes */
    uint32_t least, most;
    uint32_t set; /* in pattern_trees.sets */
};

struct pattern_trees {
    struct pattern_tree *nodes;
    struct pattern_set *sets;
    size_t count, room, set_count, set_room;
    uint32_t root;
};

static inline bool pattern_set_has(const struct pattern_set *set, unsigned char byte)
{
    return set->bits[byte >> 6] >> (byte & 63) & 1;
}

static inline void pattern_set_add(struct pattern_set *set, unsigned char byte)
{
    set->bits[byte >> 6] |= 1ull << (byte & 63);
}

/* Returns 0, -EINVAL with *ret_error, or -ENOMEM. The trees are to be finished in every case. */
int pattern_parse(struct pattern_trees *trees, const char *expression,
                  struct pattern_error *ret_error);
void pattern_trees_finish(struct pattern_trees *trees);
