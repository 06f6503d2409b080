/* The outer process: it starts what is inside, again after a reboot, tells it to stop, passes
 * signals in and the status out. It waits in its loop, and for a second at most when cgroups are to
 * become empty and for its last words; for a start as start_inside() says. */
#include "run-on-pid-ns/outside.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/signals.h"
#include "log/log.h"
#include "loop/loop.h"
#include "run-on-pid-ns/ends.h"
#include "run-on-pid-ns/enter.h"
#include "run-on-pid-ns/notify.h"
#include "run-on-pid-ns/pass-on.h"
#include "run-on-pid-ns/start.h"
#include "run-on-pid-ns/stop-method.h"
#include "run-on-pid-ns/terminal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of a system that does nothing but reboot. */
#define START_INTERVAL_NS NS_PER_SEC
/* After a signal that was typed: who has a handler for it may be about to end by itself, without
 * one any more. */
#define TYPED_NS (200 * NS_PER_MS)
/* When it was stopped, what it has printed is waited for no longer: who has told us to stop waits,
 * and we are below the launcher's time-out then. */
#define DRAIN_NS (1500 * NS_PER_MS)

struct outside {
    const struct options *options;
    struct loop loop;
    int signal_fd;
    struct loop_fd signal_source;
    uint64_t typed; /* signals that it has got already, and that may have had no effect: bits */
    struct loop_timer typed_timer;

    /* what runs inside */
    struct inside inside;
    bool runs;
    struct loop_fd process_source;
    uint64_t started_at_ns;
    int killed_for; /* the signal it had no handler for; 0: none */
    unsigned reboots;
    struct loop_timer again_timer;
    struct terminal terminal;
    struct notify notify;

    /* its end */
    bool stopping;
    struct loop_timer stop_timer;
    struct pidref stop_command; /* while it runs */
    struct loop_fd stop_command_source;
    struct end end; /* while what it has printed is on its way */
    struct loop_timer drain_timer;
    int status; /* ours */
};

/* The C library keeps some signals for itself, which systemd has a meaning for. */
static const uint64_t all_signals = UINT64_MAX;

static void finish(struct outside *outside, int status, const char *said)
{
    outside->status = status;
    notify_finish(&outside->notify, said);
    loop_stop(&outside->loop);
}

/* ---- signals to it ------------------------------------------------------------------------- */

static void send_signal(struct outside *outside, int signal, bool sent)
{
    char storage[32];
    struct text name;
    enum passed passed = pass_on(&outside->inside.process, signal, sent);

    if (passed == PASSED_STOPPED) { /* who has started us is to see it stop */
        terminal_suspend(&outside->terminal);
        kill(getpid(), SIGSTOP);
        terminal_resume(&outside->terminal);
    }
    if (passed != PASSED_KILLED)
        return;
    text_init(&name, storage, sizeof storage);
    signals_format(signal, &name);
    LOG(INFO, "The command has no handler for the signal and is killed", TEXT("signal", storage));
    outside->killed_for = signal;
}

/* ---- stopping ------------------------------------------------------------------------------ */

static void drop_stop_command(struct outside *outside)
{
    if (!pidref_is_set(&outside->stop_command))
        return;
    loop_remove(&outside->loop, &outside->stop_command_source);
    pidref_kill_child(&outside->stop_command);
    pidref_close(&outside->stop_command);
}

static void on_stop_command(struct loop_fd *source, uint32_t events)
{
    struct outside *outside = container_of(source, struct outside, stop_command_source);
    int code, status;

    if (pidref_peek(&outside->stop_command, &code, &status) < 0)
        return;
    drop_stop_command(outside);
    /* With process 1 the kernel kills all that is inside, which is over before we hear of its end.
     */
    bool killed = code == CLD_EXITED && status == 128 + SIGKILL;
    if (!outside->runs || killed || (code == CLD_EXITED && status == 0))
        return;
    LOG(WARNING, "The stop command failed: sending SIGTERM", NUMBER("status", status));
    send_signal(outside, SIGTERM, true);
}

static void run_stop_command(struct outside *outside, char *const *command)
{
    if (pidref_is_set(&outside->stop_command))
        return; /* it is at it */
    int failed = enter_run(&outside->inside.process, command, &outside->stop_command);
    if (!failed) {
        failed = loop_add(&outside->loop, &outside->stop_command_source, outside->stop_command.fd,
                          EPOLLIN, on_stop_command);
        if (!failed)
            return;
        drop_stop_command(outside);
    }
    LOG(WARNING, "Could not run the stop command: sending SIGTERM",
        TEXT("error", strerror(-failed)));
    send_signal(outside, SIGTERM, true);
}

static void on_stop_time(struct loop_timer *timer)
{
    struct outside *outside = container_of(timer, struct outside, stop_timer);
    LOG(WARNING, "It did not stop in time: killing it",
        NUMBER("timeout_ms", outside->options->stop_timeout_ms));
    pidref_signal(&outside->inside.process, SIGKILL);
}

static struct stop_method method_of(const struct outside *outside)
{
    const struct options *options = outside->options;
    if (options->stop_command[0])
        return (struct stop_method){.command = options->stop_command};
    if (options->stop_signal)
        return (struct stop_method){.signal = options->stop_signal};
    return stop_method_find(outside->inside.process.pid, options->command[0]);
}

/* Nothing runs: its last output is on its way, or it is about to be started again. */
static void stop_waiting(struct outside *outside)
{
    size_t lost = terminal_give_up(&outside->terminal);
    if (lost)
        LOG(WARNING, "Nobody takes what it has printed last", NUMBER("bytes", lost));
    if (outside->end.again)
        finish(outside, 0, "rebooted");
    else
        finish(outside, outside->end.status, outside->end.said);
}

/* The first time, and each time that somebody asks again: it may not have understood. */
static void stop(struct outside *outside)
{
    uint64_t timeout_ms = outside->options->stop_timeout_ms;
    if (!outside->runs) {
        stop_waiting(outside);
        return;
    }
    if (!outside->stopping && timeout_ms != OPTIONS_TIME_NEVER)
        loop_set_timer(&outside->loop, &outside->stop_timer,
                       clock_now_ns() + timeout_ms * NS_PER_MS, on_stop_time);
    outside->stopping = true;
    if (!outside->inside.executed) { /* it is still ours, at a step that may hang */
        outside->killed_for = SIGTERM;
        pidref_signal(&outside->inside.process, SIGKILL);
        return;
    }
    struct stop_method method = method_of(outside);
    if (method.command)
        run_stop_command(outside, method.command);
    else
        send_signal(outside, method.signal, true);
}

/* ---- signals to us ------------------------------------------------------------------------- */

/* What is typed on a terminal goes to the whole group: this has got it too, if it is in ours. */
static bool has_got(const struct outside *outside, const struct signalfd_siginfo *info)
{
    return info->ssi_code == SI_KERNEL && getpgid(outside->inside.process.pid) == getpgrp();
}

/* A common process would have ended by them, or stopped. */
static void on_typed_time(struct loop_timer *timer)
{
    struct outside *outside = container_of(timer, struct outside, typed_timer);
    uint64_t typed = outside->typed;
    outside->typed = 0;
    for (int signal = 1; outside->runs && signal <= SIGNALS_REALTIME_LAST; signal++)
        if (typed >> (signal - 1) & 1)
            send_signal(outside, signal, false);
}

static void note_typed(struct outside *outside, int signal)
{
    outside->typed |= UINT64_C(1) << (signal - 1);
    if (!outside->typed_timer.set)
        loop_set_timer(&outside->loop, &outside->typed_timer, clock_now_ns() + TYPED_NS,
                       on_typed_time);
}

/* With a terminal of its own inside what is typed at ours, or that it has gone, is meant for us. */
static bool is_stop(const struct outside *outside, const struct signalfd_siginfo *info)
{
    int signal = (int)info->ssi_signo;
    bool typed = signal == SIGINT || signal == SIGQUIT || signal == SIGHUP;
    return signal == SIGTERM || (typed && info->ssi_code == SI_KERNEL && outside->options->console);
}

static void take_signal(struct outside *outside, const struct signalfd_siginfo *info)
{
    int signal = (int)info->ssi_signo;
    if (signal == SIGCHLD || (signal == SIGPIPE && info->ssi_pid == (uint32_t)getpid()))
        return;
    if (signal == SIGCONT)
        terminal_resume(&outside->terminal);
    if (signal == SIGWINCH && info->ssi_code == SI_KERNEL && outside->options->console)
        terminal_resize(&outside->terminal);
    else if (is_stop(outside, info))
        stop(outside);
    else if (outside->runs && has_got(outside, info))
        note_typed(outside, signal);
    else if (outside->runs)
        send_signal(outside, signal, true);
}

static void on_signals(struct loop_fd *source, uint32_t events)
{
    struct outside *outside = container_of(source, struct outside, signal_source);
    struct signalfd_siginfo info;
    while (read(source->fd, &info, sizeof info) == sizeof info)
        take_signal(outside, &info);
}

/* Everything is blocked, for there is no moment at which it would be in time otherwise. */
static int take_signals(struct outside *outside)
{
    if (syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all_signals, NULL, sizeof all_signals) < 0)
        return -errno;
    outside->signal_fd = (int)syscall(SYS_signalfd4, -1, &all_signals, sizeof all_signals,
                                      SFD_NONBLOCK | SFD_CLOEXEC);
    if (outside->signal_fd < 0)
        return -errno;
    return loop_add(&outside->loop, &outside->signal_source, outside->signal_fd, EPOLLIN,
                    on_signals);
}

/* ---- the terminal and the notify socket ---------------------------------------------------- */

static void on_escape(struct terminal *terminal)
{
    struct outside *outside = container_of(terminal, struct outside, terminal);
    LOG(INFO, "Told to stop by Ctrl-]");
    stop(outside);
}

static void on_extend(struct notify *notify, uint64_t usec)
{
    struct outside *outside = container_of(notify, struct outside, notify);
    uint64_t most = (UINT64_MAX - clock_now_ns()) / 1000;
    uint64_t at_ns = clock_now_ns() + (usec < most ? usec : most) * 1000;
    if (outside->stop_timer.set && outside->stop_timer.at_ns < at_ns)
        loop_set_timer(&outside->loop, &outside->stop_timer, at_ns, on_stop_time);
}

/* Both belong to the run. */
static int attach(struct outside *outside)
{
    struct inside *inside = &outside->inside;
    int failed = terminal_attach(&outside->terminal, take_fd(&inside->console_fd),
                                 take_fd(&inside->slave_fd));
    if (failed)
        return failed;
    if (outside->terminal.interactive && !outside->reboots)
        LOG(INFO, "Ctrl-] typed three times within a second tells it to stop");
    failed = notify_hear(&outside->notify, take_fd(&inside->notify_fd));
    if (!failed && inside->executed && !outside->options->notify && !outside->reboots)
        notify_ready(&outside->notify);
    return failed;
}

/* ---- one run of it ------------------------------------------------------------------------- */

static void on_process(struct loop_fd *source, uint32_t events);

static void start(struct outside *outside)
{
    outside->started_at_ns = clock_now_ns();
    outside->killed_for = 0;
    int failed = start_inside(outside->options, &outside->inside);
    if (failed) {
        finish(outside, failed, NULL);
        return;
    }
    outside->runs = true;
    failed = loop_add(&outside->loop, &outside->process_source, outside->inside.process.fd, EPOLLIN,
                      on_process);
    failed = failed ? failed : attach(outside);
    if (!failed)
        return;
    LOG(ERROR, "Could not watch the command", TEXT("error", strerror(-failed)));
    outside->runs = false;
    loop_remove(&outside->loop, &outside->process_source);
    pidref_kill_child(&outside->inside.process);
    inside_finish(&outside->inside);
    finish(outside, EXIT_OWN_FAILURE, NULL);
}

static void on_again(struct loop_timer *timer)
{
    start(container_of(timer, struct outside, again_timer));
}

static void start_again(struct outside *outside)
{
    outside->reboots++;
    LOG(INFO, "The system inside is rebooted: starting it again",
        NUMBER("reboots", outside->reboots));
    notify_rebooted(&outside->notify, outside->reboots);
    loop_set_timer(&outside->loop, &outside->again_timer,
                   outside->started_at_ns + START_INTERVAL_NS, on_again);
}

static void on_drained(struct terminal *terminal)
{
    struct outside *outside = container_of(terminal, struct outside, terminal);
    loop_clear_timer(&outside->loop, &outside->drain_timer);
    if (outside->end.said)
        LOG(INFO, "The system inside has ended", TEXT("by", outside->end.said));
    if (outside->end.again)
        start_again(outside);
    else
        finish(outside, outside->end.status, outside->end.said);
}

static void on_drain_time(struct loop_timer *timer)
{
    stop_waiting(container_of(timer, struct outside, drain_timer));
}

static void on_process(struct loop_fd *source, uint32_t events)
{
    struct outside *outside = container_of(source, struct outside, process_source);
    struct end_facts facts = {.killed_for = outside->killed_for,
                              .stopping = outside->stopping,
                              .reboot_exits = outside->options->reboot_exits};
    if (pidref_peek(&outside->inside.process, &facts.code, &facts.status) < 0)
        return;
    outside->end = end_of(&facts);
    outside->runs = false;
    outside->typed = 0;
    loop_clear_timer(&outside->loop, &outside->stop_timer);
    loop_remove(&outside->loop, source);
    pidref_reap(&outside->inside.process);
    drop_stop_command(outside);
    inside_finish(&outside->inside);
    notify_unhear(&outside->notify);
    if (terminal_detach(&outside->terminal))
        on_drained(&outside->terminal);
    else if (outside->stopping)
        loop_set_timer(&outside->loop, &outside->drain_timer, clock_now_ns() + DRAIN_NS,
                       on_drain_time);
}

int outside_run(const struct options *options)
{
    static struct outside outside = {.stop_command = PIDREF_NONE};

    outside.options = options;
    int failed = loop_init(&outside.loop);
    failed = failed ? failed : take_signals(&outside);
    if (failed) {
        LOG(ERROR, "Could not begin", TEXT("error", strerror(-failed)));
        return EXIT_OWN_FAILURE;
    }
    terminal_init(&outside.terminal, &outside.loop, options->console);
    outside.terminal.on_escape = on_escape;
    outside.terminal.on_drained = on_drained;
    notify_init(&outside.notify, &outside.loop);
    outside.notify.on_extend = on_extend;
    outside.notify.stop_counts = options->reboot_exits;
    start(&outside);
    if (outside.runs) /* a loop that is stopped before it runs would run */
        loop_run(&outside.loop);
    terminal_finish(&outside.terminal);
    return outside.status;
}
