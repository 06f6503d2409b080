/* The dependency graph.
 *
 * Edges are collected in one array, then counted into two compressed lists by node: eight bytes an
 * edge and end, no pointers. Cycles are Tarjan's strongly connected components with an explicit
 * stack, so that a chain of any depth costs no recursion. */
#include "service/graph.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

int graph_init(struct graph *graph, uint32_t nodes)
{
    *graph = (struct graph){.nodes = nodes};
    graph->after_starts = calloc((size_t)nodes + 1, sizeof *graph->after_starts);
    graph->before_starts = calloc((size_t)nodes + 1, sizeof *graph->before_starts);
    if (graph->after_starts && graph->before_starts)
        return 0;
    graph_finish(graph);
    return -ENOMEM;
}

void graph_finish(struct graph *graph)
{
    free(graph->after_starts);
    free(graph->before_starts);
    free(graph->after);
    free(graph->before);
    free(graph->pending);
    *graph = (struct graph){0};
}

int graph_add(struct graph *graph, uint32_t from, uint32_t to, enum edge_kind kind)
{
    if (graph->edges == graph->room) {
        uint32_t room = graph->room ? graph->room * 2 : 64;
        void *grown = reallocarray(graph->pending, room, sizeof *graph->pending);
        if (!grown)
            return -ENOMEM;
        graph->pending = grown;
        graph->room = room;
    }
    graph->pending[graph->edges].from = from;
    graph->pending[graph->edges].to = to;
    graph->pending[graph->edges].kind = kind;
    graph->edges++;
    return 0;
}

/* Turns counts per node (at [n + 1]) into where each node's edges begin. */
static void add_up(uint32_t *starts, uint32_t nodes)
{
    for (uint32_t n = 0; n < nodes; n++)
        starts[n + 1] += starts[n];
}

int graph_build(struct graph *graph)
{
    size_t count = graph->edges ? graph->edges : 1;
    uint32_t nodes = graph->nodes;
    uint32_t *next = calloc((size_t)nodes + 1, sizeof *next);
    graph->after = calloc(count, sizeof *graph->after);
    graph->before = calloc(count, sizeof *graph->before);
    if (!next || !graph->after || !graph->before) {
        free(next);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < graph->edges; i++) {
        graph->after_starts[graph->pending[i].from + 1]++;
        graph->before_starts[graph->pending[i].to + 1]++;
    }
    add_up(graph->after_starts, nodes);
    add_up(graph->before_starts, nodes);
    memcpy(next, graph->after_starts, (size_t)nodes * sizeof *next);
    for (uint32_t i = 0; i < graph->edges; i++)
        graph->after[next[graph->pending[i].from]++] =
            (struct edge){graph->pending[i].to, graph->pending[i].kind};
    memcpy(next, graph->before_starts, (size_t)nodes * sizeof *next);
    for (uint32_t i = 0; i < graph->edges; i++)
        graph->before[next[graph->pending[i].to]++] =
            (struct edge){graph->pending[i].from, graph->pending[i].kind};
    free(next);
    free(graph->pending);
    graph->pending = NULL;
    graph->room = 0;
    return 0;
}

/* ---- cycles -------------------------------------------------------------------------------- */

struct tarjan {
    const struct graph *graph;
    uint32_t *index, *low; /* [nodes]; index 0: not visited yet */
    uint32_t *stack;       /* nodes whose component is open */
    uint32_t *path, *edge; /* the explicit call stack: node, and its next edge */
    uint32_t *in_cycle;    /* the result; while open: NONE */
    uint32_t stacked, depth, visited, sets;
};

static void enter(struct tarjan *t, uint32_t node)
{
    t->index[node] = t->low[node] = ++t->visited;
    t->in_cycle[node] = NONE;
    t->stack[t->stacked++] = node;
    t->path[t->depth] = node;
    t->edge[t->depth++] = t->graph->after_starts[node];
}

static bool comes_after_itself(const struct graph *graph, uint32_t node)
{
    size_t count;
    const struct edge *edges = graph_after(graph, node, &count);
    for (size_t i = 0; i < count; i++)
        if (edges[i].slot == node && edges[i].kind != EDGE_CONFLICT)
            return true;
    return false;
}

/* All edges of the node on top have been followed: it leaves the path, and if it is the root of a
 * component, the component leaves the stack. */
static void leave(struct tarjan *t)
{
    uint32_t node = t->path[--t->depth];
    if (t->depth && t->low[node] < t->low[t->path[t->depth - 1]])
        t->low[t->path[t->depth - 1]] = t->low[node];
    if (t->low[node] != t->index[node])
        return;
    bool cycle = t->stack[t->stacked - 1] != node || comes_after_itself(t->graph, node);
    uint32_t number = cycle ? ++t->sets : 0, member;
    do {
        member = t->stack[--t->stacked];
        t->in_cycle[member] = number;
    } while (member != node);
}

static void visit(struct tarjan *t, uint32_t root)
{
    enter(t, root);
    while (t->depth) {
        uint32_t node = t->path[t->depth - 1];
        if (t->edge[t->depth - 1] == t->graph->after_starts[node + 1]) {
            leave(t);
            continue;
        }
        const struct edge *edge = &t->graph->after[t->edge[t->depth - 1]++];
        if (edge->kind == EDGE_CONFLICT)
            continue;
        if (!t->index[edge->slot])
            enter(t, edge->slot);
        else if (t->in_cycle[edge->slot] == NONE && t->index[edge->slot] < t->low[node])
            t->low[node] = t->index[edge->slot];
    }
}

int graph_find_cycles(const struct graph *graph, uint32_t *in_cycle)
{
    uint32_t *memory = calloc((size_t)graph->nodes * 5 + 1, sizeof *memory);
    if (!memory)
        return -ENOMEM;
    size_t n = graph->nodes;
    struct tarjan t = {.graph = graph,
                       .index = memory,
                       .low = memory + n,
                       .stack = memory + 2 * n,
                       .path = memory + 3 * n,
                       .edge = memory + 4 * n,
                       .in_cycle = in_cycle};
    for (uint32_t node = 0; node < graph->nodes; node++)
        if (!t.index[node])
            visit(&t, node);
    free(memory);
    return (int)t.sets;
}

/* Breadth first from `node` within its component, until an edge leads back to it. */
int graph_cycle_path(const struct graph *graph, const uint32_t *in_cycle, uint32_t node,
                     uint32_t *path)
{
    /* One more than the node, so that what is cleared says: none. Most of it is never touched. */
    uint32_t *memory = calloc((size_t)graph->nodes * 2 + 1, sizeof *memory);
    if (!memory)
        return -ENOMEM;
    uint32_t *from = memory, *queue = memory + graph->nodes;
    uint32_t begin = 0, end = 0, last = NONE;
    int length = 0;

    queue[end++] = node;
    while (begin < end && last == NONE) {
        uint32_t at = queue[begin++];
        size_t count;
        const struct edge *edges = graph_after(graph, at, &count);
        for (size_t i = 0; i < count && last == NONE; i++) {
            uint32_t to = edges[i].slot;
            if (edges[i].kind == EDGE_CONFLICT || in_cycle[to] != in_cycle[node])
                continue;
            if (to == node) {
                last = at;
            } else if (!from[to]) {
                from[to] = at + 1;
                queue[end++] = to;
            }
        }
    }
    for (uint32_t at = last; at != NONE; at = at == node ? NONE : from[at] - 1)
        path[length++] = at;
    for (int i = 0; i < length / 2; i++) {
        uint32_t swap = path[i];
        path[i] = path[length - 1 - i];
        path[length - 1 - i] = swap;
    }
    free(memory);
    return length;
}

void graph_cycle_names(const uint32_t *path, int length, const char **ret_names,
                       const char *(*name_of)(const void *context, uint32_t node),
                       const void *context, size_t *ret_begin, size_t *ret_left_out)
{
    bool whole = length <= CYCLE_NAMES_MAX;
    int first = whole ? length : CYCLE_NAMES_MAX - CYCLE_NAMES_END;
    int last = whole ? 0 : CYCLE_NAMES_END;
    size_t count = 0;
    for (int i = 0; i < first; i++)
        ret_names[count++] = name_of(context, path[i]);
    for (int i = length - last; i < length; i++)
        ret_names[count++] = name_of(context, path[i]);
    ret_names[count++] = name_of(context, path[0]);
    ret_names[count] = NULL;
    *ret_begin = (size_t)first;
    *ret_left_out = (size_t)(length - first - last);
}
