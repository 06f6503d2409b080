/* Launcher and journal as init starts them, hears them and starts them again. */
#include "fake-machine.h"
#include "init/record.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

static pid_t launcher, journal;

static bool both_run(void)
{
    launcher = machine_child(CHILD_LAUNCHER);
    journal = machine_child(CHILD_JOURNAL);
    return launcher && journal;
}

/* ---- what the child does ----------------------------------------------------------------------
 */

/* How the journal's own process ends. */
static int become_journal(void)
{
    machine_become_child(0);
    return machine_live(NULL, NULL, 0);
}

MACHINE_TEST(a_child_executes_the_program_beside_init_with_its_descriptors_in_place)
{
    machine_answer("execve", "/usr/lib/conit/service-journal", 0, 1);
    CHECK_NUMBER(become_journal(), MACHINE_EXECUTED);
    CHECK_NUMBER(machine_times("setsid"), 1);
    CHECK_NUMBER(machine_times("dup2 0"), 2); /* init's console, and nothing to read */
    CHECK_NUMBER(machine_times("dup2 3"), 1);
    CHECK_NUMBER(machine_times("dup2 4"), 1);
    CHECK_NUMBER(machine_times("dup3 5"), 1);
    CHECK_NUMBER(machine_times("dup3 6"), 0); /* none was ready before */
    CHECK_NUMBER(machine_times("execve"), 1);
}

MACHINE_TEST(a_program_that_is_nowhere_is_told_with_the_second_place)
{
    machine_link("/proc/1/exe", "/opt/conit/init (deleted)");
    CHECK_NUMBER(become_journal(), 127);
    CHECK_NUMBER(machine_times("execve /opt/conit/service-journal"), 1);
    CHECK_NUMBER(machine_times("execve /usr/lib/conit/service-journal"), 1);
    CHECK_NUMBER(machine_times("said error 2 path 1 former 0"), 1);
}

MACHINE_TEST(a_program_that_is_there_and_cannot_be_executed_is_not_looked_for_elsewhere)
{
    machine_link("/proc/1/exe", "/opt/conit/init");
    machine_answer("execve", "", -EACCES, 1);
    CHECK_NUMBER(become_journal(), 127);
    CHECK_NUMBER(machine_times("execve"), 1);
    CHECK_NUMBER(machine_times("said error 13 path 0 former 0"), 1);
}

MACHINE_TEST(where_init_does_not_know_its_own_folder_only_the_second_place_is_looked_at)
{
    machine_file("/proc/1/exe", NULL);
    CHECK_NUMBER(become_journal(), 127);
    CHECK_NUMBER(machine_times("execve"), 1);
}

MACHINE_TEST(what_init_was_executed_as_tells_its_folder_where_proc_does_not)
{
    machine_file("/proc/1/exe", NULL);
    machine_answer("getauxval", "", (long)(uintptr_t) "/sbin/init", FOR_GOOD);
    CHECK_NUMBER(become_journal(), 127);
    CHECK_NUMBER(machine_times("execve /sbin/service-journal"), 1);
}

MACHINE_TEST(an_init_in_the_root_folder_looks_there)
{
    machine_link("/proc/1/exe", "/init");
    CHECK_NUMBER(become_journal(), 127);
    CHECK_NUMBER(machine_times("execve /./service-journal"), 1);
}

MACHINE_TEST(a_path_that_was_cut_off_is_no_folder)
{
    static char path[300] = "/";
    memset(path + 1, 'x', sizeof path - 2);
    machine_file("/proc/1/exe", NULL);
    machine_answer("getauxval", "", (long)(uintptr_t)path, FOR_GOOD);
    CHECK_NUMBER(become_journal(), 127);
    CHECK_NUMBER(machine_times("execve"), 1);
}

MACHINE_TEST(without_dev_null_a_child_reads_from_an_empty_pipe)
{
    machine_answer("open64", "/dev/null", -ENOENT, FOR_GOOD);
    CHECK_NUMBER(become_journal(), 127);
    CHECK_NUMBER(machine_times("dup2 0"), 2);
}

MACHINE_TEST(without_that_either_it_keeps_what_it_has)
{
    machine_answer("open64", "/dev/null", -ENOENT, FOR_GOOD);
    machine_answer("pipe", "", -EMFILE, FOR_GOOD);
    CHECK_NUMBER(become_journal(), 127);
    CHECK_NUMBER(machine_times("dup2 0"), 1);
    CHECK_NUMBER(machine_times("execve"), 2);
}

MACHINE_TEST(a_child_tells_nobody_where_it_cannot)
{
    machine_answer("execve", "", -EACCES, 1);
    machine_answer("write", "5", -EPIPE, FOR_GOOD);
    CHECK_NUMBER(become_journal(), 127);
    CHECK_NUMBER(machine_times("said error"), 0);
}

/* Nothing is executed with other descriptors than it should have. */
static void become_with_fault(void)
{
    CHECK_NUMBER(become_journal(), 127);
    const char *fault = machine_fault() ? machine_fault() : "";
    if (strcmp(fault, "write") != 0)
        CHECK_NUMBER(machine_times("said error"), 1);
    if (strcmp(fault, "dup2") != 0) /* which cannot fail with these */
        CHECK_NUMBER(machine_times("execve") > 0, machine_times("dup2 4") > 0);
}

TEST(a_child_that_cannot_do_what_comes_before_its_program_says_so)
{
    CHECK(machine_fail_each(EMFILE, become_with_fault) > 20);
}

/* ---- the program that was ready last ------------------------------------------------------------
 */

static bool both_run_from_files(void)
{
    char path[40];
    if (!both_run())
        return false;
    snprintf(path, sizeof path, "/proc/%d/exe", (int)launcher);
    machine_link_file(path, "/usr/lib/conit/service-launcher");
    snprintf(path, sizeof path, "/proc/%d/exe", (int)journal);
    machine_link(path, "/usr/bin/python3");
    return true;
}

static void end_launcher(void)
{
    machine_ends(machine_child(CHILD_LAUNCHER), 1 << 8);
}

static void become_and_end_launcher(void)
{
    machine_become_child(0);
    end_launcher();
}

static const struct machine_act loses_launcher[] = {{both_run_from_files, machine_both_ready},
                                                    {machine_both_heard, become_and_end_launcher}};

MACHINE_TEST(where_a_file_is_no_good_any_more_the_program_that_ran_before_is_executed)
{
    machine_file("/usr/lib/conit/service-launcher", "x");
    CHECK_NUMBER(LIVE(loses_launcher), 127);
    CHECK_NUMBER(machine_times("dup3 6"), 1);
    CHECK_NUMBER(machine_times("execve "), 2);
    CHECK_NUMBER(machine_times("execveat"), 1);
    CHECK_NUMBER(machine_times("said error 2 path 1 former 1"), 1);
    CHECK_NUMBER(machine_times("said error 2 path 1 former 0"), 1); /* that, too, is none */
}

static void keep_with_fault(void)
{
    machine_file("/usr/lib/conit/service-launcher", "x");
    int how = LIVE(loses_launcher);
    if (machine_said("in=container") || !machine_said("Ready program=service-launcher"))
        return;
    CHECK_NUMBER(how, 127);
    if (machine_fault() && strcmp(machine_fault(), "dup3") != 0) /* which cannot fail with these */
        CHECK(machine_times("execveat") <= machine_times("dup3 6"));
}

TEST(a_program_that_cannot_be_kept_is_done_without)
{
    CHECK(machine_fail_each(EMFILE, keep_with_fault) > 20);
}

static bool another_runs(void)
{
    pid_t now = machine_child(CHILD_LAUNCHER);
    return now && now != launcher;
}

static void get_ready_unseen(void)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/exe", (int)machine_child(CHILD_LAUNCHER));
    machine_link_file(path, "/usr/lib/conit/service-launcher");
    machine_answer("openat64", "/exe", -EMFILE, 1);
    machine_say_type(CHILD_LAUNCHER, HAND_OVER_READY, 0);
}

static void get_ready_seen(void)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/exe", (int)machine_child(CHILD_LAUNCHER));
    machine_link_file(path, "/usr/lib/conit/service-launcher");
    machine_say_type(CHILD_LAUNCHER, HAND_OVER_READY, 0);
}

static int open_before;

static void end_launcher_and_count(void)
{
    open_before = machine_descriptors();
    end_launcher();
}

MACHINE_TEST(the_one_that_ran_before_the_last_is_kept_no_longer)
{
    static const struct machine_act acts[] = {{both_run_from_files, machine_both_ready},
                                              {machine_both_heard, end_launcher_and_count},
                                              {another_runs, get_ready_seen},
                                              {machine_both_heard, machine_over}};
    machine_file("/usr/lib/conit/service-launcher", "x");
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
    CHECK_NUMBER(machine_descriptors(), open_before);
}

MACHINE_TEST(one_that_cannot_be_kept_leaves_the_one_that_was)
{
    static const struct machine_act acts[] = {{both_run_from_files, machine_both_ready},
                                              {machine_both_heard, end_launcher},
                                              {another_runs, get_ready_unseen},
                                              {machine_both_heard, become_and_end_launcher}};
    machine_file("/usr/lib/conit/service-launcher", "x");
    CHECK_NUMBER(LIVE(acts), 127);
    CHECK_NUMBER(machine_times("execveat"), 1);
}

static void say_former(void)
{
    int error[3] = {ENOENT, 1, 1};
    machine_write(machine_child(CHILD_LAUNCHER), error, sizeof error);
    machine_say_type(CHILD_LAUNCHER, HAND_OVER_READY, 0);
}

static void say_former_of_a_good_file(void)
{
    int error[3] = {0, 0, 1};
    machine_write(machine_child(CHILD_LAUNCHER), error, sizeof error);
    machine_say_type(CHILD_LAUNCHER, HAND_OVER_READY, 0);
}

static void say_half(void)
{
    machine_write(machine_child(CHILD_LAUNCHER), "half", 4);
    machine_say_type(CHILD_LAUNCHER, HAND_OVER_READY, 0);
}

static void say_error_and_ready(void)
{
    int error[3] = {ENOENT, 1, 0};
    machine_write(machine_child(CHILD_LAUNCHER), error, sizeof error);
    machine_say_type(CHILD_LAUNCHER, HAND_OVER_READY, 0);
}

static void starts_again_with(void (*then)(void))
{
    const struct machine_act acts[] = {{both_run, machine_both_ready},
                                       {machine_both_heard, end_launcher},
                                       {another_runs, then},
                                       {machine_both_heard, machine_over}};
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
    CHECK(machine_said("Ready program=service-launcher"));
}

MACHINE_TEST(a_former_program_that_runs_again_is_warned_of)
{
    starts_again_with(say_former);
    CHECK(machine_said("the program that ran before runs again error=\"No such file or directory\" "
                       "program=service-launcher"));
}

MACHINE_TEST(a_former_program_because_the_new_one_does_not_get_ready_is_warned_of)
{
    starts_again_with(say_former_of_a_good_file);
    CHECK(machine_said("error=\"what it starts does not get ready\""));
}

MACHINE_TEST(what_is_no_word_of_a_child_is_not_taken_for_one)
{
    starts_again_with(say_half);
    CHECK(!machine_said("the program that ran before"));
}

MACHINE_TEST(one_that_is_ready_is_not_the_former_one_unless_it_says_so)
{
    starts_again_with(say_error_and_ready);
    CHECK(!machine_said("the program that ran before"));
}

/* ---- ends, again and again
 * ------------------------------------------------------------------------ */

static uint64_t started_ns[12];
static size_t starts;

static bool launcher_runs(void)
{
    static pid_t last;
    if (machine_child(CHILD_LAUNCHER) == 0 || machine_child(CHILD_LAUNCHER) == last)
        return false;
    last = machine_child(CHILD_LAUNCHER);
    started_ns[starts++] = machine_now_ns();
    return true;
}

static void end_again(void)
{
    int error[3] = {ENOEXEC, 0, 0};
    int elsewhere[3] = {ENOENT, 1, 0};
    if (starts == 2)
        machine_write(machine_child(CHILD_LAUNCHER), error, sizeof error);
    if (starts == 4)
        machine_write(machine_child(CHILD_LAUNCHER), elsewhere, sizeof elsewhere);
    machine_ends(machine_child(CHILD_LAUNCHER), starts == 3 ? SIGABRT | 0x80 : 7 << 8);
}

static const struct machine_act always_ends[] = {
    {launcher_runs, end_again}, {launcher_runs, end_again},   {launcher_runs, end_again},
    {launcher_runs, end_again}, {launcher_runs, end_again},   {launcher_runs, end_again},
    {launcher_runs, end_again}, {launcher_runs, end_again},   {launcher_runs, end_again},
    {launcher_runs, end_again}, {launcher_runs, machine_over}};

static void check_delays(void)
{
    static const unsigned ms[] = {0, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000};
    for (size_t i = 0; i + 1 < starts; i++)
        CHECK_NUMBER((started_ns[i + 1] - started_ns[i]) / 1000000, ms[i]);
}

MACHINE_TEST(one_that_ends_again_and_again_is_started_more_and_more_rarely)
{
    machine_link("/proc/1/exe", "/opt/conit/init");
    CHECK_NUMBER(LIVE(always_ends), MACHINE_STOPPED);
    check_delays();
    CHECK(machine_said("A part of conit ended and is started again code=7 failures=1"));
    CHECK(machine_said("Could not execute a part of conit beside=/opt/conit error=\"Exec format "
                       "error\" path=/opt/conit/service-launcher"));
    CHECK(machine_said("error=\"No such file or directory\" path=/usr/lib/conit/service-launcher"));
    CHECK(machine_said("A part of conit was killed and is started again failures=3"));
    CHECK(machine_said("signal=6"));
    CHECK(machine_said("The launcher does not get ready: here is a shell"));
    CHECK(machine_kept()->own.rescue_pid > 0);
    CHECK_NUMBER(machine_times("The launcher does not get ready"), 0);
}

MACHINE_TEST(a_rescue_shell_is_the_first_of_those_that_are_there)
{
    machine_become_child(6); /* the seventh: journal, five launchers, and this */
    CHECK_NUMBER(LIVE(always_ends), 127);
    CHECK_NUMBER(machine_times("ioctl"), 1);
    CHECK_NUMBER(machine_times("execl /sbin/sulogin"), 1);
    CHECK_NUMBER(machine_times("execl /bin/busybox"), 1);
}

MACHINE_TEST(a_rescue_shell_without_a_console_is_none)
{
    machine_answer("open64", "/dev/console", -ENXIO, FOR_GOOD);
    machine_become_child(6);
    CHECK_NUMBER(LIVE(always_ends), 1);
    CHECK_NUMBER(machine_times("execl"), 0);
}

static void end_without_memory(void)
{
    end_again();
    machine_answer("clone", "", -EAGAIN, starts == 5);
}

MACHINE_TEST(a_rescue_shell_that_cannot_be_opened_is_said_and_tried_again)
{
    struct machine_act acts[sizeof always_ends / sizeof always_ends[0]];
    memcpy(acts, always_ends, sizeof acts);
    acts[4].then = end_without_memory;
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
    CHECK(machine_said("Could not open a rescue shell error=\"Resource temporarily unavailable\""));
    CHECK(machine_kept()->own.rescue_pid > 0); /* at the next failure */
}

static void end_shell(void)
{
    machine_ends(machine_kept()->own.rescue_pid, 0);
}

static bool shell_has_ended(void)
{
    return machine_kept()->own.rescue_pid == 0;
}

MACHINE_TEST(a_rescue_shell_that_has_ended_is_said)
{
    struct machine_act acts[sizeof always_ends / sizeof always_ends[0]];
    memcpy(acts, always_ends, sizeof acts);
    acts[6] = (struct machine_act){launcher_runs, end_shell};
    acts[7] = (struct machine_act){shell_has_ended, machine_over};
    CHECK_NUMBER(machine_live(NULL, acts, 8), MACHINE_STOPPED);
    CHECK(machine_said("The rescue shell has ended"));
}

MACHINE_TEST(a_container_has_no_rescue_shell)
{
    machine_link("/proc/1/ns/pid", "pid:[4026532000]");
    CHECK_NUMBER(LIVE(always_ends), MACHINE_STOPPED);
    CHECK(!machine_said("here is a shell"));
}

/* ---- one that hangs at its start
 * ------------------------------------------------------------------------ */

static void end_and_count(void)
{
    end_launcher();
    starts = 0;
}

static void do_nothing(void)
{
}

MACHINE_TEST(one_that_hangs_where_another_was_ready_before_is_killed_and_started_again_and_again)
{
    static const struct machine_act acts[] = {{both_run_from_files, machine_both_ready},
                                              {launcher_runs, do_nothing},
                                              {machine_both_heard, end_and_count},
                                              {launcher_runs, do_nothing},
                                              {launcher_runs, do_nothing},
                                              {launcher_runs, do_nothing},
                                              {launcher_runs, do_nothing},
                                              {launcher_runs, get_ready_seen},
                                              {machine_both_heard, machine_over}};
    machine_file("/usr/lib/conit/service-launcher", "x");
    CHECK_NUMBER(LIVE(acts), MACHINE_STOPPED);
    for (size_t i = 0; i < 4; i++) /* the first one counts as three failures */
        CHECK_NUMBER((started_ns[i + 1] - started_ns[i]) / 1000000, 60000 + (200u << i));
    CHECK(machine_said("A part of conit does not get ready: it is killed, and what ran before is "
                       "started pid="));
    CHECK(machine_said("program=service-launcher seconds=60"));
    CHECK(machine_said("A part of conit was killed and is started again failures=6"));
    CHECK(machine_said("The launcher does not get ready: here is a shell"));
    CHECK_NUMBER(machine_kept()->children[CHILD_LAUNCHER].failures, 0);
    CHECK(!machine_said("program=service-journal seconds=60"));
}

static void become_next(void)
{
    machine_become_child(0);
}

MACHINE_TEST(what_is_started_in_the_place_of_one_that_hangs_is_what_ran_before)
{
    static const struct machine_act acts[] = {{both_run_from_files, machine_both_ready},
                                              {machine_both_heard, end_launcher},
                                              {another_runs, become_next}};
    machine_file("/usr/lib/conit/service-launcher", "x");
    CHECK_NUMBER(LIVE(acts), 127);
    CHECK_NUMBER(machine_times("execveat"), 2);
    CHECK_NUMBER(machine_times("said error 0 path 0 former 1"), 1); /* before its file is tried */
}

static pid_t second;

static void get_ready_in_time(void)
{
    second = machine_child(CHILD_LAUNCHER);
    machine_pass(59999);
    get_ready_seen();
}

MACHINE_TEST(one_that_is_ready_just_in_time_is_left_alone)
{
    static const struct machine_act acts[] = {{both_run_from_files, machine_both_ready},
                                              {machine_both_heard, end_launcher},
                                              {another_runs, get_ready_in_time}};
    machine_file("/usr/lib/conit/service-launcher", "x");
    CHECK_NUMBER(LIVE(acts), MACHINE_STUCK); /* no time is waited for */
    CHECK(machine_said("[1059.999] Ready program=service-launcher"));
    CHECK(!machine_said("seconds=60"));
    CHECK(second && machine_child(CHILD_LAUNCHER) == second);
}

static bool both_are_late(void)
{
    return machine_said("program=service-launcher seconds=7") &&
           machine_said("program=service-journal seconds=7");
}

MACHINE_TEST(at_a_first_start_one_that_is_late_is_waited_for_and_that_is_said)
{
    static const char *const words[] = {"init", "--start-timeout=7", NULL};
    static const struct machine_act acts[] = {{both_run, do_nothing},
                                              {both_are_late, machine_both_ready},
                                              {machine_both_heard, machine_over}};
    CHECK_NUMBER(machine_live(words, acts, 3), MACHINE_STOPPED);
    CHECK(machine_said("A part of conit does not get ready, and nothing ran before it: it is "
                       "waited for. If it hangs, kill it, and it is started anew from its file"));
    CHECK_NUMBER(machine_times("kill"), 0);
    CHECK(machine_child(CHILD_LAUNCHER) == launcher && machine_child(CHILD_JOURNAL) == journal);
}
