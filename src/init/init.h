/* What the files of init share: one `struct init`, in static storage. What must survive init itself
 * is not here but in its record (kept.h). */
#pragma once

#include "init/children.h"
#include "init/kept.h"
#include "init/options.h"
#include "init/record.h"
#include "loop/loop.h"

#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

struct init {
    struct record record;
    struct kept *kept; /* record.kept, and two parts of it: */
    struct kept_own *own;
    struct kept_ending *ending;
    struct options options;
    int proc_fd;      /* a proc of our own PID namespace, mounted nowhere; -1: there is none */
    char folder[256]; /* where our own file is, "" when that cannot be told */

    struct loop loop;
    sigset_t signals; /* those that are read from signal_fd */
    struct loop_fd signal_source;
    int signal_fd;

    struct child children[CHILDREN_ALL];

    bool reap_wanted;             /* a child of ours ended */
    struct loop_timer reap_timer; /* until own->reap_until_ns */
    struct loop_timer patience;   /* until ending->patience_until_ns */
    struct loop_timer phase_timer;
    struct loop_timer upgrade_timer; /* until kept->upgrade.until_ns */
};
