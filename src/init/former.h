/* Going back to the former init, which an upgrade has exchanged for this one. */
#pragma once

#include "init/kept.h"

/* Executes it with the record it has written, `record_fd`, where it finds why, and the faults there
 * have been, if any. Only returns where that cannot be: no new init is being executed. For signal
 * handlers, too. */
void former_execute(int record_fd, const char *why, const struct kept_faults *faults);
