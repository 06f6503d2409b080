/* An init that was executed anew, with records as they should be and as they should not: what is
 * there is gone on with, what is not is left out and said. */
#include "fake-machine-parts.h"
#include "init/children.h"
#include "init/record.h"
#include "init/upgrade.h"
#include "left-record.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static pid_t launcher, journal;

/* Where none that init opens gets its number when it is closed. */
static int some_fd(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), high = fcntl(fd, F_DUPFD, 300);
    close(fd);
    return high;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* What an init leaves that does nothing else. */
static void leave(void)
{
    leave_record();
    kept->faults.under_way = 1;
}

static void leave_both(void)
{
    leave();
    launcher = leave_child(CHILD_LAUNCHER);
    journal = leave_child(CHILD_JOURNAL);
}

static bool stop(void)
{
    machine_stop();
}

static int go_on(void)
{
    machine_on_wait = stop;
    return machine_resume(record.fd);
}

static int times_said(const char *what)
{
    int count = 0;
    for (const char *at = machine_console(); (at = strstr(at, what)); at++)
        count++;
    return count;
}

/* ---- what is there
 * ----------------------------------------------------------------------------------- */

MACHINE_TEST(children_that_are_there_are_gone_on_with)
{
    leave_both();
    CHECK_NUMBER(go_on(), MACHINE_STOPPED);
    CHECK(machine_child(CHILD_LAUNCHER) == launcher && machine_child(CHILD_JOURNAL) == journal);
    CHECK(!machine_said("left out"));
    CHECK_NUMBER(machine_times("kill"), 0);
    CHECK_NUMBER(machine_times("mount"), 0);
    CHECK_NUMBER(kept->faults.under_way, 0);
}

MACHINE_TEST(a_boot_that_was_not_over_is_gone_through_again)
{
    leave();
    kept->own.booted = 0;
    CHECK_NUMBER(go_on(), MACHINE_STOPPED);
    CHECK_NUMBER(machine_times("mount /proc"), 1);
    CHECK_NUMBER(kept->own.booted, 1);
    CHECK(machine_child(CHILD_LAUNCHER) && machine_child(CHILD_JOURNAL));
}

MACHINE_TEST(what_is_not_there_any_more_is_left_out_and_said_as_far_as_there_is_room)
{
    leave();
    struct kept_upgrade *upgrade = &kept->upgrade;
    for (int i = 0; i < CHILDREN_ALL; i++)
        kept->children[i] = (struct kept_child){.pid = 900 + i, .link_fd = 600, .error_fd = 601};
    for (int i = 0; i < CHILDREN; i++)
        kept->own.middle[i] = 602;
    upgrade->answer_fd = upgrade->file_fd = upgrade->former_fd = upgrade->former_record_fd = 603;
    upgrade->try_pid = 910;
    for (int i = 0; i < UPGRADE_KILLED; i++)
        upgrade->killed[i] = 911 + i;
    kept->own.exe_fd = 604;
    kept->own.rescue_pid = 920;
    CHECK_NUMBER(go_on(), MACHINE_STOPPED);
    CHECK_NUMBER(times_said("Some of what init kept was left out"), 16);
    CHECK(machine_said("number=600 of=service-launcher why=\"not the descriptor it was\""));
    CHECK(machine_said("number=900 of=service-launcher why=\"no child any more\""));
    CHECK_NUMBER(kept->own.exe_fd, -1);
    CHECK_NUMBER(kept->own.rescue_pid, 0);
    CHECK_NUMBER(upgrade->killed[3], 0);
    CHECK(machine_child(CHILD_LAUNCHER) && machine_child(CHILD_JOURNAL));
}

MACHINE_TEST(a_descriptor_of_something_else_is_no_link)
{
    int ends[2];
    leave();
    CHECK_NUMBER(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    kept->own.middle[0] = ends[0];
    kept->own.middle[1] = some_fd();
    CHECK_NUMBER(go_on(), MACHINE_STOPPED);
    CHECK_NUMBER(
        times_said("of=\"the pair between launcher and journal\" why=\"not the descriptor"), 2);
}

MACHINE_TEST(what_nothing_names_is_closed)
{
    leave_both();
    int held = some_fd(), lost = some_fd();
    kept->held_pages[0].used = 1;
    kept->held_table[20] = (uint32_t)held << 2 | OWNER_LAUNCHER;
    kept->held.end = 21;
    CHECK_NUMBER(go_on(), MACHINE_STOPPED);
    CHECK(is_open(held) && !is_open(lost));
}

MACHINE_TEST(a_kernel_that_closes_no_ranges_has_them_closed_one_by_one)
{
    struct rlimit few = {650, 1024};
    leave_both();
    int held = some_fd(), lost = some_fd();
    kept->held_pages[0].used = 2;
    kept->held_table[20] = (uint32_t)held << 2 | OWNER_LAUNCHER;
    kept->held_table[21] = 500u << 2 | OWNER_LAUNCHER; /* not open */
    kept->held_table[22] = (uint32_t)held << 2;        /* nobody's */
    kept->held.end = 23;
    CHECK_NUMBER(setrlimit(RLIMIT_NOFILE, &few), 0); /* the machine's own are above */
    machine_answer("close_range", "", -ENOSYS, FOR_GOOD);
    CHECK_NUMBER(go_on(), MACHINE_STOPPED);
    CHECK(is_open(held) && !is_open(lost));
    CHECK(machine_said("number=2 of=service-launcher why=\"held descriptors that are not open\""));
}

MACHINE_TEST(a_record_with_broken_parts_is_mended_and_the_rest_is_kept)
{
    leave_both();
    kept->children[CHILD_TRIAL].pid = -5;
    kept->upgrade.step = UPGRADE_STEPS;
    kept->upgrade.killed[0] = 7;
    CHECK_NUMBER(go_on(), MACHINE_STOPPED);
    CHECK(machine_said("of=children why=\"a broken part of the record\""));
    CHECK(machine_said("of=upgrade why=\"a broken part of the record\""));
    CHECK_NUMBER(kept->upgrade.file_fd, -1);
    CHECK(machine_child(CHILD_LAUNCHER) && machine_child(CHILD_LAUNCHER) != launcher);
}

MACHINE_TEST(a_name_that_was_not_kept_and_words_that_were_not_are_replaced)
{
    leave_both();
    kept->words.count = kept->words.bytes = 0;
    kept->own.name[0] = 0;
    CHECK_NUMBER(go_on(), MACHINE_STOPPED);
    CHECK(machine_child(CHILD_LAUNCHER) == launcher);
}

/* ---- children, half-way
 * --------------------------------------------------------------------------------- */

MACHINE_TEST(a_child_that_cannot_be_told_any_more_what_it_was_told_is_killed)
{
    leave_both();
    kept->children[CHILD_LAUNCHER].sending = HAND_OVER_ENDED;
    close(kept->children[CHILD_JOURNAL].link_fd);
    kept->children[CHILD_JOURNAL].link_fd = -1;
    CHECK_NUMBER(go_on(), MACHINE_STOPPED);
    CHECK(!machine_is_alive(launcher) && !machine_is_alive(journal));
    CHECK_NUMBER(kept->children[CHILD_LAUNCHER].sending, 0);
}

MACHINE_TEST(a_child_that_was_not_ready_is_told_all_again)
{
    leave_both();
    kept->children[CHILD_LAUNCHER].ready = false;
    kept->children[CHILD_LAUNCHER].replaying = true;
    CHECK_NUMBER(go_on(), MACHINE_STOPPED);
    CHECK(machine_got(launcher, HAND_OVER_HELD_DONE, NULL));
    CHECK(!machine_got(journal, HAND_OVER_HELD_DONE, NULL));
}

MACHINE_TEST(a_start_that_was_waited_for_is_waited_for_still)
{
    leave_both();
    machine_ends(launcher, 0);
    machine_ended(launcher)->zombie = false;
    kept->children[CHILD_LAUNCHER].pid = 0;
    kept->children[CHILD_LAUNCHER].restart_at_ns = machine_now_ns() + 3000000000;
    uint64_t begin = machine_now_ns();
    machine_on_wait = NULL;
    machine_become_child(0);
    CHECK_NUMBER(machine_resume(record.fd), 127);
    CHECK_NUMBER((machine_now_ns() - begin) / 1000000000, 3);
}

static bool launcher_is_another(void)
{
    if (machine_child(CHILD_LAUNCHER) && machine_child(CHILD_LAUNCHER) != launcher)
        machine_stop();
    return false;
}

/* The launcher hangs, and one was ready before. Returns after how many seconds another one runs. */
static uint64_t hangs_until(uint64_t ready_until_ns)
{
    struct kept_child *child = &kept->children[CHILD_LAUNCHER];
    uint64_t begin = machine_now_ns();
    child->ready = false;
    child->program_fd = some_fd();
    child->ready_until_ns = ready_until_ns;
    machine_on_wait = launcher_is_another;
    CHECK_NUMBER(machine_resume(record.fd), MACHINE_STOPPED);
    CHECK(!machine_is_alive(launcher));
    CHECK(machine_said("it is killed, and what ran before is started"));
    CHECK_NUMBER(child->failures, 3);
    return (machine_now_ns() - begin) / 1000000000;
}

MACHINE_TEST(a_child_that_hangs_is_waited_for_as_long_as_init_had_meant_to)
{
    leave_both();
    CHECK_NUMBER(hangs_until(machine_now_ns() + 9000000000), 9);
}

MACHINE_TEST(one_that_an_init_has_started_which_would_have_waited_for_ever_is_waited_for_anew)
{
    leave_both();
    CHECK_NUMBER(hangs_until(0), 60);
}

MACHINE_TEST(no_journal_is_started_beside_the_one_that_is_tried)
{
    leave_both();
    machine_ends(journal, 0);
    machine_ended(journal)->zombie = false;
    kept->children[CHILD_JOURNAL].pid = 0;
    pid_t trial = leave_child(CHILD_TRIAL);
    kept->children[CHILD_TRIAL].ready = false;
    kept->upgrade.part = PART_JOURNAL;
    kept->upgrade.step = UPGRADE_TRIAL;
    CHECK_NUMBER(go_on(), MACHINE_STOPPED);
    CHECK(machine_is_alive(trial));
    CHECK_NUMBER(machine_child(CHILD_JOURNAL), 0);
}

static void tried(pid_t pid, int link)
{
    leave_both();
    kept->upgrade.part = PART_JOURNAL;
    kept->upgrade.step = UPGRADE_TRIAL;
    kept->children[CHILD_TRIAL].pid = pid;
    kept->children[CHILD_TRIAL].link_fd = link;
    CHECK_NUMBER(go_on(), MACHINE_STOPPED);
    CHECK(
        machine_said("Not upgraded: it goes on as it is part=journal why=\"init had a fault while "
                     "it was tried\""));
    CHECK(machine_child(CHILD_JOURNAL) == journal);
    CHECK_NUMBER(kept->upgrade.failed, PART_JOURNAL);
}

MACHINE_TEST(a_trial_without_its_process_is_over)
{
    tried(0, -1);
}

MACHINE_TEST(a_trial_without_its_link_is_over)
{
    pid_t pid = machine_process("trial", TEMPER_MILD);
    tried(pid, -1);
    CHECK(!machine_is_alive(pid));
}

/* ---- a message that was being dealt with
 * ------------------------------------------------------------------- */

/* As recvmsg(2) has left it. */
static void receive(struct hand_over_message message, const int *fds, size_t count)
{
    struct kept_inbox *inbox = &kept->inbox;
    message.version = HAND_OVER_VERSION;
    inbox->inbox.message = message;
    inbox->inbox.header =
        (struct msghdr){.msg_controllen = count ? CMSG_SPACE(count * sizeof(int)) : 0};
    inbox->inbox.control.first = (struct cmsghdr){.cmsg_len = CMSG_LEN(count * sizeof(int)),
                                                  .cmsg_level = SOL_SOCKET,
                                                  .cmsg_type = SCM_RIGHTS};
    if (!count)
        inbox->inbox.control.first.cmsg_len = 0;
    memcpy(CMSG_DATA(&inbox->inbox.control.first), fds, count * sizeof(int));
    inbox->from = 1 + CHILD_LAUNCHER;
}

static const struct hand_over_message store_two = {
    .type = HAND_OVER_STORE, .owner = OWNER_LAUNCHER, .count = 2, .keys = {30, 31}};

MACHINE_TEST(descriptors_of_a_message_that_was_being_dealt_with_are_taken)
{
    leave_both();
    int fds[2] = {some_fd(), some_fd()};
    receive(store_two, fds, 2);
    close(fds[0]); /* as if it had been stored and dropped */
    CHECK_NUMBER(go_on(), MACHINE_STOPPED);
    CHECK(is_open(fds[1]));
    CHECK_NUMBER(kept->held_table[31] >> 2, fds[1]);
    CHECK_NUMBER(kept->held_table[30], 0);
    CHECK_NUMBER(kept->inbox.from, 0);
}

MACHINE_TEST(a_message_that_brought_init_down_twice_is_left_out_and_its_keys_refused)
{
    struct hand_over_message got;
    leave_both();
    int fds[2] = {some_fd(), some_fd()};
    receive(store_two, fds, 2);
    kept->inbox.tries = 1;
    CHECK_NUMBER(go_on(), MACHINE_STOPPED);
    CHECK(!is_open(fds[0]) && !is_open(fds[1]));
    CHECK(machine_said(
        "A message brought init down twice and is left out program=service-launcher type=1"));
    CHECK(machine_got(launcher, HAND_OVER_REFUSED, &got));
    CHECK_NUMBER(got.count, 2);
}

MACHINE_TEST(a_message_with_an_impossible_count_is_left_out_as_well)
{
    struct hand_over_message got, many = store_two;
    leave_both();
    many.count = HAND_OVER_KEYS_MAX + 3;
    receive(many, NULL, 0);
    kept->inbox.tries = 1;
    CHECK_NUMBER(go_on(), MACHINE_STOPPED);
    CHECK(machine_got(launcher, HAND_OVER_REFUSED, &got));
    CHECK(got.count <= HAND_OVER_KEYS_MAX);
}

MACHINE_TEST(one_that_carries_nothing_is_only_left_out)
{
    leave_both();
    receive((struct hand_over_message){.type = HAND_OVER_DRAINED, .count = 2}, NULL, 0);
    kept->inbox.tries = 1;
    CHECK_NUMBER(go_on(), MACHINE_STOPPED);
    CHECK(machine_said("A message brought init down twice and is left out"));
    CHECK(!machine_got(launcher, HAND_OVER_REFUSED, NULL));
}

MACHINE_TEST(a_place_for_a_message_in_which_none_came_is_left)
{
    leave_both();
    kept->inbox.from = 1 + CHILD_LAUNCHER;
    CHECK_NUMBER(go_on(), MACHINE_STOPPED);
    CHECK_NUMBER(kept->inbox.from, 0);
    CHECK(!machine_said("malformed"));
}

MACHINE_TEST(an_acknowledgement_that_was_being_dealt_with_counts_once)
{
    leave_both();
    kept->ended.last = 5;
    kept->ended.halves[0].sent = 5;
    kept->ended.halves[0].seen = 2;
    kept->ended.halves[0].answers = 8; /* this one, too */
    receive((struct hand_over_message){.type = HAND_OVER_ENDED_SEEN, .argument = 2}, NULL, 0);
    kept->inbox.answers_before = 7;
    CHECK_NUMBER(go_on(), MACHINE_STOPPED);
    CHECK_NUMBER(kept->ended.halves[kept->ended.live].seen, 2);
}

MACHINE_TEST(a_header_that_cannot_be_is_not_believed)
{
    leave_both();
    int fds[2] = {some_fd(), some_fd()};
    receive(store_two, fds, 2);
    kept->inbox.inbox.header.msg_controllen = 1u << 30;
    kept->inbox.inbox.control.first.cmsg_len = 1u << 30;
    CHECK_NUMBER(go_on(), MACHINE_STOPPED);
    CHECK_NUMBER(kept->held.end, 0);
    CHECK(machine_said("A message was malformed and is left out"));
}

MACHINE_TEST(descriptors_behind_the_end_of_what_came_are_not_looked_at)
{
    leave_both();
    receive(store_two, NULL, 0);
    kept->inbox.inbox.header.msg_controllen = sizeof kept->inbox.inbox.control;
    kept->inbox.inbox.control.first = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(0), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    CHECK_NUMBER(go_on(), MACHINE_STOPPED);
    CHECK_NUMBER(kept->held.end, 0);
    CHECK(machine_said("A message was malformed and is left out"));
}

MACHINE_TEST(as_many_descriptors_as_can_come_are_looked_at)
{
    int fds[253];
    leave_both();
    for (size_t i = 0; i < 253; i++)
        fds[i] = some_fd();
    receive(store_two, fds, 253);
    CHECK_NUMBER(go_on(), MACHINE_STOPPED);
    CHECK(machine_said("A message was malformed and is left out"));
    for (size_t i = 0; i < 253; i++)
        CHECK(!is_open(fds[i]));
}

/* ---- an end that was under way
 * ----------------------------------------------------------------------------- */

MACHINE_TEST(a_signal_that_was_noted_and_nothing_more_is_acted_on)
{
    leave_both();
    kept->ending.signal = SIGTERM;
    kept->ending.signal_sender = 66;
    CHECK_NUMBER(go_on(), MACHINE_STOPPED);
    CHECK(machine_said("Asked to end how=reboot sender=66 signal=15"));
    CHECK(machine_got(launcher, HAND_OVER_SIGNAL, NULL));
}

MACHINE_TEST(an_end_that_was_asked_for_is_waited_for_as_long_as_before)
{
    leave_both();
    kept->ending.signal = SIGTERM;
    kept->ending.how = SHUT_DOWN_REBOOT;
    kept->ending.patience_until_ns = machine_now_ns() + 2000000000;
    machine_on_wait = NULL;
    CHECK_NUMBER(machine_resume(record.fd), MACHINE_REBOOTED);
    CHECK(machine_said("ERRO[1002.000] The launcher does not stop the services"));
}

MACHINE_TEST(a_phase_that_was_under_way_is_gone_on_with)
{
    leave_both();
    kept->ending.how = SHUT_DOWN_POWEROFF;
    kept->ending.phase = PHASE_CLOSE;
    kept->ending.phase_until_ns = machine_now_ns() + 1000000000;
    machine_on_wait = NULL;
    CHECK_NUMBER(machine_resume(record.fd), MACHINE_REBOOTED);
    CHECK(machine_said("The machine ends now how=poweroff"));
}

/* ---- an upgrade of init that was under way
 * ---------------------------------------------------------------------- */

static void leave_trying(int answer_fd, bool ended)
{
    leave_both();
    kept->upgrade.part = PART_INIT;
    kept->upgrade.step = UPGRADE_TRYING;
    kept->upgrade.answer_fd = answer_fd;
    kept->upgrade.try_ended = ended;
    CHECK_NUMBER(go_on(), MACHINE_STOPPED);
}

MACHINE_TEST(a_try_whose_process_is_gone_and_nobody_knows_how_is_over)
{
    leave_trying(some_fd(), false);
    CHECK(machine_said(
        "Not upgraded: it goes on as it is part=init why=\"init had a fault while it was tried\""));
    CHECK_NUMBER(kept->upgrade.answer_fd, -1);
}

MACHINE_TEST(a_try_whose_answer_is_gone_is_over)
{
    leave_trying(-1, true);
    CHECK(machine_said(
        "Not upgraded: it goes on as it is part=init why=\"init had a fault while it was tried\""));
}

MACHINE_TEST(a_try_that_has_ended_with_its_answer_is_judged)
{
    leave_trying(some_fd(), true);
    CHECK(machine_said(
        "Not upgraded: it goes on as it is part=init why=\"it did not answer as an init does\""));
}

MACHINE_TEST(a_try_that_goes_on_is_waited_for)
{
    leave_both();
    kept->upgrade.part = PART_INIT;
    kept->upgrade.step = UPGRADE_TRYING;
    kept->upgrade.answer_fd = some_fd();
    kept->upgrade.try_pid = machine_process("try", TEMPER_MILD);
    CHECK_NUMBER(go_on(), MACHINE_STOPPED);
    CHECK_NUMBER(kept->upgrade.step, UPGRADE_TRYING);
}

/* ---- back to the former one
 * ------------------------------------------------------------------------------------- */

/* What the former one has written: of a version that this one does not know. */
static void leave_of_another(void)
{
    leave_both();
    kept->head.version = kept->head.readable_from = 99;
    kept->upgrade.part = PART_INIT;
    kept->upgrade.step = UPGRADE_EXECUTING;
    kept->upgrade.former_fd = some_fd();
    kept->own.exe_fd = some_fd();
}

static void check_back(int how)
{
    CHECK_NUMBER(how, MACHINE_EXECUTED);
    CHECK_NUMBER(kept->upgrade.step, UPGRADE_FELL_BACK);
    CHECK(strstr(kept->upgrade.why, "its version 99 needs an init that knows version 99"));
}

MACHINE_TEST(a_record_of_a_version_that_is_not_known_is_given_back_to_who_wrote_it)
{
    leave_of_another();
    int former = kept->upgrade.former_fd, new = kept->own.exe_fd;
    machine_answer("execveat", "", 0, 1);
    check_back(go_on());
    CHECK_NUMBER(kept->own.exe_fd, former);
    CHECK_NUMBER(kept->upgrade.former_fd, new);
}

static bool ask_for_end(void)
{
    static int asked;
    pid_t late = asked == 1 ? machine_process("late", TEMPER_MILD) : 0;
    if (asked++ > 2)
        return false;
    if (late)
        machine_ends(late, 0);
    else
        machine_signal(asked == 1 ? SIGHUP : SIGTERM, 0);
    return true;
}

/* It only reaps, and ends the machine. */
static void check_last_resort(void)
{
    machine_on_wait = ask_for_end;
    CHECK_NUMBER(machine_resume(record.fd), MACHINE_REBOOTED);
    CHECK(machine_said("Init cannot go on from its record: it only reaps"));
    CHECK_NUMBER(machine_times("kill -1 9"), 1);
    CHECK_NUMBER(machine_times("sync"), 1);
    CHECK_NUMBER(machine_times("reboot 0x1234567"), 1);
}

MACHINE_TEST(where_there_is_no_former_one_init_only_reaps)
{
    leave_of_another();
    kept->upgrade.step = UPGRADE_NONE;
    check_last_resort();
    CHECK_NUMBER(machine_times("execveat"), 0);
}

MACHINE_TEST(where_the_former_one_is_not_open_init_only_reaps)
{
    leave_of_another();
    kept->upgrade.former_fd = -1;
    check_last_resort();
    CHECK_NUMBER(machine_times("execveat"), 0);
}

MACHINE_TEST(where_the_former_one_cannot_be_executed_init_only_reaps)
{
    leave_of_another();
    check_last_resort();
    CHECK_NUMBER(machine_times("execveat"), 1);
}

/* A record in which something stands that the former one could not have written. */
static void break_and_go_on(void (*break_it)(void))
{
    leave_of_another();
    break_it();
    check_last_resort();
    CHECK_NUMBER(machine_times("execveat"), 0);
}

static void forget_field(uint32_t id)
{
    for (size_t i = 0; i < RECORD_FIELDS; i++)
        if (kept->fields[i].id == id)
            kept->fields[i].id = 0;
}

static void without_own(void)
{
    forget_field(FIELD_OWN);
}

static void without_upgrade(void)
{
    forget_field(FIELD_UPGRADE);
}

static void with_small_upgrade(void)
{
    for (size_t i = 0; i < RECORD_FIELDS; i++)
        if (kept->fields[i].id == FIELD_UPGRADE)
            kept->fields[i].element_bytes = offsetof(struct kept_upgrade, former_fd);
}

static void with_field_outside(void)
{
    for (size_t i = 0; i < RECORD_FIELDS; i++)
        if (kept->fields[i].id == FIELD_OWN)
            kept->fields[i].at = sizeof *kept + 5;
}

static void with_wrong_magic(void)
{
    kept->head.magic[0] = 'x';
}

static void with_too_many_fields(void)
{
    kept->head.field_count = 5000;
}

static void with_small_fields(void)
{
    kept->head.field_bytes = 8;
}

static void with_large_fields(void)
{
    kept->head.field_bytes = 1u << 20;
}

#define BREAKS(how)                                                                                \
    MACHINE_TEST(a_record_##how##_is_given_back_to_nobody)                                         \
    {                                                                                              \
        break_and_go_on(how);                                                                      \
    }
BREAKS(without_own)
BREAKS(without_upgrade)
BREAKS(with_small_upgrade)
BREAKS(with_field_outside)
BREAKS(with_wrong_magic)
BREAKS(with_too_many_fields)
BREAKS(with_small_fields)
BREAKS(with_large_fields)

MACHINE_TEST(a_record_without_room_for_why_and_for_faults_is_given_back_all_the_same)
{
    leave_of_another();
    for (size_t i = 0; i < RECORD_FIELDS; i++)
        if (kept->fields[i].id == FIELD_UPGRADE)
            kept->fields[i].element_bytes = offsetof(struct kept_upgrade, why);
    machine_answer("execveat", "", 0, 1);
    CHECK_NUMBER(go_on(), MACHINE_EXECUTED);
    CHECK_NUMBER(kept->upgrade.step, UPGRADE_FELL_BACK);
    CHECK_TEXT(kept->upgrade.why, "");
}

/* Whatever fails: the former one is executed with a record that says so, or nothing is. */
static void go_back_with_fault(void)
{
    leave_of_another();
    int former = kept->upgrade.former_fd;
    machine_answer("execveat", "", 0, 1);
    machine_on_wait = ask_for_end;
    int how = machine_resume(record.fd);
    if (how == MACHINE_EXECUTED) {
        CHECK_NUMBER(kept->upgrade.step, UPGRADE_FELL_BACK);
        CHECK_NUMBER(kept->own.exe_fd, former);
    } else {
        CHECK_NUMBER(how, MACHINE_REBOOTED);
        CHECK_NUMBER(machine_times("execveat"), strcmp(machine_fault(), "execveat") == 0);
    }
}

TEST(whatever_fails_on_the_way_back_the_record_is_whole)
{
    CHECK(machine_fail_each(EIO, go_back_with_fault) > 10);
}
