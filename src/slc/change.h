/* What start, stop and restart have in common: one request, what it waits for, what came of it. */
#pragma once

#include "slc/slc.h"

extern const struct option_row change_options[];

/* `method` is the launcher's. The verb is slc->verb. Returns what to exit with. */
int change_run(struct slc *slc, const char *method);
