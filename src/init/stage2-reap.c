/* The second stage: every orphan's end comes here, and is reported by stage2-hand-over.c.
 *
 * The kernel writes who it was into init's record in the same call in which it forgets the process:
 * a fault of ours loses no end and makes none of it twice. */
#include "init/stage2-reap.h"
#include "base/clock.h"
#include "base/list.h"
#include "init/crash.h"
#include "init/ended.h"
#include "init/init.h"
#include "init/stage2-hand-over.h"
#include "init/stage3-shut-down.h"
#include "init/upgrade.h"
#include "log/log.h"

#include <sys/wait.h>

#define REAPED_A_TURN 256
#define NO_READY_MS   10000 /* without a READY launcher for so long: reap anyway */

/* ---- how long the kernel keeps them ---------------------------------------------------------- */

static void on_no_ready(struct loop_timer *timer)
{
    struct init *init = container_of(timer, struct init, reap_timer);
    init->own->reap_until_ns = 0;
    LOG(WARNING, "The launcher takes no reports: orphans are reaped and the last are remembered");
    init->own->reap_anyway = init->reap_wanted = true;
}

void reap_wait_for_launcher(struct init *init)
{
    if (init->reap_timer.set || init->own->reap_anyway)
        return;
    if (!init->own->reap_until_ns)
        init->own->reap_until_ns = clock_now_ns() + NO_READY_MS * NS_PER_MS;
    loop_set_timer(&init->loop, &init->reap_timer, init->own->reap_until_ns, on_no_ready);
}

void reap_wait_no_more(struct init *init)
{
    init->own->reap_until_ns = 0;
    loop_clear_timer(&init->loop, &init->reap_timer);
}

/* While the launcher is down a zombie is the safest place for its status. The same goes for a
 * launcher that does not keep up, for a while. */
static bool may_reap(struct init *init)
{
    if (init->ending->phase != PHASE_NONE || init->own->reap_anyway)
        return true;
    if (!init->children[CHILD_LAUNCHER].kept->ready)
        return false;
    if (!ended_is_full())
        return true;
    reap_wait_for_launcher(init);
    return false;
}

/* ---- one end --------------------------------------------------------------------------------- */

int reap_status_of(const siginfo_t *info)
{
    if (info->si_code == CLD_EXITED)
        return (info->si_status & 0xff) << 8;
    return (info->si_status & 0x7f) | (info->si_code == CLD_DUMPED ? 0x80 : 0);
}

/* Whether `pid`, already reaped, was one of our own; then its end is dealt with. */
static bool take_own(struct init *init, pid_t pid, int status)
{
    bool of_upgrade = upgrade_take_end(init, pid, status);
    for (int i = 0; i < CHILDREN; i++) {
        struct child *child = &init->children[i];
        if (child->kept->pid != pid)
            continue;
        child->kept->pid = 0;
        hand_over_take_rest(child);
        child_ended(child, pid, status);
        if (child->owner == OWNER_LAUNCHER && init->ending->phase == PHASE_NONE)
            reap_wait_for_launcher(init);
        return true;
    }
    if (pid != init->own->rescue_pid)
        return of_upgrade;
    rescue_ended(init);
    return true;
}

static void take(struct init *init)
{
    struct kept_reaping *reaping = &init->kept->reaping;
    pid_t pid = reaping->info.si_pid;
    int status = reap_status_of(&reaping->info);
    if (!take_own(init, pid, status) && init->ending->phase == PHASE_NONE)
        ended_push((struct hand_over_ended){pid, status});
    CRASH_POINT("noted");
    kept_settle();
    reaping->info.si_pid = 0;
}

bool reap_to_record(struct kept *kept, idtype_t type, pid_t pid)
{
    struct kept_reaping *reaping = &kept->reaping;
    reaping->info.si_pid = 0;
    reaping->after = kept->ended.last;
    kept_settle();
    if (waitid(type, (id_t)pid, &reaping->info, WEXITED | WNOHANG) < 0 || !reaping->info.si_pid)
        return false;
    CRASH_POINT("reaped");
    return true;
}

bool reap_is_half_done(const struct kept *kept)
{
    return kept->reaping.info.si_pid > 0 && kept->ended.last == kept->reaping.after;
}

/* Reaps one of those that are meant, if it has ended. */
static bool reap(struct init *init, idtype_t type, pid_t pid)
{
    if (!reap_to_record(init->kept, type, pid))
        return false;
    take(init);
    return true;
}

void reap_resume(struct init *init)
{
    init->reap_wanted = true;
    if (reap_is_half_done(init->kept))
        take(init);
    init->kept->reaping.info.si_pid = 0;
    if (init->own->reap_until_ns)
        reap_wait_for_launcher(init);
}

static void reap_own(struct init *init)
{
    pid_t own[UPGRADE_PROCESSES + CHILDREN + 1];
    size_t count = upgrade_processes(init, own);
    for (int i = 0; i < CHILDREN; i++)
        own[count++] = init->children[i].kept->pid;
    own[count++] = init->own->rescue_pid;
    for (size_t i = 0; i < count; i++)
        if (own[i] > 0)
            reap(init, P_PID, own[i]);
}

bool reap_turn(struct init *init)
{
    int reaped = 0;
    if (!init->reap_wanted)
        return false;
    init->reap_wanted = false;
    reap_own(init);
    while (reaped < REAPED_A_TURN && may_reap(init) && reap(init, P_ALL, 0))
        reaped++;
    init->reap_wanted |= reaped == REAPED_A_TURN;
    if (!ended_is_full() && init->children[CHILD_LAUNCHER].kept->ready) {
        init->own->reap_anyway = false; /* it keeps up, or does again */
        reap_wait_no_more(init);
    }
    if (init->ending->phase == PHASE_NONE)
        hand_over_send_pending(&init->children[CHILD_LAUNCHER]);
    else
        shut_down_check(init);
    return init->reap_wanted;
}
