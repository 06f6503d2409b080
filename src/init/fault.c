/* Faults of init itself. The handler notes what it was and executes init anew: what was in memory
 * is not believed any more, what is in the record is.
 *
 * A signal that somebody sent is no fault: it interrupts nothing that is under way, but has init
 * executed at the end of the turn. One that is not heeded within a second is: init hangs. */
#include "init/fault.h"
#include "base/clock.h"
#include "base/signals.h"
#include "init/execute.h"
#include "init/former.h"
#include "init/init.h"
#include "init/minimal-loop.h"
#include "log/log.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STACK_BYTES  65536 /* a signal frame takes up to 11 KB on a machine with large registers */
#define MINUTE_NS    (60 * NS_PER_SEC)
#define QUIET_NS     (600 * NS_PER_SEC) /* after which the minimal loop is left */
#define HANG_NS      NS_PER_SEC         /* in which what was asked for should have been done */
#define MINIMAL_MOST 3                  /* faults in the minimal loop before the last resort */

#define TOOK_OVER "it had a fault while it took over"

static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE};

static char stack[STACK_BYTES] __attribute__((aligned(64)));
static struct init *init;
static pid_t self;
static volatile uint64_t asked_at_ns; /* 0: not */
static int unopened_record_fd = -1;
static siginfo_t early; /* was sent before there was a record to note it in */

/* ---- in the handler: only what is safe there ------------------------------------------------- */

static void note(struct kept_faults *faults, int signal, const siginfo_t *info, bool sent)
{
    faults->signal = signal;
    faults->code = info->si_code;
    faults->sent = sent;
    faults->sender = info->si_code <= 0 ? info->si_pid : 0;
    faults->user = info->si_code <= 0 ? (int32_t)info->si_uid : 0;
    faults->address = info->si_code > 0 ? (uint64_t)(uintptr_t)info->si_addr : 0;
    faults->number++;
}

/* One more of our own: whether it is one too many. */
static void count_own(struct kept_faults *faults)
{
    uint64_t now = clock_now_ns();
    bool again = faults->under_way;
    faults->own_at_ns[faults->own_count++ % FAULTS_MOST] = now;
    bool many = faults->own_count >= FAULTS_MOST &&
                now - faults->own_at_ns[faults->own_count % FAULTS_MOST] <= MINUTE_NS;
    struct kept_upgrade *upgrade = &init->kept->upgrade;
    if (again && upgrade->step == UPGRADE_EXECUTING && upgrade->former_fd >= 0) {
        if (upgrade->former_record_fd > 0 && !record_writer_knows(upgrade->former_record_fd))
            former_execute(upgrade->former_record_fd, TOOK_OVER, faults);
        int32_t good = upgrade->former_fd; /* a new init that cannot even begin */
        upgrade->former_fd = init->own->exe_fd;
        init->own->exe_fd = good;
        upgrade->step = UPGRADE_FELL_BACK;
    } else if (faults->minimal || again || many) {
        faults->minimal++;
        faults->quiet_at_ns = now + QUIET_NS;
    }
    faults->under_way = 1;
}

/* Whether it is dealt with by going on to the end of the turn. */
static bool can_wait(void)
{
    uint64_t now = clock_now_ns();
    if (init->kept->faults.minimal)
        return true; /* which is no better after it */
    if (asked_at_ns && now - asked_at_ns > HANG_NS)
        return false;
    if (!asked_at_ns)
        asked_at_ns = now;
    kill(self, SIGCHLD); /* wakes the loop, if it waits */
    return true;
}

/* A fault of alignment leaves the check for it on, and the next one would be the last. */
static inline void allow_unaligned(void)
{
#if defined(__x86_64__)
    __asm__ volatile("subq $128, %%rsp\n\t" /* the red zone */
                     "pushfq\n\t"
                     "andl $~0x40000, (%%rsp)\n\t"
                     "popfq\n\t"
                     "addq $128, %%rsp" ::
                         : "memory", "cc");
#endif
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
    allow_unaligned();
    (void)context;
    int saved = errno;
    pid_t pid = getpid();
    bool sent = info->si_code <= 0 && info->si_pid != pid;
    if (pid != self)
        _exit(128 + signal); /* a child that has not executed yet */
    if (!init && !sent && unopened_record_fd >= 0)
        former_execute(unopened_record_fd, TOOK_OVER, NULL);
    if (!init && !sent)
        minimal_last_resort();
    if (!init) {
        early = *info;
        return;
    }
    note(&init->kept->faults, signal, info, sent);
    if (sent && can_wait()) {
        errno = saved;
        return;
    }
    if (sent)
        init->kept->faults.under_way = 1;
    else
        count_own(&init->kept->faults);
    if (init->kept->faults.minimal <= MINIMAL_MOST)
        execute_self();
    minimal_last_resort();
}

/* ---- outside of it --------------------------------------------------------------------------- */

void fault_catch(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    stack_t own = {.ss_sp = stack, .ss_size = sizeof stack};
    uint64_t blocked = ~0ull;

    self = getpid();
    sigaltstack(&own, NULL);
    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        sigaction(signals[i], &action, NULL);
        blocked &= ~(1ull << (signals[i] - 1));
    }
    /* By the call itself: the C library keeps some signals for itself, and they are blocked, too.
     */
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &blocked, NULL, sizeof blocked);
}

void fault_go_back_from(int record_fd)
{
    unopened_record_fd = record_fd;
}

void fault_use(struct init *init_)
{
    init = init_;
    if (!early.si_signo)
        return;
    note(&init->kept->faults, early.si_signo, &early, true);
    asked_at_ns = clock_now_ns();
}

bool fault_is_asked_for(void)
{
    return asked_at_ns != 0;
}

void fault_do_what_was_asked(void)
{
    struct kept_faults *faults = &init->kept->faults;
    faults->under_way = 1;
    int failed = execute_self();
    faults->under_way = 0;
    faults->signal = 0;
    asked_at_ns = 0;
    LOG(ERROR, "A signal that means a fault was sent to init, which cannot be executed anew",
        NUMBER("sender", faults->sender), TEXT("error", strerror(-failed)));
}

void fault_say(struct kept_faults *faults)
{
    char name_text[24], address[24];
    struct text name;
    int signal = faults->signal;
    if (!signal)
        return;
    text_init(&name, name_text, sizeof name_text);
    signals_format(signal, &name);
    faults->signal = 0;
    if (faults->sent) {
        LOG(WARNING, "A signal that means a fault was sent to init: it was executed anew",
            TEXT("signal", name_text), NUMBER("sender", faults->sender),
            NUMBER("user", faults->user), NUMBER("number", faults->number));
        return;
    }
    text_format(address, sizeof address, "0x%llx", (unsigned long long)faults->address);
    LOG(ERROR, "A fault of init itself: it was executed anew and goes on",
        TEXT("signal", name_text), NUMBER("code", faults->code), TEXT("address", address),
        NUMBER("number", faults->number));
}
