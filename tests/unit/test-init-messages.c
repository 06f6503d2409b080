/* What launcher and journal say to init that they should not, or cannot be told, and how the end
 * goes on with those that do not do their part. */
#include "fake-machine-parts.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static pid_t launcher, journal;

static bool both_run(void)
{
    launcher = machine_child(CHILD_LAUNCHER);
    journal = machine_child(CHILD_JOURNAL);
    return launcher && journal;
}

static void say(pid_t pid, struct hand_over_message message)
{
    CHECK_NUMBER(machine_send(pid, &message, NULL, 0), 0);
}

static void store(pid_t pid, const uint32_t *keys, uint32_t count)
{
    int fds[HAND_OVER_KEYS_MAX];
    struct hand_over_message message = {
        .type = HAND_OVER_STORE, .owner = OWNER_LAUNCHER, .count = count};
    memcpy(message.keys, keys, count * sizeof *keys);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (uint32_t i = 0; i < count; i++)
        fds[i] = fd;
    CHECK_NUMBER(machine_send(pid, &message, fds, count), 0);
    close(fd);
}

/* ---- what the wrong one says
 * ---------------------------------------------------------------------- */

static void end_orphan(void)
{
    machine_ends(machine_process("orphan", TEMPER_MILD), 0);
}

static bool is_reported(void)
{
    return machine_got(launcher, HAND_OVER_ENDED, NULL);
}

static void say_wrong_things(void)
{
    static const uint16_t types[] = {0, 13, HAND_OVER_HELD_DONE, 500};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        say(launcher, (struct hand_over_message){.type = types[i]});
    say(journal, (struct hand_over_message){.type = HAND_OVER_PROGRESS, .count = 1, .text = "x"});
    say(journal,
        (struct hand_over_message){.type = HAND_OVER_SHUT_DOWN, .argument = SHUT_DOWN_POWEROFF});
    say(launcher,
        (struct hand_over_message){.type = HAND_OVER_SHUT_DOWN, .argument = SHUT_DOWN_NONE});
    say(launcher,
        (struct hand_over_message){.type = HAND_OVER_SHUT_DOWN, .argument = SHUT_DOWN_HOWS});
    say(journal, (struct hand_over_message){.type = HAND_OVER_UPGRADE, .argument = PART_LAUNCHER});
    say(launcher, (struct hand_over_message){.type = HAND_OVER_DRAINED});
    say(journal, (struct hand_over_message){.type = HAND_OVER_ENDED_SEEN, .argument = 1});
    say(launcher, (struct hand_over_message){.type = HAND_OVER_ENDED_SEEN, .argument = -5});
    say(journal, (struct hand_over_message){.type = HAND_OVER_UPGRADED_SEEN});
    say(launcher, (struct hand_over_message){.type = HAND_OVER_YIELDED});
    say(journal, (struct hand_over_message){.type = HAND_OVER_FAILED, .count = 1, .text = "x"});
    say(journal, (struct hand_over_message){.type = HAND_OVER_REFUSED, .count = 3});
}

static bool has_said_no(void)
{
    return machine_said("Descriptors were not taken back count=3 program=service-journal");
}

static void check_nothing_came_of_it(void)
{
    CHECK_NUMBER(machine_kept()->ending.how, SHUT_DOWN_NONE);
    CHECK_NUMBER(machine_kept()->ending.drained, 0);
    CHECK_NUMBER(machine_kept()->upgrade.part, 0);
    CHECK_NUMBER(machine_kept()->ended.halves[machine_kept()->ended.live].seen, 0);
    CHECK(machine_said("Asked for an end that does not exist how=1 program=service-journal"));
    CHECK(machine_said("Asked for an end that does not exist how=0 program=service-launcher"));
    CHECK(machine_said("Asked for an end that does not exist how=5 program=service-launcher"));
    machine_stop();
}

MACHINE_TEST(what_the_wrong_one_says_has_no_effect)
{
    static const struct machine_act acts[] = {{both_run, machine_both_ready},
                                              {machine_both_heard, end_orphan},
                                              {is_reported, say_wrong_things},
                                              {has_said_no, check_nothing_came_of_it}};
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
}

static void say_ready_and_end(void)
{
    say(launcher, (struct hand_over_message){.type = HAND_OVER_READY});
    machine_ends(launcher, 1 << 8);
}

static bool another_launcher(void)
{
    pid_t now = machine_child(CHILD_LAUNCHER);
    return now && now != launcher;
}

/* Its word is read when it is reaped. */
MACHINE_TEST(one_that_is_dead_by_now_is_not_ready)
{
    static const struct machine_act acts[] = {{both_run, say_ready_and_end},
                                              {another_launcher, machine_over}};
    machine_answer("epoll_wait", "", 0, 1);
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
    CHECK_NUMBER(machine_kept()->children[CHILD_LAUNCHER].ready, 0);
}

/* ---- descriptors that cannot be kept
 * ------------------------------------------------------------------ */

static void store_bad_keys(void)
{
    uint32_t keys[HAND_OVER_KEYS_MAX];
    for (uint32_t i = 0; i < HAND_OVER_KEYS_MAX; i++)
        keys[i] = KEY_MAX + i;
    store(launcher, keys, HAND_OVER_KEYS_MAX);
    store(launcher, (uint32_t[]){KEY_MAX + 1000}, 1);
    store(launcher, (uint32_t[]){5}, 1);
}

static uint32_t refused;

static bool all_are_refused(void)
{
    struct hand_over_message message;
    while (machine_receive(launcher, &message) == 1)
        if (message.type == HAND_OVER_REFUSED)
            refused += message.count;
    return machine_kept()->held.end == 6;
}

static void check_refused(void)
{
    CHECK_NUMBER(refused, HAND_OVER_KEYS_MAX + 1);
    machine_stop();
}

MACHINE_TEST(keys_that_are_refused_are_told_before_anything_else_is_read)
{
    static const struct machine_act acts[] = {{both_run, machine_both_ready},
                                              {machine_both_heard, store_bad_keys},
                                              {all_are_refused, check_refused}};
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
}

static void fill_and_store_bad_keys(void)
{
    struct hand_over_message message;
    machine_answer("sendmsg", "", -EAGAIN, 2);
    while (machine_receive(launcher, &message) == 1)
        continue;
    store_bad_keys();
}

MACHINE_TEST(a_launcher_that_cannot_be_told_yet_is_told_when_there_is_room)
{
    static const struct machine_act acts[] = {{both_run, machine_both_ready},
                                              {machine_both_heard, fill_and_store_bad_keys},
                                              {all_are_refused, check_refused}};
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
}

MACHINE_TEST(too_many_descriptors_on_their_way_are_waited_for)
{
    static const struct machine_act acts[] = {{both_run, machine_both_ready},
                                              {machine_both_heard, machine_over}};
    machine_answer("sendmsg", "", -ETOOMANYREFS, 1);
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
    CHECK(machine_got(launcher, HAND_OVER_HELD_DONE, NULL));
    CHECK(machine_got(journal, HAND_OVER_HELD_DONE, NULL));
}

static void lower_limit_and_store(void)
{
    int lowest = dup(0);
    struct rlimit few = {(rlim_t)lowest + 1, 1024};
    close(lowest);
    store(launcher, (uint32_t[]){7, 8, 9}, 3);
    CHECK_NUMBER(setrlimit(RLIMIT_NOFILE, &few), 0);
}

static bool is_told_of_three(void)
{
    struct hand_over_message message;
    while (machine_receive(launcher, &message) == 1)
        if (message.type == HAND_OVER_REFUSED)
            refused += message.count;
    return refused == 3;
}

MACHINE_TEST(what_came_without_its_descriptors_is_refused)
{
    static const struct machine_act acts[] = {{both_run, machine_both_ready},
                                              {machine_both_heard, lower_limit_and_store},
                                              {is_told_of_three, machine_over}};
    machine_answer("setrlimit64", "", -EPERM, FOR_GOOD); /* this process has its own */
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
    CHECK(
        machine_said("Could not keep a descriptor error=\"No file descriptors available\" key=7") ||
        machine_said("Could not keep a descriptor error=\"Too many open files\" key=7"));
    CHECK_NUMBER(machine_kept()->held.end, 0);
}

/* ---- the pair itself
 * ---------------------------------------------------------------------------------- */

static void change_in_vain(void)
{
    uint32_t keys[] = {KEY_MAX};
    machine_answer("sendmsg", "", -EAGAIN, 1);
    machine_answer("epoll_ctl", "", -ENOSPC, 1);
    store(launcher, keys, 1);
}

static bool is_said(void)
{
    return machine_said("Could not watch a part of conit error=\"No space left on device\" "
                        "program=service-launcher");
}

MACHINE_TEST(a_link_that_cannot_be_watched_otherwise_is_said)
{
    static const struct machine_act acts[] = {{both_run, machine_both_ready},
                                              {machine_both_heard, change_in_vain},
                                              {is_said, machine_over}};
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
}

static void interrupt(void)
{
    machine_answer("recvmsg", "", -EINTR, 1);
    machine_both_ready();
}

MACHINE_TEST(a_message_whose_reading_was_interrupted_is_read_again)
{
    static const struct machine_act acts[] = {{both_run, interrupt},
                                              {machine_both_heard, machine_over}};
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
}

static void end_without_memory(void)
{
    store(launcher, (uint32_t[]){20}, 1);
    machine_answer("recvmsg", "", -ENOMEM, 40);
    machine_ends(launcher, 1 << 8);
}

MACHINE_TEST(what_a_dead_one_has_said_is_given_up_when_there_is_no_memory_for_it)
{
    static const struct machine_act acts[] = {{both_run, machine_both_ready},
                                              {machine_both_heard, end_without_memory},
                                              {another_launcher, machine_over}};
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
    CHECK_NUMBER(machine_kept()->held.end, 0);
}

static void hang_up(void)
{
    CHECK_NUMBER(shutdown(machine_find(launcher)->peer, SHUT_RDWR), 0);
}

MACHINE_TEST(one_that_closes_its_end_will_never_be_heard_again_and_is_killed)
{
    static const struct machine_act acts[] = {{both_run, machine_both_ready},
                                              {machine_both_heard, hang_up},
                                              {another_launcher, machine_over}};
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
    CHECK(machine_said("A part of conit was killed and is started again failures=1"));
}

/* ---- the end of the machine
 * ------------------------------------------------------------------------------ */

static void shut_down(void)
{
    machine_say_type(CHILD_LAUNCHER, HAND_OVER_SHUT_DOWN, SHUT_DOWN_REBOOT);
}

static bool drains(void)
{
    return machine_child(CHILD_JOURNAL) && machine_kept()->ending.phase == PHASE_DRAIN &&
           machine_got(machine_child(CHILD_JOURNAL), HAND_OVER_DRAIN, NULL);
}

static void end_journal(void)
{
    machine_ends(machine_child(CHILD_JOURNAL), SIGSEGV);
}

static bool another_journal(void)
{
    pid_t now = machine_child(CHILD_JOURNAL);
    if (!now || now == journal)
        return false;
    journal = now;
    return true;
}

MACHINE_TEST(a_journal_that_fails_twice_while_it_writes_the_rest_is_not_waited_for)
{
    static const struct machine_act acts[] = {{both_run, machine_both_ready},
                                              {machine_both_heard, shut_down},
                                              {drains, end_journal},
                                              {another_journal, end_journal}};
    CHECK_NUMBER(LIVE(acts), MACHINE_REBOOTED);
    CHECK_NUMBER(machine_played(), 4);
    CHECK_NUMBER(machine_kept()->ending.drained, 0);
    CHECK((machine_now_ns() - machine_kept()->ending.asked_at_ns) / 1000000000 < 2);
}

static void say_ready(void)
{
    machine_say_type(CHILD_JOURNAL, HAND_OVER_READY, 0);
}

static void say_drained(void)
{
    machine_say_type(CHILD_JOURNAL, HAND_OVER_DRAINED, 0);
}

MACHINE_TEST(a_journal_that_is_started_again_while_it_writes_the_rest_is_told_to)
{
    static const struct machine_act acts[] = {{both_run, machine_both_ready},
                                              {machine_both_heard, shut_down},
                                              {drains, end_journal},
                                              {another_journal, say_ready},
                                              {drains, say_drained}};
    CHECK_NUMBER(LIVE(acts), MACHINE_REBOOTED);
    CHECK_NUMBER(machine_kept()->ending.drained, 1);
}

static bool journal_has_ended(void)
{
    return !machine_child(CHILD_JOURNAL);
}

MACHINE_TEST(a_journal_whose_next_start_is_near_is_waited_for)
{
    static const struct machine_act acts[] = {
        {both_run, machine_both_ready}, {machine_both_heard, end_journal},
        {another_journal, end_journal}, {another_journal, end_journal},
        {another_journal, end_journal}, {another_journal, end_journal},
        {journal_has_ended, shut_down}, {another_journal, say_ready},
        {drains, say_drained}};
    CHECK_NUMBER(LIVE(acts), MACHINE_REBOOTED);
    CHECK_NUMBER(machine_kept()->ending.drained, 1);
}

MACHINE_TEST(a_journal_that_says_nothing_is_asked_to_end_and_killed)
{
    static const struct machine_act acts[] = {{both_run, machine_both_ready},
                                              {machine_both_heard, shut_down}};
    CHECK_NUMBER(LIVE(acts), MACHINE_REBOOTED);
    CHECK(machine_said("Waiting for the journal to write what it has seconds=5"));
    CHECK(machine_said("The journal has not written all it has in time"));
    char text[40];
    snprintf(text, sizeof text, "kill %d 15\n", (int)journal);
    CHECK_NUMBER(machine_times(text), 1);
}

static void be_immortal_and_shut_down(void)
{
    machine_temper(journal, TEMPER_IMMORTAL);
    machine_process("stuck", TEMPER_IMMORTAL);
    shut_down();
}

MACHINE_TEST(what_the_kernel_does_not_let_go_of_holds_nothing_up_for_long)
{
    static const struct machine_act acts[] = {{both_run, machine_both_ready},
                                              {machine_both_heard, be_immortal_and_shut_down}};
    CHECK_NUMBER(LIVE(acts), MACHINE_REBOOTED);
    CHECK(machine_said("Killing what does not end by itself processes=1"));
    CHECK(machine_said("The kernel does not let go of some processes processes=1"));
    CHECK(machine_said("Waiting for a process to end name=stuck"));
    CHECK((machine_now_ns() - machine_kept()->ending.asked_at_ns) / 1000000000 < 31);
}

static void end_journal_and_shut_down(void)
{
    machine_process("stubborn", TEMPER_STUBBORN);
    machine_answer("clone", "", -ENOMEM, 2);
    end_journal();
    shut_down();
}

MACHINE_TEST(without_a_journal_the_rest_is_killed_all_the_same)
{
    static const struct machine_act acts[] = {{both_run, machine_both_ready},
                                              {machine_both_heard, end_journal_and_shut_down}};
    CHECK_NUMBER(LIVE(acts), MACHINE_REBOOTED);
    CHECK_NUMBER(machine_times("kill -1 19"), 1);
}

static void be_another_and_shut_down(void)
{
    machine_process("stubborn", TEMPER_STUBBORN);
    machine_answer("getpid", "", 7, FOR_GOOD);
    shut_down();
}

/* To one that is not process 1, -1 is all of the machine that it may kill. */
MACHINE_TEST(one_that_is_not_process_1_freezes_nobody)
{
    static const struct machine_act acts[] = {{both_run, machine_both_ready},
                                              {machine_both_heard, be_another_and_shut_down}};
    LIVE(acts);
    CHECK(machine_said("Killing what does not end by itself processes=1"));
    CHECK_NUMBER(machine_times("kill -1"), 0);
}

static void ask_twice(void)
{
    machine_signal(SIGTERM, 50);
    machine_signal(SIGUSR1, 51);
}

static bool is_asked(void)
{
    return machine_said("Asked to end how=poweroff sender=51 signal=10");
}

static bool is_ending(void)
{
    return machine_kept()->ending.phase != PHASE_NONE;
}

static void ask_again(void)
{
    machine_signal(SIGTERM, 52);
    machine_process("stubborn", TEMPER_STUBBORN);
}

MACHINE_TEST(the_last_one_that_asks_before_the_end_has_begun_says_how)
{
    static const struct machine_act acts[] = {{both_run, machine_both_ready},
                                              {machine_both_heard, ask_twice},
                                              {is_asked, machine_both_ready},
                                              {is_ending, ask_again}};
    CHECK_NUMBER(LIVE(acts), MACHINE_REBOOTED);
    CHECK(machine_said("The launcher does not stop the services: everything is ended without it"));
    CHECK(machine_said("Asked to end how=reboot sender=52 signal=15"));
    CHECK_NUMBER(machine_times("reboot 0x4321fedc"), 1);
}

static void shut_down_by_both(void)
{
    machine_say_type(CHILD_LAUNCHER, HAND_OVER_PROGRESS, 0);
    shut_down();
    shut_down();
    machine_say_type(CHILD_LAUNCHER, HAND_OVER_PROGRESS, 0);
    machine_say_type(CHILD_JOURNAL, HAND_OVER_DRAINED, 0);
}

/* Of the launcher what it had said is read when it is reaped. */
MACHINE_TEST(what_comes_when_the_end_has_begun_changes_nothing)
{
    static const struct machine_act acts[] = {{both_run, machine_both_ready},
                                              {machine_both_heard, shut_down_by_both}};
    CHECK_NUMBER(LIVE(acts), MACHINE_REBOOTED);
    CHECK_NUMBER(machine_kept()->ending.drained, 0);
    CHECK(machine_said("The journal has not written all it has in time"));
}

static void say_progress_late(void)
{
    machine_pass(6000);
    say(launcher,
        (struct hand_over_message){.type = HAND_OVER_PROGRESS, .count = 3, .text = "web"});
}

static bool is_waited_for(void)
{
    return machine_said("Waiting for=web seconds=6");
}

static void ask_by_signal(void)
{
    machine_signal(SIGTERM, 0);
}

static bool is_asked_by_signal(void)
{
    return machine_kept()->ending.signal != 0;
}

MACHINE_TEST(what_the_launcher_waits_for_is_said_after_five_seconds)
{
    static const struct machine_act acts[] = {{both_run, machine_both_ready},
                                              {machine_both_heard, ask_by_signal},
                                              {is_asked_by_signal, say_progress_late},
                                              {is_waited_for, machine_over}};
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
}

/* ---- ends of others
 * ---------------------------------------------------------------------------------------- */

static void end_many(void)
{
    for (int i = 0; i < 40; i++)
        machine_ends(machine_process("orphan", TEMPER_MILD), i << 8);
}

static bool late(void)
{
    return machine_said(
        "The launcher takes no reports: orphans are reaped and the last are remembered");
}

MACHINE_TEST(orphans_wait_for_a_launcher_and_not_for_ever)
{
    static const struct machine_act acts[] = {{both_run, end_many}, {late, machine_over}};
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
    CHECK_NUMBER(machine_kept()->own.reap_anyway, 1);
}
