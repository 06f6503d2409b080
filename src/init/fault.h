/* Faults of init itself: SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE. */
#pragma once

#include "init/kept.h"

#include <stdbool.h>

struct init;

/* Catches them from here on, on a stack of their own. They are the only signals that are not
 * blocked afterwards. */
void fault_catch(void);

/* A record that is to be opened next: a fault before fault_use() has the former init executed,
 * where this one is a new one. */
void fault_go_back_from(int record_fd);

/* The record in which they are noted. Before that a fault leads to the last resort. */
void fault_use(struct init *init);

/* Somebody has sent one of these signals: execute anew at the end of this turn. */
bool fault_is_asked_for(void);
void fault_do_what_was_asked(void);

/* Says the last one, in one line. */
void fault_say(struct kept_faults *faults);
