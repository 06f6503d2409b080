/* What init seldom meets: two things in one turn, tables that are full, old kernels, and words of a
 * command line that nobody means. */
#include "fake-machine-parts.h"
#include "init/try-init.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static pid_t launcher, journal;
static struct hand_over_message got;

static bool both_run(void)
{
    launcher = machine_child(CHILD_LAUNCHER);
    journal = machine_child(CHILD_JOURNAL);
    return launcher && journal;
}

static void say(pid_t pid, unsigned type, int argument)
{
    struct hand_over_message message = {.type = (uint16_t)type, .argument = argument};
    CHECK_NUMBER(machine_send(pid, &message, NULL, 0), 0);
}

static bool stop(void)
{
    machine_stop();
}

static void boot_with(const char *const *words)
{
    CHECK_NUMBER(machine_boot(words, stop), MACHINE_STOPPED);
}

static void boot(void)
{
    boot_with(NULL);
}

static struct kept_upgrade *upgrade(void)
{
    return &machine_kept()->upgrade;
}

/* ---- two things in one turn
 * ----------------------------------------------------------------------------- */

static void ask_twice(void)
{
    say(launcher, HAND_OVER_UPGRADE, PART_JOURNAL);
    say(launcher, HAND_OVER_UPGRADE, PART_LAUNCHER);
}

static bool launcher_has_answer(void)
{
    return machine_got(machine_child(CHILD_LAUNCHER), HAND_OVER_UPGRADED, &got);
}

MACHINE_TEST(an_upgrade_is_refused_while_one_has_only_been_asked_for)
{
    static const struct machine_act acts[] = {{both_run, machine_both_ready},
                                              {machine_both_heard, ask_twice},
                                              {launcher_has_answer, machine_over}};
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
    CHECK_NUMBER(got.status, PART_LAUNCHER);
    CHECK(memcmp(got.text, "launcher: an upgrade is under way\n", 34) == 0);
    CHECK_NUMBER(upgrade()->part, PART_JOURNAL);
}

static pid_t former;

static void upgrade_journal(void)
{
    former = journal;
    say(launcher, HAND_OVER_UPGRADE, PART_JOURNAL);
}

static bool is_told_to_yield(void)
{
    return machine_got(former, HAND_OVER_YIELD, NULL);
}

static void upgrade_what_there_is(void)
{
    former = journal;
    say(launcher, HAND_OVER_UPGRADE, 0);
}

MACHINE_TEST(an_upgrade_of_nothing_that_is_named_is_one_of_all)
{
    static const struct machine_act acts[] = {{both_run, machine_both_ready},
                                              {machine_both_heard, upgrade_what_there_is},
                                              {is_told_to_yield, machine_over}};
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
    CHECK(machine_said("Upgrading parts=7"));
    CHECK_NUMBER(upgrade()->failed, PART_INIT); /* whose path is not known here */
    CHECK_NUMBER(upgrade()->wanted, PART_LAUNCHER);
}

static void upgrade_launcher(void)
{
    former = launcher;
    say(launcher, HAND_OVER_UPGRADE, PART_LAUNCHER);
}

static void yield(void)
{
    say(former, HAND_OVER_YIELDED, 0);
}

static bool is_tried(void)
{
    pid_t trial = machine_child(CHILD_TRIAL);
    return trial && machine_got(trial, HAND_OVER_HELD_DONE, NULL);
}

static void get_ready_when_time_is_over(void)
{
    machine_pass(10001);
    say(machine_child(CHILD_TRIAL), HAND_OVER_READY, 0);
}

MACHINE_TEST(one_that_gets_ready_at_the_last_moment_takes_over)
{
    static const struct machine_act acts[] = {{both_run, machine_both_ready},
                                              {machine_both_heard, upgrade_journal},
                                              {is_told_to_yield, yield},
                                              {is_tried, get_ready_when_time_is_over},
                                              {launcher_has_answer, machine_over}};
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
    CHECK_NUMBER(got.argument, PART_JOURNAL);
}

static void end_journal(void)
{
    machine_ends(journal, SIGSEGV);
}

static bool another_journal(void)
{
    pid_t now = machine_child(CHILD_JOURNAL);
    return now && now != journal;
}

MACHINE_TEST(a_journal_that_ends_while_a_launcher_is_tried_is_started_again)
{
    static const struct machine_act acts[] = {{both_run, machine_both_ready},
                                              {machine_both_heard, upgrade_launcher},
                                              {is_told_to_yield, yield},
                                              {is_tried, end_journal},
                                              {another_journal, machine_over}};
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
    CHECK_NUMBER(upgrade()->step, UPGRADE_TRIAL);
}

static void shut_down_and_be_ready(void)
{
    while (machine_receive(launcher, &got) == 1)
        continue; /* else what it has said is lost with its end */
    say(launcher, HAND_OVER_SHUT_DOWN, SHUT_DOWN_POWEROFF);
    say(launcher, HAND_OVER_READY, 0);
}

MACHINE_TEST(a_launcher_that_gets_ready_when_the_end_has_begun_is_not_waited_for)
{
    static const struct machine_act acts[] = {{both_run, shut_down_and_be_ready}};
    CHECK_NUMBER(LIVE(acts), MACHINE_REBOOTED);
    CHECK_NUMBER(machine_kept()->ending.patience_until_ns, 0);
}

static void shut_down(void)
{
    say(launcher, HAND_OVER_SHUT_DOWN, SHUT_DOWN_POWEROFF);
}

static bool is_to_drain(void)
{
    return machine_kept()->ending.phase == PHASE_DRAIN &&
           machine_got(machine_child(CHILD_JOURNAL), HAND_OVER_DRAIN, NULL);
}

static void say_drained_and_end(void)
{
    say(journal, HAND_OVER_DRAINED, 0);
    machine_ends(journal, 0);
}

MACHINE_TEST(a_journal_that_has_written_all_and_ends_is_not_started_again)
{
    static const struct machine_act acts[] = {{both_run, machine_both_ready},
                                              {machine_both_heard, shut_down},
                                              {is_to_drain, say_drained_and_end}};
    CHECK_NUMBER(LIVE(acts), MACHINE_REBOOTED);
    CHECK_NUMBER(machine_kept()->ending.drained, 1);
    CHECK(!machine_said("and is started again"));
}

static void shut_down_and_hear_nothing(void)
{
    machine_answer("sendmsg", "", -EPIPE, FOR_GOOD);
    shut_down();
}

static bool drains_untold(void)
{
    return machine_kept()->ending.phase == PHASE_DRAIN;
}

static void say_drained_too_early(void)
{
    say(journal, HAND_OVER_DRAINED, 0);
}

MACHINE_TEST(a_journal_that_was_not_told_yet_has_not_written_all)
{
    static const struct machine_act acts[] = {{both_run, machine_both_ready},
                                              {machine_both_heard, shut_down_and_hear_nothing},
                                              {drains_untold, say_drained_too_early}};
    CHECK_NUMBER(LIVE(acts), MACHINE_REBOOTED);
    CHECK_NUMBER(machine_kept()->ending.drained, 0);
    CHECK(machine_said("The journal has not written all it has in time"));
}

static void say_drained_for_nothing(void)
{
    say(journal, HAND_OVER_DRAINED, 0);
    say(journal, HAND_OVER_REFUSED, 0);
}

static bool has_heard(void)
{
    return machine_said("Descriptors were not taken back");
}

MACHINE_TEST(a_journal_that_was_asked_for_nothing_ends_nothing)
{
    static const struct machine_act acts[] = {{both_run, machine_both_ready},
                                              {machine_both_heard, say_drained_for_nothing},
                                              {has_heard, machine_over}};
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
    CHECK_NUMBER(machine_kept()->ending.drained, 0);
    CHECK_NUMBER(machine_kept()->ending.phase, PHASE_NONE);
}

static void break_step(void)
{
    upgrade()->step = 99;
    say(journal, HAND_OVER_REFUSED, 0);
}

MACHINE_TEST(a_step_of_an_upgrade_that_there_is_none_of_does_nothing)
{
    static const struct machine_act acts[] = {{both_run, machine_both_ready},
                                              {machine_both_heard, break_step},
                                              {has_heard, machine_over}};
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
    CHECK_NUMBER(upgrade()->step, 99);
    CHECK_NUMBER(machine_times("kill"), 0);
}

/* ---- what is full
 * ------------------------------------------------------------------------------------------- */

static void store_bad_keys(uint32_t first, uint32_t count)
{
    int fds[HAND_OVER_KEYS_MAX];
    struct hand_over_message message = {
        .type = HAND_OVER_STORE, .owner = OWNER_LAUNCHER, .count = count};
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (uint32_t i = 0; i < count; i++) {
        message.keys[i] = first + i;
        fds[i] = fd;
    }
    CHECK_NUMBER(machine_send(launcher, &message, fds, count), 0);
    close(fd);
}

static void store_too_many_and_end(void)
{
    machine_answer("sendmsg", "", -EAGAIN, 2);
    store_bad_keys(KEY_MAX, HAND_OVER_KEYS_MAX);
    store_bad_keys(KEY_MAX + 500, 5);
    machine_ends(launcher, 0);
}

static bool another_launcher(void)
{
    pid_t now = machine_child(CHILD_LAUNCHER);
    return now && now != launcher;
}

MACHINE_TEST(of_a_dead_one_more_keys_are_refused_than_there_is_room_for)
{
    static const struct machine_act acts[] = {{both_run, machine_both_ready},
                                              {machine_both_heard, store_too_many_and_end},
                                              {another_launcher, machine_over}};
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
    CHECK(machine_said("key=393689")); /* KEY_MAX + 504: it was read and closed */
    CHECK_NUMBER(machine_kept()->held.end, 0);
}

static void fill_ring_and_end_one(void)
{
    struct kept_ended *ended = &machine_kept()->ended;
    ended->halves[ended->live].sent = ended->last = ENDED_RING;
    machine_ends(machine_process("orphan", TEMPER_MILD), 0);
}

static bool is_late(void)
{
    return machine_said("The launcher takes no reports");
}

MACHINE_TEST(a_launcher_that_does_not_keep_up_is_waited_for_ten_seconds)
{
    static const struct machine_act acts[] = {{both_run, machine_both_ready},
                                              {machine_both_heard, fill_ring_and_end_one},
                                              {is_late, machine_over}};
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
    CHECK_NUMBER(machine_now_ns() / 1000000000, 1010);
    CHECK_NUMBER(machine_kept()->own.reap_anyway, 1);
}

static void fill_killed(void)
{
    for (int i = 0; i < UPGRADE_KILLED; i++)
        upgrade()->killed[i] = machine_process("killed", TEMPER_IMMORTAL);
    upgrade_journal();
}

static void fail_trial(void)
{
    say(machine_child(CHILD_TRIAL), HAND_OVER_STORE, 0);
}

MACHINE_TEST(more_killed_ones_than_can_be_noted_are_reaped_with_the_orphans)
{
    static const struct machine_act acts[] = {{both_run, machine_both_ready},
                                              {machine_both_heard, fill_killed},
                                              {is_told_to_yield, yield},
                                              {is_tried, fail_trial},
                                              {launcher_has_answer, machine_over}};
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
    CHECK_NUMBER(got.status, PART_JOURNAL);
    CHECK(machine_got(journal, HAND_OVER_RESUME, NULL));
}

static size_t journals;

static bool journal_runs(void)
{
    static pid_t last;
    if (!machine_child(CHILD_JOURNAL) || machine_child(CHILD_JOURNAL) == last)
        return false;
    last = machine_child(CHILD_JOURNAL);
    journals++;
    return true;
}

static void end_that_journal(void)
{
    machine_ends(machine_child(CHILD_JOURNAL), 1 << 8);
}

MACHINE_TEST(a_journal_that_ends_again_and_again_opens_no_shell)
{
    static const struct machine_act acts[] = {
        {journal_runs, end_that_journal}, {journal_runs, end_that_journal},
        {journal_runs, end_that_journal}, {journal_runs, end_that_journal},
        {journal_runs, end_that_journal}, {journal_runs, end_that_journal},
        {journal_runs, machine_over}};
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
    CHECK_NUMBER(journals, 7);
    CHECK(machine_said("failures=6"));
    CHECK(!machine_said("here is a shell"));
}

MACHINE_TEST(of_too_many_swap_files_as_many_are_switched_off_as_there_is_room_for)
{
    static char text[1200 * 12];
    size_t used = (size_t)snprintf(text, sizeof text, "Filename\n");
    for (int i = 0; i < 1100; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "/s%d x\n", i);
    static const struct machine_act acts[] = {{both_run, shut_down}};
    machine_file("/proc/swaps", text);
    CHECK_NUMBER(LIVE(acts), MACHINE_REBOOTED);
    CHECK_NUMBER(machine_times("swapoff /s"), 1024);
}

MACHINE_TEST(a_stat_that_is_none_is_no_process_to_wait_for)
{
    static const struct machine_act acts[] = {{both_run, shut_down}};
    machine_file("/proc/555/stat", "nonsense");
    machine_file("/proc/556/stat",
                 "556 (x) X 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 1 1");
    CHECK_NUMBER(LIVE(acts), MACHINE_REBOOTED);
    CHECK_NUMBER(machine_times("kill 55"), 0);
}

/* ---- kernels and containers
 * --------------------------------------------------------------------------------- */

MACHINE_TEST(a_proc_of_its_own_is_taken_where_the_kernel_gives_one)
{
    char path[MACHINE_PATH];
    int fake = open(machine_path("/proc", path), O_RDONLY | O_DIRECTORY);
    machine_answer("fsopen", "", dup(0), 1);
    machine_answer("fsmount", "", fake, 1);
    machine_link("/proc/self", "55"); /* the one that is mounted is of another namespace */
    machine_link("/proc/55/ns/pid", "pid:[4026532000]");
    boot();
    CHECK(machine_said("in=container"));
}

MACHINE_TEST(where_it_cannot_be_made_the_one_that_is_mounted_is_taken)
{
    machine_answer("fsopen", "", dup(0), 1);
    machine_answer("fsconfig", "", -EPERM, 1);
    boot();
    CHECK(machine_said("in=machine"));
}

MACHINE_TEST(where_it_cannot_be_mounted_too)
{
    machine_answer("fsopen", "", dup(0), 1);
    machine_answer("fsmount", "", -EPERM, 1);
    boot();
    CHECK(machine_said("in=machine"));
}

MACHINE_TEST(a_proc_of_another_namespace_is_not_looked_into)
{
    machine_link("/proc/self", "2");
    machine_link("/proc/2/ns/pid", "pid:[4026531836]");
    machine_answer("readlink", "/proc/self/ns/pid", -EACCES, 1);
    boot();
    CHECK(machine_said("in=container"));
}

MACHINE_TEST(mounts_without_ids_are_known_by_their_place)
{
    static const struct machine_act acts[] = {{both_run, shut_down}};
    machine_link("/proc/1/ns/pid", "pid:[4026532000]");
    machine_answer("mount id", "", 0, FOR_GOOD);
    CHECK_NUMBER(LIVE(acts), 0);
    CHECK_NUMBER(machine_times("umount /proc"), 1);
}

static void unmount_run_and_shut_down(void)
{
    char *run = machine_mounted("/run");
    CHECK(run != NULL);
    run[0] = 0;
    shut_down();
}

MACHINE_TEST(what_somebody_has_unmounted_is_not_unmounted_again)
{
    static const struct machine_act acts[] = {{both_run, unmount_run_and_shut_down}};
    machine_link("/proc/1/ns/pid", "pid:[4026532000]");
    machine_mount("/sys");
    CHECK_NUMBER(LIVE(acts), 0);
    CHECK_NUMBER(machine_times("umount /proc"), 1);
    CHECK_NUMBER(machine_times("umount /run"), 0);
    CHECK_NUMBER(machine_times("umount /sys"), 0);
    CHECK(!machine_said("Could not unmount"));
}

MACHINE_TEST(a_standard_descriptor_that_is_closed_is_opened_in_its_place)
{
    close(0);
    boot();
    CHECK(fcntl(0, F_GETFD) >= 0);
    CHECK_NUMBER(machine_times("dup2 0"), 1); /* the console alone */
}

MACHINE_TEST(a_limit_that_is_high_already_is_not_raised)
{
    machine_limit(1000000, 1000000);
    boot();
    CHECK_NUMBER(machine_times("setrlimit"), 1);
    CHECK_NUMBER(machine_times("setrlimit 1000000 1000000"), 1);
    CHECK_NUMBER(machine_kept()->own.held_limit, 1000000 - 64);
}

MACHINE_TEST(a_limit_that_leaves_nothing_to_hold_is_none_of_held_descriptors)
{
    machine_limit(64, 64);
    machine_answer("setrlimit64", "", -EPERM, FOR_GOOD);
    boot();
    CHECK_NUMBER(machine_kept()->own.held_limit, 0);
}

MACHINE_TEST(a_limit_that_is_none_is_none_of_held_descriptors)
{
    machine_limit(UINT64_MAX, UINT64_MAX);
    boot();
    CHECK_NUMBER(machine_kept()->own.held_limit, 0);
}

MACHINE_TEST(a_child_of_an_old_kernel_closes_what_it_can_see)
{
    machine_become_child(0);
    machine_answer("close_range", "", -ENOSYS, FOR_GOOD);
    machine_answer("getrlimit64", "", -EPERM, FOR_GOOD);
    machine_answer("execve", "", 0, 1);
    CHECK_NUMBER(machine_boot(NULL, stop), MACHINE_EXECUTED);
}

MACHINE_TEST(without_processes_for_its_steps_init_does_them_itself)
{
    machine_answer("clone", "", -EAGAIN, 11);
    boot();
    CHECK_NUMBER(machine_times("mount /proc"), 1);
    CHECK_NUMBER(machine_times("mount /run"), 1);
    CHECK_NUMBER(machine_now_ns() / 1000000000, 1001); /* ten tries */
}

MACHINE_TEST(a_console_that_is_slow_makes_no_step_hang_longer)
{
    machine_answer("mount", "/run", MACHINE_HANGS, 1);
    machine_answer("write", "2", MACHINE_IS_SLOW, 1);
    boot();
    CHECK(machine_said("Gave up waiting for=mount object=/run"));
}

/* ---- the loop
 * --------------------------------------------------------------------------------------------------
 */

static void fail(void)
{
    machine_answer("epoll_wait", "", -EBADF, 1);
    machine_signal(SIGCHLD, 0); /* it is asked once more */
}

static bool has_failed(void)
{
    return machine_said("The event loop failed: going on without it");
}

static void be_signalled(void)
{
    machine_signal(SIGTERM, 0);
}

static bool is_asked(void)
{
    return machine_said("Asked to end how=reboot sender=0 signal=15");
}

MACHINE_TEST(without_a_loop_signals_of_the_kernel_are_heard)
{
    static const struct machine_act acts[] = {{both_run, machine_both_ready},
                                              {machine_both_heard, fail},
                                              {has_failed, be_signalled},
                                              {is_asked, machine_over}};
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
}

/* ---- words
 * -----------------------------------------------------------------------------------------------------
 */

MACHINE_TEST(a_word_that_is_no_option_is_warned_of)
{
    static const char *const words[] = {"init", "--bogus", NULL};
    boot_with(words);
    CHECK(
        machine_said("A word of the command line is not known, or has no good value word=--bogus"));
}

MACHINE_TEST(words_that_are_too_many_are_left_out_and_that_is_said)
{
    static const char *words[WORDS_KEPT_MAX + 10];
    for (size_t i = 0; i + 1 < sizeof words / sizeof words[0]; i++)
        words[i] = "--json";
    words[0] = "init";
    boot_with(words);
    CHECK(machine_said("The command line is too long: its end is left out"));
}

MACHINE_TEST(as_process_1_of_a_container_init_answers_questions)
{
    static const char *const words[] = {"init", "--help", NULL};
    machine_link("/proc/1/ns/pid", "pid:[4026532000]");
    CHECK_NUMBER(machine_boot(words, stop), 0);
    CHECK_TEXT(machine_did(), "");
}

MACHINE_TEST(as_process_1_of_a_machine_it_boots_whatever_it_is_asked)
{
    static const char *const words[] = {"init", "--help", NULL};
    boot_with(words);
    CHECK(machine_child(CHILD_LAUNCHER) > 0);
}

MACHINE_TEST(as_process_1_it_tries_no_init)
{
    static const char *const words[] = {"init", TRY_INIT_WORD, "3", "x", NULL};
    boot_with(words);
    CHECK(machine_child(CHILD_LAUNCHER) > 0);
}
