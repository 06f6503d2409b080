/* The process that kills process 1 when the outer one is gone. The kernel would (PR_SET_PDEATHSIG),
 * but forgets it as soon as process 1 changes its user or executes a set-user-ID program. */
#pragma once

#include "proc/pidref.h"

/* Starts it, a child of ours that does nothing while we live; end it by pidref_kill_child().
 * Signals are blocked in the caller. Returns 0 or -errno. */
int guard_start(const struct pidref *process, struct pidref *ret);
