/* What the tests of upgrades share: what each act of theirs needs to know, and who asks for what.
 */
#pragma once

#include "fake-machine.h"

extern pid_t launcher, journal;      /* as they were when both ran first */
extern struct hand_over_message got; /* the answer that the launcher has */

bool both_run(void);
struct kept_upgrade *upgrade(void);

/* Says a message of that type, as that process. */
void say(pid_t pid, unsigned type);

/* The launcher asks for an upgrade of these parts. */
void ask(unsigned parts);
void ask_for_end(void);
void do_nothing(void);
bool launcher_has_answer(void);

/* The answer is PARTS done, PARTS failed, and this text. */
void check_answer(uint32_t done, uint32_t failed, const char *text);

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
