/* The end of the machine, as far as it is the launcher's. The wish is in the state, so a launcher
 * that is killed on the way goes on with it. */
#include "service-launcher/shut-down.h"
#include "service-launcher/executor.h"
#include "service-launcher/init-link.h"

#include "base/clock.h"
#include "log/log.h"

#include <string.h>

#define PROGRESS_MS 2000 /* how often init hears what is waited for; it allows 10 s of silence */
/* A process that SIGKILL did not end after this long (it hangs in the kernel) is init's to leave
 * behind: the launcher waits for it no more. */
#define STUCK_MS 8000

/* A service that should be down by all its time-outs: SIGKILL does not end its last process. Twice
 * its own time-out, because what runs after the stop has it once more. */
static bool is_stuck(const struct manager *manager, const struct service *service)
{
    const struct service_body *body = service_body(manager, service);
    uint64_t allowed_ms = STUCK_MS;
    if (service->definition && service->definition->stop.timeout_ms == TIME_NEVER_MS)
        return false;
    if (service->definition)
        allowed_ms += 2ull * service->definition->stop.timeout_ms;
    return machine_states[body->state].going_down &&
           clock_now_ns() - body->since_ns > allowed_ms * NS_PER_MS;
}

/* The first service worth waiting for; NULL when only stuck ones are left. */
static const struct service *waited_for(const struct manager *manager)
{
    for (uint32_t i = 0; i < manager->slots; i++) {
        const struct service *service = &manager->services[i];
        if (service->in_use && !machine_states[service_state(manager, service)].idle &&
            !is_stuck(manager, service))
            return service;
    }
    return NULL;
}

static void tell_init(struct launcher *launcher)
{
    const struct state_header *header = launcher->manager.header;
    if (launcher->ending->told)
        return;
    launcher->ending->told = true;
    executor_remove_cgroups(launcher->executor);
    loop_clear_timer(&launcher->loop, &launcher->ending->progress_timer);
    init_link_shut_down(launcher->init_link, (enum shut_down)header->shut_down, header->exit_status,
                        false);
}

static void on_progress_time(struct loop_timer *timer)
{
    char text[SERVICE_NAME_MAX_BYTES + 64];
    struct launcher *launcher = container_of(timer, struct ending, progress_timer)->launcher;
    const struct manager *manager = &launcher->manager;
    const struct service *service = waited_for(manager);
    if (!manager->active)
        return; /* the turn that goes on now tells init */
    if (!service) {
        LOG(ERROR, "What is left of some services cannot be killed: init ends the rest");
        tell_init(launcher);
        return;
    }
    text_format(text, sizeof text, "%s: %s", service_name(manager, service),
                service_state_shown(manager, service));
    init_link_progress(launcher->init_link, text);
    loop_set_timer(&launcher->loop, timer, clock_now_ns() + PROGRESS_MS * NS_PER_MS,
                   on_progress_time);
}

void ending_init(struct ending *ending, struct launcher *launcher)
{
    *ending = (struct ending){.launcher = launcher};
}

void launcher_shut_down(struct launcher *launcher, enum shut_down how, bool force)
{
    struct state_header *header = launcher->manager.header;
    bool first = !launcher->manager.shutting_down;

    if (force) {
        LOG(WARNING, "Ending at once, services are not stopped", TEXT("how", shut_down_name(how)));
        header->shut_down = how;
        init_link_shut_down(launcher->init_link, how, header->exit_status, true);
        return;
    }
    if (!first)
        return; /* it is on its way; a later wish does not turn it round */
    header->shut_down = how;
    LOG(INFO, "Stopping services", TEXT("how", shut_down_name(how)),
        NUMBER("active", launcher->manager.active));
    manager_shut_down(&launcher->manager);
    loop_set_timer(&launcher->loop, &launcher->ending->progress_timer, clock_now_ns(),
                   on_progress_time);
}

void launcher_check_shut_down(struct launcher *launcher)
{
    const struct manager *manager = &launcher->manager;
    if (manager->shutting_down && !manager->queue_count && !manager->active &&
        !launcher->ending->told)
        tell_init(launcher);
}
