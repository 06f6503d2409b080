/* follow-forks: runs a program that goes to the background by itself, and stays with all that it
 * leaves behind: it lives as long as any descendant does.
 *
 * A child subreaper (prctl(2)): whoever loses its parent down there becomes its child, so nobody
 * gets away, not by forking twice and not by setsid(2). The launcher makes it around a service that
 * forks where no cgroup can follow it, with --entry, and reads what it notes there: docs/follow.md.
 * By hand it is of use for anything that would otherwise not stay in the foreground. */
#include "follow-forks/descendants.h"

#include "base/clock.h"
#include "base/signals.h"
#include "base/syscall.h"
#include "base/text.h"
#include "log/console.h"
#include "log/log.h"
#include "protocol/follow.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_WRONG_USAGE    2
#define EXIT_OWN_FAILURE    125
#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND      127
#define EXIT_SIGNAL         128 /* + its number */

#define GRACE_DEFAULT_S 10
#define KILL_AGAIN_MS   100 /* until who is left is killed once more */

struct options {
    uint64_t grace_ns;
    const char *service; /* only to be seen in ps */
    bool has_entry;
    uint64_t entry;
    char **command;
};

static struct {
    struct follow_entry *entry; /* NULL: by hand */
    pid_t main_pid;             /* by hand: the first process */
    int main_status;
    bool main_ended;
    uint64_t kill_at_ns; /* 0: nobody is to be killed */
} follower;

/* ---- what the launcher is told ------------------------------------------------------------- */

static void ring(void)
{
    uint64_t one = 1;
    if (follower.entry && write(FOLLOW_FD_BELL, &one, sizeof one) < 0)
        LOG(DEBUG, "The bell was not rung", TEXT("error", strerror(errno)));
}

static int open_entry(uint64_t index)
{
    const long page = sysconf(_SC_PAGESIZE);
    const uint64_t at = index * FOLLOW_ENTRY_BYTES, first = at - at % (uint64_t)page;
    char *memory = mmap(NULL, (size_t)page, PROT_READ | PROT_WRITE, MAP_SHARED, FOLLOW_FD_ENTRIES,
                        (off_t)first);
    if (memory == MAP_FAILED)
        return -errno;
    follower.entry = (struct follow_entry *)(memory + (at - first));
    return follower.entry->version == FOLLOW_VERSION ? 0 : -EPROTO;
}

/* Before its zombie goes: whoever looks meanwhile finds the one or the other. */
static void note_end(pid_t pid, int status)
{
    struct follow_entry *entry = follower.entry;
    pid_t main_pid =
        entry ? __atomic_load_n(&entry->main_pid, __ATOMIC_ACQUIRE) : follower.main_pid;
    if (pid != main_pid)
        return;
    follower.main_status = status;
    follower.main_ended = true;
    if (!entry)
        return;
    entry->ended_status = status;
    __atomic_store_n(&entry->ended_pid, pid, __ATOMIC_RELEASE);
    ring();
}

/* ---- life ---------------------------------------------------------------------------------- */

static int status_of(const siginfo_t *info)
{
    if (info->si_code == CLD_EXITED)
        return (info->si_status & 0xff) << 8;
    return info->si_status | (info->si_code == CLD_DUMPED ? 0x80 : 0);
}

/* Returns whether there are children yet. */
static bool reap(void)
{
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0) {
            if (errno == EINTR)
                continue;
            return false;
        }
        if (!info.si_pid)
            return true;
        note_end(info.si_pid, status_of(&info));
        waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
    }
}

static bool ends(int signal)
{
    return signal == SIGTERM || signal == SIGINT || signal == SIGHUP || signal == SIGQUIT;
}

/* Passes a signal on to all. What was typed on a terminal went to our whole group by itself. */
static void pass_on(const siginfo_t *info, const struct options *options)
{
    bool typed = info->si_code == SI_KERNEL;
    descendants_signal(info->si_signo, typed ? getpgrp() : 0);
    if (!ends(info->si_signo))
        return;
    descendants_signal(SIGCONT, 0); /* who is stopped could not obey */
    if (!follower.kill_at_ns && options->grace_ns != UINT64_MAX)
        follower.kill_at_ns = clock_now_ns() + options->grace_ns;
}

static void take_signal(const siginfo_t *info, const struct options *options)
{
    static const int passed[] = {SIGTERM, SIGINT,  SIGHUP,   SIGQUIT, SIGUSR1,
                                 SIGUSR2, SIGALRM, SIGWINCH, SIGCONT};
    if (info->si_signo == FOLLOW_SIGNAL_KILL)
        follower.kill_at_ns = clock_now_ns();
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
        if (info->si_signo == passed[i])
            pass_on(info, options);
}

/* How long to wait for a signal; NULL: for ever. */
static const struct timespec *time_left(struct timespec *storage)
{
    if (!follower.kill_at_ns)
        return NULL;
    uint64_t now = clock_now_ns();
    uint64_t left = follower.kill_at_ns > now ? follower.kill_at_ns - now : 0;
    *storage = (struct timespec){(time_t)(left / NS_PER_SEC), (long)(left % NS_PER_SEC)};
    return storage;
}

static int exit_code(void)
{
    if (!follower.main_ended)
        return 0;
    if (WIFEXITED(follower.main_status))
        return WEXITSTATUS(follower.main_status);
    return EXIT_SIGNAL + WTERMSIG(follower.main_status);
}

static int follow(const struct options *options)
{
    struct timespec storage;
    siginfo_t info;
    sigset_t all;

    sigfillset(&all);
    ring(); /* the launcher may have died over making us */
    while (reap()) {
        if (follower.kill_at_ns && follower.kill_at_ns <= clock_now_ns()) {
            descendants_kill();
            follower.kill_at_ns = clock_now_ns() + KILL_AGAIN_MS * NS_PER_MS;
        }
        const struct timespec *left = time_left(&storage);
        if (!reap())
            break;
        if (sigtimedwait(&all, &info, left ? left : &(struct timespec){1000000, 0}) > 0)
            take_signal(&info, options);
    }
    if (follower.entry)
        __atomic_store_n(&follower.entry->empty, 1, __ATOMIC_RELEASE);
    return exit_code();
}

/* ---- beginning ----------------------------------------------------------------------------- */

/* Returns 0, -errno of the execution, or -ECHILD: there was nobody to execute it. */
static int start(char **command)
{
    int ends_of[2];
    pid_t pid = -1;
    if (pipe2(ends_of, O_CLOEXEC) == 0)
        pid = fork();
    if (pid < 0) {
        LOG(ERROR, "Could not make a process", TEXT("error", strerror(errno)));
        return -ECHILD;
    }
    if (pid == 0) {
        signals_reset();
        execvp(command[0], command);
        int error = errno;
        if (write(ends_of[1], &error, sizeof error) < 0)
            _exit(EXIT_OWN_FAILURE);
        _exit(EXIT_NOT_FOUND);
    }
    int error = 0;
    close(ends_of[1]);
    ssize_t bytes = read(ends_of[0], &error, sizeof error);
    close(ends_of[0]);
    follower.main_pid = pid;
    return bytes == sizeof error ? -error : 0;
}

static int run(const struct options *options)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) {
        LOG(ERROR, "Could not become a subreaper", TEXT("error", strerror(errno)));
        return EXIT_OWN_FAILURE;
    }
    int failed = options->has_entry ? open_entry(options->entry) : start(options->command);
    if (!failed)
        return follow(options);
    if (failed == -ECHILD) /* which was said */
        return EXIT_OWN_FAILURE;
    LOG(ERROR, options->has_entry ? "Could not open its entry" : "Could not execute the program",
        TEXT("what", options->has_entry ? "entry" : options->command[0]),
        TEXT("error", strerror(-failed)));
    if (options->has_entry)
        return EXIT_OWN_FAILURE;
    return failed == -ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}

static void print_help(void)
{
    printf("follow-forks [--grace SECONDS] [--] PROGRAM [ARGUMENT…]\n\n"
           "Runs a program that goes to the background by itself, and lives as long as anything "
           "lives\nthat it has left behind, whatever sessions that is in.\n"
           "\n  --grace SECONDS  after SIGTERM, SIGINT, SIGHUP or SIGQUIT: so long until SIGKILL\n"
           "                   (10; never: only what ends by itself ends)\n"
           "  -h, --help       this text\n"
           "  --version        the version\n\n"
           "Signals are passed on to all of them. It ends when the last one has, with the status "
           "of\nthe program itself: its exit code, 128 + the signal that ended it, 125 when it "
           "could not be\nfollowed, 126 when it cannot be executed, 127 when it is not found, 2 "
           "for wrong usage.\n");
}

static int wrong(const char *what, const char *why)
{
    fprintf(stderr, "follow-forks: %s: %s (--help says how)\n", what, why);
    return EXIT_WRONG_USAGE;
}

/* Returns -1 to go on, else the exit status. */
static int parse(struct options *options, int argc, char **argv)
{
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        uint64_t seconds;
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help();
            return 0;
        } else if (strcmp(argv[i], "--version") == 0) {
            printf("follow-forks (conit) %s\n", CONIT_VERSION);
            return 0;
        } else if (strcmp(argv[i], "--grace") == 0 && value && strcmp(value, "never") == 0) {
            options->grace_ns = UINT64_MAX;
            i++;
        } else if (strcmp(argv[i], "--grace") == 0) {
            if (!value || text_parse_unsigned(value, &seconds) < 0 || seconds > 86400)
                return wrong("--grace", "needs a number of seconds, or never");
            options->grace_ns = seconds * NS_PER_SEC;
            i++;
        } else if (strcmp(argv[i], "--service") == 0 && value) {
            options->service = argv[++i];
        } else if (strcmp(argv[i], "--entry") == 0 && value &&
                   text_parse_unsigned(value, &options->entry) == 0) {
            options->has_entry = true;
            i++;
        } else {
            return wrong(argv[i], "no such option");
        }
    }
    options->command = argv + i;
    if (!options->has_entry && i >= argc)
        return wrong("PROGRAM", "there is none");
    return -1;
}

int main(int argc, char **argv)
{
    struct options options = {.grace_ns = GRACE_DEFAULT_S * NS_PER_SEC};
    int status = parse(&options, argc, argv);
    if (status >= 0)
        return status;
    console_init(2, true);
    log_add_sink(console_sink, NULL, LOG_INFO);
    _exit(run(&options)); /* not by return: what looks for leaks then starts a process */
}
