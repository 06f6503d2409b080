/* A whole life of init, from the boot to the end of the machine, in which each call fails in turn:
 * whatever does, it goes on, loses nothing that it was given, and ends the machine when it is told.
 */
#include "fake-machine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#define KEY 77

static pid_t launcher, journal, orphan;
static size_t at;
static struct hand_over_message got;
static bool found;

static int boot(const char *const *words)
{
    int count = 0;
    while (words[count])
        count++;
    return init_main(count, (char **)words);
}

static void run_init(void *words)
{
    boot(words);
}

static void say(pid_t pid, struct hand_over_message message)
{
    CHECK_NUMBER(machine_send(pid, &message, NULL, 0), 0);
}

/* ---- the acts: each when what it waits for is there ---------------------------------------------
 */

static bool both_run(void)
{
    launcher = machine_child(CHILD_LAUNCHER);
    journal = machine_child(CHILD_JOURNAL);
    return launcher && journal;
}

static void get_ready(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct hand_over_message store = {
        .type = HAND_OVER_STORE, .owner = OWNER_LAUNCHER, .count = 1, .keys = {KEY}};
    say(journal, (struct hand_over_message){.type = HAND_OVER_READY});
    say(launcher, (struct hand_over_message){.type = HAND_OVER_READY});
    CHECK_NUMBER(machine_send(launcher, &store, &fd, 1), 0);
    close(fd);
}

static bool are_ready(void)
{
    return machine_kept()->children[CHILD_LAUNCHER].ready &&
           machine_kept()->children[CHILD_JOURNAL].ready && machine_kept()->held.end == KEY + 1;
}

static void end_orphan(void)
{
    orphan = machine_process("orphan", TEMPER_MILD);
    machine_ends(orphan, 3 << 8);
}

static bool has_report(void)
{
    return machine_got(launcher, HAND_OVER_ENDED, &got);
}

static void kill_launcher(void)
{
    CHECK_NUMBER(got.ended[0].pid, orphan);
    CHECK_NUMBER(got.ended[0].status, 3 << 8);
    say(launcher,
        (struct hand_over_message){.type = HAND_OVER_ENDED_SEEN, .argument = (int32_t)got.count});
    machine_ends(launcher, SIGSEGV);
}

static bool is_another(void)
{
    pid_t now = machine_child(CHILD_LAUNCHER);
    if (!now || now == launcher)
        return false;
    launcher = now;
    found = false;
    return true;
}

static bool has_held(void)
{
    struct hand_over_message message;
    while (machine_receive(launcher, &message) == 1) {
        if (message.type == HAND_OVER_HELD && message.count == 1 && message.keys[0] == KEY)
            found = true;
        if (message.type == HAND_OVER_HELD_DONE)
            return true;
    }
    return false;
}

static void ask_for_end(void)
{
    CHECK(found);
    machine_process("left", TEMPER_MILD);
    machine_process("stubborn", TEMPER_STUBBORN);
    say(launcher, (struct hand_over_message){.type = HAND_OVER_READY});
    machine_signal(SIGUSR1, 0);
}

static bool has_signal(void)
{
    return machine_got(launcher, HAND_OVER_SIGNAL, &got);
}

static void end_it(void)
{
    CHECK_NUMBER(got.argument, SIGUSR1);
    say(launcher,
        (struct hand_over_message){.type = HAND_OVER_PROGRESS, .count = 3, .text = "web"});
    say(launcher,
        (struct hand_over_message){.type = HAND_OVER_SHUT_DOWN, .argument = SHUT_DOWN_POWEROFF});
}

static bool is_to_drain(void)
{
    return machine_child(CHILD_JOURNAL) && machine_kept()->children[CHILD_JOURNAL].ready &&
           machine_got(machine_child(CHILD_JOURNAL), HAND_OVER_DRAIN, NULL);
}

static void drain(void)
{
    say(machine_child(CHILD_JOURNAL), (struct hand_over_message){.type = HAND_OVER_DRAINED});
}

static void do_nothing(void)
{
}

static const struct {
    bool (*when)(void);
    void (*then)(void);
} acts[] = {
    {both_run, get_ready},    {are_ready, end_orphan}, {has_report, kill_launcher},
    {is_another, do_nothing}, {has_held, ask_for_end}, {has_signal, end_it},
    {is_to_drain, drain},
};

#define ACTS (sizeof acts / sizeof acts[0])

static bool play(void)
{
    if (at == ACTS || !machine_kept() || !acts[at].when())
        return false;
    acts[at].then();
    at++;
    return true;
}

static void live(void)
{
    static const char *const words[] = {"init", "--log-level", "debug", NULL};
    machine_on_wait = play;
    int how = machine_run(run_init, (void *)words);
    CHECK_NUMBER(at, ACTS);
    if (machine_said("in=container")) { /* what it cannot tell it leaves alone */
        CHECK(machine_fault());
        CHECK_NUMBER(how, 0);
        CHECK_NUMBER(machine_times("sync"), 0);
        return;
    }
    if (machine_said("The kernel refuses to end the machine")) {
        CHECK(machine_fault() && strcmp(machine_fault(), "reboot") == 0);
        CHECK_NUMBER(how, MACHINE_STUCK);
    } else {
        CHECK_NUMBER(how, MACHINE_REBOOTED);
        CHECK_NUMBER(machine_times("reboot 0x4321fedc"), 1);
    }
    CHECK_NUMBER(machine_times("sync"), 1);
    CHECK_NUMBER(machine_times("kill 1 "), 0);
}

static void live_and_say(void)
{
    live();
    CHECK(machine_times(" 18\n") == 3); /* a stopped one could not act on TERM */
    CHECK(machine_times("mount /proc proc -") == 1);
    CHECK(machine_times("sethostname box") == 1);
    CHECK(machine_times("mount / read-only") == 1);
}

MACHINE_TEST(a_life_of_init_on_a_machine)
{
    live_and_say();
}

/* All of them take a while: each program of this file has its share, the SHARE-th of SHARES. */
TEST(whatever_call_fails_init_goes_on_and_ends_the_machine_when_it_is_told)
{
    CHECK(machine_fail_some(ENOMEM, live, SHARE, SHARES) > 200 / SHARES);
}
