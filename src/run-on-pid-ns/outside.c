/* The outer process: it starts what is inside, again after a reboot, tells it to stop, passes
 * signals in and the status out. It never waits but in its loop. */
#include "run-on-pid-ns/outside.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/signals.h"
#include "log/log.h"
#include "loop/loop.h"
#include "run-on-pid-ns/ends.h"
#include "run-on-pid-ns/enter.h"
#include "run-on-pid-ns/pass-on.h"
#include "run-on-pid-ns/start.h"
#include "run-on-pid-ns/stop-method.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of a system that does nothing but reboot. */
#define START_INTERVAL_NS NS_PER_SEC

struct outside {
    const struct options *options;
    struct loop loop;
    int signal_fd;
    struct loop_fd signal_source;

    /* what runs inside */
    struct inside inside;
    bool runs;
    struct loop_fd process_source;
    uint64_t started_at_ns;
    int killed_for; /* the signal it had no handler for; 0: none */
    unsigned reboots;
    struct loop_timer again_timer;

    /* its end */
    bool stopping;
    struct loop_timer stop_timer;
    struct pidref stop_command; /* while it runs */
    struct loop_fd stop_command_source;
    int status; /* ours */
};

/* The C library keeps some signals for itself, which systemd has a meaning for. */
static const uint64_t all_signals = UINT64_MAX;

static void finish(struct outside *outside, int status)
{
    outside->status = status;
    loop_stop(&outside->loop);
}

/* ---- signals to it ------------------------------------------------------------------------- */

static void send_signal(struct outside *outside, int signal, bool sent)
{
    char storage[32];
    struct text name;
    enum passed passed = pass_on(&outside->inside.process, signal, sent);

    if (passed == PASSED_STOPPED)
        kill(getpid(), SIGSTOP); /* what it is started by is to see it stop */
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
    if (!outside->runs || (code == CLD_EXITED && status == 0))
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

/* The first time, and each time that somebody asks again: it may not have understood. */
static void stop(struct outside *outside)
{
    uint64_t timeout_ms = outside->options->stop_timeout_ms;
    if (!outside->runs) {
        finish(outside, 0);
        return;
    }
    if (!outside->stopping && timeout_ms != OPTIONS_TIME_NEVER)
        loop_set_timer(&outside->loop, &outside->stop_timer,
                       clock_now_ns() + timeout_ms * NS_PER_MS, on_stop_time);
    outside->stopping = true;
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

static void take_signal(struct outside *outside, const struct signalfd_siginfo *info)
{
    int signal = (int)info->ssi_signo;
    if (signal == SIGCHLD || (signal == SIGPIPE && info->ssi_pid == (uint32_t)getpid()))
        return;
    if (signal == SIGTERM)
        stop(outside);
    else if (outside->runs)
        send_signal(outside, signal, !has_got(outside, info));
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

/* ---- one run of it ------------------------------------------------------------------------- */

static void on_process(struct loop_fd *source, uint32_t events);

static void start(struct outside *outside)
{
    outside->started_at_ns = clock_now_ns();
    int failed = start_inside(outside->options, &outside->inside);
    if (failed) {
        finish(outside, failed);
        return;
    }
    outside->runs = true;
    failed = loop_add(&outside->loop, &outside->process_source, outside->inside.process.fd, EPOLLIN,
                      on_process);
    if (!failed)
        return;
    LOG(ERROR, "Could not watch the command", TEXT("error", strerror(-failed)));
    pidref_kill_child(&outside->inside.process);
    inside_finish(&outside->inside);
    finish(outside, EXIT_OWN_FAILURE);
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
    loop_set_timer(&outside->loop, &outside->again_timer,
                   outside->started_at_ns + START_INTERVAL_NS, on_again);
}

static void on_process(struct loop_fd *source, uint32_t events)
{
    struct outside *outside = container_of(source, struct outside, process_source);
    struct end_facts facts = {.killed_for = outside->killed_for,
                              .stopping = outside->stopping,
                              .reboot_exits = outside->options->reboot_exits};
    if (pidref_peek(&outside->inside.process, &facts.code, &facts.status) < 0)
        return;
    struct end end = end_of(&facts);

    outside->runs = false;
    loop_clear_timer(&outside->loop, &outside->stop_timer);
    loop_remove(&outside->loop, source);
    pidref_reap(&outside->inside.process);
    drop_stop_command(outside);
    inside_finish(&outside->inside);
    if (end.said)
        LOG(INFO, "The system inside has ended", TEXT("by", end.said));
    if (end.again)
        start_again(outside);
    else
        finish(outside, end.status);
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
    start(&outside);
    if (outside.runs) /* a loop that is stopped before it runs would run */
        loop_run(&outside.loop);
    return outside.status;
}
