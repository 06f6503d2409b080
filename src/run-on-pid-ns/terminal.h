/* The terminal that what is inside has (--console), as the outer process sees it: what is printed
 * there goes to our stdout, what is typed on our stdin goes there. Nobody is waited for, nothing is
 * lost: what stdout does not take is not read from the terminal either, so that who prints there
 * waits. See pty(7), termios(3), ioctl_tty(2). */
#pragma once

#include "log/log.h"
#include "loop/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TERMINAL_OUT_BYTES 65536
#define TERMINAL_IN_BYTES  1024

/* Three times Ctrl-] within a second: who types it wants to get out. */
#define TERMINAL_ESCAPE       0x1d
#define TERMINAL_ESCAPE_TIMES 3
#define TERMINAL_ESCAPE_NS    1000000000ull

struct terminal_escape {
    unsigned times;
    uint64_t first_ns;
};

/* Whether these bytes, typed now, complete it. Pure. */
bool terminal_escape_feed(struct terminal_escape *escape, const char *bytes, size_t count,
                          uint64_t now_ns);

struct terminal {
    struct loop *loop;
    /* Both may be called from any function below that is given the loop's events only. */
    void (*on_escape)(struct terminal *terminal);
    void (*on_drained)(struct terminal *terminal); /* after terminal_detach() */

    int master_fd, slave_fd; /* -1: nothing is attached */
    struct loop_fd master_source;
    bool draining;

    int in_fd, out_fd;        /* -1: none */
    bool in_own, out_own;     /* opened again, so that they never wait */
    bool out_stuck, out_dead; /* it takes nothing now; it never will */
    struct loop_fd in_source, out_source;
    char out[TERMINAL_OUT_BYTES], in[TERMINAL_IN_BYTES];
    size_t out_used, in_used;
    bool out_plain;    /* stdout is no terminal: lines end as anywhere else */
    bool return_waits; /* a carriage return was read, and what is behind it not yet */
    bool in_line;      /* something else was read since the last line end */
    struct terminal_escape escape;

    struct loop_timer look_timer;
    bool interactive; /* stdin is a terminal, whose keys are all for the inside */
    pid_t foreground; /* the group that had the terminal when we began; 0: not ours, or none */
};

/* `relays`: there will be something to attach. Only once in a program. */
void terminal_init(struct terminal *terminal, struct loop *loop, bool relays);

/* Gives the terminal back as it was, and closes all. */
void terminal_finish(struct terminal *terminal);

/* Takes both sides of a pseudo terminal, which become its own; -1: there is none. The slave is held
 * open, or the master would be at its end whenever nobody inside has it open: an init opens the
 * console for each message. It is opened inside, for what is very short has ended by now, and the
 * devpts with it, in which it would be found (TIOCGPTPEER). Returns 0 or -errno. */
int terminal_attach(struct terminal *terminal, int master_fd, int slave_fd);

/* What had it has ended: takes what is still there. Returns whether that is all printed; else
 * on_drained is called when it is. */
bool terminal_detach(struct terminal *terminal);

/* Waits for nobody any more. Returns how many bytes are lost. */
size_t terminal_give_up(struct terminal *terminal);

/* Our terminal has another size. */
void terminal_resize(struct terminal *terminal);

/* Before this process stands still, and when it goes on, or is in the foreground again. */
void terminal_suspend(struct terminal *terminal);
void terminal_resume(struct terminal *terminal);

/* A log_sink: the console's, with line ends as a terminal in raw mode needs them. */
void terminal_sink(void *context, enum log_level level, const char *line, size_t bytes);
