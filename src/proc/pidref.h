/* A process is a pid and a pidfd together: the descriptor is the process, the number is its name
 * for people. No number alone is ever signalled. See pidfd_open(2). */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct pidref {
    pid_t pid; /* 0: none */
    int fd;    /* -1: none; owned */
};

#define PIDREF_NONE ((struct pidref){.pid = 0, .fd = -1})

static inline bool pidref_is_set(const struct pidref *process)
{
    return process->fd >= 0;
}

/* Opens a process by its number. Returns 0, -ESRCH when there is none, or -errno. */
int pidref_open(pid_t pid, struct pidref *ret);

/* Returns 0, -ESRCH when it has ended, or -errno. */
int pidref_signal(const struct pidref *process, int signal);

/* Closes the descriptor: the process is no longer ours to know. */
void pidref_close(struct pidref *process);

/* How a child has ended, without taking the zombie away: `code` is si_code (CLD_EXITED …),
 * `status` si_status. Returns 0, -EAGAIN while it runs, -ECHILD when it is no child of ours. */
int pidref_peek(const struct pidref *process, int *ret_code, int *ret_status);

/* Takes the zombie of a child away. */
void pidref_reap(const struct pidref *process);

/* SIGKILL to a child that has only just begun, and takes it away: waits until it is gone, but no
 * longer than a second. */
void pidref_kill_child(const struct pidref *process);
