/* Signals: one table of names for parsing and showing. */
#include "base/signals.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <strings.h>
#include <sys/syscall.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct signal_name {
    const char *name;
    int number;
};

/* Of several names of one signal the first is the one that is shown. */
static const struct signal_name signal_names[] = {
    {"HUP", SIGHUP},       {"INT", SIGINT},     {"QUIT", SIGQUIT}, {"ILL", SIGILL},
    {"TRAP", SIGTRAP},     {"ABRT", SIGABRT},   {"IOT", SIGIOT},   {"BUS", SIGBUS},
    {"FPE", SIGFPE},       {"KILL", SIGKILL},   {"USR1", SIGUSR1}, {"SEGV", SIGSEGV},
    {"USR2", SIGUSR2},     {"PIPE", SIGPIPE},   {"ALRM", SIGALRM}, {"TERM", SIGTERM},
    {"STKFLT", SIGSTKFLT}, {"CHLD", SIGCHLD},   {"CLD", SIGCHLD},  {"CONT", SIGCONT},
    {"STOP", SIGSTOP},     {"TSTP", SIGTSTP},   {"TTIN", SIGTTIN}, {"TTOU", SIGTTOU},
    {"URG", SIGURG},       {"XCPU", SIGXCPU},   {"XFSZ", SIGXFSZ}, {"VTALRM", SIGVTALRM},
    {"PROF", SIGPROF},     {"WINCH", SIGWINCH}, {"IO", SIGIO},     {"POLL", SIGPOLL},
    {"PWR", SIGPWR},       {"SYS", SIGSYS},
};

static bool is_signal(uint64_t number)
{
    /* Those between the classic ones and these belong to the C library. */
    return (number >= 1 && number <= 31) ||
           (number >= SIGNALS_REALTIME_FIRST && number <= SIGNALS_REALTIME_LAST);
}

/* `RTMIN`, `RTMIN+3`, `RTMAX-1`. */
static int parse_real_time_signal(const char *name, int *ret)
{
    bool from_max = strncasecmp(name, "RTMAX", 5) == 0;
    uint64_t offset = 0;
    if (!from_max && strncasecmp(name, "RTMIN", 5) != 0)
        return -EINVAL;
    if (name[5]) {
        if (name[5] != (from_max ? '-' : '+') || text_parse_unsigned(name + 6, &offset) < 0)
            return -EINVAL;
    }
    if (offset > (uint64_t)(SIGNALS_REALTIME_LAST - SIGNALS_REALTIME_FIRST))
        return -ERANGE;
    *ret = from_max ? SIGNALS_REALTIME_LAST - (int)offset : SIGNALS_REALTIME_FIRST + (int)offset;
    return 0;
}

int signals_parse(const char *string, int *ret)
{
    uint64_t number;
    int failed = text_parse_unsigned(string, &number);
    if (failed == -ERANGE || (!failed && !is_signal(number)))
        return -ERANGE;
    if (!failed) {
        *ret = (int)number;
        return 0;
    }
    if (strncasecmp(string, "SIG", 3) == 0)
        string += 3;
    for (size_t i = 0; i < COUNT(signal_names); i++) {
        if (strcasecmp(string, signal_names[i].name) == 0) {
            *ret = signal_names[i].number;
            return 0;
        }
    }
    return parse_real_time_signal(string, ret);
}

void signals_format(int signal, struct text *text)
{
    for (size_t i = 0; i < COUNT(signal_names); i++) {
        if (signal_names[i].number == signal) {
            text_printf(text, "SIG%s", signal_names[i].name);
            return;
        }
    }
    if (signal == SIGNALS_REALTIME_FIRST)
        text_add(text, "SIGRTMIN");
    else if (signal > SIGNALS_REALTIME_FIRST && signal <= SIGNALS_REALTIME_LAST)
        text_printf(text, "SIGRTMIN+%d", signal - SIGNALS_REALTIME_FIRST);
    else
        text_printf(text, "signal %d", signal);
}

/* By the system call itself: the C library does not let one near the two signals it keeps for
 * itself, and a parent may have left them ignored. */
void signals_reset(void)
{
    sigset_t none;
    /* The kernel's struct sigaction, all zero: SIG_DFL. On no machine is it larger. */
    static const uint64_t standard[4];
    for (int signal = 1; signal <= 64; signal++)
        syscall(SYS_rt_sigaction, signal, standard, NULL, sizeof(uint64_t));
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}
