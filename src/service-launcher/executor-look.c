/* Looking without changing: conditions, and what a service is made of right now. */
#include "service-launcher/executor-internal.h"
#include "service-launcher/tracker.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/shortage.h"
#include "base/text.h"
#include "log/log.h"
#include "proc/processes.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define CMDLINE_BYTES 4096
#define FAMILY_DEPTH  64 /* how far up a process is followed */

/* For whom a condition is looked at. */
struct looker {
    struct executor *executor;
    uint32_t slot;
};

/* Whether the kernel was given this word. Words are separated by blanks; quotes are not honoured,
 * as the kernel's own parameters have none. */
static int has_kernel_word(const struct looker *looker, const char *word)
{
    char line[CMDLINE_BYTES];
    size_t length = strlen(word);
    (void)looker;
    if (file_read(AT_FDCWD, "/proc/cmdline", line, sizeof line) < 0)
        return false;
    for (const char *at = line; *at;) {
        at += strspn(at, " \n\t");
        size_t part = strcspn(at, " \n\t");
        if (part == length && part && strncmp(at, word, part) == 0)
            return true;
        at += part;
    }
    return false;
}

/* Returns 1, 0, or look_at()'s -EINPROGRESS or -ETIMEDOUT. What cannot be told is no, and said. */
static int can_access(const struct looker *looker, enum look_at what, const char *path)
{
    struct look_answer found;
    int failed = look_at(looker->executor, looker->slot, what, path, &found);
    if (failed == -EINPROGRESS || failed == -ETIMEDOUT)
        return failed;
    int error = failed ? failed : found.error;
    if (error == -EIO || is_shortage(error))
        LOG(WARNING, "A condition counts as not met: it cannot be looked at", TEXT("path", path),
            TEXT("error", strerror(-error)));
    return !error;
}

static int exists(const struct looker *looker, const char *path)
{
    return can_access(looker, LOOK_AT_EXISTS, path);
}

static int is_executable(const struct looker *looker, const char *path)
{
    return can_access(looker, LOOK_AT_EXECUTABLE, path);
}

static int (*const condition_checks[WHEN_KINDS])(const struct looker *looker, const char *word) = {
    [WHEN_EXISTS] = exists,
    [WHEN_KERNEL_ARG] = has_kernel_word,
    [WHEN_EXECUTABLE] = is_executable,
};

/* All are asked, so that none of those that hang waits for another. */
int executor_conditions_met(void *context, const struct service *service, size_t *ret_index)
{
    const struct launcher *launcher = context;
    const struct looker looker = {launcher->executor, service->slot};
    const struct definition *definition = service->definition;
    int result = 1;
    for (size_t i = 0; i < definition->when_count && result; i++) {
        const struct condition *condition = &definition->when[i];
        int met = condition_checks[condition->kind](&looker, condition->word);
        if (met >= 0)
            met = (met > 0) != condition->negated;
        if (met > 0 || (met < 0 && result < 0))
            continue;
        *ret_index = i;
        result = met;
    }
    if (result != -EINPROGRESS)
        look_forget(launcher->executor, service->slot);
    return result;
}

void executor_looked(struct executor *executor, uint32_t slot)
{
    struct manager *manager = &executor->launcher->manager;
    struct process *process = executor_process(executor, slot);
    if (slot >= manager->slots)
        return; /* whoever it is looks again by time */
    manager_mark(manager, &manager->services[slot]);
    if (process && process->ready && process->ready->path.on_change)
        process->ready->path.on_change(&process->ready->path);
    if (process)
        executor_forks_looked(process);
}

/* By what follows it; else it descends from the main process, or is in its session. */
bool executor_owns(const struct process *process, pid_t pid)
{
    const struct manager *manager = &process->executor->launcher->manager;
    int32_t main_pid = process_record(process)->main_pid;
    struct process_stat stat = {.parent = pid};
    int32_t own_session = service_body(manager, process_service(process))->session;
    if (pid == main_pid)
        return main_pid != 0;
    if (tracker_follows(process))
        return tracker_has(process, pid);
    if (!own_session)
        own_session = main_pid;
    for (int i = 0; main_pid && i < FAMILY_DEPTH && stat.parent > 1; i++) {
        if (process_read_stat(stat.parent, &stat) < 0)
            return false;
        if (stat.parent == main_pid || (i == 0 && stat.session == own_session))
            return true;
    }
    return false;
}

int32_t executor_main_pid(struct executor *executor, uint32_t slot)
{
    return executor->launcher->manager.records[slot].main_pid;
}

size_t executor_processes(struct executor *executor, uint32_t slot, int32_t *pids, size_t room)
{
    const struct process *process = executor_process(executor, slot);
    const struct service_record *record = &executor->launcher->manager.records[slot];
    size_t count = 0;

    AUTO_FREE pid_t *living = NULL;
    ssize_t found = process ? tracker_processes(process, &living) : 0;
    if (found > 0) {
        memcpy(pids, living, ((size_t)found < room ? (size_t)found : room) * sizeof *pids);
        return (size_t)found;
    }
    const int32_t known[] = {record->main_pid, record->hook_pid};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!known[i])
            continue;
        if (count < room)
            pids[count] = known[i];
        count++;
    }
    return count;
}

/* The resident pages of the main process: the second number of /proc/PID/statm (proc(5)). */
static int64_t resident_bytes(int32_t pid)
{
    char path[40], line[128];
    uint64_t pages;
    text_format(path, sizeof path, "/proc/%d/statm", (int)pid);
    ssize_t bytes = file_read(AT_FDCWD, path, line, sizeof line);
    if (bytes < 0)
        return bytes;
    char *second = strchr(line, ' ');
    if (!second)
        return -EPROTO;
    second++;
    second[strcspn(second, " ")] = 0;
    int failed = text_parse_unsigned(second, &pages);
    return failed ? failed : (int64_t)pages * sysconf(_SC_PAGESIZE);
}

int64_t executor_memory_bytes(struct executor *executor, uint32_t slot)
{
    const struct process *process = executor_process(executor, slot);
    int32_t pid = executor_main_pid(executor, slot);
    if (process && process->cgroup_fd >= 0) {
        int64_t bytes = cgroup_memory_bytes(process->cgroup_fd);
        if (bytes >= 0)
            return bytes;
    }
    return pid ? resident_bytes(pid) : -ESRCH;
}
