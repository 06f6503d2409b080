/* Where a start can fail: the steps of making a process, in their order. The words for people are
 * in service/reason.c; with a step goes an errno. */
#pragma once

enum start_step {
    STEP_NONE,
    STEP_PIPE,
    STEP_HAND_OVER,
    STEP_CGROUP,
    STEP_ENV_FILE,
    STEP_STDIN,
    STEP_TTY,
    STEP_CLONE,
    STEP_DESCRIPTORS,
    STEP_SESSION,
    STEP_CONTROL_TTY,
    STEP_SCHED,
    STEP_NICE,
    STEP_IO,
    STEP_CPUS,
    STEP_OOM_SCORE_ADJ,
    STEP_LIMITS,
    STEP_ROOT,
    STEP_GROUPS,
    STEP_GROUP,
    STEP_USER,
    STEP_DIR,
    STEP_EXECUTE,
    STEP_FOLLOW,
    STEP_READY,  /* what tells that it is ready */
    STEP_FROZEN, /* nothing in its cgroup runs */
    STEPS
};
