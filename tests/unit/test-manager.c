/* Whole lifecycles with a made-up kernel: order, needs, restarts, requests, the end. */
#include "base/clock.h"
#include "fake-chain.h"
#include "test.h"

#include <errno.h>

TEST(a_chain_starts_from_its_end_and_stops_from_its_beginning)
{
    chain();
    fake_boot(&fake);
    CHECK_TEXT(fake_shown(&fake, "a"), "waiting");
    CHECK_TEXT(fake_reason(&fake, "a"), "waits for b");
    fake_run(&fake);
    CHECK_TEXT(fake.order, "+c +b +a ");
    CHECK_TEXT(fake_shown(&fake, "a"), "running");
    fake.order[0] = 0;
    manager_shut_down(&fake.manager);
    fake_run(&fake);
    CHECK_TEXT(fake.order, "-a -b -c ");
    CHECK_NUMBER(fake.manager.active, 0);
    CHECK_TEXT(fake_reason(&fake, "c"), "the system is going down");
    end();
}

TEST(stopping_a_need_takes_along_what_needs_it_and_it_comes_back)
{
    chain_running();
    CHECK_NUMBER(ask(REQUEST_STOP, "c"), OUTCOME_DONE);
    CHECK_TEXT(fake.order, "-a -b -c ");
    CHECK_TEXT(fake_shown(&fake, "a"), "stopped");
    CHECK_TEXT(fake_reason(&fake, "b"), "needs c, which was stopped");
    fake.order[0] = 0;
    CHECK_NUMBER(ask(REQUEST_START, "c"), OUTCOME_DONE);
    CHECK_TEXT(fake.order, "+c +b +a ");
    end();
}

TEST(a_reload_makes_no_failure_of_what_was_stopped_with_its_need)
{
    chain_running();
    ask(REQUEST_STOP, "c");
    for (int i = 0; i < 2; i++) {
        fake_load(&fake);
        CHECK_NUMBER(manager_want_again(&fake.manager), 0);
        fake_run(&fake);
        CHECK_TEXT(fake_shown(&fake, "a"), "stopped");
        CHECK_TEXT(fake_shown(&fake, "b"), "stopped");
        CHECK_TEXT(fake_reason(&fake, "b"), "needs c, which was stopped");
    }
    CHECK_NUMBER(ask(REQUEST_START, "c"), OUTCOME_DONE);
    CHECK_TEXT(fake_shown(&fake, "a"), "running");
    end();
}

TEST(what_a_person_stopped_stays_stopped_when_its_need_comes_back)
{
    chain_running();
    CHECK_NUMBER(ask(REQUEST_STOP, "a"), OUTCOME_DONE);
    ask(REQUEST_STOP, "c");
    ask(REQUEST_START, "c");
    CHECK_TEXT(fake_shown(&fake, "b"), "running");
    CHECK_TEXT(fake_shown(&fake, "a"), "stopped");
    CHECK_TEXT(fake_reason(&fake, "a"), "was asked to stop");
    end();
}

TEST(starting_what_needs_it_brings_back_what_a_person_stopped)
{
    chain_running();
    ask(REQUEST_STOP, "c");
    CHECK_NUMBER(ask(REQUEST_START, "a"), OUTCOME_DONE);
    CHECK_TEXT(fake_shown(&fake, "c"), "running");
    end();
}

TEST(a_need_that_crashes_and_comes_back_leaves_what_needs_it_alone)
{
    chain_running();
    fake_exit(&fake, "c", EXIT_SIGNAL, 9);
    CHECK_TEXT(fake_shown(&fake, "c"), "backing-off");
    CHECK_TEXT(fake_reason(&fake, "c"), "ended by SIGKILL");
    CHECK_TEXT(fake_shown(&fake, "b"), "running");
    CHECK(fake_next_timer(&fake));
    fake_run(&fake);
    CHECK_TEXT(fake_shown(&fake, "c"), "running");
    CHECK_TEXT(fake.order, "+c ");
    CHECK_NUMBER(service_body(&fake.manager, fake_find(&fake, "c"))->restarts, 1);
    end();
}

TEST(an_end_that_nobody_can_tell_is_a_failure_and_says_so)
{
    chain();
    fake.services[0].definition.restart.policy = RESTART_NEVER;
    fake_boot(&fake);
    fake_run(&fake);
    fake_exit(&fake, "a", EXIT_UNKNOWN, 0);
    CHECK_TEXT(fake_shown(&fake, "a"), "failed");
    CHECK_TEXT(fake_reason(&fake, "a"), "ended, and nobody can say how");
    end();
}

TEST(a_need_that_fails_for_good_takes_down_what_needs_it_in_order)
{
    chain();
    fake.services[2].definition.restart.limit = 0;
    fake_boot(&fake);
    fake_run(&fake);
    fake.order[0] = 0;
    fake_exit(&fake, "c", EXIT_CODE, 3);
    fake_run(&fake);
    CHECK_TEXT(fake_shown(&fake, "c"), "failed");
    CHECK_TEXT(fake.order, "-a -b ");
    CHECK_TEXT(fake_reason(&fake, "b"), "needs c, which failed");
    CHECK_TEXT(fake_shown(&fake, "b"), "stopped");
    end();
}

TEST(a_daemon_that_ends_well_takes_down_what_ran_on_it_and_counts_as_started_later)
{
    chain();
    fake.services[2].definition.restart.policy = RESTART_NEVER;
    fake_boot(&fake);
    fake_run(&fake);
    fake_exit(&fake, "c", EXIT_CODE, 0);
    fake_run(&fake);
    CHECK_TEXT(fake_shown(&fake, "c"), "done");
    CHECK_TEXT(fake_reason(&fake, "b"), "needs c, which has ended");
    CHECK_TEXT(fake_shown(&fake, "b"), "stopped");
    CHECK_NUMBER(ask(REQUEST_START, "a"), OUTCOME_DONE);
    CHECK_TEXT(fake_shown(&fake, "b"), "running");
    end();
}

TEST(a_failed_need_keeps_from_starting_and_a_wanted_one_does_not)
{
    fake_init(&fake);
    fake_add(&fake, "a", TYPE_DAEMON);
    fake_add(&fake, "b", TYPE_DAEMON);
    fake_add(&fake, "t", TYPE_TASK);
    fake_tie(&fake, "a", NEEDS, "t");
    fake_tie(&fake, "b", WANTS, "t");
    fake_load(&fake);
    fake_boot(&fake);
    fake_step(&fake, 2); /* t executes */
    CHECK_TEXT(fake_shown(&fake, "b"), "waiting");
    fake_exit(&fake, "t", EXIT_CODE, 3);
    fake_run(&fake);
    CHECK_TEXT(fake_shown(&fake, "t"), "failed");
    CHECK_TEXT(fake_reason(&fake, "t"), "exited with 3");
    CHECK_TEXT(fake_shown(&fake, "a"), "failed");
    CHECK_TEXT(fake_reason(&fake, "a"), "needs t, which failed");
    CHECK_TEXT(fake_shown(&fake, "b"), "running");
    CHECK_NUMBER(ask(REQUEST_START, "t"), OUTCOME_DONE);
    CHECK_TEXT(fake_shown(&fake, "t"), "done");
    CHECK_TEXT(fake_shown(&fake, "a"), "running");
    end();
}

TEST(a_missing_need_fails_until_a_reload_brings_it)
{
    fake_init(&fake);
    fake_add(&fake, "a", TYPE_DAEMON);
    fake_tie(&fake, "a", NEEDS, "ghost");
    fake_load(&fake);
    fake_boot(&fake);
    CHECK_TEXT(fake_shown(&fake, "a"), "failed");
    CHECK_TEXT(fake_reason(&fake, "a"), "needs ghost, and no service has that name");
    fake_add(&fake, "ghost", TYPE_DAEMON);
    fake_load(&fake);
    fake_boot(&fake);
    fake_run(&fake);
    CHECK_TEXT(fake_shown(&fake, "a"), "running");
    end();
}

TEST(the_members_of_a_cycle_are_broken_and_who_needs_them_fails)
{
    chain();
    fake_add(&fake, "d", TYPE_DAEMON);
    fake_tie(&fake, "d", NEEDS, "a");
    fake_tie(&fake, "c", AFTER, "a");
    fake_load(&fake);
    fake_boot(&fake);
    fake_run(&fake);
    CHECK_TEXT(fake_shown(&fake, "a"), "broken");
    CHECK_TEXT(fake_reason(&fake, "a"), "in a cycle, each after the next: a, b, c, a");
    CHECK_TEXT(fake_reason(&fake, "c"), "in a cycle, each after the next: a, b, c, a");
    CHECK_TEXT(fake_shown(&fake, "d"), "failed");
    CHECK_TEXT(fake_reason(&fake, "d"), "needs a, whose file does not load");
    CHECK_NUMBER(ask(REQUEST_START, "b"), OUTCOME_REFUSED);
    fake.services[2].lists[AFTER][0] = NULL; /* mended */
    fake_load(&fake);
    fake_boot(&fake);
    fake_run(&fake);
    CHECK_TEXT(fake_shown(&fake, "d"), "running");
    end();
}

TEST(a_restart_takes_along_and_brings_back_in_order)
{
    chain_running();
    CHECK_NUMBER(ask(REQUEST_RESTART, "b"), OUTCOME_DONE);
    CHECK_TEXT(fake.order, "-a -b +b +a ");
    CHECK_TEXT(fake_shown(&fake, "c"), "running");
    end();
}

TEST(all_that_a_restart_takes_along_is_waited_for_however_far_up_it_is)
{
    chain_running();
    struct request request = request_of(REQUEST_RESTART, "c");
    CHECK_NUMBER(manager_request(&fake.manager, &request), 3);
    fake_run(&fake);
    CHECK_TEXT(fake.order, "-a -b -c +c +b +a ");
    for (size_t i = 0; i < request.count; i++)
        CHECK_NUMBER(request.items[i].outcome, OUTCOME_DONE);
    CHECK_NUMBER(request.pending, 0);
    free(request.items);
    end();
}

TEST(of_two_that_are_restarted_at_once_the_one_that_needs_the_other_is_waited_for_too)
{
    chain();
    fake_boot(&fake);
    fake_run(&fake);
    struct request request = request_of(REQUEST_RESTART, "b");
    request.items = reallocarray(request.items, 2, sizeof *request.items);
    request.items[request.count++] = (struct request_item){.slot = fake_find(&fake, "c")->slot};
    answers = 0;
    fake.order[0] = 0;
    manager_request(&fake.manager, &request);
    fake_run(&fake);
    CHECK_NUMBER(answers, 1);
    CHECK_NUMBER(request.items[0].outcome, OUTCOME_DONE);
    CHECK_NUMBER(request.items[1].outcome, OUTCOME_DONE);
    CHECK_TEXT(fake_shown(&fake, "b"), "running");
    free(request.items);
    end();
}

TEST(a_restart_runs_a_done_task_again_and_a_start_does_not)
{
    fake_init(&fake);
    fake_add(&fake, "t", TYPE_TASK);
    fake_load(&fake);
    fake_boot(&fake);
    fake_run(&fake);
    fake.order[0] = 0;
    CHECK_NUMBER(ask(REQUEST_START, "t"), OUTCOME_ALREADY);
    CHECK_TEXT(fake.order, "");
    CHECK_NUMBER(ask(REQUEST_RESTART, "t"), OUTCOME_DONE);
    CHECK(strstr(fake.order, "+t") != NULL);
    CHECK_TEXT(fake_shown(&fake, "t"), "done");
    end();
}

TEST(requests_say_when_there_is_nothing_to_do)
{
    chain_running();
    CHECK_NUMBER(ask(REQUEST_START, "a"), OUTCOME_ALREADY);
    CHECK_NUMBER(ask(REQUEST_STOP, "a"), OUTCOME_DONE);
    CHECK_NUMBER(ask(REQUEST_STOP, "a"), OUTCOME_ALREADY);
    end();
}

TEST(a_start_in_a_back_off_is_at_once_and_a_stop_in_it_stops)
{
    chain_running();
    fake_exit(&fake, "a", EXIT_CODE, 1);
    CHECK_TEXT(fake_shown(&fake, "a"), "backing-off");
    CHECK_NUMBER(ask(REQUEST_START, "a"), OUTCOME_DONE);
    CHECK_TEXT(fake_shown(&fake, "a"), "running");
    fake_exit(&fake, "a", EXIT_CODE, 1);
    CHECK_NUMBER(ask(REQUEST_STOP, "a"), OUTCOME_DONE);
    CHECK_TEXT(fake_shown(&fake, "a"), "stopped");
    CHECK_NUMBER(fake.services[0].timer_ns, 0);
    end();
}

TEST(a_stop_overtakes_a_start_that_waits)
{
    chain();
    struct request start = request_of(REQUEST_START, "a");
    struct request stop = request_of(REQUEST_STOP, "a");
    answers = 0;
    CHECK_NUMBER(manager_request(&fake.manager, &start), 1);
    manager_settle(&fake.manager);
    manager_request(&fake.manager, &stop);
    fake_run(&fake);
    CHECK_NUMBER(start.items[0].outcome, OUTCOME_OVERTAKEN);
    CHECK_NUMBER(start.items[0].by, REQUEST_STOP);
    CHECK_NUMBER(stop.items[0].outcome, OUTCOME_DONE);
    CHECK_NUMBER(answers, 2);
    free(start.items);
    free(stop.items);
    end();
}

TEST(a_start_during_stopping_starts_again_after_the_stop)
{
    chain_running();
    struct request stop = request_of(REQUEST_STOP, "a");
    manager_request(&fake.manager, &stop);
    manager_settle(&fake.manager);
    CHECK_TEXT(fake_shown(&fake, "a"), "stopping");
    CHECK_NUMBER(ask(REQUEST_START, "a"), OUTCOME_DONE);
    CHECK_NUMBER(stop.items[0].outcome, OUTCOME_OVERTAKEN);
    CHECK_TEXT(fake.order, "-a +a ");
    CHECK_TEXT(fake_shown(&fake, "a"), "running");
    free(stop.items);
    end();
}

TEST(what_comes_after_one_that_stops_and_starts_again_waits_for_it)
{
    fake_init(&fake);
    fake_add(&fake, "a", TYPE_DAEMON);
    fake_add(&fake, "b", TYPE_DAEMON);
    fake_tie(&fake, "a", AFTER, "b");
    fake_load(&fake);
    ask(REQUEST_START, "b");
    fake.order[0] = 0;
    struct request stop = request_of(REQUEST_STOP, "b"), start = request_of(REQUEST_START, "b");
    struct request other = request_of(REQUEST_START, "a");
    manager_request(&fake.manager, &stop);
    manager_settle(&fake.manager);
    manager_request(&fake.manager, &start);
    manager_request(&fake.manager, &other);
    fake_run(&fake);
    CHECK_TEXT(fake.order, "-b +b +a ");
    CHECK_NUMBER(stop.items[0].outcome, OUTCOME_OVERTAKEN);
    CHECK_NUMBER(start.items[0].outcome, OUTCOME_DONE);
    CHECK_NUMBER(other.items[0].outcome, OUTCOME_DONE);
    free(stop.items);
    free(start.items);
    free(other.items);
    end();
}

TEST(what_comes_back_with_a_need_keeps_its_order_to_others_that_come_back_too)
{
    fake_init(&fake);
    fake_add(&fake, "a", TYPE_DAEMON);
    fake_add(&fake, "b", TYPE_DAEMON);
    fake_add(&fake, "c", TYPE_DAEMON);
    fake_tie(&fake, "a", NEEDS, "c");
    fake_tie(&fake, "b", NEEDS, "c");
    fake_tie(&fake, "a", WANTS, "b");
    fake_load(&fake);
    fake_boot(&fake);
    fake_run(&fake);
    fake.order[0] = 0;
    CHECK_NUMBER(ask(REQUEST_STOP, "c"), OUTCOME_DONE);
    CHECK_TEXT(fake.order, "-a -b -c ");
    fake.order[0] = 0;
    CHECK_NUMBER(ask(REQUEST_START, "c"), OUTCOME_DONE);
    CHECK_TEXT(fake.order, "+c +b +a ");
    end();
}

TEST(a_request_about_a_service_that_is_forgotten_has_its_answer)
{
    chain();
    struct request start = request_of(REQUEST_START, "a");
    answers = 0;
    manager_request(&fake.manager, &start);
    manager_settle(&fake.manager);
    CHECK_TEXT(fake_shown(&fake, "a"), "waiting");
    manager_forget(&fake.manager, fake_find(&fake, "a"));
    fake_load(&fake);
    CHECK_NUMBER(answers, 1);
    CHECK_NUMBER(start.items[0].outcome, OUTCOME_FAILED);
    free(start.items);
    fake_run(&fake);
    end();
}

TEST(starting_one_stops_what_it_conflicts_with_first)
{
    fake_init(&fake);
    fake_add(&fake, "a", TYPE_DAEMON);
    fake_add(&fake, "b", TYPE_DAEMON);
    fake_tie(&fake, "a", CONFLICTS, "b");
    fake_load(&fake);
    fake_boot(&fake); /* both are to start: the later by name is refused */
    fake_run(&fake);
    CHECK_TEXT(fake_shown(&fake, "a"), "running");
    CHECK_TEXT(fake_shown(&fake, "b"), "failed");
    CHECK_TEXT(fake_reason(&fake, "b"), "conflicts with a");
    fake.order[0] = 0;
    CHECK_NUMBER(ask(REQUEST_START, "b"), OUTCOME_DONE);
    CHECK_TEXT(fake.order, "-a +b ");
    CHECK_TEXT(fake_shown(&fake, "a"), "stopped");
    CHECK_TEXT(fake_reason(&fake, "a"), "conflicts with b");
    end();
}

TEST(a_start_that_takes_too_long_is_ended_and_counts_as_a_failure)
{
    fake_init(&fake);
    fake_add(&fake, "t", TYPE_TASK);
    fake.services[0].definition.start_timeout_ms = 5000;
    fake_load(&fake);
    fake_boot(&fake);
    fake_step(&fake, 0);
    CHECK(fake_next_timer(&fake));
    CHECK_TEXT(fake_shown(&fake, "t"), "stopping");
    fake_exit(&fake, "t", EXIT_SIGNAL, 15);
    CHECK_TEXT(fake_shown(&fake, "t"), "failed");
    CHECK_TEXT(fake_reason(&fake, "t"), "was not ready after 5 s");
    end();
}

TEST(what_does_not_stop_in_time_is_killed_and_says_so)
{
    chain_running();
    struct request stop = request_of(REQUEST_STOP, "a");
    manager_request(&fake.manager, &stop);
    manager_settle(&fake.manager);
    CHECK(fake_next_timer(&fake));
    fake_exit(&fake, "a", EXIT_SIGNAL, 9);
    CHECK_TEXT(fake_shown(&fake, "a"), "stopped");
    CHECK_TEXT(fake_reason(&fake, "a"), "did not stop within 10 s and was killed");
    CHECK_NUMBER(stop.items[0].outcome, OUTCOME_DONE);
    free(stop.items);
    end();
}

TEST(an_essential_service_takes_the_system_with_it_only_when_it_ends_for_good)
{
    chain();
    fake.services[0].definition.essential = true;
    fake.services[0].definition.restart.limit = 1;
    fake_boot(&fake);
    fake_run(&fake);
    fake_exit(&fake, "a", EXIT_CODE, 4);
    CHECK_NUMBER(fake.essential_status, -1);
    fake_next_timer(&fake);
    fake_run(&fake);
    fake_exit(&fake, "a", EXIT_CODE, 5);
    CHECK_NUMBER(fake.essential_status, 5);
    end();
    chain_running();
    fake.services[0].definition.essential = true;
    fake.services[0].definition.restart.policy = RESTART_NEVER;
    fake_exit(&fake, "a", EXIT_SIGNAL, 9);
    CHECK_NUMBER(fake.essential_status, 137);
    end();
}

TEST(a_service_whose_condition_is_not_met_is_skipped_and_holds_up_nobody)
{
    chain();
    fake.skip = true;
    fake_boot(&fake);
    fake_run(&fake);
    CHECK_TEXT(fake_shown(&fake, "a"), "skipped");
    CHECK_TEXT(fake.order, "");
    CHECK_NUMBER(ask(REQUEST_START, "a"), OUTCOME_ALREADY);
    end();
}

TEST(a_service_waits_for_whoever_looks_at_its_condition_and_fails_when_nobody_says_it)
{
    static const struct {
        int look;
        bool skip;
        const char *shown, *order;
    } rows[] = {{0, false, "running", "+c +b +a "},
                {0, true, "skipped", ""},
                {-ETIMEDOUT, false, "failed", ""}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        chain();
        fake.look = -EINPROGRESS;
        fake_boot(&fake);
        fake_run(&fake);
        CHECK_TEXT(fake_shown(&fake, "c"), "waiting");
        CHECK_TEXT(fake_shown(&fake, "a"), "waiting");
        fake_recover(&fake); /* asks again */
        fake_run(&fake);
        CHECK_TEXT(fake_shown(&fake, "c"), "waiting");
        CHECK_TEXT(fake.order, "");
        fake.look = rows[i].look;
        fake.skip = rows[i].skip;
        manager_mark(&fake.manager, fake_find(&fake, "c"));
        fake_run(&fake);
        CHECK_TEXT(fake_shown(&fake, "c"), rows[i].shown);
        CHECK_TEXT(fake_shown(&fake, "a"), rows[i].shown);
        CHECK_TEXT(fake.order, rows[i].order);
        CHECK_NUMBER(fake.impossible, 0);
        end();
    }
}

TEST(a_wish_is_kept_through_a_new_manager_on_the_same_records)
{
    chain_running();
    struct service_record records[FAKE_SLOTS];
    memcpy(records, fake.records, sizeof records);
    ask(REQUEST_STOP, "a");
    CHECK(memcmp(records, fake.records, sizeof records) != 0);
    const struct service_record *record = &fake.records[0];
    CHECK_NUMBER(record->body[record->live].state, STATE_STOPPED);
    CHECK_NUMBER(record->body[record->live].by_hand, 1);
    /* The half that does not count still is the state before: a change never passes through
     * something that is neither. */
    CHECK(record->body[!record->live].state < SERVICE_STATES);
    end();
}

TEST(a_slot_with_something_still_on_its_way_is_no_other_service_s_until_that_is_over)
{
    chain();
    uint32_t slot = fake_find(&fake, "a")->slot;
    manager_linger(&fake.manager, slot, true);
    manager_forget(&fake.manager, fake_find(&fake, "a"));
    struct service *next = manager_add(&fake.manager, "d");
    CHECK(!next || next->slot != slot);
    manager_linger(&fake.manager, slot, false);
    next = manager_add(&fake.manager, "e");
    CHECK(next && next->slot == slot);
    end();
}
