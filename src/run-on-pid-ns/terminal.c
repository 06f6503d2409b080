/* The terminal inside, seen from outside: a relay of two directions with a buffer each. */
#include "run-on-pid-ns/terminal.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/text.h"
#include "log/console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define LOOK_NS    (250 * NS_PER_MS) /* in the background: whether we still are */
#define PIPE_BYTES 4096              /* a pipe that is ready takes so many at once (PIPE_BUF) */

/* ---- our terminal's modes ------------------------------------------------------------------ */

/* Static, for a handler of signals gives it back too. */
static struct {
    volatile sig_atomic_t raw;
    struct termios before;
} modes;

/* What a fault of ours, or abort(3), ends us with. Everything else is blocked and comes by the
 * loop. */
static const int fatal_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP};
#define FATAL_SIGNALS (sizeof fatal_signals / sizeof *fatal_signals)
static struct sigaction actions_before[FATAL_SIGNALS];

static void leave_raw(void)
{
    if (!modes.raw)
        return;
    tcsetattr(STDIN_FILENO, TCSANOW, &modes.before);
    modes.raw = 0;
}

static void on_fatal(int signal, siginfo_t *info, void *context)
{
    (void)context;
    leave_raw();
    for (size_t i = 0; i < FATAL_SIGNALS; i++)
        if (fatal_signals[i] == signal)
            sigaction(signal, &actions_before[i], NULL);
    if (info->si_code <= 0) /* somebody sent it; a fault happens again by itself */
        raise(signal);
}

static void catch_fatal(void)
{
    struct sigaction action = {.sa_sigaction = on_fatal, .sa_flags = SA_SIGINFO};
    sigset_t set;
    sigemptyset(&action.sa_mask);
    sigemptyset(&set);
    for (size_t i = 0; i < FATAL_SIGNALS; i++) {
        sigaction(fatal_signals[i], &action, &actions_before[i]);
        sigaddset(&set, fatal_signals[i]);
    }
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* Not from the background: it is the shell's terminal then. */
static bool is_ours(void)
{
    pid_t foreground = tcgetpgrp(STDIN_FILENO);
    return foreground < 0 || foreground == getpgrp();
}

static void on_look_time(struct loop_timer *timer);

/* As soon as we are in the foreground, which nobody tells a process that runs. */
static void enter_raw(struct terminal *terminal)
{
    struct termios raw;
    loop_clear_timer(terminal->loop, &terminal->look_timer);
    if (!terminal->interactive || terminal->master_fd < 0)
        return;
    if (!is_ours()) {
        modes.raw = 0; /* whoever has it has set its own modes */
        loop_set_timer(terminal->loop, &terminal->look_timer, clock_now_ns() + LOOK_NS,
                       on_look_time);
        return;
    }
    if (!modes.raw && tcgetattr(STDIN_FILENO, &modes.before) < 0)
        return;
    raw = modes.before;
    cfmakeraw(&raw);
    modes.raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

static void on_look_time(struct loop_timer *timer)
{
    terminal_resume(container_of(timer, struct terminal, look_timer));
}

void terminal_sink(void *context, enum log_level level, const char *line, size_t bytes)
{
    console_sink(context, level, line, bytes);
    if (modes.raw)
        console_write("\r", 1);
}

void terminal_resize(struct terminal *terminal)
{
    struct winsize size;
    if (terminal->master_fd >= 0 && terminal->interactive &&
        ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
        ioctl(terminal->master_fd, TIOCSWINSZ, &size);
}

/* ---- the escape ---------------------------------------------------------------------------- */

bool terminal_escape_feed(struct terminal_escape *escape, const char *bytes, size_t count,
                          uint64_t now_ns)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] != TERMINAL_ESCAPE) {
            escape->times = 0;
            continue;
        }
        if (!escape->times || now_ns - escape->first_ns > TERMINAL_ESCAPE_NS) {
            escape->times = 0;
            escape->first_ns = now_ns;
        }
        if (++escape->times == TERMINAL_ESCAPE_TIMES) {
            escape->times = 0;
            return true;
        }
    }
    return false;
}

/* ---- what is watched ----------------------------------------------------------------------- */

static void on_master(struct loop_fd *source, uint32_t events);
static void on_in(struct loop_fd *source, uint32_t events);
static void on_out(struct loop_fd *source, uint32_t events);

/* A file that epoll does not know never makes anybody wait. */
static void watch(struct terminal *terminal, struct loop_fd *source, int fd, uint32_t events,
                  void (*on_event)(struct loop_fd *source, uint32_t events))
{
    if (fd < 0 || !events)
        loop_remove(terminal->loop, source);
    else if (source->fd >= 0)
        (void)loop_change(terminal->loop, source, events);
    else
        (void)loop_add(terminal->loop, source, fd, events, on_event);
}

/* For something, and a carriage return that waits. */
static bool has_room(const struct terminal *terminal)
{
    return terminal->out_used + 1 < sizeof terminal->out;
}

static void watch_all(struct terminal *terminal)
{
    bool room = has_room(terminal);
    bool attached = terminal->master_fd >= 0 && !terminal->draining;
    watch(terminal, &terminal->master_source, attached ? terminal->master_fd : -1,
          (room ? EPOLLIN : 0u) | (terminal->in_used ? EPOLLOUT : 0u), on_master);
    watch(terminal, &terminal->out_source, terminal->out_fd, terminal->out_stuck ? EPOLLOUT : 0u,
          on_out);
    watch(terminal, &terminal->in_source, attached && modes.raw ? terminal->in_fd : -1,
          terminal->in_used < sizeof terminal->in ? EPOLLIN : 0u, on_in);
}

/* ---- out ----------------------------------------------------------------------------------- */

/* As write(2), and never waits. */
static ssize_t write_out(const struct terminal *terminal, const char *bytes, size_t count)
{
    struct pollfd ready = {.fd = terminal->out_fd, .events = POLLOUT};
    ssize_t done = -1;
    if (terminal->out_own)
        return write(terminal->out_fd, bytes, count);
    done = send(terminal->out_fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (done >= 0 || errno != ENOTSOCK)
        return done;
    if (poll(&ready, 1, 0) != 1 || !(ready.revents & (POLLOUT | POLLERR))) {
        errno = EAGAIN;
        return -1;
    }
    return write(terminal->out_fd, bytes, count < PIPE_BYTES ? count : PIPE_BYTES);
}

/* The inside prints on, for nobody. */
static void lose_out(struct terminal *terminal, int error)
{
    terminal->out_dead = true;
    LOG(WARNING, "What is printed inside cannot be written, and is lost from here on",
        TEXT("error", strerror(error)));
}

static void flush_out(struct terminal *terminal)
{
    size_t done = 0;
    terminal->out_stuck = false;
    while (done < terminal->out_used && !terminal->out_dead && !terminal->out_stuck) {
        ssize_t count = write_out(terminal, terminal->out + done, terminal->out_used - done);
        if (count >= 0)
            done += (size_t)count;
        else if (errno == EAGAIN)
            terminal->out_stuck = true;
        else if (errno != EINTR)
            lose_out(terminal, errno);
    }
    if (terminal->out_dead)
        done = terminal->out_used;
    terminal->out_used -= done;
    memmove(terminal->out, terminal->out + done, terminal->out_used);
}

/* A terminal makes "\r\n" of each line end (termios(3), ONLCR), and inits print carriage returns of
 * their own at both ends of a line: of use to a terminal only. Several in a row are one. The bytes
 * lie one behind `to`, or further. Returns how many are at `to` now. */
static size_t take_returns_out(struct terminal *terminal, char *to, const char *bytes, size_t count)
{
    char *at = to;
    for (size_t i = 0; i < count; i++) {
        char byte = bytes[i];
        if (byte == '\r') {
            terminal->return_waits = terminal->in_line;
            continue;
        }
        if (terminal->return_waits && byte != '\n')
            *at++ = '\r';
        terminal->return_waits = false;
        terminal->in_line = byte != '\n';
        *at++ = byte;
    }
    return (size_t)(at - to);
}

/* Returns false when there is nothing more for now. */
static bool read_master(struct terminal *terminal)
{
    char *to = terminal->out + terminal->out_used;
    char *bytes = to + terminal->out_plain;
    if (!has_room(terminal))
        return false;
    ssize_t count =
        read(terminal->master_fd, bytes, (size_t)(terminal->out + sizeof terminal->out - bytes));
    if (count <= 0)
        return count < 0 && errno == EINTR;
    terminal->out_used +=
        terminal->out_plain ? take_returns_out(terminal, to, bytes, (size_t)count) : (size_t)count;
    return true;
}

static void close_master(struct terminal *terminal)
{
    loop_remove(terminal->loop, &terminal->master_source);
    if (terminal->slave_fd >= 0)
        close(terminal->slave_fd);
    if (terminal->master_fd >= 0)
        close(terminal->master_fd);
    terminal->master_fd = terminal->slave_fd = -1;
}

/* Whatever the kernel holds of the terminal's output is delivered before it says that there is no
 * more. Returns whether all is printed. */
static bool drain(struct terminal *terminal)
{
    while (terminal->master_fd >= 0) {
        flush_out(terminal);
        if (!has_room(terminal))
            return false;
        if (!read_master(terminal))
            close_master(terminal);
    }
    flush_out(terminal);
    return !terminal->out_used;
}

static void on_out(struct loop_fd *source, uint32_t events)
{
    struct terminal *terminal = container_of(source, struct terminal, out_source);
    if (terminal->draining && drain(terminal)) {
        terminal->draining = false;
        watch_all(terminal);
        terminal->on_drained(terminal);
        return;
    }
    flush_out(terminal);
    watch_all(terminal);
}

/* ---- in ------------------------------------------------------------------------------------ */

static void flush_in(struct terminal *terminal)
{
    ssize_t count = write(terminal->master_fd, terminal->in, terminal->in_used);
    if (count <= 0)
        return;
    terminal->in_used -= (size_t)count;
    memmove(terminal->in, terminal->in + count, terminal->in_used);
}

static void on_in(struct loop_fd *source, uint32_t events)
{
    struct terminal *terminal = container_of(source, struct terminal, in_source);
    char *at = terminal->in + terminal->in_used;
    ssize_t count = read(terminal->in_fd, at, sizeof terminal->in - terminal->in_used);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count <= 0) { /* the terminal has gone, or we are in the background by now */
        loop_remove(terminal->loop, source);
        if (is_ours())
            leave_raw();
        else
            enter_raw(terminal);
        return;
    }
    terminal->in_used += (size_t)count;
    bool escape =
        terminal_escape_feed(&terminal->escape, at, (size_t)count, clock_read_ns(CLOCK_MONOTONIC));
    flush_in(terminal);
    watch_all(terminal);
    if (escape)
        terminal->on_escape(terminal);
}

static void on_master(struct loop_fd *source, uint32_t events)
{
    struct terminal *terminal = container_of(source, struct terminal, master_source);
    if (events & EPOLLIN)
        (void)read_master(terminal);
    flush_out(terminal);
    if (terminal->in_used)
        flush_in(terminal);
    watch_all(terminal);
}

/* ---- beginning and end --------------------------------------------------------------------- */

/* Opens a terminal or FIFO again, non-blocking: the flags of the one we were given are others' too,
 * and so is the place in a file, which never blocks. */
static int open_again(int fd, int flags, bool *ret_own)
{
    char path[32];
    struct stat stat_;
    *ret_own = false;
    if (fstat(fd, &stat_) < 0 || !(S_ISFIFO(stat_.st_mode) || S_ISCHR(stat_.st_mode)))
        return fd;
    text_format(path, sizeof path, "/proc/self/fd/%d", fd);
    int own = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    *ret_own = own >= 0;
    return own >= 0 ? own : fd;
}

void terminal_init(struct terminal *terminal, struct loop *loop, bool relays)
{
    *terminal = (struct terminal){.loop = loop,
                                  .master_fd = -1,
                                  .slave_fd = -1,
                                  .in_fd = -1,
                                  .out_fd = -1,
                                  .in_source.fd = -1,
                                  .out_source.fd = -1,
                                  .master_source.fd = -1};
    if (tcgetpgrp(STDIN_FILENO) == getpgrp())
        terminal->foreground = getpgrp();
    if (!relays)
        return;
    terminal->interactive = isatty(STDIN_FILENO);
    if (terminal->interactive) {
        terminal->in_fd = open_again(STDIN_FILENO, O_RDONLY, &terminal->in_own);
        catch_fatal();
    }
    terminal->out_fd = open_again(STDOUT_FILENO, O_WRONLY, &terminal->out_own);
    terminal->out_plain = !isatty(STDOUT_FILENO);
}

int terminal_attach(struct terminal *terminal, int master_fd, int slave_fd)
{
    terminal->master_fd = master_fd;
    terminal->slave_fd = slave_fd;
    terminal->in_used = 0;
    terminal->return_waits = terminal->in_line = false;
    if (master_fd < 0)
        return 0;
    int flags = fcntl(master_fd, F_GETFL);
    if (flags < 0 || fcntl(master_fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    terminal_resize(terminal);
    enter_raw(terminal);
    watch_all(terminal);
    return 0;
}

/* A shell inside has given it to a group that is gone now. One that is there is outside, and keeps
 * it: a shell, in whose background we have ended, would end too. */
static void take_back(const struct terminal *terminal)
{
    if (terminal->foreground && kill(-tcgetpgrp(STDIN_FILENO), 0) < 0 && errno == ESRCH)
        tcsetpgrp(STDIN_FILENO, terminal->foreground);
}

bool terminal_detach(struct terminal *terminal)
{
    take_back(terminal);
    if (terminal->master_fd < 0)
        return true;
    if (terminal->slave_fd >= 0)
        close(terminal->slave_fd);
    terminal->slave_fd = -1;
    terminal->draining = !drain(terminal);
    watch_all(terminal);
    return !terminal->draining;
}

size_t terminal_give_up(struct terminal *terminal)
{
    size_t lost = terminal->out_used;
    close_master(terminal);
    terminal->draining = terminal->out_stuck = false;
    terminal->out_used = 0;
    watch_all(terminal);
    return lost;
}

void terminal_suspend(struct terminal *terminal)
{
    loop_clear_timer(terminal->loop, &terminal->look_timer);
    leave_raw();
    watch_all(terminal);
}

void terminal_resume(struct terminal *terminal)
{
    enter_raw(terminal);
    terminal_resize(terminal);
    watch_all(terminal);
}

void terminal_finish(struct terminal *terminal)
{
    terminal_give_up(terminal);
    loop_clear_timer(terminal->loop, &terminal->look_timer);
    leave_raw();
    loop_remove(terminal->loop, &terminal->in_source);
    if (terminal->in_own)
        close(terminal->in_fd);
    if (terminal->out_own)
        close(terminal->out_fd);
}
