/* How an init is told to stop: by what it is. Found when it is to stop, from what process 1
 * executes by then: links are followed, and a script that ends in `exec /sbin/init` too.
 *
 * Sources: systemd(1) "SIGNALS", finit(8), BusyBox's init/init.c, runit-init(8), telinit(8),
 * initctl(5). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct stop_method {
    int signal;           /* 0: by the command */
    char *const *command; /* ends in NULL; static */
};

/* What is known of a process. */
struct stop_facts {
    const char *program;  /* the path of what it executes, links followed */
    const char *words[2]; /* the first of its command line; NULL: there is none */
    bool has_initctl;     /* the program names sysvinit's FIFO, /run/initctl or /dev/initctl */
};

/* Pure. */
struct stop_method stop_method_of(const struct stop_facts *facts);

/* Looks at the process, whose number is ours to know while it was not reaped. `command` is taken
 * for its program where we may not look. */
struct stop_method stop_method_find(pid_t pid, const char *command);

/* Whether the file has one of the two names of the FIFO in it. -1 or what can be read. */
bool stop_method_has_initctl(int fd);
