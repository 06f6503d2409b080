/* Starts what runs inside: three processes, of which this one stays outside
 * (docs/run-on-pid-ns.md, "How it is done"). */
#pragma once

#include "proc/pidref.h"
#include "run-on-pid-ns/cgroup-place.h"
#include "run-on-pid-ns/options.h"

#define EXIT_OWN_FAILURE    125
#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND      127

/* What runs inside, as the outside has it. Its process is our child, which the caller reaps: by
 * waitpid(2) or pidref_reap(). */
struct inside {
    struct pidref process;
    struct pidref guard; /* kills it when we are gone */
    bool executed;       /* the command; else it was said why not, and the process ends */
    int console_fd;      /* the master of its terminal, with --console; -1: none */
    int slave_fd;        /* the other side of that */
    int notify_fd;       /* the socket at /run/host/notify, bound, with --notify; -1: none */
    struct cgroup_place cgroup;
};

/* Starts it, in namespaces that are new each time. Signals are blocked in the caller, and are as at
 * a program's start inside. Waits until the command is executed or has failed: in the second case
 * process 1 has said why and ends with EXIT_OWN_FAILURE, EXIT_NOT_EXECUTABLE or EXIT_NOT_FOUND like
 * any other. It is not waited for when a signal comes that wants to end us: that one stays pending,
 * and descriptors of process 1 may be missing. Returns 0, or the exit status when there is no
 * process 1, after having said why. */
int start_inside(const struct options *options, struct inside *ret);

/* Closes what start_inside() has opened, and removes the cgroups, which are empty then. To be
 * called when the process was reaped, and before the next start. */
void inside_finish(struct inside *inside);
