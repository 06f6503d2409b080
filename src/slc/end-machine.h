/* What poweroff, reboot, halt and kexec have in common. */
#pragma once

#include "slc/slc.h"

extern const struct option_row end_machine_options[];

/* Asks for the end that the verb is named after. Returns what to exit with. */
int end_machine_run(struct slc *slc);
