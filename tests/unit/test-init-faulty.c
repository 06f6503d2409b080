/* Faults of init at odd moments, and what it still does when there were too many of them. */
#include "fake-machine-parts.h"
#include "init/children.h"
#include "init/record.h"
#include "init/upgrade.h"
#include "left-record.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#define MINUTE_NS 60000000000ull

static pid_t launcher, journal;

/* What an init leaves that had too many faults. */
static void leave(void)
{
    leave_record();
    kept->own.exe_fd = open("/dev/null", O_RDONLY);
    kept->faults.under_way = 1;
    launcher = leave_child(CHILD_LAUNCHER);
    journal = leave_child(CHILD_JOURNAL);
}

static void leave_minimal(void)
{
    leave();
    kept->faults.minimal = 1;
    kept->faults.own_count = 3;
    kept->faults.quiet_at_ns = machine_now_ns() + 10 * MINUTE_NS;
}

static int signals[4];
static size_t sent;

static bool send_signals(void)
{
    if (sent == 4 || !signals[sent])
        return false;
    machine_signal(signals[sent++], 0);
    return true;
}

static int end_by(int first, int second)
{
    signals[0] = first;
    signals[1] = second;
    machine_on_wait = send_signals;
    return machine_resume(record.fd);
}

/* ---- the minimal loop
 * ---------------------------------------------------------------------------------- */

MACHINE_TEST(the_minimal_loop_ends_the_machine_in_order)
{
    leave_minimal();
    machine_process("left", TEMPER_MILD);
    machine_process("stubborn", TEMPER_STUBBORN);
    CHECK_NUMBER(end_by(SIGHUP, SIGUSR1), MACHINE_REBOOTED);
    CHECK(machine_said("Init has had too many faults"));
    CHECK_NUMBER(machine_times("reboot 0x4321fedc"), 1);
    CHECK_NUMBER(machine_times("mount / read-only"), 1);
    const char *term = strstr(machine_did(), " 15\n");
    CHECK(term && strstr(term, " 9\n")); /* KILL after TERM */
    CHECK(!machine_is_alive(journal));
}

MACHINE_TEST(a_container_that_only_reaps_stops_by_term)
{
    leave_minimal();
    kept->own.container = 1;
    kept->ending.exit_status = 4;
    CHECK_NUMBER(end_by(SIGTERM, 0), 4);
    CHECK_NUMBER(machine_times("sync"), 0);
}

MACHINE_TEST(a_container_that_only_reaps_reboots_by_a_signal_that_says_so)
{
    leave_minimal();
    kept->own.container = 1;
    CHECK_NUMBER(end_by(34 + 5, 0), MACHINE_REBOOTED);
}

MACHINE_TEST(a_container_that_only_reaps_stops_by_int)
{
    leave_minimal();
    kept->own.container = 1;
    CHECK_NUMBER(end_by(SIGINT, 0), 0);
}

MACHINE_TEST(without_proc_all_are_signalled_at_once)
{
    leave_minimal();
    machine_answer("fsopen", "", -EPERM, FOR_GOOD);
    machine_answer("readlink", "/proc/self", -ENOENT, FOR_GOOD);
    CHECK_NUMBER(end_by(SIGUSR1, 0), MACHINE_REBOOTED);
    CHECK_NUMBER(machine_times("kill -1 15"), 1);
    CHECK(machine_times("kill -1 9") >= 1);
}

MACHINE_TEST(without_a_journal_nobody_waits_for_one)
{
    leave_minimal();
    machine_ends(journal, 0);
    uint64_t begin = machine_now_ns();
    CHECK_NUMBER(end_by(SIGUSR1, 0), MACHINE_REBOOTED);
    CHECK(machine_now_ns() - begin < 3000000000ull);
}

MACHINE_TEST(what_does_not_end_is_waited_for_five_seconds_and_a_journal_for_four)
{
    leave_minimal();
    machine_temper(journal, TEMPER_IMMORTAL);
    machine_process("stuck", TEMPER_IMMORTAL);
    uint64_t begin = machine_now_ns();
    CHECK_NUMBER(end_by(SIGUSR1, 0), MACHINE_REBOOTED);
    CHECK_NUMBER((machine_now_ns() - begin) / 1000000000, 9);
}

MACHINE_TEST(an_end_in_which_init_had_a_fault_is_one_with_less)
{
    leave_minimal();
    kept->faults.ends_tried = 1;
    machine_process("left", TEMPER_STUBBORN);
    CHECK_NUMBER(end_by(SIGUSR1, 0), MACHINE_REBOOTED);
    CHECK_NUMBER(machine_times(" 15\n"), 0);
    CHECK_NUMBER(machine_times("mount / read-only"), 1);
}

MACHINE_TEST(an_end_that_was_in_its_last_steps_is_gone_on_with_from_there)
{
    leave_minimal();
    kept->ending.how = SHUT_DOWN_POWEROFF;
    kept->ending.phase = PHASE_CLOSE;
    CHECK_NUMBER(end_by(0, 0), MACHINE_REBOOTED);
    CHECK_NUMBER(machine_times(" 15\n"), 0);
}

static void end_at_once(int how, const char *reboot)
{
    leave_minimal();
    kept->faults.ends_tried = 2;
    kept->ending.how = (uint32_t)how;
    CHECK_NUMBER(end_by(0, 0), MACHINE_REBOOTED);
    CHECK_NUMBER(machine_times("mount"), 0);
    CHECK_NUMBER(machine_times("sync"), 1);
    CHECK_NUMBER(machine_times(reboot), 1);
}

MACHINE_TEST(an_end_in_which_init_had_two_faults_is_only_the_kernel_s)
{
    end_at_once(SHUT_DOWN_POWEROFF, "reboot 0x4321fedc");
}

MACHINE_TEST(a_reboot_in_which_init_had_two_faults_is_only_the_kernel_s)
{
    end_at_once(SHUT_DOWN_REBOOT, "reboot 0x1234567");
}

MACHINE_TEST(a_container_in_which_init_had_two_faults_at_its_end_ends)
{
    leave_minimal();
    kept->own.container = 1;
    kept->faults.ends_tried = 2;
    kept->ending.how = SHUT_DOWN_POWEROFF;
    kept->ending.exit_status = 3;
    CHECK_NUMBER(end_by(0, 0), 3);
}

MACHINE_TEST(a_disk_that_hangs_does_not_keep_that_machine_up)
{
    leave_minimal();
    kept->faults.ends_tried = 2;
    kept->ending.how = SHUT_DOWN_POWEROFF;
    uint64_t begin = machine_now_ns();
    machine_answer("sync", "", MACHINE_HANGS, 1);
    CHECK_NUMBER(end_by(0, 0), MACHINE_REBOOTED);
    CHECK_NUMBER((machine_now_ns() - begin) / 1000000000, 11); /* and a second of sleep before */
}

MACHINE_TEST(nor_does_the_want_of_a_process)
{
    leave_minimal();
    kept->faults.ends_tried = 2;
    kept->ending.how = SHUT_DOWN_POWEROFF;
    machine_answer("clone", "", -EAGAIN, FOR_GOOD);
    CHECK_NUMBER(end_by(0, 0), MACHINE_REBOOTED);
    CHECK_NUMBER(machine_times("sync"), 0);
}

MACHINE_TEST(a_kernel_that_does_not_end_it_leaves_it_reaping)
{
    leave_minimal();
    kept->faults.ends_tried = 2;
    kept->ending.how = SHUT_DOWN_POWEROFF;
    machine_answer("reboot", "", -EPERM, FOR_GOOD);
    CHECK_NUMBER(end_by(SIGTERM, SIGTERM), 0); /* by another signal it tries again */
    CHECK_NUMBER(machine_times("sync"), 2);
}

/* ---- what it reaps, and when it is left
 * --------------------------------------------------------------------- */

static bool end_all_kinds(void)
{
    static int step;
    if (step++)
        machine_stop();
    machine_ends(launcher, SIGSEGV);
    machine_ends(kept->own.rescue_pid, 0);
    machine_ends(machine_process("orphan", TEMPER_MILD), 5 << 8);
    return true;
}

MACHINE_TEST(ends_in_the_minimal_loop_are_kept_for_the_launcher_that_will_be_told)
{
    leave_minimal();
    kept->own.rescue_pid = machine_process("shell", TEMPER_MILD);
    machine_on_wait = end_all_kinds;
    CHECK_NUMBER(machine_resume(record.fd), MACHINE_STOPPED);
    CHECK_NUMBER(kept->ended.last, 1); /* the orphan's alone */
    CHECK_NUMBER(kept->ended_ring[0].status, 5 << 8);
    CHECK_NUMBER(kept->own.rescue_pid, 0);
    CHECK_NUMBER(kept->children[CHILD_LAUNCHER].pid, 0);
}

MACHINE_TEST(after_ten_quiet_minutes_init_goes_back_to_all_it_does)
{
    leave_minimal();
    machine_answer("execveat", "", 0, 1);
    machine_on_wait = NULL;
    CHECK_NUMBER(machine_resume(record.fd), MACHINE_EXECUTED);
    CHECK(machine_said("Init goes back to all it does why=\"No fault for ten minutes\""));
    CHECK_NUMBER(machine_now_ns() / 1000000000, 1600);
    CHECK_NUMBER(kept->faults.minimal, 0);
    CHECK_NUMBER(kept->faults.own_count, 0);
}

MACHINE_TEST(where_it_cannot_be_executed_that_is_tried_more_and_more_rarely)
{
    static uint64_t begin;
    leave_minimal();
    begin = kept->faults.quiet_at_ns;
    machine_on_wait = NULL;
    CHECK_NUMBER(machine_resume(record.fd), MACHINE_STUCK);
    CHECK(machine_said("Init cannot be executed anew, and only reaps on again_in_seconds=1 "));
    CHECK(machine_said("again_in_seconds=512 "));
    CHECK(machine_said("again_in_seconds=600 "));
    CHECK(!machine_said("again_in_seconds=1024 "));
    CHECK_NUMBER(kept->faults.minimal, 1);
    CHECK_NUMBER(kept->faults.under_way, 0);
    CHECK(begin > 0);
}

static void say(unsigned type)
{
    struct hand_over_message message = {.type = (uint16_t)type};
    CHECK_NUMBER(machine_send(launcher, &message, NULL, 0), 0);
}

MACHINE_TEST(an_upgrade_that_is_asked_for_leaves_it_at_once_and_no_message_is_lost)
{
    leave_minimal();
    say(HAND_OVER_PROGRESS);
    CHECK_NUMBER(write(machine_find(launcher)->peer, "?", 1), 1); /* of no use, and passed over */
    say(HAND_OVER_UPGRADE);
    machine_answer("execveat", "", 0, 1);
    machine_on_wait = NULL;
    CHECK_NUMBER(machine_resume(record.fd), MACHINE_EXECUTED);
    CHECK(machine_said("why=\"An upgrade is asked for\""));
    char bytes[2000];
    CHECK_NUMBER(read(kept->children[CHILD_LAUNCHER].link_fd, bytes, sizeof bytes),
                 sizeof(struct hand_over_message));
}

MACHINE_TEST(among_too_many_messages_it_is_not_looked_for)
{
    leave_minimal();
    machine_answer("recv", "", 1, FOR_GOOD); /* there is always one more, of no use */
    CHECK_NUMBER(end_by(SIGHUP, SIGUSR1), MACHINE_REBOOTED);
    CHECK(!machine_said("An upgrade is asked for"));
}

MACHINE_TEST(without_a_launcher_nobody_asks)
{
    leave_minimal();
    close(kept->children[CHILD_LAUNCHER].link_fd);
    CHECK_NUMBER(end_by(SIGHUP, SIGUSR1), MACHINE_REBOOTED);
    CHECK(!machine_said("An upgrade is asked for"));
}

/* ---- faults
 * ------------------------------------------------------------------------------------------------------
 */

static bool stop(void)
{
    machine_stop();
}

static int boot(void)
{
    return machine_boot(NULL, stop);
}

MACHINE_TEST(a_fault_before_there_is_a_record_leaves_a_process_that_reaps)
{
    machine_answer("memfd_create", "", MACHINE_FAULTS, 1);
    CHECK_NUMBER(machine_boot(NULL, NULL), MACHINE_STUCK);
    CHECK_NUMBER(machine_times("execveat"), 0);
    CHECK_NUMBER(machine_child(CHILD_LAUNCHER), 0);
}

MACHINE_TEST(a_signal_that_means_a_fault_and_is_sent_before_there_is_a_record_is_said)
{
    machine_answer("memfd_create", "", MACHINE_IS_SENT, 1);
    CHECK_NUMBER(boot(), MACHINE_STOPPED);
    CHECK(machine_said(
        "A signal that means a fault was sent to init, which cannot be executed anew"));
    CHECK(machine_child(CHILD_LAUNCHER) > 0);
}

MACHINE_TEST(a_fault_of_init_executes_it_anew)
{
    machine_link_file("/proc/1/exe", "/usr/lib/conit/init");
    machine_answer("sendmsg", "", MACHINE_FAULTS, 1);
    machine_answer("execveat", "", 0, 1);
    CHECK_NUMBER(boot(), MACHINE_EXECUTED);
    CHECK_NUMBER(machine_kept()->faults.own_count, 1);
    CHECK_NUMBER(machine_kept()->faults.signal, SIGSEGV);
    CHECK_NUMBER(machine_kept()->faults.under_way, 1);
}

MACHINE_TEST(where_that_fails_for_its_environment_it_is_left_out)
{
    machine_link_file("/proc/1/exe", "/usr/lib/conit/init");
    machine_answer("sendmsg", "", MACHINE_FAULTS, 1);
    machine_answer("execveat", "", -EFAULT, 1);
    machine_answer("execveat", "", 0, 1);
    CHECK_NUMBER(boot(), MACHINE_EXECUTED);
    CHECK_NUMBER(machine_times("execveat"), 2);
}

MACHINE_TEST(where_it_cannot_be_executed_at_all_it_only_reaps)
{
    machine_link_file("/proc/1/exe", "/usr/lib/conit/init");
    machine_answer("sendmsg", "", MACHINE_FAULTS, 1);
    CHECK_NUMBER(machine_boot(NULL, NULL), MACHINE_STUCK);
    CHECK(machine_times("execveat") >= 2); /* what is open, and what its path is now */
}

MACHINE_TEST(a_child_that_has_a_fault_before_it_executes_ends_by_itself)
{
    machine_become_child(0);
    machine_answer("signal", "", MACHINE_FAULTS, FOR_GOOD);
    CHECK_NUMBER(machine_boot(NULL, NULL), 128 + SIGSEGV);
}

static void fault_while_it_takes_over(void)
{
    machine_answer("sendmsg", "", MACHINE_FAULTS, 1);
    machine_answer("execveat", "", 0, 1);
    kept->children[CHILD_LAUNCHER].replaying = true; /* so that something is sent */
    kept->children[CHILD_LAUNCHER].ready = false;
    machine_on_wait = stop;
    CHECK_NUMBER(machine_resume(record.fd), MACHINE_EXECUTED);
}

MACHINE_TEST(a_fault_on_the_way_leads_to_the_minimal_loop)
{
    leave();
    fault_while_it_takes_over();
    CHECK_NUMBER(kept->faults.minimal, 1);
}

MACHINE_TEST(three_faults_over_more_than_a_minute_do_not)
{
    leave();
    kept->faults.under_way = 0;
    kept->faults.own_count = 2;
    kept->faults.own_at_ns[0] = machine_now_ns() - 2 * MINUTE_NS;
    kept->faults.own_at_ns[1] = machine_now_ns();
    fault_while_it_takes_over();
    CHECK_NUMBER(kept->faults.own_count, 3);
    CHECK_NUMBER(kept->faults.minimal, 0);
}

MACHINE_TEST(three_faults_within_a_minute_do)
{
    leave();
    kept->faults.under_way = 0;
    kept->faults.own_count = 2;
    kept->faults.own_at_ns[0] = machine_now_ns() - MINUTE_NS;
    fault_while_it_takes_over();
    CHECK_NUMBER(kept->faults.minimal, 1);
}

static void leave_executing(int former_fd)
{
    leave();
    kept->upgrade.part = PART_INIT;
    kept->upgrade.step = UPGRADE_EXECUTING;
    kept->upgrade.former_fd = former_fd;
}

MACHINE_TEST(a_new_init_with_a_fault_before_its_loop_is_replaced_by_the_former_one)
{
    leave_executing(open("/dev/null", O_RDONLY));
    int former = kept->upgrade.former_fd;
    fault_while_it_takes_over();
    CHECK_NUMBER(kept->upgrade.step, UPGRADE_FELL_BACK);
    CHECK_NUMBER(kept->own.exe_fd, former);
    CHECK_NUMBER(kept->faults.minimal, 0);
}

MACHINE_TEST(without_the_former_one_it_only_reaps)
{
    leave_executing(-1);
    fault_while_it_takes_over();
    CHECK_NUMBER(kept->upgrade.step, UPGRADE_EXECUTING);
    CHECK_NUMBER(kept->faults.minimal, 1);
}

/* Its record has been taken over from one that the former init has written. */
static struct kept *leave_former_record(uint32_t version)
{
    struct record other;
    record_create(&other);
    leave_executing(open("/dev/null", O_RDONLY));
    memcpy(other.kept, kept, offsetof(struct kept, held_pages));
    other.kept->head.version = version;
    kept->upgrade.former_record_fd = other.fd;
    return other.kept;
}

MACHINE_TEST(a_former_one_that_knows_this_record_is_given_it)
{
    struct kept *other = leave_former_record(RECORD_READER);
    fault_while_it_takes_over();
    CHECK_NUMBER(kept->upgrade.step, UPGRADE_FELL_BACK);
    CHECK_NUMBER(other->upgrade.step, UPGRADE_EXECUTING);
}

MACHINE_TEST(a_former_one_that_does_not_know_this_record_is_given_its_own)
{
    struct kept *other = leave_former_record(RECORD_READER - 1);
    fault_while_it_takes_over();
    CHECK_NUMBER(kept->upgrade.step, UPGRADE_EXECUTING);
    CHECK_NUMBER(other->upgrade.step, UPGRADE_FELL_BACK);
    CHECK_TEXT(other->upgrade.why, "it had a fault while it took over");
    CHECK_NUMBER(other->faults.signal, SIGSEGV);
}

MACHINE_TEST(where_its_record_has_no_place_for_faults_they_are_not_told)
{
    struct kept *other = leave_former_record(RECORD_READER - 1);
    for (size_t i = 0; i < RECORD_FIELDS; i++)
        if (other->fields[i].id == FIELD_FAULTS)
            other->fields[i].id = 0;
    fault_while_it_takes_over();
    CHECK_NUMBER(other->upgrade.step, UPGRADE_FELL_BACK);
    CHECK_NUMBER(other->faults.signal, 0);
}

MACHINE_TEST(a_fault_before_a_record_of_the_former_one_is_read_leads_back_to_it)
{
    leave_executing(open("/dev/null", O_RDONLY));
    machine_answer("fstat64", "", MACHINE_FAULTS, 1);
    machine_answer("execveat", "", 0, 1);
    CHECK_NUMBER(machine_resume(record.fd), MACHINE_EXECUTED);
    CHECK_NUMBER(kept->upgrade.step, UPGRADE_FELL_BACK);
    CHECK_TEXT(kept->upgrade.why, "it had a fault while it took over");
}

MACHINE_TEST(a_fault_before_any_other_record_is_read_leaves_a_process_that_reaps)
{
    leave();
    machine_answer("fstat64", "", MACHINE_FAULTS, 1);
    machine_on_wait = NULL;
    CHECK_NUMBER(machine_resume(record.fd), MACHINE_STUCK);
    CHECK_NUMBER(machine_times("execveat"), 0);
}
