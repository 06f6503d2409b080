/* Matching: the tree becomes an automaton with several states at once, and of that the states that
 * are met are made into one with a table of 256 next states each, as they are met. So a byte costs
 * one look into a table, and what is kept is bounded: when there are too many states all are
 * forgotten, and made again. */
#include "journal/matcher-parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NODES_MAX   8000 /* of the automaton, its repeats written out */
#define STATES_MAX  1024 /* one has a table of 512 bytes, and a list */
#define LITERAL_MAX MATCHER_BYTES_MAX

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

struct matcher {
    struct matcher_trees trees;
    struct node *nodes;
    size_t count, room;
    uint32_t first;
    struct state *states;  /* from STATES_FIRST on */
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
static uint32_t add_node(struct matcher *matcher, struct node node)
{
    if (matcher->count == NODES_MAX)
        return UINT32_MAX;
    if (matcher->count == matcher->room) {
        size_t room = matcher->room ? matcher->room * 2 : 64;
        void *grown = reallocarray(matcher->nodes, room, sizeof *matcher->nodes);
        if (!grown)
            return UINT32_MAX;
        matcher->nodes = grown;
        matcher->room = room;
    }
    matcher->nodes[matcher->count] = node;
    return (uint32_t)matcher->count++;
}

static uint32_t build(struct matcher *matcher, uint32_t number, uint32_t next);

static uint32_t build_repeat(struct matcher *matcher, const struct matcher_tree *tree,
                             uint32_t next)
{
    uint32_t to = next;

    if (tree->most == MATCHER_FOR_EVER) {
        to = add_node(matcher, (struct node){NODE_SPLIT, 0, next, 0});
        uint32_t body = to == UINT32_MAX ? to : build(matcher, tree->left, to);
        if (body == UINT32_MAX)
            return body;
        matcher->nodes[to].out = body;
    } else {
        for (uint32_t i = tree->least; i < tree->most && to != UINT32_MAX; i++) {
            to = build(matcher, tree->left, to);
            if (to != UINT32_MAX)
                to = add_node(matcher, (struct node){NODE_SPLIT, to, next, 0});
        }
    }
    for (uint32_t i = 0; i < tree->least && to != UINT32_MAX; i++)
        to = build(matcher, tree->left, to);
    return to;
}

/* The nodes of this tree, behind which `next` comes. Returns where they begin, or UINT32_MAX. */
static uint32_t build(struct matcher *matcher, uint32_t number, uint32_t next)
{
    const struct matcher_tree *tree = &matcher->trees.nodes[number];
    uint32_t left, right;

    if (next == UINT32_MAX)
        return UINT32_MAX;
    switch (tree->kind) {
    case MATCHER_NOTHING:
        return next;
    case MATCHER_SET:
        return add_node(matcher, (struct node){NODE_SET, next, 0, tree->set});
    case MATCHER_BEGIN:
        return add_node(matcher, (struct node){NODE_BEGIN, next, 0, 0});
    case MATCHER_END:
        return add_node(matcher, (struct node){NODE_END, next, 0, 0});
    case MATCHER_BOTH:
        return build(matcher, tree->left, build(matcher, tree->right, next));
    case MATCHER_EITHER:
        left = build(matcher, tree->left, next);
        right = left == UINT32_MAX ? left : build(matcher, tree->right, next);
        return right == UINT32_MAX ? right
                                   : add_node(matcher, (struct node){NODE_SPLIT, left, right, 0});
    case MATCHER_REPEAT:
        return build_repeat(matcher, tree, next);
    }
    return UINT32_MAX;
}

/* ---- the literal ---------------------------------------------------------------------------- */

struct literal_search {
    char run[LITERAL_MAX + 1];
    size_t bytes;
    bool whole; /* nothing but the run has been met */
};

static void end_run(struct matcher *matcher, struct literal_search *search)
{
    search->whole = false;
    if (search->bytes > matcher->literal_bytes) {
        memcpy(matcher->literal, search->run, search->bytes);
        matcher->literal_bytes = search->bytes;
    }
    search->bytes = 0;
}

/* Walks over what is in every match, from left to right. */
static void find_literal(struct matcher *matcher, struct literal_search *search, uint32_t number)
{
    const struct matcher_tree *tree = &matcher->trees.nodes[number];
    const struct matcher_set *set =
        tree->kind == MATCHER_SET ? &matcher->trees.sets[tree->set] : NULL;
    unsigned found = 0, members = 0;

    if (tree->kind == MATCHER_BOTH) {
        find_literal(matcher, search, tree->left);
        find_literal(matcher, search, tree->right);
        return;
    }
    if (tree->kind == MATCHER_REPEAT && tree->least) {
        find_literal(matcher, search, tree->left);
        end_run(matcher, search);
        return;
    }
    for (unsigned byte = 0; set && byte < 256; byte++)
        if (matcher_set_has(set, (unsigned char)byte)) {
            found = byte;
            members++;
        }
    if (members == 1) /* of which there are no more than the expression has bytes */
        search->run[search->bytes++] = (char)found;
    else if (tree->kind != MATCHER_NOTHING)
        end_run(matcher, search);
}

const char *matcher_literal(const struct matcher *matcher, size_t *ret_bytes, bool *ret_whole)
{
    *ret_bytes = matcher->literal_bytes;
    *ret_whole = matcher->literal_is_whole;
    return matcher->literal_bytes ? matcher->literal : NULL;
}

/* ---- making it ------------------------------------------------------------------------------ */

static int prepare(struct matcher *matcher)
{
    struct literal_search search = {.whole = true};
    uint32_t match = add_node(matcher, (struct node){.kind = NODE_MATCH});

    matcher->first = build(matcher, matcher->trees.root, match);
    if (matcher->first == UINT32_MAX)
        return matcher->count == NODES_MAX ? -E2BIG : -ENOMEM;
    matcher->reached = calloc(matcher->count, sizeof *matcher->reached);
    matcher->stack = calloc(2 * matcher->count + 1, sizeof *matcher->stack);
    matcher->seen = calloc(matcher->count, sizeof *matcher->seen);
    matcher->states = calloc(STATES_MAX, sizeof *matcher->states);
    matcher->next = calloc(STATES_MAX, sizeof *matcher->next);
    if (!matcher->reached || !matcher->stack || !matcher->seen || !matcher->states ||
        !matcher->next)
        return -ENOMEM;
    matcher->state_count = STATES_FIRST;
    find_literal(matcher, &search, matcher->trees.root);
    bool whole = search.whole;
    end_run(matcher, &search);
    matcher->literal_is_whole = whole && matcher->literal_bytes;
    return 0;
}

int matcher_create(struct matcher **ret, const char *expression, struct matcher_error *ret_error)
{
    struct matcher *matcher = calloc(1, sizeof *matcher);
    int failed;

    if (!matcher)
        return -ENOMEM;
    failed = matcher_parse(&matcher->trees, expression, ret_error);
    if (!failed)
        failed = prepare(matcher);
    if (failed == -E2BIG) {
        *ret_error = (struct matcher_error){1, "its repeats make it too large: write less of them"};
        failed = -EINVAL;
    }
    if (failed) {
        matcher_destroy(matcher);
        return failed;
    }
    *ret = matcher;
    return 0;
}

static void forget_states(struct matcher *matcher)
{
    for (uint32_t i = STATES_FIRST; i < matcher->state_count; i++) {
        free(matcher->states[i].list);
        memset(matcher->next[i], 0, sizeof matcher->next[i]);
    }
    matcher->state_count = STATES_FIRST;
    matcher->begin = STATE_UNKNOWN;
}

void matcher_destroy(struct matcher *matcher)
{
    if (!matcher)
        return;
    if (matcher->states && matcher->next)
        forget_states(matcher);
    matcher_trees_finish(&matcher->trees);
    free(matcher->nodes);
    free(matcher->states);
    free(matcher->next);
    free(matcher->reached);
    free(matcher->stack);
    free(matcher->seen);
    free(matcher);
}

/* ---- states --------------------------------------------------------------------------------- */

static void begin_round(struct matcher *matcher)
{
    matcher->reached_count = 0;
    if (++matcher->round == 0) {
        memset(matcher->seen, 0, matcher->count * sizeof *matcher->seen);
        matcher->round = 1;
    }
}

/* Adds what is reached from this node without a byte. Returns whether the end of the expression
 * is. */
static bool reach(struct matcher *matcher, uint32_t from, bool at_begin, bool at_end)
{
    size_t depth = 0;
    matcher->stack[depth++] = from;
    while (depth) {
        uint32_t number = matcher->stack[--depth];
        const struct node *node = &matcher->nodes[number];
        if (matcher->seen[number] == matcher->round)
            continue;
        matcher->seen[number] = matcher->round;
        if (node->kind == NODE_MATCH)
            return true;
        if (node->kind == NODE_SPLIT)
            matcher->stack[depth++] = node->other;
        if (node->kind == NODE_SPLIT || (node->kind == NODE_BEGIN && at_begin) ||
            (node->kind == NODE_END && at_end))
            matcher->stack[depth++] = node->out;
        else if (node->kind == NODE_SET || node->kind == NODE_END)
            matcher->reached[matcher->reached_count++] = number;
    }
    return false;
}

static int compare(const void *a, const void *b)
{
    uint32_t first = *(const uint32_t *)a, second = *(const uint32_t *)b;
    return first < second ? -1 : first > second;
}

/* Whether the end of the expression is reached where the line ends in this state: by way of a node
 * that waits for that, for whatever else it could be has been reached before. */
static bool ends_well(struct matcher *matcher, const struct state *state, bool at_begin)
{
    begin_round(matcher);
    for (uint32_t i = 0; i < state->count; i++)
        if (matcher->nodes[state->list[i]].kind == NODE_END &&
            reach(matcher, state->list[i], at_begin, true))
            return true;
    return false;
}

/* Returns whether there was memory for it. */
static bool make_state(struct matcher *matcher, struct state *state, uint32_t hash, bool at_begin)
{
    size_t bytes = matcher->reached_count * sizeof *state->list;

    *state = (struct state){malloc(bytes + 1), matcher->reached_count, hash, false};
    if (!state->list)
        return false;
    memcpy(state->list, matcher->reached, bytes);
    state->matches_at_end = ends_well(matcher, state, at_begin);
    return true;
}

/* The number of the state that stands for what was reached; STATE_UNKNOWN without memory. */
static uint32_t find_state(struct matcher *matcher, bool at_begin)
{
    uint32_t hash = 2166136261u + at_begin;

    if (!matcher->reached_count)
        return STATE_DEAD;
    qsort(matcher->reached, matcher->reached_count, sizeof *matcher->reached, compare);
    for (uint32_t i = 0; i < matcher->reached_count; i++)
        hash = (hash ^ matcher->reached[i]) * 16777619u;
    for (uint32_t i = STATES_FIRST; i < matcher->state_count; i++) {
        const struct state *state = &matcher->states[i];
        if (state->hash == hash && state->count == matcher->reached_count && i != matcher->begin &&
            !memcmp(state->list, matcher->reached, state->count * sizeof *state->list))
            return i;
    }
    if (matcher->state_count == STATES_MAX ||
        !make_state(matcher, &matcher->states[matcher->state_count], hash, at_begin))
        return STATE_UNKNOWN;
    return matcher->state_count++;
}

/* The state behind this byte. The line may match from here on, too. */
static uint32_t step(struct matcher *matcher, uint32_t from, unsigned char byte)
{
    const struct state *state = &matcher->states[from];
    uint32_t to;

    begin_round(matcher);
    for (uint32_t i = 0; i < state->count; i++) {
        const struct node *node = &matcher->nodes[state->list[i]];
        if (node->kind == NODE_SET && matcher_set_has(&matcher->trees.sets[node->set], byte) &&
            reach(matcher, node->out, false, false)) {
            matcher->next[from][byte] = STATE_MATCH;
            return STATE_MATCH;
        }
    }
    /* What matches nothing at all has matched where the line began. */
    (void)reach(matcher, matcher->first, false, false);
    to = find_state(matcher, false);
    matcher->next[from][byte] = (uint16_t)to;
    return to;
}

static uint32_t begin_line(struct matcher *matcher)
{
    begin_round(matcher);
    if (reach(matcher, matcher->first, true, false))
        matcher->begin = STATE_MATCH;
    else
        matcher->begin = find_state(matcher, true);
    return matcher->begin;
}

/* ---- matching ------------------------------------------------------------------------------- */

/* Without memory for states: from each set of nodes to the next one, with nothing kept. */
static bool matches_slowly(struct matcher *matcher, const char *text, size_t bytes)
{
    uint32_t *list = calloc(matcher->count, sizeof *list), count;
    bool found = true;

    if (!list) /* better one line too many than one too few */
        return true;
    begin_round(matcher);
    if (reach(matcher, matcher->first, true, bytes == 0))
        goto out;
    for (size_t at = 0; at < bytes; at++) {
        count = matcher->reached_count;
        memcpy(list, matcher->reached, count * sizeof *list);
        begin_round(matcher);
        for (uint32_t i = 0; i < count; i++) {
            const struct node *node = &matcher->nodes[list[i]];
            if (node->kind == NODE_SET &&
                matcher_set_has(&matcher->trees.sets[node->set], (unsigned char)text[at]) &&
                reach(matcher, node->out, false, at + 1 == bytes))
                goto out;
        }
        if (reach(matcher, matcher->first, false, at + 1 == bytes))
            goto out;
    }
    found = false;
out:
    free(list);
    return found;
}

/* Most bytes of most lines leave the state as it is. While they do no look into its table has to
 * wait for the one before it. Returns how many bytes; it may stop a little early. */
static size_t count_idle(const uint16_t next[256], uint32_t state, const char *text, size_t bytes)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t idle = 0;
    for (unsigned changes; bytes - idle >= 4; idle += 4, at += 4) {
        changes = (next[at[0]] ^ state) | (next[at[1]] ^ state) | (next[at[2]] ^ state) |
                  (next[at[3]] ^ state);
        if (changes)
            break;
    }
    return idle;
}

bool matcher_matches(struct matcher *matcher, const char *text, size_t bytes)
{
    uint32_t state = matcher->begin ? matcher->begin : begin_line(matcher), before = state;

    for (size_t at = 0; at < bytes && state >= STATES_FIRST; at++) {
        if (state == before) {
            at += count_idle(matcher->next[state], state, text + at, bytes - at);
            if (at == bytes)
                break;
        }
        unsigned char byte = (unsigned char)text[at];
        uint32_t next = matcher->next[state][byte];
        if (next == STATE_UNKNOWN)
            next = step(matcher, state, byte);
        before = state;
        state = next;
    }
    if (state == STATE_UNKNOWN) {
        forget_states(matcher);
        return matches_slowly(matcher, text, bytes);
    }
    return state == STATE_MATCH || (state >= STATES_FIRST && matcher->states[state].matches_at_end);
}
