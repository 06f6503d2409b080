/* What the files of init share: one `struct init`, in static storage. */
#pragma once

#include "init/children.h"
#include "init/options.h"
#include "loop/loop.h"
#include "protocol/hand-over.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/* The end of the machine, step by step (stage3-shut-down.c). */
enum phase {
    PHASE_NONE,
    PHASE_TERM,  /* what is left, but for the journal, was asked to end */
    PHASE_KILL,  /* and is being killed */
    PHASE_DRAIN, /* the journal writes what it has */
    PHASE_CLOSE, /* the journal ends */
    PHASE_LAST,  /* nothing runs; does not return to the loop */
};

struct init {
    struct options options;
    bool container;
    int proc_fd;      /* a proc of our own PID namespace, mounted nowhere; -1: there is none */
    char folder[256]; /* where our own file is, "" when that cannot be told */
    struct rlimit child_files; /* RLIMIT_NOFILE for children */

    struct loop loop;
    sigset_t signals; /* those that are read from signal_fd */
    struct loop_fd signal_source;
    int signal_fd;

    struct child children[CHILDREN];
    int middle[CHILDREN]; /* the pair between launcher and journal: an end for each; -1: none */
    pid_t rescue_pid;

    /* Reaping (stage2-hand-over.c). */
    bool reap_wanted;             /* a child of ours ended */
    bool reap_anyway;             /* nobody took the reports for too long */
    struct loop_timer reap_timer; /* until then */

    /* Ending. */
    enum shut_down how;         /* asked for; SHUT_DOWN_NONE: not */
    int exit_status;            /* of a container's init */
    uint64_t asked_at_ns;       /* when it was asked for */
    int signal;                 /* that asked for it; 0: none */
    pid_t signal_sender;        /* 0: the kernel, or somebody outside the namespace */
    bool signal_told;           /* to the launcher that runs now */
    struct loop_timer patience; /* until the launcher is no longer waited for */
    enum phase phase;
    uint64_t phase_until_ns;
    struct loop_timer phase_timer;
    uint64_t notice_at_ns; /* when the console says next what is waited for */
    bool drain_wanted, drained;
};
