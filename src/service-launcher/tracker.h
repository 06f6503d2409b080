/* What lives of a service, whatever follows it: one seam, so that nobody else asks which it is.
 *
 * By its cgroup, where cgroup v2 is writable. Else, for a service that forks, by its follow-forks,
 * whose descendants they are. Where that one was killed, by a mark: this run's INVOCATION_ID in
 * their environment. Else by nothing: then a service is its main process and that one's group. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct process;

/* Whether anything but the main process is known. */
bool tracker_follows(const struct process *process);

/* All that live, zombies left out: pids from malloc in *ret, the caller's. Returns how many, or
 * -errno. */
ssize_t tracker_processes(const struct process *process, pid_t **ret);

/* Whether that process, which the caller has opened, is one of them. */
bool tracker_has(const struct process *process, pid_t pid);

/* A signal to each. Returns how many could get it, or -errno (-ENOTSUP: nothing follows it). */
int tracker_signal(const struct process *process, int signal);

/* Has all run again that were frozen: they could not obey a signal. */
void tracker_thaw(const struct process *process);

/* SIGKILL to all, and to what they start meanwhile. Returns 0 or -errno (-ENOTSUP). Afterwards
 * tracker_watch() tells when it has worked. */
int tracker_kill(struct process *process);

/* Whether none is left. When there are some, executor_check_empty() is called when there may be
 * none, until tracker_unwatch(). Where that cannot be known (no descriptors, no memory) it is tried
 * again for 10 to 20 s; then none is. */
bool tracker_watch(struct process *process);
void tracker_unwatch(struct process *process);

/* When nothing is left, before anything is started again: after a tracker_kill(), and where the
 * service has made cgroups of its own. */
void tracker_renew(struct process *process);
