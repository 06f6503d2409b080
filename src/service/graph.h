/* The dependency graph: who comes before whom, and why. Pure.
 *
 * Nodes are slots. An edge says that `from` comes after `to`: to starts first and stops last. The
 * graph is built whole from all definitions (at load and at reload) and then only read. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum edge_kind { EDGE_NEED, EDGE_WANT, EDGE_ORDER, EDGE_CONFLICT };

struct edge {
    uint32_t slot; /* the other end */
    uint32_t kind; /* enum edge_kind */
};

/* Edges of all nodes in two arrays: those of node n are [starts[n], starts[n + 1]). */
struct graph {
    uint32_t nodes, edges, room;
    uint32_t *after_starts, *before_starts; /* [nodes + 1] */
    struct edge *after;                     /* what a node comes after: its needs, wants, after */
    struct edge *before; /* the same edges from the other end: who comes after it */
    struct {
        uint32_t from, to, kind;
    } * pending; /* until graph_build() */
};

/* Returns 0 or -ENOMEM. */
int graph_init(struct graph *graph, uint32_t nodes);
void graph_finish(struct graph *graph);

/* Adds an edge; the same one twice is there twice, which changes nothing. Returns 0 or -ENOMEM. */
int graph_add(struct graph *graph, uint32_t from, uint32_t to, enum edge_kind kind);

/* Sorts the edges into place. Returns 0 or -ENOMEM. */
int graph_build(struct graph *graph);

/* The edges of a node in one of the two lists; none of a node that came after the graph. */
static inline const struct edge *graph_edges(const struct graph *graph, const struct edge *edges,
                                             const uint32_t *starts, uint32_t node,
                                             size_t *ret_count)
{
    *ret_count = 0;
    if (node >= graph->nodes)
        return edges;
    *ret_count = starts[node + 1] - starts[node];
    return edges + starts[node];
}

static inline const struct edge *graph_after(const struct graph *graph, uint32_t node,
                                             size_t *ret_count)
{
    return graph_edges(graph, graph->after, graph->after_starts, node, ret_count);
}

static inline const struct edge *graph_before(const struct graph *graph, uint32_t node,
                                              size_t *ret_count)
{
    return graph_edges(graph, graph->before, graph->before_starts, node, ret_count);
}

/* Finds every strongly connected set of two or more nodes, and nodes that come after themselves.
 * in_cycle[n] (of `nodes` entries, the caller's) becomes the number of its set, from 1, or 0.
 * Returns how many sets there are, or -ENOMEM. Conflicts are no order and do not count. Linear, and
 * without recursion. */
int graph_find_cycles(const struct graph *graph, uint32_t *in_cycle);

/* A shortest cycle through `node`, which is in set in_cycle[node]: path[0] is node, each comes
 * after the next, the last comes after node. `path` has room for `nodes` entries. Returns its
 * length, or -ENOMEM. */
int graph_cycle_path(const struct graph *graph, const uint32_t *in_cycle, uint32_t node,
                     uint32_t *path);

/* The names along a cycle's path and the first one again, for people; of a long one the beginning
 * and the end. `ret_names` has room for CYCLE_NAMES_MAX + 2 and ends with NULL; before the one at
 * *ret_begin so many as *ret_left_out are left out. */
#define CYCLE_NAMES_MAX 100
#define CYCLE_NAMES_END 20
void graph_cycle_names(const uint32_t *path, int length, const char **ret_names,
                       const char *(*name_of)(const void *context, uint32_t node),
                       const void *context, size_t *ret_begin, size_t *ret_left_out);
