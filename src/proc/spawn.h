/* Making a process the fast way: clone3 with shared memory and a shared descriptor table, straight
 * into its cgroup; the parent waits until the program executes or the attempt has failed.
 *
 * The descriptors the child needs are put at SPAWN_FD_FIRST … before the call: the child's first
 * step takes a copy of the table up to SPAWN_FD_LAST only, so that what the parent holds beyond
 * costs nothing (close_range(2) with CLOSE_RANGE_UNSHARE). Nothing the child does may wait. */
#pragma once

#include "base/start-step.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#define SPAWN_FD_FIRST 3
#define SPAWN_FD_LAST  8

struct spawn_limit {
    int resource;
    struct rlimit limit;
};

/* How the kernel is to treat it; a zeroed one changes nothing. */
struct spawn_priorities {
    bool nice_set, io_set, sched_set;
    int nice;
    int io;                           /* as ioprio_set(2) takes it */
    int sched_policy, sched_priority; /* as sched_setscheduler(2) takes them */
    const uint64_t *cpus;             /* bits; NULL: as the parent */
    size_t cpus_bytes;
    char oom_score_adj[8]; /* as it is written into /proc/self/oom_score_adj; "": as the parent */
    char autogroup[8];     /* as it is written into /proc/self/autogroup, with `nice` */
};

/* A process between the parent and the program: it is made first, makes the other one, and then
 * executes this. It is the program's parent, and as a child subreaper that of all that the program
 * leaves behind (prctl(2)). It keeps the parent's user, descriptors 0 to 2 and no environment. */
struct spawn_follow {
    char *const *argv;       /* argv[0] with a slash */
    int entries_fd, bell_fd; /* it finds these at 3 and 4 */
    int32_t *first_pid;      /* the kernel writes the program's pid here before that runs */
    int32_t *main_pid;       /* and we here, before the follower is executed */
};

struct spawn_failure;

/* What is to be executed, and how. Nothing is owned. */
struct spawn {
    char *const *argv; /* argv[0] without a slash is looked up on `path` */
    char *const *environment;
    const char *path; /* colon-separated folders; NULL: argv[0] has to have a slash */
    int stdin_fd;     /* -1: the null device of spawner_init() */
    int output_fd;    /* stdout and stderr; -1: the null device */
    int tty_fd;       /* -1: none; else stdin, stdout and stderr and controlling terminal */
    int cgroup_fd;    /* -1: the parent's cgroup */
    int extra_number; /* 0: none; else the descriptor `extra_fd` is there in the child; 3 or more */
    int extra_fd;
    char *pid_text;         /* NULL, or room for 12 bytes of the environment: its pid goes there */
    const char *root, *dir; /* NULL: no chroot; "/" */
    mode_t umask;
    bool identity_set;
    uid_t uid;
    gid_t gid;
    const gid_t *groups;
    size_t group_count;
    const struct spawn_limit *limits;
    size_t limit_count;
    struct spawn_priorities priorities;
    int32_t *parent_tid; /* the kernel writes the pid here before the child runs; not NULL */
    const struct spawn_follow *follow; /* NULL: none; else *parent_tid is the follower's */

    /* Of spawn_apart() only. `prepare` is called in the child, before all else, and may wait, use
     * the heap and change *spawn; returns 0, or -errno with the failure. Then the child opens one
     * of the two paths. */
    int (*prepare)(struct spawn *spawn, struct spawn_failure *ret_failure);
    void *context;
    const char *stdin_path, *tty_path; /* NULL: none */
};

struct spawn_failure {
    enum start_step step;
    int error; /* errno */
    int code;  /* of what `prepare` has found; 0: it is the step and the errno */
};

/* Reserves the descriptors SPAWN_FD_FIRST … SPAWN_FD_LAST with the null device; what is open there
 * is closed. Once in a program, before the first spawn(). Returns 0 or -errno. */
int spawner_init(void);

/* Makes the process. Returns 0 with its pidfd (close-on-exec, the caller's) in *ret_pidfd; or
 * -errno with the step in *ret_failure: then no process is left, and *parent_tid is 0. */
int spawn(const struct spawn *spawn, int *ret_pidfd, struct spawn_failure *ret_failure);

/* The same in a process with memory and descriptors of its own, which nobody waits for: for what
 * may hang, on a file system that others serve. It costs as much as fork(2). *ret_report_fd (the
 * caller's, close-on-exec, non-blocking) is at its end once the program executes, or else has one
 * struct spawn_failure, and the child then ends with 127. Returns 0 or -errno. */
int spawn_apart(struct spawn *spawn, int *ret_pidfd, int *ret_report_fd,
                struct spawn_failure *ret_failure);

/* Opens what a program gets, without waiting for anybody at its other side (a FIFO, a modem line);
 * the program then waits as it likes. Returns the descriptor (close-on-exec) or -errno. */
int spawn_open(const char *path, int flags);

/* Takes the last child's descriptors out of the reserved places: to be called after a batch, or
 * they would keep a pipe open. */
void spawner_rest(void);
