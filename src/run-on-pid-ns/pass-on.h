/* Signals to process 1 of a PID namespace. The kernel drops those it has no handler for, from
 * outside too, but for SIGKILL and SIGSTOP (pid_namespaces(7)). */
#pragma once

#include "proc/pidref.h"

#include <stdbool.h>

enum passed {
    PASSED_ON,
    PASSED_KILLED,  /* it has no handler for what ends a common process: SIGKILL in its place */
    PASSED_STOPPED, /* the same of what stops one: SIGSTOP in its place */
    PASSED_GONE,    /* it has ended */
};

/* Sends it; `sent` is false where it has got the signal already, only to no effect perhaps. */
enum passed pass_on(const struct pidref *process, int signal, bool sent);
