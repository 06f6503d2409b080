/* An upgrade of the launcher and the journal, by steps, and whatever comes between two of them. */
#include "upgrade-acts.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static pid_t former;

static void fail(pid_t pid, const char *why)
{
    struct hand_over_message message = {.type = HAND_OVER_FAILED, .count = (uint32_t)strlen(why)};
    memcpy(message.text, why, strlen(why));
    CHECK_NUMBER(machine_send(pid, &message, NULL, 0), 0);
}

static void ask_launcher(void)
{
    former = launcher;
    ask(PART_LAUNCHER);
}

static void ask_journal(void)
{
    former = journal;
    ask(PART_JOURNAL);
}

static bool is_told_to_yield(void)
{
    return machine_got(former, HAND_OVER_YIELD, NULL);
}

static void yield(void)
{
    say(former, HAND_OVER_YIELDED);
}

static pid_t trial(void)
{
    return machine_child(CHILD_TRIAL);
}

static bool is_tried(void)
{
    return trial() && machine_got(trial(), HAND_OVER_HELD_DONE, &got);
}

static void get_ready(void)
{
    CHECK_NUMBER(got.argument, 1); /* one stands beside it */
    say(trial(), HAND_OVER_READY);
}

static bool launcher_is_another(void)
{
    pid_t now = machine_child(CHILD_LAUNCHER);
    return now && now != launcher;
}

/* ---- a child ------------------------------------------------------------------------------- */

MACHINE_TEST(a_new_journal_takes_over_when_it_is_ready)
{
    CHECK_LIVES({machine_both_heard, ask_journal}, {is_told_to_yield, yield},
                {is_tried, get_ready});
    check_answer(PART_JOURNAL, 0, "");
    CHECK(machine_child(CHILD_JOURNAL) && machine_child(CHILD_JOURNAL) != journal);
    CHECK(!machine_is_alive(journal));
    CHECK_NUMBER(machine_kept()->children[CHILD_JOURNAL].ready, 1);
}

MACHINE_TEST(a_new_launcher_is_told_what_came_of_it)
{
    CHECK_LIVES({machine_both_heard, ask_launcher}, {is_told_to_yield, yield},
                {is_tried, get_ready}, {launcher_is_another, machine_both_ready});
    check_answer(PART_LAUNCHER, 0, "");
    CHECK(!machine_is_alive(launcher));
}

static void end_before_room(void)
{
    machine_ends(former, SIGSEGV);
}

MACHINE_TEST(a_former_one_that_ends_before_it_has_made_room_is_started_from_the_new_file)
{
    CHECK_LIVES({machine_both_heard, ask_journal}, {is_told_to_yield, end_before_room});
    check_answer(
        0, PART_JOURNAL,
        "journal: the former one ended before it had made room: it is started from the new file\n");
    CHECK(machine_child(CHILD_JOURNAL) && machine_child(CHILD_JOURNAL) != journal);
}

static void refuse_to_yield(void)
{
    fail(journal, "wrong one"); /* means nothing */
    fail(former, "");
    fail(former, "too late");
}

MACHINE_TEST(a_former_one_that_cannot_make_room_goes_on)
{
    CHECK_LIVES({machine_both_heard, ask_launcher}, {is_told_to_yield, refuse_to_yield});
    check_answer(0, PART_LAUNCHER, "launcher: it did not say why\n");
    CHECK(!machine_got(former, HAND_OVER_RESUME, NULL));
    CHECK(machine_child(CHILD_LAUNCHER) == launcher);
}

static void yield_by_others(void)
{
    say(launcher, HAND_OVER_YIELDED); /* it was not asked */
}

MACHINE_TEST(a_former_one_that_does_not_make_room_in_time_goes_on)
{
    CHECK_LIVES({machine_both_heard, ask_journal}, {is_told_to_yield, yield_by_others});
    check_answer(0, PART_JOURNAL, "journal: the former one did not make room within 10 s\n");
    CHECK(machine_got(journal, HAND_OVER_RESUME, NULL));
}

static void fail_trial(void)
{
    fail(trial(), "the state is of the future");
}

MACHINE_TEST(a_new_one_that_says_why_it_cannot_is_killed_and_the_former_one_goes_on)
{
    CHECK_LIVES({machine_both_heard, ask_journal}, {is_told_to_yield, yield},
                {is_tried, fail_trial});
    check_answer(0, PART_JOURNAL, "journal: the state is of the future\n");
    CHECK(machine_got(journal, HAND_OVER_RESUME, NULL));
    CHECK(machine_child(CHILD_JOURNAL) == journal);
}

MACHINE_TEST(a_new_one_that_does_not_get_ready_is_killed)
{
    CHECK_LIVES({machine_both_heard, ask_journal}, {is_told_to_yield, yield},
                {is_tried, do_nothing});
    check_answer(0, PART_JOURNAL, "journal: it did not get ready within 10 s\n");
    CHECK(machine_got(journal, HAND_OVER_RESUME, NULL));
}

static int descriptors;

static void count_and_ask_journal(void)
{
    descriptors = machine_descriptors();
    ask_journal();
}

static void count_again(void)
{
    CHECK_NUMBER(machine_descriptors(), descriptors);
}

static bool is_resumed(void)
{
    return machine_got(former, HAND_OVER_RESUME, NULL);
}

MACHINE_TEST(a_new_one_that_is_no_good_leaves_no_descriptor)
{
    CHECK_LIVES({machine_both_heard, count_and_ask_journal}, {is_told_to_yield, yield},
                {is_tried, fail_trial}, {is_resumed, count_again});
    check_answer(0, PART_JOURNAL, "journal: the state is of the future\n");
}

static void store_in_trial(void)
{
    struct hand_over_message store = {
        .type = HAND_OVER_STORE, .owner = OWNER_JOURNAL, .count = 1, .keys = {3}};
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    say(trial(), HAND_OVER_PROGRESS);
    CHECK_NUMBER(machine_send(trial(), &store, &fd, 1), 0);
    close(fd);
}

MACHINE_TEST(a_new_one_that_stores_something_before_it_is_ready_is_no_good)
{
    CHECK_LIVES({machine_both_heard, ask_journal}, {is_told_to_yield, yield},
                {is_tried, store_in_trial});
    check_answer(0, PART_JOURNAL, "journal: it stored something before it was ready\n");
    CHECK_NUMBER(machine_kept()->held.end, 0);
}

static void drop_in_trial(void)
{
    say(trial(), HAND_OVER_DROP);
}

MACHINE_TEST(a_new_one_that_drops_something_before_it_is_ready_is_no_good)
{
    CHECK_LIVES({machine_both_heard, ask_journal}, {is_told_to_yield, yield},
                {is_tried, drop_in_trial});
    check_answer(0, PART_JOURNAL, "journal: it stored something before it was ready\n");
}

static void end_trial(void)
{
    machine_ends(trial(), 3 << 8);
}

MACHINE_TEST(a_new_one_that_ends_is_no_good)
{
    CHECK_LIVES({machine_both_heard, ask_journal}, {is_told_to_yield, yield},
                {is_tried, end_trial});
    check_answer(0, PART_JOURNAL, "journal: it ended with 3\n");
}

static void crash_trial(void)
{
    machine_ends(trial(), SIGBUS);
}

MACHINE_TEST(a_new_one_that_crashes_is_no_good)
{
    CHECK_LIVES({machine_both_heard, ask_journal}, {is_told_to_yield, yield},
                {is_tried, crash_trial});
    check_answer(0, PART_JOURNAL, "journal: it was ended by signal 7\n");
}

static void not_execute_trial(void)
{
    int error[3] = {ENOEXEC, 0, 0};
    machine_write(trial(), error, sizeof error);
    machine_ends(trial(), 127 << 8);
}

MACHINE_TEST(a_new_one_that_cannot_be_executed_is_no_good)
{
    CHECK_LIVES({machine_both_heard, ask_journal}, {is_told_to_yield, yield},
                {is_tried, not_execute_trial});
    check_answer(0, PART_JOURNAL, "journal: it cannot be executed: Exec format error\n");
}

static void yield_without_memory(void)
{
    machine_answer("clone", "", -EAGAIN, 1);
    yield();
}

MACHINE_TEST(where_there_is_no_process_for_a_new_one_the_former_one_goes_on)
{
    CHECK_LIVES({machine_both_heard, ask_journal}, {is_told_to_yield, yield_without_memory});
    check_answer(0, PART_JOURNAL,
                 "journal: it cannot be started: Resource temporarily unavailable\n");
    CHECK(machine_got(journal, HAND_OVER_RESUME, NULL));
}

static void end_both(void)
{
    machine_ends(former, SIGSEGV);
    machine_ends(trial(), 1 << 8);
}

MACHINE_TEST(where_both_end_another_is_started)
{
    CHECK_LIVES({machine_both_heard, ask_journal}, {is_told_to_yield, yield}, {is_tried, end_both});
    check_answer(0, PART_JOURNAL, "journal: it ended with 1\n");
    CHECK(machine_child(CHILD_JOURNAL) && machine_child(CHILD_JOURNAL) != journal);
}

static void end_former_and_get_ready(void)
{
    machine_ends(former, SIGSEGV);
    get_ready();
}

MACHINE_TEST(a_former_one_that_ends_while_it_stands_still_is_not_started_again)
{
    CHECK_LIVES({machine_both_heard, ask_journal}, {is_told_to_yield, yield},
                {is_tried, end_former_and_get_ready});
    check_answer(PART_JOURNAL, 0, "");
    CHECK(!machine_said("and is started again"));
}

/* ---- when there is none --------------------------------------------------------------------- */

static void say_launcher_ready_and_ask(void)
{
    say(launcher, HAND_OVER_READY);
    ask(PART_JOURNAL);
}

MACHINE_TEST(a_part_that_is_not_ready_is_left_and_said)
{
    static const struct machine_act acts[] = {{both_run, say_launcher_ready_and_ask},
                                              {launcher_has_answer, machine_over}};
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
    check_answer(
        0, PART_JOURNAL,
        "journal: the former one is not ready, and started from the new file if it ends\n");
}

static void say_launcher_ready(void)
{
    say(launcher, HAND_OVER_READY);
}

static bool journal_is_late(void)
{
    return machine_said("it is waited for") && machine_said("program=service-journal seconds=60");
}

MACHINE_TEST(a_part_that_does_not_get_ready_is_killed_and_started_from_the_new_file)
{
    static const struct machine_act acts[] = {{both_run, say_launcher_ready},
                                              {journal_is_late, ask_journal},
                                              {launcher_has_answer, machine_over}};
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
    check_answer(
        0, PART_JOURNAL,
        "journal: the former one does not get ready: it is killed, and started from the new "
        "file\n");
    CHECK(!machine_is_alive(journal));
}

static void end_journal_and_ask(void)
{
    machine_answer("clone", "", -ENOMEM, 1);
    machine_ends(journal, 1 << 8);
    ask(PART_JOURNAL);
}

MACHINE_TEST(a_part_that_does_not_run_is_left_and_said)
{
    CHECK_LIVES({machine_both_heard, end_journal_and_ask});
    check_answer(
        0, PART_JOURNAL,
        "journal: the former one is not ready, and started from the new file if it ends\n");
}

MACHINE_TEST(a_part_that_did_not_get_ready_and_has_ended_is_left_and_said)
{
    static const struct machine_act acts[] = {{both_run, say_launcher_ready},
                                              {journal_is_late, end_journal_and_ask},
                                              {launcher_has_answer, machine_over}};
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
    check_answer(
        0, PART_JOURNAL,
        "journal: the former one is not ready, and started from the new file if it ends\n");
    CHECK_NUMBER(machine_times("kill 0"), 0);
}

static void ask_once_more(void)
{
    ask(PARTS_ALL);
}

MACHINE_TEST(a_second_upgrade_is_refused_while_one_is_under_way)
{
    static const struct machine_act acts[] = {{both_run, machine_both_ready},
                                              {machine_both_heard, ask_journal},
                                              {is_told_to_yield, ask_once_more},
                                              {launcher_has_answer, machine_over}};
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
    CHECK_NUMBER(got.status, PARTS_ALL);
    CHECK(memcmp(got.text, "init: an upgrade is under way\n", 30) == 0);
    CHECK_NUMBER(upgrade()->part, PART_JOURNAL);
}

static bool ends(void)
{
    return machine_kept()->ending.how != SHUT_DOWN_NONE;
}

MACHINE_TEST(an_upgrade_is_refused_while_the_machine_goes_down)
{
    CHECK_LIVES({machine_both_heard, ask_for_end}, {ends, ask_journal});
    CHECK_NUMBER(got.status, PART_JOURNAL);
    CHECK(memcmp(got.text, "journal: the machine is going down\n", 35) == 0);
}

/* ---- the machine goes down meanwhile -------------------------------------------------------- */

MACHINE_TEST(a_former_one_that_is_asked_to_make_room_goes_on_when_the_machine_ends)
{
    CHECK_LIVES({machine_both_heard, ask_journal}, {is_told_to_yield, ask_for_end});
    check_answer(0, PART_JOURNAL, "journal: the machine is going down\n");
    CHECK(machine_got(journal, HAND_OVER_RESUME, NULL));
}

MACHINE_TEST(a_trial_is_given_up_when_the_machine_ends)
{
    CHECK_LIVES({machine_both_heard, ask_journal}, {is_told_to_yield, yield},
                {is_tried, ask_for_end});
    check_answer(0, PART_JOURNAL, "journal: the machine is going down\n");
    CHECK(machine_child(CHILD_JOURNAL) == journal);
}
