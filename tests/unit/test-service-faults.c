/* The manager without memory, at each allocation in turn: what cannot be done is said, all that was
 * there stays as it was, and the next one does it. */
#include "base/text.h"
#include "fake-chain.h"
#include "faults.h"
#include "service/graph.h"
#include "test.h"

#include <errno.h>

static void build_graph(void)
{
    struct graph graph = {0};
    uint32_t in_cycle[3];
    faults_begin();
    int failed = graph_init(&graph, 3);
    for (uint32_t i = 0; i < 3 && !failed; i++)
        failed = graph_add(&graph, i, (i + 1) % 3, EDGE_NEED);
    if (!failed)
        failed = graph_build(&graph);
    int sets = failed ? failed : graph_find_cycles(&graph, in_cycle);
    faults_end();
    CHECK(fault_happened() ? sets == -ENOMEM : sets == 1);
    graph_finish(&graph);
}

TEST(a_graph_that_lacks_memory_is_none)
{
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, build_graph) >= 6);
}

static void tie_a_cycle(void)
{
    chain_running();
    CHECK_TEXT(fake_shown(&fake, "a"), "running");
    fake_tie(&fake, "c", NEEDS, "a");
    faults_begin();
    int failed = manager_resolve(&fake.manager, NULL, NULL);
    faults_end();
    CHECK(failed == 0 || (fault_happened() && failed == -ENOMEM));
    fake_run(&fake);
    CHECK_TEXT(fake_shown(&fake, "a"), "running"); /* whatever is said of it, it goes on */
    CHECK_NUMBER(manager_resolve(&fake.manager, NULL, NULL), 0);
    CHECK_NUMBER(ask(REQUEST_STOP, "c"), OUTCOME_DONE);
    ask(REQUEST_START, "c");
    CHECK(strstr(fake_reason(&fake, "c"), "in a cycle, each after the next: ") != NULL);
    end();
}

TEST(what_cannot_be_resolved_leaves_the_former_order_in_force)
{
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, tie_a_cycle) > 10);
}

static void stop_with_dependents(void)
{
    chain_running();
    struct request request = request_of(REQUEST_STOP, "c");
    faults_begin();
    manager_request(&fake.manager, &request);
    faults_end();
    fake_run(&fake);
    if (request.items[0].outcome == OUTCOME_DONE) { /* also where it cannot be told of `a` */
        CHECK_TEXT(fake_shown(&fake, "a"), "stopped");
        CHECK_TEXT(fake_shown(&fake, "c"), "stopped");
    } else {
        CHECK(fault_happened() && request.items[0].outcome == OUTCOME_REFUSED);
        CHECK_TEXT(fake_shown(&fake, "a"), "running");
        CHECK_TEXT(fake_shown(&fake, "c"), "running");
    }
    manager_cancel(&fake.manager, &request);
    free(request.items);
    end();
}

static void start_with_needs(void)
{
    chain_running();
    CHECK_NUMBER(ask(REQUEST_STOP, "c"), OUTCOME_DONE);
    struct request request = request_of(REQUEST_START, "a");
    faults_begin();
    manager_request(&fake.manager, &request);
    faults_end();
    fake_run(&fake);
    CHECK(fault_happened() || request.items[0].outcome == OUTCOME_DONE);
    manager_cancel(&fake.manager, &request);
    free(request.items);
    ask(REQUEST_START, "a");
    CHECK_TEXT(fake_shown(&fake, "a"), "running");
    end();
}

static void want(void)
{
    chain();
    uint32_t slot = fake_find(&fake, "a")->slot;
    faults_begin();
    int failed = manager_want(&fake.manager, &slot, 1);
    int again = manager_want_again(&fake.manager);
    faults_end();
    CHECK((failed < 0 || again < 0) == fault_happened());
    CHECK_NUMBER(manager_want(&fake.manager, &slot, 1), 0);
    fake_run(&fake);
    CHECK_TEXT(fake_shown(&fake, "a"), "running");
    end();
}

TEST(a_request_without_memory_is_no_half_a_request)
{
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, stop_with_dependents) >= 1);
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, start_with_needs) >= 1);
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, want) >= 3);
}

static void grow(void)
{
    static struct service_record records[FAKE_SLOTS + 16];
    chain_running();
    memcpy(records, fake.records, sizeof fake.records);
    struct manager again = {0};
    faults_begin();
    int failed = manager_init(&again, fake.manager.ops, &fake, &fake.header, records, FAKE_SLOTS);
    int grown = failed ? failed : manager_grow(&again, FAKE_SLOTS + 16);
    int indexed = failed ? failed : manager_index_names(&again);
    faults_end();
    CHECK(failed == 0 || failed == -ENOMEM);
    CHECK((failed || grown || indexed) == fault_happened());
    if (!failed) {
        CHECK_NUMBER(again.slots, grown ? FAKE_SLOTS : FAKE_SLOTS + 16);
        CHECK_NUMBER(manager_index_names(&again), 0);
        CHECK(manager_find(&again, "b") != NULL);
        manager_finish(&again);
    }
    end();
}

/* As many names as make the table of names grow. */
static void add_many(void)
{
    char name[16];
    size_t added = 0;
    chain_running();
    faults_begin();
    for (int i = 0; i < 30; i++) {
        text_format(name, sizeof name, "s%d", i);
        added += manager_add(&fake.manager, name) != NULL;
    }
    faults_end();
    CHECK_NUMBER(added, fault_happened() ? 29 : 30);
    for (int i = 0; i < 30; i++) { /* each is there whole, or not at all, and another can be */
        text_format(name, sizeof name, "s%d", i);
        if (!manager_find(&fake.manager, name))
            CHECK(manager_add(&fake.manager, name) != NULL);
        CHECK_TEXT(service_name(&fake.manager, manager_find(&fake.manager, name)), name);
    }
    CHECK_TEXT(fake_shown(&fake, "a"), "running");
    end();
}

TEST(a_service_for_which_there_is_no_memory_takes_no_slot)
{
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, add_many) >= 2);
}

TEST(a_table_that_cannot_grow_stays_as_it_is)
{
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, grow) > 6);
}
