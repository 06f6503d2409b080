#include "left-record.h"

#include "fake-machine-parts.h"
#include "init/options.h"
#include "init/upgrade.h"

struct record record;
struct kept *kept;

void leave_record(void)
{
    static const char *const words[] = {"init", "--log-level", "debug"};
    record_create(&record);
    kept = record.kept;
    children_forget(kept);
    upgrade_forget(&kept->upgrade);
    CHECK(options_keep(&kept->words, 3, words));
    kept->own.booted = 1;
    kept->own.exe_fd = -1;
}

pid_t leave_child(enum child_id child)
{
    pid_t pid = machine_process("child", TEMPER_MILD);
    kept->children[child].pid = pid;
    kept->children[child].link_fd = machine_pair(pid);
    kept->children[child].ready = true;
    return pid;
}
