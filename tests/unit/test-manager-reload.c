/* Reload and reset with a made-up kernel: what they do, and what overtakes them. */
#include "fake-chain.h"
#include "test.h"

static void reloadable(void)
{
    chain();
    for (int i = 0; i < 3; i++) {
        fake.services[i].definition.reload_signal = 1;
        fake.services[i].slow_reload = true;
    }
    fake_boot(&fake);
    fake_run(&fake);
    fake.order[0] = 0;
}

enum how { WELL, BADLY };

static void end_reload(const char *name, enum how how)
{
    struct service *service = fake_find(&fake, name);
    struct service_body body;
    manager_edit(&fake.manager, service, &body);
    if (how == BADLY)
        body.reason =
            (struct reason){.code = REASON_RELOAD_EXITED, .service = SLOT_NONE, .number = 3};
    manager_commit(&fake.manager, service, &body);
    manager_event(&fake.manager, service, how == WELL ? EVENT_HOOKS_OK : EVENT_HOOKS_FAILED);
    manager_settle(&fake.manager);
}

TEST(a_reload_leaves_the_service_running_and_is_done_when_its_command_is)
{
    reloadable();
    struct request request = request_of(REQUEST_RELOAD, "b");
    CHECK_NUMBER(manager_request(&fake.manager, &request), 1);
    uint64_t since_ns = service_body(&fake.manager, fake_find(&fake, "b"))->since_ns;
    manager_settle(&fake.manager);
    CHECK_NUMBER(service_state(&fake.manager, fake_find(&fake, "b")), STATE_RELOADING);
    CHECK_TEXT(fake_shown(&fake, "b"), "running");
    CHECK_NUMBER(request.pending, 1);
    end_reload("b", WELL);
    CHECK_NUMBER(request.items[0].outcome, OUTCOME_DONE);
    CHECK_NUMBER(service_state(&fake.manager, fake_find(&fake, "b")), STATE_RUNNING);
    CHECK(service_body(&fake.manager, fake_find(&fake, "b"))->since_ns == since_ns);
    CHECK_TEXT(fake.order, "");
    free(request.items);
    end();
}

TEST(a_reload_that_fails_says_why_and_the_next_one_forgets_it)
{
    reloadable();
    struct request request = request_of(REQUEST_RELOAD, "b");
    manager_request(&fake.manager, &request);
    manager_settle(&fake.manager);
    end_reload("b", BADLY);
    CHECK_NUMBER(request.items[0].outcome, OUTCOME_FAILED);
    CHECK_TEXT(fake_shown(&fake, "b"), "running");
    CHECK_TEXT(fake_reason(&fake, "b"), "its reload command exited with 3");
    free(request.items);
    request = request_of(REQUEST_RELOAD, "b");
    manager_request(&fake.manager, &request);
    manager_settle(&fake.manager);
    end_reload("b", WELL);
    CHECK_NUMBER(request.items[0].outcome, OUTCOME_DONE);
    CHECK_TEXT(fake_reason(&fake, "b"), "");
    free(request.items);
    end();
}

TEST(a_reload_that_takes_too_long_fails_and_the_service_runs_on)
{
    reloadable();
    struct request request = request_of(REQUEST_RELOAD, "b");
    manager_request(&fake.manager, &request);
    manager_settle(&fake.manager);
    CHECK(fake_next_timer(&fake));
    CHECK_NUMBER(request.items[0].outcome, OUTCOME_FAILED);
    CHECK_TEXT(fake_shown(&fake, "b"), "running");
    CHECK_TEXT(fake_reason(&fake, "b"), "was asked to reload, and did not say READY=1 within 90 s");
    free(request.items);
    CHECK_NUMBER(ask(REQUEST_STOP, "b"), OUTCOME_DONE);
    CHECK_TEXT(fake_reason(&fake, "b"), "was asked to stop");
    end();
}

TEST(a_reload_asked_for_during_another_gets_one_of_its_own)
{
    reloadable();
    struct request first = request_of(REQUEST_RELOAD, "b");
    manager_request(&fake.manager, &first);
    manager_settle(&fake.manager);
    struct request second = request_of(REQUEST_RELOAD, "b");
    struct request third = request_of(REQUEST_RELOAD, "b");
    manager_request(&fake.manager, &second);
    manager_request(&fake.manager, &third);
    manager_settle(&fake.manager);
    end_reload("b", WELL);
    CHECK_NUMBER(first.items[0].outcome, OUTCOME_DONE);
    CHECK_NUMBER(second.items[0].outcome, OUTCOME_PENDING);
    CHECK_NUMBER(service_state(&fake.manager, fake_find(&fake, "b")), STATE_RELOADING);
    end_reload("b", BADLY);
    CHECK_NUMBER(second.items[0].outcome, OUTCOME_FAILED);
    CHECK_NUMBER(third.items[0].outcome, OUTCOME_FAILED);
    CHECK_NUMBER(service_state(&fake.manager, fake_find(&fake, "b")), STATE_RUNNING);
    free(first.items);
    free(second.items);
    free(third.items);
    end();
}

TEST(stop_and_restart_overtake_a_reload_and_a_start_does_not)
{
    static const enum request_verb verbs[] = {REQUEST_STOP, REQUEST_RESTART, REQUEST_START};
    for (int begun = 0; begun < 2; begun++) {
        for (size_t i = 0; i < 3; i++) {
            reloadable();
            struct request request = request_of(REQUEST_RELOAD, "b");
            manager_request(&fake.manager, &request);
            if (begun)
                manager_settle(&fake.manager);
            CHECK_NUMBER(ask(verbs[i], "b"),
                         verbs[i] == REQUEST_START ? OUTCOME_ALREADY : OUTCOME_DONE);
            if (verbs[i] == REQUEST_START) {
                CHECK_NUMBER(request.items[0].outcome, OUTCOME_PENDING);
                end_reload("b", WELL);
                CHECK_NUMBER(request.items[0].outcome, OUTCOME_DONE);
            } else {
                CHECK_NUMBER(request.items[0].outcome, OUTCOME_OVERTAKEN);
                CHECK_NUMBER(request.items[0].by, verbs[i]);
            }
            CHECK_TEXT(fake_shown(&fake, "b"), i == 0 ? "stopped" : "running");
            free(request.items);
            end();
        }
    }
}

TEST(a_service_that_ends_during_a_reload_is_tried_again_as_ever)
{
    reloadable();
    struct request request = request_of(REQUEST_RELOAD, "b");
    manager_request(&fake.manager, &request);
    manager_settle(&fake.manager);
    fake_exit(&fake, "b", EXIT_CODE, 4);
    CHECK_NUMBER(request.items[0].outcome, OUTCOME_FAILED);
    CHECK_TEXT(fake_shown(&fake, "b"), "backing-off");
    CHECK_TEXT(fake_reason(&fake, "b"), "exited with 4");
    free(request.items);
    CHECK(fake_next_timer(&fake));
    fake_run(&fake);
    CHECK_NUMBER(service_state(&fake.manager, fake_find(&fake, "b")), STATE_RUNNING);
    end();
}

TEST(a_reload_of_what_cannot_is_refused_with_what_to_do)
{
    chain();
    fake.services[0].definition.reload_signal = 1;
    CHECK_NUMBER(ask(REQUEST_RELOAD, "a"), OUTCOME_REFUSED);
    CHECK(strstr(refusal_words(asked.why), "does not run") != NULL);
    CHECK_NUMBER(ask(REQUEST_RELOAD, "b"), OUTCOME_REFUSED);
    CHECK(strstr(refusal_words(asked.why), "reload: signal HUP") != NULL);
    fake_boot(&fake);
    CHECK_NUMBER(ask(REQUEST_RELOAD, "a"), OUTCOME_REFUSED);
    manager_shut_down(&fake.manager);
    CHECK_NUMBER(ask(REQUEST_RELOAD, "a"), OUTCOME_REFUSED);
    CHECK_TEXT(refusal_words(asked.why), "the system is going down");
    fake_run(&fake);
    end();
}

/* b, which c does not need yet, is told to stop, and is slow; then a reload brings that need. */
static void need_what_stops(void)
{
    fake_init(&fake);
    fake_add(&fake, "a", TYPE_DAEMON);
    fake_add(&fake, "b", TYPE_DAEMON);
    fake_add(&fake, "c", TYPE_DAEMON);
    fake_tie(&fake, "a", NEEDS, "b");
    fake_load(&fake);
    fake_boot(&fake);
    fake_run(&fake);
    struct request request = request_of(REQUEST_STOP, "b");
    manager_request(&fake.manager, &request);
    manager_settle(&fake.manager); /* a is told to stop first */
    manager_cancel(&fake.manager, &request);
    free(request.items);
    fake_tie(&fake, "c", NEEDS, "b");
    CHECK_NUMBER(manager_resolve(&fake.manager, NULL, NULL), 0);
    CHECK_NUMBER(manager_want_again(&fake.manager), 0);
    manager_keep_running(&fake.manager);
}

TEST(a_need_that_is_to_stop_when_a_reload_brings_it_stops_nobody_and_waits_for_nobody)
{
    need_what_stops();
    fake_run(&fake);
    CHECK_TEXT(fake_shown(&fake, "b"), "stopped");
    CHECK_TEXT(fake_shown(&fake, "c"), "running");
    CHECK_NUMBER(ask(REQUEST_START, "b"), OUTCOME_DONE);
    fake_run(&fake);
    CHECK_TEXT(fake_shown(&fake, "c"), "running");
    CHECK_NUMBER(ask(REQUEST_STOP, "b"), OUTCOME_DONE);
    CHECK_TEXT(fake_shown(&fake, "c"), "stopped");
    CHECK_TEXT(fake_reason(&fake, "c"), "needs b, which was stopped");
    end();
}

TEST(a_reset_turns_failed_into_stopped_and_starts_nothing)
{
    chain();
    fake.services[2].definition.restart.policy = RESTART_NEVER;
    fake_boot(&fake);
    fake_run(&fake);
    fake_exit(&fake, "c", EXIT_CODE, 3);
    fake_run(&fake);
    CHECK_TEXT(fake_shown(&fake, "c"), "failed");
    fake.order[0] = 0;
    CHECK_NUMBER(ask(REQUEST_RESET, "c"), OUTCOME_DONE);
    CHECK_TEXT(fake_shown(&fake, "c"), "stopped");
    CHECK_TEXT(fake_reason(&fake, "c"), "");
    CHECK_NUMBER(ask(REQUEST_RESET, "c"), OUTCOME_ALREADY);
    CHECK_TEXT(fake.order, "");
    /* What needs it comes back with it, as before. */
    CHECK_NUMBER(ask(REQUEST_START, "c"), OUTCOME_DONE);
    CHECK_TEXT(fake_shown(&fake, "b"), "running");
    end();
}

TEST(a_reset_of_what_waits_for_a_need_leaves_it_waiting_for_it)
{
    fake_init(&fake);
    fake_add(&fake, "a", TYPE_DAEMON);
    fake_add(&fake, "t", TYPE_TASK);
    fake_tie(&fake, "a", NEEDS, "t");
    fake_load(&fake);
    fake_boot(&fake);
    fake_step(&fake, 1);
    fake_exit(&fake, "t", EXIT_CODE, 3);
    fake_run(&fake);
    CHECK_TEXT(fake_shown(&fake, "a"), "failed");
    CHECK_NUMBER(ask(REQUEST_RESET, "a"), OUTCOME_DONE);
    CHECK_TEXT(fake_shown(&fake, "a"), "stopped");
    CHECK_TEXT(fake_reason(&fake, "a"), "needs t, which failed");
    CHECK_NUMBER(ask(REQUEST_START, "t"), OUTCOME_DONE);
    CHECK_TEXT(fake_shown(&fake, "a"), "running");
    end();
}

TEST(a_reset_ends_a_back_off_and_begins_with_the_first_delay)
{
    chain_running();
    for (int i = 0; i < 4; i++) {
        fake_exit(&fake, "a", EXIT_CODE, 3);
        CHECK(fake_next_timer(&fake));
        fake_run(&fake);
    }
    fake_exit(&fake, "a", EXIT_CODE, 3);
    CHECK_TEXT(fake_shown(&fake, "a"), "backing-off");
    CHECK_NUMBER(service_body(&fake.manager, fake_find(&fake, "a"))->in_row, 5);
    CHECK_NUMBER(ask(REQUEST_RESET, "a"), OUTCOME_DONE);
    CHECK_TEXT(fake_shown(&fake, "a"), "running");
    CHECK_NUMBER(service_body(&fake.manager, fake_find(&fake, "a"))->in_row, 0);
    CHECK_NUMBER(service_body(&fake.manager, fake_find(&fake, "a"))->restarts, 0);
    end();
}
