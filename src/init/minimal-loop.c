/* The minimal loop. Init has had three faults of its own within a minute, or one while it was being
 * executed anew: so whatever is wrong is in what it does. Here it does as little as it can. Ended
 * processes are remembered for the launcher that will be told; messages stay in the sockets. */
#include "init/minimal-loop.h"
#include "base/clock.h"
#include "init/crash.h"
#include "init/ended.h"
#include "init/execute.h"
#include "init/fault.h"
#include "init/init.h"
#include "init/last-steps.h"
#include "init/process.h"
#include "init/processes.h"
#include "init/stage2-reap.h"
#include "init/upgrade.h"
#include "log/log.h"

#include <signal.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TICK_MS      1000
#define TERM_MS      5000 /* for what is left, between TERM and KILL */
#define JOURNAL_MS   4000
#define POLL_MS      50
#define SYNC_MS      10000
#define LOOKED_AT    1000 /* messages in its socket */
#define AGAIN_MOST_S 600  /* between attempts to leave the loop */
#define TRIES_WHOLE  1    /* ends that are tried with all that belongs to one */

/* ---- reaping -----------------------------------------------------------------------------------
 */

/* Whether it was one of our own. Its number is forgotten wherever it is noted: another process will
 * have it. */
static bool forget_own(struct init *init, pid_t pid, int status)
{
    bool own = upgrade_note_end(init, pid, status);
    for (int i = 0; i < CHILDREN; i++) {
        if (init->kept->children[i].pid != pid)
            continue;
        init->kept->children[i].pid = 0;
        own = true;
    }
    if (init->own->rescue_pid != pid)
        return own;
    init->own->rescue_pid = 0;
    return true;
}

static void take(struct init *init)
{
    siginfo_t *info = &init->kept->reaping.info;
    pid_t pid = info->si_pid;
    int status = reap_status_of(info);
    if (!forget_own(init, pid, status))
        ended_push((struct hand_over_ended){pid, status});
    kept_settle();
    info->si_pid = 0;
}

static void reap(struct init *init)
{
    if (reap_is_half_done(init->kept))
        take(init);
    while (reap_to_record(init->kept, P_ALL, 0))
        take(init);
}

/* ---- ending ------------------------------------------------------------------------------------
 */

struct left {
    pid_t journal;
    int signal, count;
};

static void visit(const struct process *process, void *context)
{
    struct left *left = context;
    if (process->pid == left->journal)
        return;
    left->count++;
    if (left->signal)
        kill(process->pid, left->signal);
}

/* Signals all but the journal. Returns how many there are. */
static int signal_rest(struct init *init, int signal)
{
    struct left left = {.journal = init->kept->children[CHILD_JOURNAL].pid, .signal = signal};
    if (processes_walk(visit, &left) < 0 && signal)
        kill(-1, signal);
    return left.count;
}

static void wait_until(struct init *init, bool (*is_over)(struct init *init), unsigned limit_ms)
{
    uint64_t until = clock_now_ns() + limit_ms * NS_PER_MS;
    struct timespec tick = {0, POLL_MS * NS_PER_MS};
    for (reap(init); !is_over(init) && clock_now_ns() < until; reap(init))
        sigtimedwait(&init->signals, NULL, &tick);
}

static bool rest_has_ended(struct init *init)
{
    return signal_rest(init, 0) == 0;
}

static bool journal_has_ended(struct init *init)
{
    return init->kept->children[CHILD_JOURNAL].pid <= 0;
}

/* sync(2) in a child, for a while: a disk that hangs must not keep the machine up. Without a
 * process it is left out, for the same reason. */
static void sync_briefly(void)
{
    uint64_t until = clock_now_ns() + SYNC_MS * NS_PER_MS;
    struct timespec tick = {0, POLL_MS * NS_PER_MS};
    pid_t pid = process_fork(NULL);
    if (pid == 0) {
        sync();
        _exit(0);
    }
    while (pid > 0 && waitpid(pid, NULL, WNOHANG) == 0 && clock_now_ns() < until)
        nanosleep(&tick, NULL);
}

static void __attribute__((noreturn)) end_at_once(struct init *init)
{
    if (init->own->container)
        _exit(init->ending->exit_status & 0xff);
    sync_briefly();
    reboot(init->ending->how == SHUT_DOWN_REBOOT ? RB_AUTOBOOT : RB_POWER_OFF);
    minimal_last_resort();
}

/* What is left is asked to end and killed, the journal after all others; then the last steps. An
 * end in which init has yet another fault is one with less. */
static void __attribute__((noreturn)) end(struct init *init)
{
    uint32_t tries = init->kept->faults.ends_tried++;
    if (tries > TRIES_WHOLE)
        end_at_once(init);
    if (tries < TRIES_WHOLE && init->ending->phase < PHASE_CLOSE) {
        signal_rest(init, SIGTERM);
        wait_until(init, rest_has_ended, TERM_MS);
        signal_rest(init, SIGKILL);
        if (init->kept->children[CHILD_JOURNAL].pid > 0)
            kill(init->kept->children[CHILD_JOURNAL].pid, SIGTERM);
        wait_until(init, journal_has_ended, JOURNAL_MS);
    }
    CRASH_POINT("minimal-end");
    last_steps(init);
}

/* ---- the loop ----------------------------------------------------------------------------------
 */

static enum shut_down how_here(const struct init *init, int signal)
{
    bool stops = init->own->container && (signal == SIGTERM || signal == SIGINT);
    return stops ? SHUT_DOWN_POWEROFF : shut_down_of_signal(signal);
}

/* Whether the launcher has asked for an upgrade. Its messages stay where they are: they are looked
 * at one behind the other (SO_PEEK_OFF in socket(7)). */
static bool upgrade_is_asked_for(const struct init *init)
{
    struct {
        uint16_t version, type;
    } head;
    int fd = init->kept->children[CHILD_LAUNCHER].link_fd, at = 0;
    bool found = false;
    for (int i = 0; i < LOOKED_AT && fd >= 0 && !found; i++) {
        setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &at, sizeof at);
        ssize_t bytes = recv(fd, &head, sizeof head, MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC);
        if (bytes <= 0)
            break;
        found = bytes >= (ssize_t)sizeof head && head.type == HAND_OVER_UPGRADE;
        at += (int)bytes;
    }
    at = -1;
    setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &at, sizeof at);
    return found;
}

/* When it fails it is tried again, after twice as long each time. */
static void leave(struct init *init, const char *why)
{
    static uint64_t next_ns, delay_s;
    struct kept_faults *faults = &init->kept->faults;
    if (clock_now_ns() < next_ns)
        return;
    LOG(WARNING, "Init goes back to all it does", TEXT("why", why));
    uint32_t minimal = faults->minimal;
    faults->own_count = faults->minimal = 0;
    faults->under_way = 1;
    int failed = execute_self();
    faults->minimal = minimal; /* better this than nothing */
    faults->under_way = 0;
    delay_s = delay_s ? 2 * delay_s : 1;
    if (delay_s > AGAIN_MOST_S)
        delay_s = AGAIN_MOST_S;
    next_ns = clock_now_ns() + delay_s * NS_PER_SEC;
    LOG(ERROR, "Init cannot be executed anew, and only reaps on", TEXT("error", strerror(-failed)),
        NUMBER("again_in_seconds", delay_s));
}

void minimal_loop(struct init *init)
{
    fault_say(&init->kept->faults);
    LOG(FATAL,
        "Init has had too many faults: until it has had none for ten minutes it only reaps, "
        "holds descriptors and obeys the signals that end the machine",
        NUMBER("faults", init->kept->faults.number));
    init->kept->faults.under_way = 0;
    for (;;) {
        struct timespec tick = {TICK_MS / 1000, 0};
        siginfo_t info;
        int signal = sigtimedwait(&init->signals, &info, &tick);
        reap(init);
        CRASH_POINT("minimal");
        if (signal > 0 && how_here(init, signal) != SHUT_DOWN_NONE)
            init->ending->how = how_here(init, signal);
        if (init->ending->how != SHUT_DOWN_NONE)
            end(init);
        if (clock_now_ns() >= init->kept->faults.quiet_at_ns)
            leave(init, "No fault for ten minutes");
        else if (upgrade_is_asked_for(init))
            leave(init, "An upgrade is asked for");
    }
}

void minimal_last_resort(void)
{
    sigset_t all;
    sigfillset(&all);
    for (;;) {
        siginfo_t info = {0};
        enum shut_down how = SHUT_DOWN_NONE;
        struct timespec tick = {TICK_MS / 1000, 0};
        int signal = sigtimedwait(&all, NULL, &tick);
        while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) == 0 && info.si_pid)
            info.si_pid = 0;
        if (signal > 0)
            how = shut_down_of_signal(signal);
        if (how == SHUT_DOWN_NONE)
            continue;
        kill(-1, SIGKILL);
        sync_briefly();
        reboot(how == SHUT_DOWN_REBOOT ? RB_AUTOBOOT : RB_POWER_OFF);
        _exit(0); /* not permitted: a container */
    }
}
