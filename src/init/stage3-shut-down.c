/* The third stage. The launcher has stopped the services, or was waited for long enough; what is
 * left is asked to end, then killed, the journal writes what it has and ends, and last-steps.c
 * puts the file systems in order and ends the machine.
 *
 * Until the journal has ended this runs on the loop, in phases, so that the journal can still be
 * started again and take the last lines. */
#include "init/stage3-shut-down.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/syscall.h"
#include "init/crash.h"
#include "init/init.h"
#include "init/last-steps.h"
#include "init/processes.h"
#include "init/stage2-hand-over.h"
#include "init/stage2-reap.h"
#include "init/upgrade.h"
#include "log/log.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_MS   10000 /* for the launcher, from one PROGRESS to the next */
#define TERM_MS       5000  /* for what is left, between TERM and KILL */
#define KILL_MS       10000 /* for the kernel to let go of what was killed */
#define DRAIN_MS      10000
#define CLOSE_TERM_MS 2000 /* for the journal, between TERM and KILL */
#define CLOSE_MS      4000
#define TICK_MS       250  /* between looks at what is left: not every end is ours to reap */
#define KILL_TICK_MS  20   /* the same while killing: nobody is waited for but the kernel */
#define NOTICE_MS     5000 /* after this long the console says what is being waited for */
#define NAMED_MAX     3    /* processes named in one notice */
#define TICKS_PER_SEC 100  /* of a start time in /proc: USER_HZ, the same on every Linux */

static void enter(struct init *init, enum phase phase, unsigned limit_ms);

/* ---- asking the launcher ------------------------------------------------------------------- */

static void on_patience(struct loop_timer *timer)
{
    struct init *init = container_of(timer, struct init, patience);
    LOG(ERROR, "The launcher does not stop the services: everything is ended without it",
        TEXT("how", shut_down_name(init->ending->how)));
    shut_down_begin(init, init->ending->how, 0);
}

static void be_patient(struct init *init)
{
    init->ending->patience_until_ns = clock_now_ns() + PATIENCE_MS * NS_PER_MS;
    loop_set_timer(&init->loop, &init->patience, init->ending->patience_until_ns, on_patience);
}

static void be_patient_no_more(struct init *init)
{
    init->ending->patience_until_ns = 0;
    loop_clear_timer(&init->loop, &init->patience);
}

/* Container managers stop a container with TERM; INT is Ctrl-C on its terminal. */
static enum shut_down how_here(const struct init *init, enum shut_down how, int signal)
{
    bool stops = init->own->container && (signal == SIGTERM || signal == SIGINT);
    return stops ? SHUT_DOWN_POWEROFF : how;
}

void shut_down_ask(struct init *init, int signal, pid_t sender)
{
    enum shut_down how = how_here(init, shut_down_of_signal(signal), signal);
    if (init->ending->phase == PHASE_NONE) { /* before all else: it is in the kernel no more */
        init->ending->signal_sender = sender;
        init->ending->signal_told = false;
        kept_settle();
        init->ending->signal = signal;
    }
    CRASH_POINT("asked");
    LOG(INFO, "Asked to end", TEXT("how", shut_down_name(how)), NUMBER("signal", signal),
        NUMBER("sender", sender));
    if (init->ending->phase != PHASE_NONE)
        return;
    if (init->ending->how == SHUT_DOWN_NONE) {
        init->ending->asked_at_ns = clock_now_ns();
        be_patient(init);
    }
    init->ending->how = how;
    upgrade_stop(init);
    hand_over_send_pending(&init->children[CHILD_LAUNCHER]);
}

void shut_down_launcher_works(struct init *init)
{
    if (init->ending->how != SHUT_DOWN_NONE && init->ending->phase == PHASE_NONE)
        be_patient(init);
}

void shut_down_progress(struct init *init, const char *text)
{
    uint64_t now = clock_now_ns();
    if (init->ending->phase != PHASE_NONE)
        return;
    if (init->ending->asked_at_ns == 0) /* asked for through the launcher's own socket */
        init->ending->asked_at_ns = now;
    if (init->ending->how != SHUT_DOWN_NONE)
        be_patient(init);
    if (now - init->ending->asked_at_ns >= NOTICE_MS * NS_PER_MS)
        LOG(INFO, "Waiting", TEXT("for", text),
            NUMBER("seconds", (now - init->ending->asked_at_ns) / NS_PER_SEC));
}

/* ---- what is left -------------------------------------------------------------------------- */

struct sweep {
    const struct init *init;
    int signal; /* 0: only count */
    int left, named;
    uint64_t since_ns;
};

static bool is_spared(const struct init *init, pid_t pid)
{
    return pid == init->children[CHILD_JOURNAL].kept->pid;
}

static void sweep_one(const struct process *process, void *context)
{
    struct sweep *sweep = context;
    if (is_spared(sweep->init, process->pid))
        return;
    sweep->left++;
    if (sweep->signal) {
        kill(process->pid, sweep->signal);
        if (sweep->signal != SIGKILL)
            kill(process->pid, SIGCONT); /* a stopped one cannot act on it */
    }
}

/* Signals all that is left but the journal. Returns how many there are, or -errno. */
static int sweep(struct init *init, int signal)
{
    struct sweep sweep = {.init = init, .signal = signal};
    int failed = processes_walk(sweep_one, &sweep);
    return failed < 0 ? failed : sweep.left;
}

static void name_one(const struct process *process, void *context)
{
    struct sweep *sweep = context;
    char where[PROCESS_WHERE_BYTES];
    if (is_spared(sweep->init, process->pid) || sweep->named++ >= NAMED_MAX)
        return;
    process_where(process->pid, where);
    uint64_t start_ns = process->start_ticks * (NS_PER_SEC / TICKS_PER_SEC), now = clock_now_ns();
    LOG(WARNING, "Waiting for a process to end", NUMBER("pid", process->pid),
        TEXT("name", process->name), TEXT("where", where),
        NUMBER("runs_seconds", now > start_ns ? (now - start_ns) / NS_PER_SEC : 0),
        NUMBER("seconds", (now - sweep->since_ns) / NS_PER_SEC));
}

static void notice(struct init *init)
{
    struct sweep sweep = {.init = init, .since_ns = init->ending->asked_at_ns};
    uint64_t now = clock_now_ns();
    if (now < init->ending->notice_at_ns)
        return;
    init->ending->notice_at_ns = now + NOTICE_MS * NS_PER_MS;
    if (init->ending->phase == PHASE_TERM || init->ending->phase == PHASE_KILL)
        processes_walk(name_one, &sweep);
    else
        LOG(WARNING, "Waiting for the journal to write what it has",
            NUMBER("seconds", (now - sweep.since_ns) / NS_PER_SEC));
}

/* Stops every process at one stroke, so that none can fork while they are killed one by one. */
static void freeze_all(struct init *init)
{
    pid_t journal = init->children[CHILD_JOURNAL].kept->pid;
    if (getpid() != 1) /* -1 would be all of the machine */
        return;
    kill(-1, SIGSTOP);
    if (journal > 0)
        kill(journal, SIGCONT);
}

/* ---- the phases ---------------------------------------------------------------------------- */

static bool is_over(const struct init *init)
{
    return clock_now_ns() >= init->ending->phase_until_ns;
}

static void check_term(struct init *init)
{
    int left = sweep(init, 0);
    if (left <= 0) { /* without /proc nobody can be told from the journal: it comes first then */
        enter(init, PHASE_DRAIN, DRAIN_MS);
    } else if (is_over(init)) {
        LOG(WARNING, "Killing what does not end by itself", NUMBER("processes", left));
        freeze_all(init);
        enter(init, PHASE_KILL, KILL_MS);
    }
}

static void check_kill(struct init *init)
{
    int left = sweep(init, SIGKILL);
    if (left <= 0) {
        enter(init, PHASE_DRAIN, DRAIN_MS);
    } else if (is_over(init)) {
        LOG(ERROR, "The kernel does not let go of some processes", NUMBER("processes", left));
        enter(init, PHASE_DRAIN, DRAIN_MS);
    }
}

static void check_drain(struct init *init)
{
    struct child *journal = &init->children[CHILD_JOURNAL];
    bool hopeless = journal->kept->pid <= 0 && !journal->restart.set;
    if (is_over(init))
        LOG(ERROR, "The journal has not written all it has in time");
    if (init->ending->drained || hopeless || is_over(init))
        enter(init, PHASE_CLOSE, CLOSE_MS);
    else
        hand_over_send_pending(journal);
}

static void check_close(struct init *init)
{
    struct child *journal = &init->children[CHILD_JOURNAL];
    if (journal->kept->pid <= 0 || is_over(init))
        enter(init, PHASE_LAST, 0);
    else if (clock_now_ns() + (CLOSE_MS - CLOSE_TERM_MS) * NS_PER_MS >=
             init->ending->phase_until_ns)
        kill(journal->kept->pid, SIGKILL);
}

static void check_last(struct init *init)
{
    last_steps(init);
}

static void begin_term(struct init *init)
{
    sweep(init, SIGTERM);
}

static void begin_drain(struct init *init)
{
    init->ending->drain_wanted = true;
}

static void begin_close(struct init *init)
{
    struct child *journal = &init->children[CHILD_JOURNAL];
    child_start_no_more(journal);
    /* One that has written everything has nothing to lose. */
    if (journal->kept->pid > 0)
        kill(journal->kept->pid, init->ending->drained ? SIGKILL : SIGTERM);
}

static const struct {
    void (*begin)(struct init *init);
    void (*check)(struct init *init);
    unsigned tick_ms;
    const char *name;
} phases[] = {
    [PHASE_TERM] = {begin_term, check_term, TICK_MS, "term"},
    [PHASE_KILL] = {NULL, check_kill, KILL_TICK_MS, "kill"},
    [PHASE_DRAIN] = {begin_drain, check_drain, TICK_MS, "drain"},
    [PHASE_CLOSE] = {begin_close, check_close, TICK_MS, "close"},
    [PHASE_LAST] = {NULL, check_last, TICK_MS, "last"},
};

static void on_tick(struct loop_timer *timer)
{
    struct init *init = container_of(timer, struct init, phase_timer);
    notice(init);
    enum phase phase = init->ending->phase;
    loop_set_timer(&init->loop, timer, clock_now_ns() + phases[phase].tick_ms * NS_PER_MS, on_tick);
    CRASH_POINT(phases[phase].name);
    phases[phase].check(init);
}

/* The phase's own check comes with the next turn: no phase runs inside another. */
static void enter(struct init *init, enum phase phase, unsigned limit_ms)
{
    uint64_t now = clock_now_ns();
    if (phases[phase].begin)
        phases[phase].begin(init);
    init->ending->phase_until_ns = now + limit_ms * NS_PER_MS;
    init->ending->phase = phase;
    loop_set_timer(&init->loop, &init->phase_timer, now, on_tick);
}

void shut_down_begin(struct init *init, enum shut_down how, int status)
{
    struct child *launcher = &init->children[CHILD_LAUNCHER];
    if (init->ending->phase != PHASE_NONE)
        return;
    how = how_here(init, how, init->ending->signal);
    LOG(INFO, "Ending everything", TEXT("how", shut_down_name(how)));
    init->ending->how = how;
    init->ending->exit_status = status;
    if (init->ending->asked_at_ns == 0)
        init->ending->asked_at_ns = clock_now_ns();
    init->ending->notice_at_ns = init->ending->asked_at_ns + NOTICE_MS * NS_PER_MS;
    init->reap_wanted = true;
    upgrade_stop(init);
    reap_wait_no_more(init);
    child_start_no_more(launcher);
    /* It must not start anything again; nothing it knows is needed any more. */
    if (launcher->kept->pid > 0)
        kill(launcher->kept->pid, SIGKILL);
    enter(init, PHASE_TERM, TERM_MS);
    be_patient_no_more(init);
}

void shut_down_resume(struct init *init)
{
    if (init->ending->phase != PHASE_NONE)
        loop_set_timer(&init->loop, &init->phase_timer, clock_now_ns(), on_tick);
    else if (init->ending->signal && init->ending->how == SHUT_DOWN_NONE)
        shut_down_ask(init, init->ending->signal, init->ending->signal_sender);
    else if (init->ending->patience_until_ns)
        loop_set_timer(&init->loop, &init->patience, init->ending->patience_until_ns, on_patience);
}

void shut_down_drained(struct init *init)
{
    init->ending->drained = init->ending->phase == PHASE_DRAIN && !init->ending->drain_wanted;
    shut_down_check(init);
}

/* Something has ended: the phase is looked at again in this turn or the next. */
void shut_down_check(struct init *init)
{
    if (init->ending->phase != PHASE_NONE && init->phase_timer.set)
        loop_set_timer(&init->loop, &init->phase_timer, clock_now_ns(), on_tick);
}
