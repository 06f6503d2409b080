/* The second stage: every orphan's end is taken from the kernel, once. */
#pragma once

#include "init/kept.h"

#include <stdbool.h>
#include <sys/wait.h>

struct init;

/* Reaps what may be reaped now. Returns true when there may be more. */
bool reap_turn(struct init *init);

/* Reports have to be taken within 10 s, else everything is reaped. */
void reap_wait_for_launcher(struct init *init);

/* They need not any longer. */
void reap_wait_no_more(struct init *init);

/* Has the kernel write one of those that are meant (waitid(2)), if it has ended, to kept->reaping.
 * Whoever has dealt with it sets si_pid there to 0. Returns false when there is none. */
bool reap_to_record(struct kept *kept, idtype_t type, pid_t pid);

/* Whether a fault came before the one that stands there was dealt with. */
bool reap_is_half_done(const struct kept *kept);

/* The status as waitpid(2) gives it. */
int reap_status_of(const siginfo_t *info);

/* After init was executed anew: finishes what was under way. */
void reap_resume(struct init *init);
