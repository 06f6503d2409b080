/* A reload changes a service in the middle of its life: what waits for what its former definition
 * says is given up before that goes, and begun again under the new one. What else a definition says
 * is read when it is needed. */
#include "service-launcher/executor-internal.h"

#include "config/keys.h"

/* Which keys say what a start is waited for, and which say whose end is the service's. */
#define READY_KEYS KEY_BIT(KEY_READY)
#define MAIN_KEYS  (KEY_BIT(KEY_TYPE) | KEY_BIT(KEY_FORKS))

void executor_definition_ends(struct executor *executor, struct service *service, uint64_t changed)
{
    struct process *process = executor_process(executor, service->slot);
    if (!process)
        return;
    if (changed & READY_KEYS)
        executor_ready_end(process);
    look_done(executor, service->slot); /* what was asked for the former one */
    if (changed & MAIN_KEYS)
        executor_stop_looking(process);
}

/* The program was not given what it would say so with: only its next run can be ready. */
static void end_descriptor(struct process *process)
{
    if (process_service(process)->definition->ready.kind == READY_FD)
        executor_ready_give_back(process);
}

void executor_definition_begins(struct executor *executor, struct service *service,
                                uint64_t changed)
{
    struct process *process = executor_process(executor, service->slot);
    if (!process)
        return;
    if (changed & KEY_BIT(KEY_RESOURCES))
        executor_limits_changed(process);
    if (service_state(&executor->launcher->manager, service) != STATE_STARTING ||
        !(changed & (READY_KEYS | MAIN_KEYS)) || !executor_has_begun(process))
        return;
    if (changed & READY_KEYS) {
        end_descriptor(process);
        executor_ready_begin(process, true);
    }
    if (changed & MAIN_KEYS) {
        executor_look_for_main(process);
        executor_ready_settle(process);
    }
}
