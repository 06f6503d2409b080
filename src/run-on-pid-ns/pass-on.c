/* Signals to process 1: what ends or stops a common process does so to this one too. */
#include "run-on-pid-ns/pass-on.h"
#include "base/file.h"
#include "base/text.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

enum effect { EFFECT_END, EFFECT_STOP, EFFECT_NONE };

/* What the signal does where there is no handler: signal(7). */
static enum effect effect_of(int signal)
{
    switch (signal) {
    case SIGCHLD:
    case SIGCONT:
    case SIGURG:
    case SIGWINCH:
        return EFFECT_NONE;
    case SIGSTOP:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU:
        return EFFECT_STOP;
    default:
        return EFFECT_END;
    }
}

static bool is_in_mask(const char *status, const char *name, int signal)
{
    const char *line = strstr(status, name);
    char *rest;
    return line && strtoull(line + strlen(name), &rest, 16) >> (signal - 1) & 1;
}

/* Whether it sleeps in sigtimedwait(2) or the like, as busybox's init does. What is waited for
 * there is blocked as far as the kernel is concerned, and not dropped; but /proc shows it as not
 * blocked meanwhile. */
static bool is_waiting_for_signals(pid_t pid)
{
    char path[40], call[200];
    text_format(path, sizeof path, "/proc/%d/syscall", (int)pid);
    return file_read(AT_FDCWD, path, call, sizeof call) > 0 &&
           strtol(call, NULL, 10) == SYS_rt_sigtimedwait;
}

/* Whether the kernel drops it: there is no handler, and it is neither ignored nor blocked. */
static bool is_dropped(pid_t pid, int signal)
{
    char path[40], status[4096];
    text_format(path, sizeof path, "/proc/%d/status", (int)pid);
    bool waited = is_waiting_for_signals(pid);
    if (file_read(AT_FDCWD, path, status, sizeof status) <= 0)
        return false;
    if (waited || is_waiting_for_signals(pid)) /* it may have begun to between the looks */
        return false;
    return !is_in_mask(status, "\nSigCgt:", signal) && !is_in_mask(status, "\nSigIgn:", signal) &&
           !is_in_mask(status, "\nSigBlk:", signal);
}

enum passed pass_on(const struct pidref *process, int signal, bool sent)
{
    static const struct {
        int in_place;
        enum passed passed;
    } replaced[] = {
        [EFFECT_END] = {SIGKILL, PASSED_KILLED},
        [EFFECT_STOP] = {SIGSTOP, PASSED_STOPPED},
        [EFFECT_NONE] = {0, PASSED_ON},
    };
    enum effect effect = effect_of(signal);
    enum passed passed = PASSED_ON;
    int number = sent ? signal : 0;

    if (signal != SIGKILL && effect != EFFECT_NONE && is_dropped(process->pid, signal)) {
        number = replaced[effect].in_place;
        passed = replaced[effect].passed;
    }
    return pidref_signal(process, number) < 0 ? PASSED_GONE : passed;
}
