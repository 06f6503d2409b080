/* The second stage: every orphan's end is taken from the kernel, once. */
#pragma once

#include <stdbool.h>

struct init;

/* Reaps what may be reaped now. Returns true when there may be more. */
bool reap_turn(struct init *init);

/* Reports have to be taken within 10 s, else everything is reaped. */
void reap_wait_for_launcher(struct init *init);

/* They need not any longer. */
void reap_wait_no_more(struct init *init);

/* After init was executed anew: finishes what was under way. */
void reap_resume(struct init *init);
