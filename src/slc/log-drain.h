/* Before journals are read: what services have printed by now is to be in their files. */
#pragma once

#include "slc/slc.h"

/* Asks the launcher for it, which answers within some seconds, whatever the disk does. Returns
 * false without a word where there is no launcher: then nobody writes. *ret_logs: the folder of the
 * journals, to be freed, or NULL; *ret_drained: it was done in time. */
bool log_drain(const struct slc *slc, char **ret_logs, bool *ret_drained);

/* Says that it was not. */
void log_drain_complain(const char *about);
