/* Matching: the tree becomes an automaton with several states at once, and of that the states that
 * are met are made into one with a table of 256 next states each, as they are met. So a byte costs
 * one look into a table, and what is kept is bounded: when there are too many states all are
 * forgotten, and made again. */
#include "journal/pattern-parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NODES_MAX   8000 /* of the automaton, its repeats written out */
#define STATES_MAX  1024 /* one has a table of 512 bytes, and a list */
#define LITERAL_MAX PATTERN_BYTES_MAX

_Static_assert(STATES_MAX < UINT16_MAX, "a state's number fits a uint16_t");

enum node_kind { NODE_SET, NODE_SPLIT, NODE_BEGIN, NODE_END, NODE_MATCH };

struct node {
    enum node_kind kind;
    uint32_t out, other; /* other: of a split */
    uint32_t set;
};

enum { STATE_UNKNOWN, STATE_MATCH, STATE_DEAD, STATES_FIRST };

struct state {
    uint32_t *list; /* the nodes it stands for that take a byte, or wait for the end; sorted */
    uint32_t count, hash;
    bool matches_at_end;
};

struct pattern {
    struct pattern_trees trees;
    struct node *nodes;
    size_t count, room;
    uint32_t first;
    struct state *states; /* from STATES_FIRST on */
    uint16_t (*next)[256]; /* of each state */
    uint32_t state_count;
    uint32_t begin;    /* the state in which a line begins; STATE_UNKNOWN: not made yet */
    uint32_t *reached; /* what has been reached, while a state is made */
    uint32_t reached_count;
    uint32_t *stack;
    uint32_t *seen; /* a node was reached in this round */
    uint32_t round;
    char literal[LITERAL_MAX + 1];
    size_t literal_bytes;
    bool literal_is_whole;
};

/* ---- the automaton -------------------------------------------------------------------------- */

/* Returns its number, or UINT32_MAX when there are too many or there is no memory. */
static uint32_t add_node(struct pattern *pattern, struct node node)
{
    if (pattern->count == NODES_MAX)
        return UINT32_MAX;
    if (pattern->count == pattern->room) {
        size_t room = pattern->room ? pattern->room * 2 : 64;
        void *grown = reallocarray(pattern->nodes, room, sizeof *pattern->nodes);
        if (!grown)
            return UINT32_MAX;
        pattern->nodes = grown;
        pattern->room = room;
    }
    pattern->nodes[pattern->count] = node;
    return (uint32_t)pattern->count++;
}

static uint32_t build(struct pattern *pattern, uint32_t number, uint32_t next);

static uint32_t build_repeat(struct pattern *pattern, const struct pattern_tree *tree,
                             uint32_t next)
{
    uint32_t to = next;

    if (tree->most == PATTERN_FOR_EVER) {
        to = add_node(pattern, (struct node){NODE_SPLIT, 0, next, 0});
        uint32_t body = to == UINT32_MAX ? to : build(pattern, tree->left, to);
        if (body == UINT32_MAX)
            return body;
        pattern->nodes[to].out = body;
    } else {
        for (uint32_t i = tree->least; i < tree->most && to != UINT32_MAX; i++) {
            to = build(pattern, tree->left, to);
            if (to != UINT32_MAX)
                to = add_node(pattern, (struct node){NODE_SPLIT, to, next, 0});
        }
    }
    for (uint32_t i = 0; i < tree->least && to != UINT32_MAX; i++)
        to = build(pattern, tree->left, to);
    return to;
}

/* The nodes of this tree, behind which `next` comes. Returns where they begin, or UINT32_MAX. */
static uint32_t build(struct pattern *pattern, uint32_t number, uint32_t next)
{
    const struct pattern_tree *tree = &pattern->trees.nodes[number];
    uint32_t left, right;

    if (next == UINT32_MAX)
        return UINT32_MAX;
    switch (tree->kind) {
    case PATTERN_NOTHING:
        return next;
    case PATTERN_SET:
        return add_node(pattern, (struct node){NODE_SET, next, 0, tree->set});
    case PATTERN_BEGIN:
        return add_node(pattern, (struct node){NODE_BEGIN, next, 0, 0});
    case PATTERN_END:
        return add_node(pattern, (struct node){NODE_END, next, 0, 0});
    case PATTERN_BOTH:
        return build(pattern, tree->left, build(pattern, tree->right, next));
    case PATTERN_EITHER:
        left = build(pattern, tree->left, next);
        right = left == UINT32_MAX ? left : build(pattern, tree->right, next);
        return right == UINT32_MAX ? right
                                   : add_node(pattern, (struct node){NODE_SPLIT, left, right, 0});
    case PATTERN_REPEAT:
        return build_repeat(pattern, tree, next);
    }
    return UINT32_MAX;
}

/* ---- the literal ---------------------------------------------------------------------------- */

struct literal_search {
    char run[LITERAL_MAX + 1];
    size_t bytes;
    bool whole; /* nothing but the run has been met */
};

static void end_run(struct pattern *pattern, struct literal_search *search)
{
    search->whole = false;
    if (search->bytes > pattern->literal_bytes) {
        memcpy(pattern->literal, search->run, search->bytes);
        pattern->literal_bytes = search->bytes;
    }
    search->bytes = 0;
}

/* Walks over what is in every match, from left to right. */
static void find_literal(struct pattern *pattern, struct literal_search *search, uint32_t number)
{
    const struct pattern_tree *tree = &pattern->trees.nodes[number];
    const struct pattern_set *set = &pattern->trees.sets[tree->set];
    unsigned found = 0, members = 0;

    if (tree->kind == PATTERN_BOTH) {
        find_literal(pattern, search, tree->left);
        find_literal(pattern, search, tree->right);
        return;
    }
    if (tree->kind == PATTERN_REPEAT && tree->least) {
        find_literal(pattern, search, tree->left);
        end_run(pattern, search);
        return;
    }
    for (unsigned byte = 0; tree->kind == PATTERN_SET && byte < 256; byte++)
        if (pattern_set_has(set, (unsigned char)byte)) {
            found = byte;
            members++;
        }
    if (members == 1 && search->bytes < LITERAL_MAX)
        search->run[search->bytes++] = (char)found;
    else if (tree->kind != PATTERN_NOTHING)
        end_run(pattern, search);
}

const char *pattern_literal(const struct pattern *pattern, size_t *ret_bytes, bool *ret_whole)
{
    *ret_bytes = pattern->literal_bytes;
    *ret_whole = pattern->literal_is_whole;
    return pattern->literal_bytes ? pattern->literal : NULL;
}

/* ---- making it ------------------------------------------------------------------------------ */

static int prepare(struct pattern *pattern)
{
    struct literal_search search = {.whole = true};
    uint32_t match = add_node(pattern, (struct node){.kind = NODE_MATCH});

    pattern->first = build(pattern, pattern->trees.root, match);
    if (pattern->first == UINT32_MAX)
        return pattern->count == NODES_MAX ? -E2BIG : -ENOMEM;
    pattern->reached = calloc(pattern->count, sizeof *pattern->reached);
    pattern->stack = calloc(2 * pattern->count + 1, sizeof *pattern->stack);
    pattern->seen = calloc(pattern->count, sizeof *pattern->seen);
    pattern->states = calloc(STATES_MAX, sizeof *pattern->states);
    pattern->next = calloc(STATES_MAX, sizeof *pattern->next);
    if (!pattern->reached || !pattern->stack || !pattern->seen || !pattern->states ||
        !pattern->next)
        return -ENOMEM;
    pattern->state_count = STATES_FIRST;
    find_literal(pattern, &search, pattern->trees.root);
    bool whole = search.whole;
    end_run(pattern, &search);
    pattern->literal_is_whole = whole && pattern->literal_bytes;
    return 0;
}

int pattern_create(struct pattern **ret, const char *expression, struct pattern_error *ret_error)
{
    struct pattern *pattern = calloc(1, sizeof *pattern);
    int failed;

    if (!pattern)
        return -ENOMEM;
    failed = pattern_parse(&pattern->trees, expression, ret_error);
    if (!failed)
        failed = prepare(pattern);
    if (failed == -E2BIG) {
        *ret_error = (struct pattern_error){1, "its repeats make it too large: write less of them"};
        failed = -EINVAL;
    }
    if (failed) {
        pattern_destroy(pattern);
        return failed;
    }
    *ret = pattern;
    return 0;
}

static void forget_states(struct pattern *pattern)
{
    for (uint32_t i = STATES_FIRST; i < pattern->state_count; i++) {
        free(pattern->states[i].list);
        memset(pattern->next[i], 0, sizeof pattern->next[i]);
    }
    pattern->state_count = STATES_FIRST;
    pattern->begin = STATE_UNKNOWN;
}

void pattern_destroy(struct pattern *pattern)
{
    if (!pattern)
        return;
    if (pattern->states && pattern->next)
        forget_states(pattern);
    pattern_trees_finish(&pattern->trees);
    free(pattern->nodes);
    free(pattern->states);
    free(pattern->next);
    free(pattern->reached);
    free(pattern->stack);
    free(pattern->seen);
    free(pattern);
}

/* ---- states --------------------------------------------------------------------------------- */

static void begin_round(struct pattern *pattern)
{
    pattern->reached_count = 0;
    if (++pattern->round == 0) {
        memset(pattern->seen, 0, pattern->count * sizeof *pattern->seen);
        pattern->round = 1;
    }
}

/* Adds what is reached from this node without a byte. Returns whether the end of the expression
 * is. */
static bool reach(struct pattern *pattern, uint32_t from, bool at_begin, bool at_end)
{
    size_t depth = 0;
    pattern->stack[depth++] = from;
    while (depth) {
        uint32_t number = pattern->stack[--depth];
        const struct node *node = &pattern->nodes[number];
        if (pattern->seen[number] == pattern->round)
            continue;
        pattern->seen[number] = pattern->round;
        if (node->kind == NODE_MATCH)
            return true;
        if (node->kind == NODE_SPLIT)
            pattern->stack[depth++] = node->other;
        if (node->kind == NODE_SPLIT || (node->kind == NODE_BEGIN && at_begin) ||
            (node->kind == NODE_END && at_end))
            pattern->stack[depth++] = node->out;
        else if (node->kind == NODE_SET || node->kind == NODE_END)
            pattern->reached[pattern->reached_count++] = number;
    }
    return false;
}

static int compare(const void *a, const void *b)
{
    uint32_t first = *(const uint32_t *)a, second = *(const uint32_t *)b;
    return first < second ? -1 : first > second;
}

/* Whether the end of the expression is reached where the line ends in this state. */
static bool ends_well(struct pattern *pattern, const struct state *state, bool at_begin)
{
    begin_round(pattern);
    for (uint32_t i = 0; i < state->count; i++)
        if (pattern->nodes[state->list[i]].kind == NODE_END &&
            reach(pattern, state->list[i], at_begin, true))
            return true;
    return at_begin && reach(pattern, pattern->first, true, true);
}

/* Returns whether there was memory for it. */
static bool make_state(struct pattern *pattern, struct state *state, uint32_t hash, bool at_begin)
{
    size_t bytes = pattern->reached_count * sizeof *state->list;

    *state = (struct state){malloc(bytes + 1), pattern->reached_count, hash, false};
    if (!state->list)
        return false;
    memcpy(state->list, pattern->reached, bytes);
    state->matches_at_end = ends_well(pattern, state, at_begin);
    return true;
}

/* The number of the state that stands for what was reached; STATE_UNKNOWN without memory. */
static uint32_t find_state(struct pattern *pattern, bool at_begin)
{
    uint32_t hash = 2166136261u + at_begin;

    if (!pattern->reached_count && !at_begin)
        return STATE_DEAD;
    if (pattern->reached_count)
        qsort(pattern->reached, pattern->reached_count, sizeof *pattern->reached, compare);
    for (uint32_t i = 0; i < pattern->reached_count; i++)
        hash = (hash ^ pattern->reached[i]) * 16777619u;
    for (uint32_t i = STATES_FIRST; i < pattern->state_count && !at_begin; i++) {
        const struct state *state = &pattern->states[i];
        if (state->hash == hash && state->count == pattern->reached_count && i != pattern->begin &&
            !memcmp(state->list, pattern->reached, state->count * sizeof *state->list))
            return i;
    }
    if (pattern->state_count == STATES_MAX ||
        !make_state(pattern, &pattern->states[pattern->state_count], hash, at_begin))
        return STATE_UNKNOWN;
    return pattern->state_count++;
}

/* The state behind this byte. The line may match from here on, too. */
static uint32_t step(struct pattern *pattern, uint32_t from, unsigned char byte)
{
    const struct state *state = &pattern->states[from];
    uint32_t to;

    begin_round(pattern);
    for (uint32_t i = 0; i < state->count; i++) {
        const struct node *node = &pattern->nodes[state->list[i]];
        if (node->kind == NODE_SET && pattern_set_has(&pattern->trees.sets[node->set], byte) &&
            reach(pattern, node->out, false, false)) {
            pattern->next[from][byte] = STATE_MATCH;
            return STATE_MATCH;
        }
    }
    to = reach(pattern, pattern->first, false, false) ? STATE_MATCH : find_state(pattern, false);
    pattern->next[from][byte] = (uint16_t)to;
    return to;
}

static uint32_t begin_line(struct pattern *pattern)
{
    begin_round(pattern);
    if (reach(pattern, pattern->first, true, false))
        pattern->begin = STATE_MATCH;
    else
        pattern->begin = find_state(pattern, true);
    return pattern->begin;
}

/* ---- matching ------------------------------------------------------------------------------- */

/* Without memory for states: from each set of nodes to the next one, with nothing kept. */
static bool matches_slowly(struct pattern *pattern, const char *text, size_t bytes)
{
    uint32_t *list = calloc(pattern->count, sizeof *list), count;
    bool found = true;

    if (!list) /* better one line too many than one too few */
        return true;
    begin_round(pattern);
    if (reach(pattern, pattern->first, true, bytes == 0))
        goto out;
    for (size_t at = 0; at < bytes; at++) {
        count = pattern->reached_count;
        memcpy(list, pattern->reached, count * sizeof *list);
        begin_round(pattern);
        for (uint32_t i = 0; i < count; i++) {
            const struct node *node = &pattern->nodes[list[i]];
            if (node->kind == NODE_SET &&
                pattern_set_has(&pattern->trees.sets[node->set], (unsigned char)text[at]) &&
                reach(pattern, node->out, false, at + 1 == bytes))
                goto out;
        }
        if (reach(pattern, pattern->first, false, at + 1 == bytes))
            goto out;
    }
    found = false;
out:
    free(list);
    return found;
}

bool pattern_matches(struct pattern *pattern, const char *text, size_t bytes)
{
    uint32_t state = pattern->begin ? pattern->begin : begin_line(pattern);

    for (size_t at = 0; at < bytes && state >= STATES_FIRST; at++) {
        unsigned char byte = (unsigned char)text[at];
        uint32_t next = pattern->next[state][byte];
        if (next == STATE_UNKNOWN)
            next = step(pattern, state, byte);
        state = next;
    }
    if (state == STATE_UNKNOWN) {
        forget_states(pattern);
        return matches_slowly(pattern, text, bytes);
    }
    return state == STATE_MATCH || (state >= STATES_FIRST && pattern->states[state].matches_at_end);
}
