/* The dependency graph against a brute-force check, on thousands of random graphs. */
#include "service/graph.h"
#include "test.h"

#define NODES_MAX 9

static uint32_t seed = 12345;

static uint32_t random_below(uint32_t bound)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % bound;
}

/* reach[a][b]: b can be reached from a over one or more order edges. */
static void close_over(bool reach[NODES_MAX][NODES_MAX], uint32_t nodes)
{
    for (uint32_t k = 0; k < nodes; k++)
        for (uint32_t i = 0; i < nodes; i++)
            for (uint32_t j = 0; j < nodes; j++)
                reach[i][j] = reach[i][j] || (reach[i][k] && reach[k][j]);
}

static bool has_edge(const struct graph *graph, uint32_t from, uint32_t to)
{
    size_t count;
    const struct edge *edges = graph_after(graph, from, &count);
    for (size_t i = 0; i < count; i++)
        if (edges[i].slot == to && edges[i].kind != EDGE_CONFLICT)
            return true;
    return false;
}

static void check_path(const struct graph *graph, const uint32_t *in_cycle, uint32_t node)
{
    uint32_t path[NODES_MAX];
    int length = graph_cycle_path(graph, in_cycle, node, path);
    CHECK(length >= 1);
    CHECK_NUMBER(path[0], node);
    for (int i = 0; i < length; i++)
        CHECK(has_edge(graph, path[i], path[(i + 1) % length]));
}

TEST(cycles_are_those_that_brute_force_finds_and_their_paths_are_cycles)
{
    int cyclic = 0;
    for (int round = 0; round < 20000; round++) {
        bool reach[NODES_MAX][NODES_MAX] = {{false}};
        uint32_t nodes = 1 + random_below(NODES_MAX), in_cycle[NODES_MAX];
        struct graph graph;
        CHECK_NUMBER(graph_init(&graph, nodes), 0);
        for (uint32_t i = random_below(14); i > 0; i--) {
            uint32_t from = random_below(nodes), to = random_below(nodes);
            enum edge_kind kind = (enum edge_kind)random_below(4);
            CHECK_NUMBER(graph_add(&graph, from, to, kind), 0);
            reach[from][to] = reach[from][to] || kind != EDGE_CONFLICT;
        }
        CHECK_NUMBER(graph_build(&graph), 0);
        close_over(reach, nodes);
        int sets = graph_find_cycles(&graph, in_cycle);
        CHECK(sets >= 0);
        cyclic += sets > 0;
        for (uint32_t i = 0; i < nodes; i++) {
            CHECK_NUMBER(in_cycle[i] != 0, reach[i][i]);
            if (in_cycle[i])
                check_path(&graph, in_cycle, i);
            for (uint32_t j = 0; j < nodes; j++)
                if (in_cycle[i] && in_cycle[j])
                    CHECK_NUMBER(in_cycle[i] == in_cycle[j],
                                 i == j || (reach[i][j] && reach[j][i]));
        }
        graph_finish(&graph);
    }
    CHECK(cyclic > 1000 && cyclic < 19000); /* the test has seen both kinds */
}

TEST(both_directions_hold_the_same_edges)
{
    struct graph graph;
    size_t after, before, total = 0;
    graph_init(&graph, 50);
    for (int i = 0; i < 300; i++)
        graph_add(&graph, random_below(50), random_below(50), (enum edge_kind)random_below(4));
    graph_build(&graph);
    for (uint32_t n = 0; n < 50; n++) {
        const struct edge *edges = graph_after(&graph, n, &after);
        total += after;
        for (size_t i = 0; i < after; i++) {
            bool found = false;
            const struct edge *back = graph_before(&graph, edges[i].slot, &before);
            for (size_t j = 0; j < before; j++)
                found = found || (back[j].slot == n && back[j].kind == edges[i].kind);
            CHECK(found);
        }
    }
    CHECK_NUMBER(total, 300);
    graph_finish(&graph);
}

TEST(a_chain_and_a_ring_of_a_hundred_thousand_cost_no_stack)
{
    const uint32_t nodes = 100000;
    uint32_t *in_cycle = calloc(nodes, sizeof *in_cycle), *path = calloc(nodes, sizeof *path);
    for (int ring = 0; ring < 2; ring++) {
        struct graph graph;
        graph_init(&graph, nodes);
        for (uint32_t i = 0; i + 1 < nodes; i++)
            graph_add(&graph, i, i + 1, EDGE_NEED);
        if (ring)
            graph_add(&graph, nodes - 1, 0, EDGE_ORDER);
        graph_build(&graph);
        CHECK_NUMBER(graph_find_cycles(&graph, in_cycle), ring);
        if (ring)
            CHECK_NUMBER(graph_cycle_path(&graph, in_cycle, 77, path), nodes);
        graph_finish(&graph);
    }
    free(in_cycle);
    free(path);
}

TEST(an_empty_graph_is_a_graph)
{
    struct graph graph;
    uint32_t none[1];
    CHECK_NUMBER(graph_init(&graph, 0), 0);
    CHECK_NUMBER(graph_build(&graph), 0);
    CHECK_NUMBER(graph_find_cycles(&graph, none), 0);
    graph_finish(&graph);
}
