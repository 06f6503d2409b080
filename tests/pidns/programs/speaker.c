/* A service of the chaos: prints numbered lines until it is ended, or until it has enough.
 *
 *   speaker SEED CALM-FILE       each line is "#PID NUMBER PADDING", numbered from 1 in each run
 *
 * It says how it is going to end, "#PID NUMBER end code 3" or "#PID NUMBER end signal 6", and ends
 * so; a run without such a line was killed. While the first byte of CALM-FILE is 1 it prints
 * nothing and ends only by signals. Status 99: a write failed, which no service is ever to see. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES   4096
#define TICK_MS      600 /* between two batches of lines, at most */
#define BATCH        6
#define LONGEST_LIFE 200 /* ticks of a run that ends by itself */

static uint64_t state;
static int number;
static char out[BATCH * LINE_BYTES];
static size_t used;

static unsigned below(unsigned bound) /* xorshift64* */
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (unsigned)((state * 2685821657736338717ull) >> 33) % bound;
}

static void flush_out(size_t bytes)
{
    size_t done = 0;
    while (done < bytes) {
        ssize_t written = write(1, out + done, bytes - done);
        if (written < 0 && errno != EINTR)
            _exit(99);
        if (written > 0)
            done += (size_t)written;
    }
    memmove(out, out + bytes, used - bytes);
    used -= bytes;
}

static void add_line(void)
{
    int length = below(40) ? (int)below(60) : (int)below(LINE_BYTES - 64);
    used += (size_t)sprintf(out + used, "#%d %d ", (int)getpid(), ++number);
    memset(out + used, 'a' + number % 26, (size_t)length);
    used += (size_t)length;
    out[used++] = '\n';
}

static void end_by(int signal)
{
    sigset_t one;
    used += (size_t)sprintf(out + used, "#%d %d end signal %d\n", (int)getpid(), ++number, signal);
    flush_out(used);
    struct sigaction usual = {.sa_handler = SIG_DFL};
    sigaction(signal, &usual, NULL);
    raise(signal);
    sigemptyset(&one);
    sigaddset(&one, signal);
    sigprocmask(SIG_UNBLOCK, &one, NULL);
    _exit(98);
}

static void end_with(int code)
{
    used += (size_t)sprintf(out + used, "#%d %d end code %d\n", (int)getpid(), ++number, code);
    flush_out(used);
    _exit(code);
}

static void on_signal(int signal)
{
    switch (signal) {
    case SIGHUP:
    case SIGUSR1:
    case SIGCONT:
    case SIGCHLD:
        return;
    case SIGTERM:
        if (below(3))
            end_with(below(2) ? 0 : (int)below(90));
    }
    end_by(signal);
}

static void end_by_itself(void)
{
    static const int signals[] = {SIGABRT, SIGSEGV, SIGUSR2, SIGILL, SIGTERM, SIGXCPU};
    if (below(3))
        end_with((int)below(90));
    end_by(signals[below(sizeof signals / sizeof *signals)]);
}

/* Some of it in one write, or in two with a kill's worth of time between them. */
static void print_some(void)
{
    for (unsigned i = 1 + below(BATCH - 1); i; i--)
        add_line();
    if (below(2)) {
        flush_out(1 + below((unsigned)used - 1));
        sched_yield();
    }
    flush_out(used);
}

int main(int argc, char **argv)
{
    int fd = argc == 3 ? open(argv[2], O_RDONLY) : -1;
    if (fd < 0)
        return 2;
    const volatile char *calm = mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (calm == MAP_FAILED)
        return 2;
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    state = strtoull(argv[1], NULL, 10) * 2862933555777941757ull + (uint64_t)getpid() + 1;
    for (int i = 0; i < 8; i++)
        below(2);
    int life = below(3) ? -1 : (int)below(LONGEST_LIFE);
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    for (;;) {
        if (!number || !*calm)
            print_some();
        struct timespec wait = {0, *calm ? 200000000 : (long)below(TICK_MS) * 1000000};
        int signal = sigtimedwait(&all, NULL, &wait);
        if (signal > 0)
            on_signal(signal);
        else if (!*calm && life >= 0 && life-- == 0)
            end_by_itself();
    }
}
