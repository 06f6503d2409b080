/* The only way in which init gets a child. */
#pragma once

#include "init/record.h"

#include <sys/types.h>

/* The record that children are kept away from. */
void process_use(const struct record *record);

/* fork(2): the child has a record of its own, and no handlers of init's. The kernel writes the pid
 * to *at (in the record) before the child runs, so that no fault falls between the two; NULL: not.
 * Returns 0 in the child, its pid, or -errno. */
pid_t process_fork(int32_t *at);

/* In the child: closes every descriptor from `first` on. */
void process_close_from(int first);
