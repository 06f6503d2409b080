/* YAML text as a tree of nodes: texts, lists, mappings. It is made from libyaml's events and
 * takes less than YAML offers: one document, no anchors, aliases or tags, bounded depth and size,
 * UTF-8 only, no control characters, each key of a mapping a text and there once. */
#pragma once

#include "config/error-list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum node_kind { NODE_TEXT, NODE_LIST, NODE_MAPPING };

enum node_style { STYLE_PLAIN, STYLE_QUOTED, STYLE_LITERAL, STYLE_FOLDED };

struct node {
    enum node_kind kind;
    enum node_style style;         /* of a text */
    unsigned line, column;         /* of its first character, both from 1 */
    unsigned end_line, end_column; /* behind its last one */
    const char *text;              /* of a text; holds no NUL but the one behind it */
    size_t length;
    const struct node *key;   /* of an entry of a mapping: its key, a text; else NULL */
    const struct node *first; /* of a list or a mapping: its first entry */
    const struct node *next;  /* the entry behind this one */
    size_t count;             /* entries */
    bool bad;                 /* an error was noted in its place: it holds nothing of use */
    uint32_t hash;            /* of a text */
};

/* Where a text came from, for errors inside it. */
struct nodes_text {
    const char *path;
    const char *text;
    size_t size;
};

/* Reads `source`; the tree is in the arena. *ret is NULL for a text that holds nothing (blanks and
 * comments). Returns 0; -EINVAL with 1 to `max_errors` errors added, and all that could be read in
 * *ret when that was the whole text, else NULL; -ENOMEM. */
int nodes_parse(const struct nodes_text *source, struct arena *arena, unsigned max_errors,
                const struct node **ret, struct error_list *errors);

/* Line and column of byte `at` of a node's text, as near as it can be told: a text on several
 * lines or with escapes has that of its beginning. */
void nodes_place(const struct nodes_text *source, const struct node *node, size_t at,
                 unsigned *ret_line, unsigned *ret_column);

/* Whether a text says that there is no value: nothing at all or `~`, both without quotes. */
bool node_is_nothing(const struct node *node);

/* "a text", "a list", "a mapping". */
const char *node_kind_name(const struct node *node);
