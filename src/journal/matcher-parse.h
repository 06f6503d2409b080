/* The inside of matcher.c: an expression as a tree. */
#pragma once

#include "journal/matcher.h"

#include <stdint.h>

enum matcher_kind {
    MATCHER_NOTHING, /* the empty text */
    MATCHER_SET,     /* one byte of a set */
    MATCHER_BEGIN,
    MATCHER_END,
    MATCHER_BOTH,   /* left, then right */
    MATCHER_EITHER, /* left or right */
    MATCHER_REPEAT, /* left, `least` to `most` times */
};

#define MATCHER_FOR_EVER UINT32_MAX /* in `most` */

struct matcher_set {
    uint64_t bits[4];
};

struct matcher_tree {
    enum matcher_kind kind;
    uint32_t left, right; /* in matcher_trees.nodes */
    uint32_t least, most;
    uint32_t set; /* in matcher_trees.sets */
};

struct matcher_trees {
    struct matcher_tree *nodes;
    struct matcher_set *sets;
    size_t count, room, set_count, set_room;
    uint32_t root;
};

static inline bool matcher_set_has(const struct matcher_set *set, unsigned char byte)
{
    return set->bits[byte >> 6] >> (byte & 63) & 1;
}

static inline void matcher_set_add(struct matcher_set *set, unsigned char byte)
{
    set->bits[byte >> 6] |= 1ull << (byte & 63);
}

/* Returns 0, -EINVAL with *ret_error, or -ENOMEM. The trees are to be finished in every case. */
int matcher_parse(struct matcher_trees *trees, const char *expression,
                  struct matcher_error *ret_error);
void matcher_trees_finish(struct matcher_trees *trees);
