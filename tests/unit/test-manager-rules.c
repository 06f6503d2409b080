/* Rules of the manager one by one, on a made-up kernel: what is named and provided, what is
 * refused, how a run that was cut short is told, and what is not in the graph yet. */
#include "base/text.h"
#include "fake-chain.h"
#include "test.h"

#include <errno.h>

static struct definition *definition_of(const char *name)
{
    return &fake.services[fake_find(&fake, name)->slot].definition;
}

static const struct service_body *body_of(const char *name)
{
    return service_body(&fake.manager, fake_find(&fake, name));
}

static void break_file(const char *name)
{
    struct service *service = fake_find(&fake, name);
    service->definition = NULL;
    manager_event(&fake.manager, service, EVENT_BROKEN);
}

/* ---- names ---------------------------------------------------------------------------------- */

static const char *found(const char *name)
{
    const struct service *service = manager_find(&fake.manager, name);
    return service ? service_name(&fake.manager, service) : "nobody";
}

TEST(a_name_is_whose_own_it_is_then_the_first_enabled_ones_that_provides_it)
{
    const struct manager none = {0};
    CHECK(manager_find(&none, "a") == NULL);
    chain();
    fake_tie(&fake, "a", PROVIDES, "b"); /* somebody's own */
    fake_tie(&fake, "c", PROVIDES, "x");
    fake_tie(&fake, "c", PROVIDES, "x"); /* twice */
    fake_tie(&fake, "b", PROVIDES, "x");
    fake_load(&fake);
    CHECK_TEXT(found("b"), "b");
    CHECK_TEXT(found("x"), "b");
    definition_of("b")->enabled = false;
    fake_load(&fake);
    CHECK_TEXT(found("x"), "c");
    fake_find(&fake, "b")->switched = SWITCHED_ON; /* by hand, whatever its file says */
    fake_find(&fake, "c")->switched = SWITCHED_OFF;
    fake_load(&fake);
    CHECK_TEXT(found("x"), "b");
    definition_of("b")->provides = NULL;
    fake_load(&fake);
    CHECK_TEXT(found("x"), "c");
    manager_forget(&fake.manager, fake_find(&fake, "c")); /* both its names are nobody's at once */
    CHECK_TEXT(found("x"), "nobody");
    CHECK_TEXT(found("c"), "nobody");
    end();
}

TEST(what_does_not_load_is_not_enabled_unless_it_was_switched_on)
{
    struct service service = {0};
    CHECK(!service_is_enabled(&service));
    service.switched = SWITCHED_ON;
    CHECK(service_is_enabled(&service));
}

static char warned[200];

static void warn(void *context, const char *service, const char *text)
{
    (void)context;
    struct text all = {warned, sizeof warned, strlen(warned), false};
    text_printf(&all, "%s: %s\n", service, text);
}

TEST(a_wish_for_nobody_is_warned_of_and_a_need_or_a_conflict_is_not)
{
    chain();
    fake_tie(&fake, "a", WANTS, "w");
    fake_tie(&fake, "a", BEFORE, "x");
    fake_tie(&fake, "a", CONFLICTS, "y");
    fake_tie(&fake, "b", NEEDS, "z");
    definition_of("c")->needs = definition_of("c")->after = NULL;
    warned[0] = 0;
    CHECK_NUMBER(manager_resolve(&fake.manager, NULL, warn), 0);
    CHECK_TEXT(warned, "a: 'wants' names 'w', and no service has that name\n"
                       "a: 'before' names 'x', and no service has that name\n");
    CHECK_NUMBER(manager_resolve(&fake.manager, NULL, NULL), 0); /* nobody hears it */
    fake_boot(&fake);
    fake_run(&fake);
    CHECK_TEXT(fake_reason(&fake, "b"), "needs z, and no service has that name");
    end();
}

TEST(each_of_a_list_comes_after_the_one_before_it)
{
    static char *const order[] = {
        (char *)"none", (char *)"a", (char *)"nobody", (char *)"b", (char *)"b", (char *)"x", NULL};
    fake_init(&fake);
    fake_add(&fake, "c", TYPE_DAEMON);
    fake_add(&fake, "b", TYPE_DAEMON);
    fake_add(&fake, "a", TYPE_DAEMON);
    fake_tie(&fake, "c", PROVIDES, "x");
    CHECK_NUMBER(manager_resolve(&fake.manager, order, NULL), 0);
    fake_boot(&fake);
    fake_run(&fake);
    CHECK_TEXT(fake.order, "+a +b +c ");
    end();
}

/* ---- slots ---------------------------------------------------------------------------------- */

TEST(a_name_without_room_takes_no_slot_and_full_is_full)
{
    char name[300];
    chain();
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = 0;
    CHECK(manager_add(&fake.manager, name) == NULL);
    for (int i = 3; i < FAKE_SLOTS; i++) {
        text_format(name, sizeof name, "s%d", i);
        CHECK(manager_add(&fake.manager, name) != NULL);
    }
    CHECK(manager_add(&fake.manager, "more") == NULL);
    manager_forget(&fake.manager, fake_find(&fake, "s7"));
    CHECK(manager_add(&fake.manager, "more") != NULL);
    end();
}

TEST(a_slot_with_last_words_on_their_way_is_no_others_until_they_are_there)
{
    chain();
    uint32_t slot = fake_find(&fake, "c")->slot;
    manager_linger(&fake.manager, slot, true);
    manager_linger(&fake.manager, FAKE_SLOTS, true); /* there is none */
    manager_forget(&fake.manager, fake_find(&fake, "c"));
    CHECK_NUMBER(manager_add(&fake.manager, "d")->slot, slot + 1);
    manager_linger(&fake.manager, slot, false);
    CHECK_NUMBER(manager_add(&fake.manager, "e")->slot, slot);
    manager_linger(&fake.manager, slot + 1, false); /* what is in use stays so */
    CHECK_NUMBER(manager_add(&fake.manager, "f")->slot, slot + 2);
    end();
}

static void forget_b(struct fake *of, struct service *service, bool start)
{
    if (start && service == fake_find(of, "a"))
        manager_forget(&of->manager, fake_find(of, "b"));
}

TEST(one_that_is_forgotten_while_others_are_looked_at_is_left_out)
{
    uint32_t slots[2];
    fake_init(&fake);
    slots[0] = fake_add(&fake, "a", TYPE_DAEMON)->slot;
    slots[1] = fake_add(&fake, "b", TYPE_DAEMON)->slot;
    fake_load(&fake);
    fake.check = forget_b;
    CHECK_NUMBER(manager_want(&fake.manager, slots, 2), 0);
    fake_run(&fake);
    CHECK_TEXT(fake.order, "+a ");
    CHECK(fake_find(&fake, "b") == NULL);
    end();
}

/* A manager of its own on copies of the records, with room for more. */
static struct service_record records[FAKE_SLOTS + 16];

static void copy_manager(struct manager *again)
{
    memset(records, 0, sizeof records);
    memcpy(records, fake.records, sizeof fake.records);
    CHECK_NUMBER(manager_init(again, fake.manager.ops, &fake, &fake.header, records, FAKE_SLOTS),
                 0);
    for (uint32_t i = 0; i < FAKE_SLOTS; i++)
        if (again->services[i].in_use)
            again->services[i].definition = &fake.services[i].definition;
    CHECK_NUMBER(manager_resolve(again, NULL, NULL), 0);
}

TEST(what_is_queued_stays_queued_when_there_are_more_slots)
{
    uint32_t slot = 0;
    chain();
    struct manager again;
    copy_manager(&again);
    manager_want(&again, &slot, 1);
    uint32_t queued = again.queue_count;
    CHECK(queued > 0);
    CHECK_NUMBER(manager_grow(&again, FAKE_SLOTS + 16), 0);
    CHECK_NUMBER(again.queue_count, queued);
    manager_settle(&again);
    CHECK_TEXT(fake.order, "+c ");
    manager_finish(&again);
    end();
}

TEST(one_that_is_not_in_the_graph_yet_is_left_alone)
{
    static struct request_item item;
    struct request request = {.verb = REQUEST_START, .items = &item, .count = 1};
    struct service *service = NULL;
    char name[16];
    chain();
    struct manager again;
    copy_manager(&again);
    CHECK_NUMBER(manager_grow(&again, FAKE_SLOTS + 16), 0);
    for (int i = 3; i <= FAKE_SLOTS; i++) {
        text_format(name, sizeof name, "s%d", i);
        service = manager_add(&again, name);
    }
    CHECK_NUMBER(service->slot, FAKE_SLOTS);
    service->definition = definition_of("a");
    manager_event(&again, service, EVENT_LOADED);
    item.slot = service->slot;
    CHECK_NUMBER(manager_request(&again, &request), 1);
    manager_keep_running(&again);
    manager_settle(&again);
    CHECK_NUMBER(service_state(&again, service), STATE_STOPPED);
    CHECK_NUMBER(item.outcome, OUTCOME_PENDING);
    manager_cancel(&again, &request);
    manager_finish(&again);
    end();
}

/* ---- cycles --------------------------------------------------------------------------------- */

#define MANY 150

/* As many services as a fake kernel has no room for; they are named, and never run. */
static struct {
    struct service_record records[MANY];
    struct definition definitions[MANY];
    char *needs[MANY][MANY + 1];
    char names[MANY][8];
    struct manager manager;
} many;

static void begin_many(void)
{
    memset(&many, 0, sizeof many);
    fake_init(&fake);
    CHECK_NUMBER(
        manager_init(&many.manager, fake.manager.ops, &fake, &fake.header, many.records, MANY), 0);
    for (int i = 0; i < MANY; i++) {
        text_format(many.names[i], sizeof many.names[i], "s%d", i);
        struct service *service = manager_add(&many.manager, many.names[i]);
        many.definitions[i].needs = many.needs[i];
        service->definition = &many.definitions[i];
    }
}

static void end_many(void)
{
    manager_finish(&many.manager);
    end();
}

TEST(of_a_long_cycle_the_middle_is_left_out)
{
    begin_many();
    for (int i = 0; i < MANY; i++)
        many.needs[i][0] = many.names[(i + 1) % MANY];
    CHECK_NUMBER(manager_resolve(&many.manager, NULL, NULL), 0);
    const char *words = many.manager.services[7].cycle;
    CHECK(strstr(words, "in a cycle, each after the next: s0, s1, ") == words);
    CHECK(strstr(words, ", … 50 more …, ") && strstr(words, ", s149, s0"));
    CHECK(many.manager.services[99].cycle == words); /* one text for all */
    end_many();
}

TEST(of_more_cycles_than_are_looked_for_the_rest_says_the_last_one)
{
    begin_many();
    for (int i = 1; i < MANY; i++) {
        many.needs[0][i - 1] = many.names[i];
        many.needs[i][0] = many.names[0];
    }
    CHECK_NUMBER(manager_resolve(&many.manager, NULL, NULL), 0);
    CHECK_NUMBER(many.manager.cycle_count, 100);
    CHECK_TEXT(many.manager.services[1].cycle, "in a cycle, each after the next: s0, s1, s0");
    CHECK_TEXT(many.manager.services[100].cycle, many.manager.services[149].cycle);
    CHECK(strstr(many.manager.services[149].cycle, "in a cycle, ") != NULL);
    end_many();
}

TEST(a_cycle_that_a_broken_file_ends_is_none)
{
    chain();
    fake_tie(&fake, "c", NEEDS, "a");
    fake_load(&fake);
    CHECK_TEXT(fake_shown(&fake, "a"), "broken");
    CHECK_NUMBER(ask(REQUEST_START, "a"), OUTCOME_REFUSED);
    CHECK_NUMBER(asked.why, REFUSAL_CYCLE);
    break_file("c");
    fake_load(&fake);
    CHECK_TEXT(fake_shown(&fake, "a"), "stopped");
    CHECK_TEXT(fake_shown(&fake, "c"), "broken");
    CHECK(fake_find(&fake, "c")->cycle == NULL);
    end();
}

/* ---- wishes and requests -------------------------------------------------------------------- */

TEST(a_start_whose_need_does_not_load_fails_and_says_so)
{
    chain();
    break_file("c");
    fake_load(&fake);
    CHECK_NUMBER(ask(REQUEST_START, "a"), OUTCOME_FAILED);
    CHECK_TEXT(fake_reason(&fake, "b"), "needs c, whose file does not load");
    CHECK_NUMBER(ask(REQUEST_START, "c"), OUTCOME_REFUSED);
    CHECK_NUMBER(asked.why, REFUSAL_BROKEN);
    CHECK_NUMBER(ask(REQUEST_STOP, "c"), OUTCOME_ALREADY);
    break_file("c"); /* again, by a reload */
    CHECK_TEXT(fake_shown(&fake, "c"), "broken");
    fake_find(&fake, "c")->definition = definition_of("c");
    manager_event(&fake.manager, fake_find(&fake, "c"), EVENT_LOADED);
    fake_load(&fake);
    CHECK_TEXT(fake_shown(&fake, "c"), "stopped");
    CHECK_TEXT(fake_reason(&fake, "c"), "was asked to stop");
    end();
}

TEST(the_boot_leaves_what_a_person_stopped)
{
    chain_running();
    CHECK_NUMBER(ask(REQUEST_STOP, "b"), OUTCOME_DONE);
    fake.order[0] = 0;
    fake_boot(&fake);
    fake_run(&fake);
    CHECK_TEXT(fake.order, "");
    CHECK_TEXT(fake_shown(&fake, "b"), "stopped");
    end();
}

TEST(a_stop_takes_along_what_runs_and_names_nobody_else)
{
    chain_running();
    fake_exit(&fake, "a", EXIT_CODE, 1);
    CHECK_TEXT(fake_shown(&fake, "a"), "backing-off");
    struct request request = request_of(REQUEST_STOP, "c");
    manager_request(&fake.manager, &request);
    CHECK_NUMBER(request.count, 2);
    CHECK_NUMBER(request.items[1].slot, fake_find(&fake, "b")->slot);
    CHECK(request.items[1].taken_along);
    fake_run(&fake);
    CHECK_TEXT(fake.order, "-b -c ");
    CHECK_TEXT(fake_shown(&fake, "a"), "stopped");
    free(request.items);
    end();
}

TEST(a_stop_that_is_overtaken_before_it_began_stops_nobody_and_all_of_it_is_answered)
{
    chain_running();
    struct request stop = request_of(REQUEST_STOP, "c"), start = request_of(REQUEST_START, "c");
    CHECK_NUMBER(manager_request(&fake.manager, &stop), 3);
    answers = 0;
    manager_request(&fake.manager, &start);
    fake_run(&fake);
    CHECK_TEXT(fake.order, "");
    CHECK_NUMBER(answers, 2);
    for (size_t i = 0; i < stop.count; i++) {
        CHECK_NUMBER(stop.items[i].outcome, OUTCOME_OVERTAKEN);
        CHECK_NUMBER(stop.items[i].by, REQUEST_START);
    }
    free(stop.items);
    free(start.items);
    end();
}

TEST(one_that_was_skipped_can_be_stopped_and_restarted)
{
    chain();
    fake.skip = true;
    CHECK_NUMBER(ask(REQUEST_START, "c"), OUTCOME_DONE);
    CHECK_TEXT(fake_shown(&fake, "c"), "skipped");
    CHECK_NUMBER(ask(REQUEST_RESTART, "c"), OUTCOME_DONE);
    CHECK_TEXT(fake_shown(&fake, "c"), "skipped"); /* it was looked at once more */
    fake.skip = false;
    CHECK_NUMBER(ask(REQUEST_RESTART, "c"), OUTCOME_DONE);
    CHECK_TEXT(fake_shown(&fake, "c"), "running");
    fake.skip = true;
    CHECK_NUMBER(ask(REQUEST_RESTART, "c"), OUTCOME_DONE);
    CHECK_TEXT(fake_shown(&fake, "c"), "skipped");
    CHECK_NUMBER(ask(REQUEST_STOP, "c"), OUTCOME_DONE);
    CHECK_TEXT(fake_shown(&fake, "c"), "stopped");
    CHECK_TEXT(fake_reason(&fake, "c"), "was asked to stop");
    end();
}

TEST(a_reload_may_be_a_command)
{
    static char *command[] = {(char *)"reread", NULL};
    chain_running();
    CHECK_NUMBER(ask(REQUEST_RELOAD, "c"), OUTCOME_REFUSED);
    CHECK_NUMBER(asked.why, REFUSAL_NO_RELOAD);
    definition_of("c")->reload_command = command;
    CHECK_NUMBER(ask(REQUEST_RELOAD, "c"), OUTCOME_DONE);
    CHECK_NUMBER(body_of("c")->reloads, 1);
    end();
}

TEST(while_the_system_goes_down_only_a_stop_is_taken)
{
    chain_running();
    manager_shut_down(&fake.manager);
    manager_shut_down(&fake.manager); /* once is enough */
    CHECK_NUMBER(ask(REQUEST_START, "a"), OUTCOME_REFUSED);
    CHECK_NUMBER(asked.why, REFUSAL_GOING_DOWN);
    CHECK_NUMBER(ask(REQUEST_STOP, "a"), OUTCOME_DONE);
    CHECK_NUMBER(fake.manager.active, 0);
    end();
}

TEST(requests_of_a_former_launcher_are_told_what_became_of_them)
{
    static const struct {
        enum request_verb verb;
        enum outcome known, outcome;
    } rows[] = {{REQUEST_STOP, OUTCOME_PENDING, OUTCOME_DONE}, /* its service is gone meanwhile */
                {REQUEST_START, OUTCOME_PENDING, OUTCOME_FAILED},
                {REQUEST_START, OUTCOME_OVERTAKEN, OUTCOME_OVERTAKEN}};
    chain_running();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct request request = request_of(rows[i].verb, "c");
        request.items[0] = (struct request_item){.slot = FAKE_SLOTS - 1, .outcome = rows[i].known};
        answers = 0;
        size_t pending = manager_resume(&fake.manager, &request);
        CHECK_NUMBER(pending, rows[i].known == OUTCOME_PENDING);
        manager_settle(&fake.manager);
        CHECK_NUMBER(request.items[0].outcome, rows[i].outcome);
        CHECK_NUMBER(answers, pending); /* one that is settled is nobody's to answer */
        free(request.items);
    }
    end();
}

TEST(a_need_that_restarts_is_no_failure_for_who_is_looked_at_just_then)
{
    chain_running();
    struct request request = request_of(REQUEST_RESTART, "c");
    manager_request(&fake.manager, &request);
    manager_settle(&fake.manager);
    CHECK(fake_step(&fake, fake_find(&fake, "a")->slot));
    manager_mark(&fake.manager, fake_find(&fake, "b")); /* before what its end marks */
    CHECK(fake_step(&fake, fake_find(&fake, "b")->slot));
    manager_mark(&fake.manager, fake_find(&fake, "b"));
    CHECK(fake_step(&fake, fake_find(&fake, "c")->slot));
    CHECK_TEXT(fake_shown(&fake, "b"), "waiting");
    CHECK_TEXT(fake_reason(&fake, "b"), "waits for c");
    fake_run(&fake);
    CHECK_TEXT(fake.order, "-a -b -c +c +b +a ");
    CHECK_NUMBER(request.items[0].outcome, OUTCOME_DONE);
    free(request.items);
    end();
}

TEST(who_waited_for_another_then_waits_for_its_condition)
{
    chain();
    fake_boot(&fake);
    CHECK_TEXT(fake_reason(&fake, "b"), "waits for c");
    fake.look = -EINPROGRESS;
    fake_run(&fake);
    CHECK_TEXT(fake_shown(&fake, "b"), "waiting");
    CHECK_NUMBER(body_of("b")->reason.code, REASON_WHEN_ASKED);
    fake.look = 0;
    manager_mark(&fake.manager, fake_find(&fake, "b"));
    fake_run(&fake);
    CHECK_TEXT(fake_shown(&fake, "a"), "running");
    end();
}

TEST(a_reload_that_ends_while_a_stop_waits_for_others_has_not_failed)
{
    chain_running();
    definition_of("c")->reload_signal = 1;
    fake.services[fake_find(&fake, "c")->slot].slow_reload = true;
    struct request reload = request_of(REQUEST_RELOAD, "c"), stop = request_of(REQUEST_STOP, "c");
    manager_request(&fake.manager, &reload);
    manager_settle(&fake.manager);
    manager_request(&fake.manager, &stop);
    manager_settle(&fake.manager);
    CHECK_TEXT(fake_reason(&fake, "c"), "waits for b to stop first");
    manager_event(&fake.manager, fake_find(&fake, "c"), EVENT_HOOKS_OK);
    CHECK_NUMBER(body_of("c")->reloads, 1);
    CHECK_NUMBER(body_of("c")->reload_failed, 0);
    fake_run(&fake);
    CHECK_TEXT(fake_shown(&fake, "c"), "stopped");
    free(reload.items);
    free(stop.items);
    end();
}

/* ---- what a task that is done has to stop --------------------------------------------------- */

TEST(a_done_task_with_something_to_stop_is_stopped_before_what_it_ran_on)
{
    static char *const argv[] = {(char *)"undo", NULL}, *const *const commands[] = {argv, NULL};
    enum { NOTHING, STOP_EXEC, BEFORE_STOP, FILE_GONE, WAYS };
    static const char *const orders[WAYS] = {"-a ", "-t -a ", "-t -a ", "-a "};
    for (int way = 0; way < WAYS; way++) {
        fake_init(&fake);
        fake_add(&fake, "a", TYPE_DAEMON);
        struct service *task = fake_add(&fake, "t", TYPE_TASK);
        fake_tie(&fake, "t", AFTER, "a");
        if (way == STOP_EXEC || way == FILE_GONE)
            definition_of("t")->stop.exec = (argv_t)argv;
        if (way == BEFORE_STOP)
            definition_of("t")->before_stop = (commands_t)commands;
        fake_load(&fake);
        fake_boot(&fake);
        fake_run(&fake);
        CHECK_TEXT(fake_shown(&fake, "t"), "done");
        if (way == FILE_GONE)
            task->definition = NULL;
        fake.order[0] = 0;
        manager_shut_down(&fake.manager);
        fake_run(&fake);
        CHECK_TEXT(fake.order, orders[way]);
        CHECK_NUMBER(fake.manager.active, 0);
        end();
    }
}

/* ---- how a run that was cut short is told --------------------------------------------------- */

/* The executor notes something of c, which runs; then its time is over. */
static void time_out(enum told told, uint64_t watchdog_ms)
{
    struct service_body body;
    struct service *service = fake_find(&fake, "c");
    manager_edit(&fake.manager, service, &body);
    body.told = (uint8_t)told;
    body.watchdog_ms = watchdog_ms;
    manager_commit(&fake.manager, service, &body);
    manager_event(&fake.manager, service, EVENT_TIME_OUT);
    manager_settle(&fake.manager);
}

TEST(the_first_time_that_is_over_says_why_a_run_ended)
{
    static const struct {
        enum told told;
        uint64_t watchdog_ms;
        bool twice;
        const char *reason;
    } rows[] = {
        {TOLD_NOTHING, 500, false, "did not report to its watchdog for 500 ms"},
        {TOLD_NOTHING, 500, true, "did not report to its watchdog for 500 ms"},
        {TOLD_NOTHING, 0, false, "has set off its watchdog itself (WATCHDOG=trigger)"},
        {TOLD_STOPPING, 0, false, "did not stop within 10 s and was killed"},
        {TOLD_STOPPING, 500, true, "did not stop within 10 s and was killed"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        chain_running();
        definition_of("c")->restart.policy = RESTART_NEVER;
        time_out(rows[i].told, rows[i].watchdog_ms);
        if (rows[i].twice) { /* what it says now changes nothing */
            CHECK_TEXT(fake_shown(&fake, "c"), "stopping");
            time_out(TOLD_STOPPING, rows[i].watchdog_ms);
        }
        fake_run(&fake);
        CHECK_TEXT(fake_shown(&fake, "c"), "failed");
        CHECK_TEXT(fake_reason(&fake, "c"), rows[i].reason);
        end();
    }
}

TEST(one_that_was_restarted_too_often_says_so_and_how_it_ended_last)
{
    chain_running();
    definition_of("a")->restart.limit = 1;
    fake_exit(&fake, "a", EXIT_CODE, 3);
    CHECK_TEXT(fake_shown(&fake, "a"), "backing-off");
    CHECK(fake_next_timer(&fake));
    fake_run(&fake);
    CHECK_TEXT(fake_shown(&fake, "a"), "running");
    fake_exit(&fake, "a", EXIT_CODE, 0);
    CHECK_TEXT(fake_shown(&fake, "a"), "failed");
    CHECK_TEXT(fake_reason(&fake, "a"), "ended again after 1 restart in a row: exited with 0");
    end();
}

TEST(a_hook_that_takes_too_long_fails_the_start)
{
    struct service_body body;
    chain_running();
    struct service *service = fake_find(&fake, "c");
    manager_edit(&fake.manager, service, &body);
    body.state = STATE_PREPARING; /* a hook runs */
    manager_commit(&fake.manager, service, &body);
    fake_load(&fake);
    fake.services[service->slot].runs = false;
    definition_of("c")->restart.policy = RESTART_NEVER;
    manager_event(&fake.manager, service, EVENT_TIME_OUT);
    fake_run(&fake);
    CHECK_TEXT(fake_shown(&fake, "c"), "failed");
    CHECK_TEXT(fake_reason(&fake, "c"), "was not ready after 90 s");
    end();
}

/* c is essential, and its start fails in a step. */
static void fail_start(enum exit_kind kind, int value)
{
    struct service_body body;
    struct service *service = fake_find(&fake, "c");
    definition_of("c")->essential = true;
    definition_of("c")->restart.policy = RESTART_NEVER;
    ask(REQUEST_STOP, "c");
    struct request request = request_of(REQUEST_START, "c");
    manager_request(&fake.manager, &request);
    manager_settle(&fake.manager);
    fake.services[service->slot].queued = false;
    manager_edit(&fake.manager, service, &body);
    body.exit_kind = (uint8_t)kind;
    body.exit_value = value;
    body.reason = (struct reason){REASON_STEP_FAILED, STEP_TTY, SLOT_NONE, EIO};
    manager_commit(&fake.manager, service, &body);
    manager_event(&fake.manager, service, EVENT_SPAWN_FAILED);
    manager_settle(&fake.manager);
    CHECK_NUMBER(request.items[0].outcome, OUTCOME_FAILED);
    CHECK_TEXT(fake_reason(&fake, "c"), "cannot open its tty: Input/output error");
    free(request.items);
}

TEST(a_start_that_failed_in_a_step_says_which_and_ends_the_system_with_1)
{
    static const struct {
        enum exit_kind kind;
        int value;
    } rows[] = {{EXIT_NONE, 0}, {EXIT_UNKNOWN, 0}, {EXIT_CODE, 7}}; /* 7: of a run before */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        chain_running();
        fail_start(rows[i].kind, rows[i].value);
        CHECK_NUMBER(fake.essential_status, 1);
        end();
    }
}

TEST(an_essential_one_that_ends_while_all_goes_down_changes_nothing)
{
    for (int by_hand = 0; by_hand < 2; by_hand++) {
        chain_running();
        definition_of("c")->essential = true;
        struct request request = request_of(REQUEST_STOP, "c");
        if (by_hand)
            manager_request(&fake.manager, &request);
        manager_shut_down(&fake.manager);
        fake_run(&fake);
        CHECK_TEXT(fake_shown(&fake, "c"), "stopped");
        CHECK_NUMBER(fake.essential_status, -1);
        free(request.items);
        end();
    }
}

TEST(an_event_that_means_nothing_is_passed_over_and_one_that_cannot_be_is_told)
{
    chain_running();
    struct service *service = fake_find(&fake, "c");
    manager_event(&fake.manager, service, EVENT_READY);
    CHECK_TEXT(fake_shown(&fake, "c"), "running");
    CHECK_NUMBER(fake.impossible, 0);
    manager_event(&fake.manager, service, EVENT_START);
    CHECK_TEXT(fake_shown(&fake, "c"), "running");
    CHECK_NUMBER(fake.impossible, 1);
    fake.impossible = 0;
    end();
}
