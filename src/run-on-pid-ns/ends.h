/* What the end of process 1 means (docs/run-on-pid-ns.md, "How it ends"). Pure. Source: reboot(2),
 * "Behavior inside PID namespaces". */
#pragma once

#include <stdbool.h>

#define EXIT_SIGNAL 128 /* + its number */

/* How it has ended, and what went before. */
struct end_facts {
    int code, status;  /* si_code and si_status: waitid(2) */
    int killed_for;    /* the signal it had no handler for, so that it was killed; 0: none */
    bool stopping;     /* it was told to stop */
    bool reboot_exits; /* --on-reboot exit */
};

struct end {
    bool again;       /* it is to be started again */
    int status;       /* else ours */
    const char *said; /* what its service's status says; NULL: nothing of its own */
};

struct end end_of(const struct end_facts *facts);
