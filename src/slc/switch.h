/* What enable and disable have in common: files in ETC/enabled and ETC/disabled, made by slc
 * itself, for the launcher writes no disk. */
#pragma once

#include "slc/slc.h"

extern const struct option_row switch_options[];

/* Switches the services that the words name on or off. Returns what to exit with. */
int switch_run(struct slc *slc, bool on);
