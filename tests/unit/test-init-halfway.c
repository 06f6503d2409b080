/* Records of which an init was in the middle of something: it goes on from there, or leaves it. */
#include "fake-machine-parts.h"
#include "init/children.h"
#include "init/record.h"
#include "init/try-init.h"
#include "init/upgrade.h"
#include "left-record.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static pid_t launcher, journal;

static bool stop(void)
{
    machine_stop();
}

static void leave(void)
{
    leave_record();
    launcher = leave_child(CHILD_LAUNCHER);
    journal = leave_child(CHILD_JOURNAL);
    machine_on_wait = stop;
}

static int go_on(void)
{
    return machine_resume(record.fd);
}

MACHINE_TEST(a_successor_that_was_half_promoted_is_promoted)
{
    leave();
    kept->upgrade.part = PART_JOURNAL;
    kept->upgrade.step = UPGRADE_TRIAL;
    kept->children[CHILD_TRIAL] = kept->children[CHILD_JOURNAL];
    CHECK_NUMBER(go_on(), MACHINE_STOPPED);
    CHECK_NUMBER(kept->upgrade.done, PART_JOURNAL);
    CHECK(machine_child(CHILD_JOURNAL) == journal);
    CHECK_NUMBER(machine_times("kill"), 0);
}

MACHINE_TEST(parts_that_only_another_version_has_are_upgraded_by_nobody)
{
    leave();
    kept->upgrade.wanted = 8;
    CHECK_NUMBER(go_on(), MACHINE_STOPPED);
    CHECK_NUMBER(kept->upgrade.wanted, 0);
}

/* What is asked for is told to be over, also where nothing of it is known. */
MACHINE_TEST(parts_that_only_another_version_has_keep_nobody_waiting)
{
    leave();
    kept->upgrade.wanted = 8;
    kept->upgrade.done = PART_JOURNAL;
    CHECK_NUMBER(go_on(), MACHINE_STOPPED);
    CHECK(machine_got(launcher, HAND_OVER_UPGRADED, NULL));
}

MACHINE_TEST(a_trial_of_no_part_that_is_known_goes_nowhere)
{
    leave();
    kept->upgrade.part = 8;
    kept->upgrade.step = UPGRADE_TRIAL;
    CHECK_NUMBER(go_on(), MACHINE_STOPPED);
    CHECK_NUMBER(kept->upgrade.step, UPGRADE_NONE);
    CHECK(machine_child(CHILD_LAUNCHER) == launcher && machine_child(CHILD_JOURNAL) == journal);
}

MACHINE_TEST(mounts_of_others_that_fill_the_table_leave_no_room_for_more)
{
    leave();
    kept->own.booted = 0;
    for (int i = 0; i < MOUNTS_OWN_MAX; i++) {
        kept->mounts[i].id = 7;
        snprintf(kept->mounts[i].target, sizeof kept->mounts[i].target, "/other%d", i);
    }
    CHECK_NUMBER(go_on(), MACHINE_STOPPED);
    CHECK_NUMBER(machine_times("mount /run"), 1);
    CHECK_TEXT(kept->mounts[MOUNTS_OWN_MAX - 1].target, "/other15");
}

MACHINE_TEST(a_descriptor_above_all_that_can_be_named_is_left_open)
{
    char number[12];
    leave();
    kept->own.exe_fd = FD_MOST + 5;
    snprintf(number, sizeof number, "%d", FD_MOST + 5);
    machine_answer("fcntl64", number, 0, FOR_GOOD); /* it is open */
    CHECK_NUMBER(go_on(), MACHINE_STOPPED);
    CHECK_NUMBER(kept->own.exe_fd, FD_MOST + 5);
}

static void receive(enum child_id from, struct hand_over_message message, size_t control_bytes)
{
    struct hand_over_inbox *inbox = &kept->inbox.inbox;
    message.version = HAND_OVER_VERSION;
    inbox->message = message;
    inbox->header.msg_controllen = control_bytes;
    kept->inbox.from = 1 + (int32_t)from;
}

MACHINE_TEST(a_length_beyond_what_can_come_is_not_followed)
{
    leave();
    receive(CHILD_LAUNCHER, (struct hand_over_message){.type = HAND_OVER_STORE, .count = 1},
            sizeof kept->inbox.inbox.control);
    kept->inbox.inbox.control.first =
        (struct cmsghdr){.cmsg_len = 1u << 20, .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    CHECK_NUMBER(go_on(), MACHINE_STOPPED);
    CHECK_NUMBER(kept->held.end, 0);
    CHECK(machine_said("A message was malformed"));
}

MACHINE_TEST(the_last_word_of_a_journal_that_was_being_dealt_with_is_taken)
{
    leave();
    kept->ending.how = SHUT_DOWN_POWEROFF;
    kept->ending.phase = PHASE_DRAIN;
    kept->ending.phase_until_ns = machine_now_ns() + 5000000000;
    receive(CHILD_JOURNAL, (struct hand_over_message){.type = HAND_OVER_DRAINED}, 0);
    machine_on_wait = NULL;
    CHECK_NUMBER(go_on(), MACHINE_REBOOTED);
    CHECK_NUMBER(kept->ending.drained, 1);
}

MACHINE_TEST(more_words_than_are_kept_are_no_harm_to_one_that_is_executed)
{
    static char numbers[20];
    char *words[WORDS_KEPT_MAX + 20];
    leave();
    snprintf(numbers, sizeof numbers, "%d", record.fd);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        words[i] = (char *)"x";
    words[0] = (char *)"init";
    words[1] = (char *)"--resume";
    words[2] = numbers;
    kept->head.readable_from = 99;
    machine_on_wait = stop;
    CHECK_NUMBER(machine_boot_with(sizeof words / sizeof words[0], words), MACHINE_STOPPED);
    CHECK(machine_said("Init cannot go on from its record"));
}

/* What an init that tries another one prints, and its status. */
static int try_and_print(int fd, char *text, size_t size_bytes)
{
    int ends[2];
    char number[12];
    char *words[] = {(char *)"init", (char *)TRY_INIT_WORD, number, (char *)"abc", NULL};
    CHECK_NUMBER(pipe(ends), 0);
    snprintf(number, sizeof number, "%d", fd);
    fflush(stdout);
    dup2(ends[1], 1);
    int status = try_init_main(4, words);
    fflush(stdout);
    ssize_t bytes = read(ends[0], text, size_bytes - 1);
    text[bytes > 0 ? bytes : 0] = 0;
    return status;
}

MACHINE_TEST(a_record_that_is_not_as_it_should_be_is_not_taken_over_by_a_new_init)
{
    char text[200];
    leave();
    kept->upgrade.step = UPGRADE_STEPS;
    CHECK_NUMBER(try_and_print(record.fd, text, sizeof text), 1);
    CHECK_TEXT(text,
               "it cannot go on from init's record: its part upgrade is not as it should be\n");
}

MACHINE_TEST(a_record_that_is_as_it_should_be_is)
{
    char text[200];
    leave();
    CHECK_NUMBER(try_and_print(record.fd, text, sizeof text), 0);
    CHECK_TEXT(text, "abc\n");
}
