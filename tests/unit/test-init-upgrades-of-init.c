/* An upgrade of init, and one of all parts, in which each call fails in turn: then the part goes on
 * as it is, or is new. */
#include "upgrade-acts.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

/* ---- init ---------------------------------------------------------------------------------- */

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

/* ---- all of it, with faults ----------------------------------------------------------------- */

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
