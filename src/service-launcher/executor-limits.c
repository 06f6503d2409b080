/* The limits of services' cgroups: set before anything of a service runs, again in a cgroup that
 * was made anew, and at once when a reload changes them. What cannot be set is a warning. */
#include "service-launcher/executor-internal.h"
#include "service-launcher/journal-client.h"

#include "log/log.h"
#include "proc/cgroup-limits.h"

#include <string.h>

#define PROBLEMS_BYTES 600

static void warn(struct process *process, const char *problems)
{
    struct launcher *launcher = process->executor->launcher;
    struct service *service = process_service(process);
    if (process->limits_told)
        return;
    process->limits_told = true;
    LOG(WARNING, "Resources are not limited",
        TEXT("service", service_name(&launcher->manager, service)), TEXT("why", problems));
    journal_client_event(launcher->journal, service->slot, 4, "not limited: %s", problems);
}

void executor_limit(struct process *process)
{
    struct executor *executor = process->executor;
    const struct resources *resources = &process_service(process)->definition->resources;
    struct cgroup_limits limits = {
        .memory_bytes = resources->memory_bytes,
        .memory_high_bytes = resources->memory_high_bytes,
        .tasks = resources->tasks,
        .cpu_percent = resources->cpu_percent,
        .io_weight = resources->io_weight,
    };
    bool any = cgroup_limits_any(&limits);
    char storage[PROBLEMS_BYTES];
    struct text problems;

    /* The cgroup may be one of a former run, with what that one was allowed. */
    if (process->limited || (!any && !executor->controllers))
        return;
    process->limited = true;
    if (process->cgroup_fd < 0) {
        if (any)
            warn(process, "there is no writable cgroup v2");
        return;
    }
    text_init(&problems, storage, sizeof storage);
    if (!cgroup_limit(executor->cgroup_folder, process->cgroup_fd, &limits,
                      executor->launcher->options.container, &problems))
        warn(process, storage);
    if (any && !executor->controllers)
        executor->controllers = cgroup_has_controllers(executor->cgroup_folder);
}

void executor_limits_changed(struct process *process)
{
    if (process->executor->cgroup_folder >= 0 && process->cgroup_fd < 0)
        return; /* nothing runs: the next start sees to it */
    process->limited = process->limits_told = false;
    executor_limit(process);
}
