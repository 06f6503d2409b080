/* Carries out a plan. The table in steps.c has a row for each kind of step, which is a function in
 * the file of its noun: namespaces.c, mounts.c, terminal-inside.c, cgroup-place.c, container.c. */
#pragma once

#include "run-on-pid-ns/cgroup-place.h"
#include "run-on-pid-ns/plan.h"

/* What goes to the outer process: which descriptor it is (SCM_RIGHTS), or that nothing follows. */
enum handed { HANDED_CONSOLE, HANDED_CONSOLE_SLAVE, HANDED_NOTIFY, HANDED_NOT_EXECUTED };

/* One start, in the process that is at it. */
struct run {
    const struct options *options;
    const struct plan *plan;
    struct cgroup_place *cgroup; /* of the outer process; the others have a copy */
    int outer_fd;                /* in the maker and process 1: the socket to the outer process */
    int fds[PLAN_STEPS_MAX];     /* what a step has opened outside; -1: nothing */
    const char *hint;            /* a step that fails may say what to do about it */
};

void run_init(struct run *run, const struct options *options, const struct plan *plan,
              struct cgroup_place *cgroup);

/* Carries out the steps of one of the three, except for the two that end in another process or
 * program: STEP_NEW_PROCESS and STEP_EXECUTE. Returns 0, or -errno when one has failed, which was
 * said then. */
int steps_run(struct run *run, enum step_who who);

/* Says that the step has failed, with what to do about it. */
void step_failed(const struct run *run, const struct step *step, int error);

/* Hands a descriptor to the outer process. Returns 0 or -errno. */
int hand_out(const struct run *run, enum handed what, int fd);

/* The functions of the table. Each returns 0 or -errno. What a step's `open_…` has opened is in
 * *fd: it is called before the root is moved, when all mounts are ours already. */
typedef int step_function(struct run *run, const struct step *step, int *fd);

step_function step_divide_cgroup, step_enter_cgroup, step_mount_cgroup;   /* cgroup-place.c */
step_function step_new_user, step_new_time, step_hostname, step_loopback; /* namespaces.c */
step_function step_keep_mounts, step_move_root, step_open_source, step_bind, step_open_proc,
    step_mount_proc, step_open_sys, step_mount_sys, step_mount_tmpfs, step_mount_pts, step_link,
    step_drop_outside, step_read_only; /* mounts.c */
step_function step_console;            /* terminal-inside.c */
step_function step_open_description, step_describe, step_notify, step_clean_environment,
    step_set_environment; /* container.c */

/* Takes out of the environment what was meant for this process and goes no further (container.c).
 */
void forget_own_environment(void);

/* Closes at the next execution the descriptors that were meant for this process, LISTEN_FDS of
 * sd_listen_fds(3). To be called by the process that was started (container.c). */
void keep_own_descriptors(void);

/* Makes the folder, or the file where it is to be none, with all above it, where it is missing: a
 * place to mount something on. Returns 0, or -errno with the hint set. */
int make_place(struct run *run, const char *path, bool folder);
