/* The record that an init leaves which is executed anew: of an ordinary machine, for tests to make
 * something else of. One a test. */
#pragma once

#include "init/children.h"
#include "init/record.h"

extern struct record record;
extern struct kept *kept; /* what is in it */

/* A booted machine without children; init's own file is not known. */
void leave_record(void);

/* A child that runs and is ready. */
pid_t leave_child(enum child_id child);
