/* Processes as /proc shows them, and how one has ended that is no child of ours. See proc(5).
 *
 * A number read here may be another process's a moment later: who acts on one opens it first
 * (pidref.h) and looks again. */
#pragma once

#include "proc/pidref.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROCESS_NAME_BYTES 256

struct process_stat {
    pid_t pid, parent, session;
    char state;           /* 'R', 'S', 'Z' … */
    uint64_t start_ticks; /* since the boot, in clock ticks: the order of birth */
    int status;           /* of a zombie, as waitpid(2) gives it; 0 where we may not know */
};

/* Whether /proc counts processes as we do. It does not where it was mounted outside of our PID
 * namespace: then it tells of others by the numbers of ours, and nothing here is of use. */
bool processes_are_ours(void);

/* Returns 0, -ESRCH when there is no such process, -ENXIO when /proc is not ours, or -errno. */
int process_read_stat(pid_t pid, struct process_stat *ret);

/* Whether its program has this name: the base name of its executable, or what it calls itself
 * (15 bytes of that are kept by the kernel). */
bool process_is_called(pid_t pid, const char *name);

/* Whether its environment holds this entry ("KEY=value"), as it was when it was executed. Returns
 * 1, 0 (also where there is no such process, or we may not know), or -errno of what may pass. */
int process_has_environment(pid_t pid, const char *entry);

/* Calls `each` with every process that there is, in no order, until it returns false. Returns how
 * many had ended before they could be looked at, -ENXIO when /proc is not ours, or -errno: then
 * some were not looked at. */
int processes_each(bool (*each)(void *context, const struct process_stat *stat), void *context);

/* The living descendants of `root` (zombies are left out): pids from malloc in *ret, the caller's.
 * Returns how many, or -errno. What forks meanwhile may be missed: look again. None are returned
 * only where none were: not where each had forked and ended while it was looked at, time and again,
 * which is -EAGAIN. */
ssize_t processes_below(pid_t root, pid_t **ret);

/* The id of the cgroup that a process is in, or was in when it ended (kernel 6.13; of one that was
 * reaped 6.15). 0 or -errno. */
int process_cgroup_id(int pidfd, uint64_t *ret);

/* How a process has ended that need not be our child: from its zombie, or from the pidfd (kernel
 * 6.15 and later). Returns 0 with a wait status, -EAGAIN while it runs, -ENODATA when it has ended
 * and this cannot be known here. */
int pidref_end_status(const struct pidref *process, int *ret_status);
