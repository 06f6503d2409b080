/* run-on-pid-ns: what the end of process 1 means. */
#include "run-on-pid-ns/ends.h"
#include "test.h"

#include <signal.h>

#define AGAIN -1

TEST(each_end_has_its_status)
{
    static const struct {
        struct end_facts facts;
        int status;
        const char *said;
    } rows[] = {
        {{CLD_EXITED, 0}, 0, NULL},
        {{CLD_EXITED, 7}, 7, NULL},
        {{CLD_EXITED, SIGHUP}, SIGHUP, NULL},
        {{CLD_EXITED, 7, .stopping = true}, 7, NULL},
        {{CLD_KILLED, SIGHUP}, AGAIN, NULL},
        {{CLD_KILLED, SIGHUP, .reboot_exits = true}, 129, "rebooted"},
        {{CLD_KILLED, SIGHUP, .stopping = true}, 0, "rebooted"},
        {{CLD_KILLED, SIGHUP, .stopping = true, .reboot_exits = true}, 0, "rebooted"},
        {{CLD_KILLED, SIGINT}, 0, "powered off"},
        {{CLD_KILLED, SIGINT, .reboot_exits = true}, 0, "powered off"},
        {{CLD_KILLED, SIGINT, .stopping = true}, 0, "powered off"},
        {{CLD_KILLED, SIGINT, .killed_for = SIGTERM}, 0, "powered off"},
        {{CLD_KILLED, SIGKILL}, 137, NULL},
        {{CLD_KILLED, SIGKILL, .stopping = true}, 137, NULL},
        {{CLD_KILLED, SIGKILL, .killed_for = SIGTERM}, 143, NULL},
        {{CLD_DUMPED, SIGSEGV, .killed_for = SIGTERM}, 139, NULL},
        {{CLD_DUMPED, SIGABRT}, 134, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct end end = end_of(&rows[i].facts);
        CHECK_NUMBER(end.again ? AGAIN : end.status, rows[i].status);
        CHECK((end.said != NULL) == (rows[i].said != NULL));
        if (end.said && rows[i].said)
            CHECK_TEXT(end.said, rows[i].said);
    }
}
