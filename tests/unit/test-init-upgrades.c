/* An upgrade of init and of its children, by steps, and whatever comes between two of them. Each
 * call fails in turn, too: then the part goes on as it is, or is new. */
#include "fake-machine-parts.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static pid_t launcher, journal, former;
static struct hand_over_message got;

static bool both_run(void)
{
    launcher = machine_child(CHILD_LAUNCHER);
    journal = machine_child(CHILD_JOURNAL);
    return launcher && journal;
}

static struct kept_upgrade *upgrade(void)
{
    return &machine_kept()->upgrade;
}

static void say(pid_t pid, unsigned type)
{
    struct hand_over_message message = {.type = (uint16_t)type};
    CHECK_NUMBER(machine_send(pid, &message, NULL, 0), 0);
}

static void fail(pid_t pid, const char *why)
{
    struct hand_over_message message = {.type = HAND_OVER_FAILED, .count = (uint32_t)strlen(why)};
    memcpy(message.text, why, strlen(why));
    CHECK_NUMBER(machine_send(pid, &message, NULL, 0), 0);
}

static void ask(unsigned parts)
{
    machine_say_type(CHILD_LAUNCHER, HAND_OVER_UPGRADE, (int)parts);
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

static bool launcher_has_answer(void)
{
    return machine_child(CHILD_LAUNCHER) &&
           machine_got(machine_child(CHILD_LAUNCHER), HAND_OVER_UPGRADED, &got);
}

static bool launcher_is_another(void)
{
    pid_t now = machine_child(CHILD_LAUNCHER);
    return now && now != launcher;
}

/* The answer is PARTS done, PARTS failed, and this text. */
static void check_answer(uint32_t done, uint32_t failed, const char *text)
{
    CHECK_NUMBER(got.argument, done);
    CHECK_NUMBER(got.status, failed);
    got.text[got.count < sizeof got.text ? got.count : sizeof got.text - 1] = 0;
    CHECK_TEXT(got.text, text);
    CHECK_NUMBER(upgrade()->part, 0);
    CHECK_NUMBER(upgrade()->step, UPGRADE_NONE);
    CHECK_NUMBER(upgrade()->answer_fd, -1);
    CHECK_NUMBER(upgrade()->file_fd, -1);
    CHECK_NUMBER(upgrade()->former_fd, -1);
    CHECK(!trial());
}

#define UPGRADES(...)                                                                              \
    {both_run, machine_both_ready}, __VA_ARGS__,                                                   \
    {                                                                                              \
        launcher_has_answer, machine_over                                                          \
    }

#define CHECK_LIVES(...)                                                                           \
    do {                                                                                           \
        static const struct machine_act acts_[] = {UPGRADES(__VA_ARGS__)};                         \
        CHECK_NUMBER(LIVE(acts_), MACHINE_STOPPED);                                                \
        CHECK_NUMBER(machine_played(), sizeof acts_ / sizeof acts_[0]);                            \
    } while (0)

/* ---- a child
 * ---------------------------------------------------------------------------------------- */

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

static void do_nothing(void)
{
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

/* ---- when there is none
 * ---------------------------------------------------------------------------------- */

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

static void ask_for_end(void)
{
    machine_signal(SIGTERM, 0);
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

/* ---- the machine goes down meanwhile
 * ------------------------------------------------------------------------ */

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

/* ---- init
 * ------------------------------------------------------------------------------------------------------
 */

static void make_own_file(void)
{
    machine_link_file("/proc/1/exe", "/usr/lib/conit/init");
}

static void ask_init(void)
{
    ask(PART_INIT);
}

static bool init_is_tried(void)
{
    return machine_is_alive(upgrade()->try_pid);
}

static void answer(const char *text, int status)
{
    machine_write(upgrade()->try_pid, text, strlen(text));
    machine_ends(upgrade()->try_pid, status);
}

static void answer_well(void)
{
    char text[40];
    snprintf(text, sizeof text, "%llx\n", (unsigned long long)upgrade()->nonce);
    answer(text, 0);
}

MACHINE_TEST(a_new_init_that_answers_is_executed)
{
    static const struct machine_act acts[] = {{both_run, machine_both_ready},
                                              {machine_both_heard, ask_init},
                                              {init_is_tried, answer_well}};
    make_own_file();
    machine_answer("execveat", "", 0, 1);
    CHECK_NUMBER(LIVE(acts), MACHINE_EXECUTED);
    CHECK_NUMBER(upgrade()->step, UPGRADE_EXECUTING);
    int former_fd = upgrade()->former_fd, file = machine_kept()->own.exe_fd;
    CHECK(former_fd >= 0 && file >= 0 && former_fd != file);
    CHECK_NUMBER(machine_kept()->faults.under_way, 1);
    /* And it goes on. */
    machine_on_wait = NULL;
    CHECK_NUMBER(machine_resume(machine_kept()->own.record_fd), MACHINE_STUCK);
    CHECK(machine_said("Upgraded part=init"));
    CHECK_NUMBER(upgrade()->done, PART_INIT);
    CHECK_NUMBER(upgrade()->former_fd, -1);
    CHECK(fcntl(file, F_GETFD) >= 0 && fcntl(former_fd, F_GETFD) < 0);
    CHECK(machine_child(CHILD_JOURNAL) == journal && machine_child(CHILD_LAUNCHER) == launcher);
}

MACHINE_TEST(a_new_init_that_cannot_be_executed_after_all_is_left)
{
    make_own_file();
    CHECK_LIVES({machine_both_heard, ask_init}, {init_is_tried, answer_well});
    check_answer(0, PART_INIT, "init: No such file or directory\n");
    CHECK_NUMBER(machine_kept()->faults.under_way, 0);
    CHECK(fcntl(machine_kept()->own.exe_fd, F_GETFD) >= 0);
}

static void answer_wrongly(void)
{
    answer("hello\n", 0);
}

static void answer_with_error(void)
{
    answer("it is of another machine\n", 1 << 8);
}

static void answer_nothing(void)
{
    answer("", 4 << 8);
}

static void answer_by_crash(void)
{
    answer("", SIGILL);
}

static void check_try(void (*then)(void), const char *text)
{
    struct machine_act acts[] = {{both_run, machine_both_ready},
                                 {machine_both_heard, ask_init},
                                 {init_is_tried, then},
                                 {launcher_has_answer, machine_over}};
    make_own_file();
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
    check_answer(0, PART_INIT, text);
    CHECK_NUMBER(machine_times("execveat"), 0);
}

MACHINE_TEST(a_program_that_ends_well_and_does_not_answer_is_no_init)
{
    check_try(answer_wrongly, "init: it did not answer as an init does\n");
}

MACHINE_TEST(a_new_init_that_says_why_it_cannot_is_left)
{
    check_try(answer_with_error, "init: it is of another machine\n");
}

MACHINE_TEST(a_new_init_that_only_fails_is_left)
{
    check_try(answer_nothing, "init: it ended with 4\n");
}

MACHINE_TEST(a_new_init_that_crashes_is_left)
{
    check_try(answer_by_crash, "init: it was ended by signal 4\n");
}

MACHINE_TEST(a_new_init_that_does_not_answer_is_killed)
{
    check_try(do_nothing, "init: it did not answer within 10 s\n");
}

MACHINE_TEST(a_new_init_is_not_gone_over_to_when_the_machine_ends)
{
    check_try(ask_for_end, "init: the machine is going down\n");
}

static void end_well_and_ask_for_end(void)
{
    machine_signal(SIGTERM, 0);
    answer_well();
}

MACHINE_TEST(nor_when_it_has_just_answered)
{
    make_own_file();
    CHECK_LIVES({machine_both_heard, ask_init}, {init_is_tried, end_well_and_ask_for_end});
    CHECK_NUMBER(upgrade()->step, UPGRADE_NONE);
}

MACHINE_TEST(a_new_init_whose_path_is_not_known_is_left)
{
    machine_file("/proc/1/exe", NULL);
    CHECK_LIVES({machine_both_heard, ask_init});
    check_answer(0, PART_INIT, "init: : No such file or directory\n");
}

static void ask_init_without_pipe(void)
{
    machine_answer("pipe2", "", -EMFILE, 1);
    ask_init();
}

MACHINE_TEST(without_a_pipe_a_new_init_is_not_tried)
{
    make_own_file();
    CHECK_LIVES({machine_both_heard, ask_init_without_pipe});
    got.text[got.count] = 0;
    CHECK(strncmp(got.text, "init: no pipe: ", 15) == 0);
    CHECK_NUMBER(upgrade()->file_fd, -1);
}

static void ask_init_without_process(void)
{
    machine_answer("clone", "", -EAGAIN, 1);
    ask_init();
}

MACHINE_TEST(without_a_process_a_new_init_is_not_tried)
{
    make_own_file();
    CHECK_LIVES({machine_both_heard, ask_init_without_process});
    check_answer(0, PART_INIT, "init: no process to try it: Resource temporarily unavailable\n");
}

static void be_tried(void)
{
    machine_become_child(0);
    ask_init();
}

static const struct machine_act tries[] = {{both_run, machine_both_ready},
                                           {machine_both_heard, be_tried}};

MACHINE_TEST(what_tries_a_new_init_gives_it_a_copy_of_the_record)
{
    make_own_file();
    machine_answer("execveat", "", 0, 1);
    CHECK_NUMBER(LIVE(tries), MACHINE_EXECUTED);
    CHECK_NUMBER(machine_times("dup2 3"), 1);
    CHECK_NUMBER(machine_times("dup3 4"), 1);
}

static void be_tried_with_fault(void)
{
    make_own_file();
    int how = LIVE(tries);
    if (how == MACHINE_STUCK) /* it was not even tried */
        CHECK(machine_said("Not upgraded") || machine_said("in=container"));
    else
        CHECK_NUMBER(how, 127);
    if (!machine_fault() ||
        strncmp(machine_fault(), "dup", 3) != 0) /* which cannot fail with these */
        CHECK_NUMBER(machine_times("execveat"), machine_times("dup2 3") && machine_times("dup3 4"));
}

TEST(what_cannot_prepare_a_new_init_does_not_execute_it)
{
    CHECK(machine_fail_each(EMFILE, be_tried_with_fault) > 40);
}

/* ---- all of it, with faults
 * -------------------------------------------------------------------------------------- */

static uint64_t nonce;

/* Everybody does their part whenever they are told to. */
static bool do_parts(void)
{
    static pid_t ready[16];
    static size_t count;
    struct kept *kept = machine_kept();
    for (int i = 0; kept && i < CHILDREN_ALL; i++) {
        pid_t pid = kept->children[i].pid;
        if (!machine_is_alive(pid) || kept->children[i].link_fd < 0)
            continue;
        bool known = false;
        for (size_t k = 0; k < count; k++)
            known |= ready[k] == pid;
        if (!known && count < 16) {
            ready[count++] = pid;
            say(pid, HAND_OVER_READY);
            return true;
        }
        struct hand_over_message message;
        while (machine_receive(pid, &message) == 1) {
            if (message.type == HAND_OVER_YIELD) {
                say(pid, HAND_OVER_YIELDED);
                return true;
            }
            if (message.type == HAND_OVER_UPGRADED) {
                got = message;
                say(pid, HAND_OVER_UPGRADED_SEEN);
                return true;
            }
        }
    }
    if (kept && machine_is_alive(kept->upgrade.try_pid) && kept->upgrade.nonce != nonce) {
        nonce = kept->upgrade.nonce;
        answer_well();
        return true;
    }
    return false;
}

static bool play_all(void)
{
    static bool asked;
    struct kept *kept = machine_kept();
    if (do_parts())
        return true;
    if (got.type && kept->upgrade.report == REPORT_NONE)
        machine_stop();
    if (asked || !kept || !machine_both_heard())
        return false;
    asked = true;
    ask(PARTS_ALL);
    return true;
}

static bool is_open(int fd)
{
    return fd < 0 || fcntl(fd, F_GETFD) >= 0;
}

static void upgrade_all(void)
{
    make_own_file();
    int how = machine_boot(NULL, play_all);
    if (!got.type && machine_said("in=container"))
        return;
    CHECK_NUMBER(how, MACHINE_STOPPED);
    CHECK_NUMBER(got.argument | got.status, PARTS_ALL);
    CHECK_NUMBER(got.argument & got.status, 0);
    CHECK_NUMBER(got.status & PART_INIT, PART_INIT); /* the machine executes nothing */
    if (!machine_fault())
        CHECK_NUMBER(got.argument, PART_JOURNAL | PART_LAUNCHER);
    CHECK_NUMBER(upgrade()->file_fd, -1);
    CHECK_NUMBER(upgrade()->former_fd, -1);
    CHECK(is_open(machine_kept()->own.exe_fd));
    CHECK(machine_both_heard());
}

TEST(whatever_call_fails_each_part_is_new_or_as_it_was_and_somebody_is_told)
{
    CHECK(machine_fail_each(ENOMEM, upgrade_all) > 200);
}
