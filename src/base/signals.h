/* Signals: their names, and the state of them that a program begins with. See signal(7). */
#pragma once

#include "base/text.h"

/* What people and other programs mean with SIGRTMIN and SIGRTMAX is what the GNU C library has.
 * Musl's own SIGRTMIN is 35, because it keeps 34 for itself. */
#define SIGNALS_REALTIME_FIRST 34
#define SIGNALS_REALTIME_LAST  64

/* `HUP`, `SIGHUP`, in any case, `1`, `RTMIN+3`, `RTMAX-1`. Returns 0, -EINVAL for what is no
 * signal, -ERANGE for a number that is none; *ret untouched on failure. */
int signals_parse(const char *string, int *ret);

/* "SIGHUP", "SIGRTMIN+3", "signal 99". */
void signals_format(int signal, struct text *text);

/* Default handlers, and nothing blocked: for a child before it executes. */
void signals_reset(void);
