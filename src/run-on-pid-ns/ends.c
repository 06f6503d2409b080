/* What the end of process 1 means. */
#include "run-on-pid-ns/ends.h"

#include <signal.h>

#define EXIT_REBOOT (EXIT_SIGNAL + SIGHUP)

struct end end_of(const struct end_facts *facts)
{
    if (facts->code == CLD_EXITED)
        return (struct end){.status = facts->status};
    switch (facts->status) {
    case SIGHUP: /* nothing but reboot(2) ends a process 1 with this one and the next */
        if (facts->stopping)
            return (struct end){.status = 0, .said = "rebooted"};
        if (facts->reboot_exits)
            return (struct end){.status = EXIT_REBOOT, .said = "rebooted"};
        return (struct end){.again = true};
    case SIGINT:
        return (struct end){.status = 0, .said = "powered off"};
    case SIGKILL:
        if (facts->killed_for)
            return (struct end){.status = EXIT_SIGNAL + facts->killed_for};
        break;
    default:
        break;
    }
    return (struct end){.status = EXIT_SIGNAL + facts->status};
}
