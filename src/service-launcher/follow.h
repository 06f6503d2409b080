/* The launcher's side of follow-forks: services that fork where no cgroup can follow them.
 * docs/follow.md tells how the two sides meet. */
#pragma once

#include "proc/spawn.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct executor;
struct process;

/* Begins with what init held, or (-1) makes it and gives it to init. Both become the executor's.
 * Returns 0 or -errno: then services that fork are followed by their process group only. */
int follow_begin(struct executor *executor, int entries_fd, int bell_fd);

/* Whether the next run of that service is to have a follower. */
bool follow_is_wanted(const struct process *process);

/* What spawn() needs for it; `storage` is as it is and outlives the call. */
struct follow_command {
    struct spawn_follow spawn;
    char *argv[8];
    char program[4096], entry[16], name[256];
};
void follow_prepare(struct process *process, struct follow_command *storage);

/* Begins to watch the follower, which is opened by its recorded number where it is not yet. */
void follow_watch(struct process *process);

/* Which process's end the follower is to note. */
void follow_set_main(struct process *process, pid_t pid);

/* How the process in main_pid has ended, if its follower has noted it. */
bool follow_knows_end(const struct process *process, int *ret_status);

/* Lets go of the follower. */
void follow_forget(struct process *process);
