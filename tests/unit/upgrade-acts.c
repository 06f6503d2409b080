/* What the tests of upgrades share. */
#include "upgrade-acts.h"

#include <signal.h>
#include <string.h>

pid_t launcher, journal;
struct hand_over_message got;

bool both_run(void)
{
    launcher = machine_child(CHILD_LAUNCHER);
    journal = machine_child(CHILD_JOURNAL);
    return launcher && journal;
}

struct kept_upgrade *upgrade(void)
{
    return &machine_kept()->upgrade;
}

void say(pid_t pid, unsigned type)
{
    struct hand_over_message message = {.type = (uint16_t)type};
    CHECK_NUMBER(machine_send(pid, &message, NULL, 0), 0);
}

void ask(unsigned parts)
{
    machine_say_type(CHILD_LAUNCHER, HAND_OVER_UPGRADE, (int)parts);
}

void ask_for_end(void)
{
    machine_signal(SIGTERM, 0);
}

void do_nothing(void)
{
}

bool launcher_has_answer(void)
{
    return machine_child(CHILD_LAUNCHER) &&
           machine_got(machine_child(CHILD_LAUNCHER), HAND_OVER_UPGRADED, &got);
}

void check_answer(uint32_t done, uint32_t failed, const char *text)
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
    CHECK(!machine_child(CHILD_TRIAL));
}
