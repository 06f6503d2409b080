/* Services whose file is gone: they run on, and are forgotten once they have come to rest. */
#include "service-launcher/load-internal.h"
#include "service-launcher/templates.h"

#include "config/reading.h"
#include "config/switches.h"
#include "log/log.h"
#include "service/name.h"

#include <string.h>

static bool runs(const struct launcher *launcher, const struct service *service)
{
    return !machine_states[service_state(&launcher->manager, service)].idle;
}

/* What is no service's: the system file, and what was switched by hand. */
static bool is_our_own(const struct source *source)
{
    return !strcmp(source->name, SYSTEM_SOURCE_NAME) || !strcmp(source->name, SWITCHES_SOURCE_NAME);
}

static bool is_needed(const struct launcher *launcher, const struct source *source)
{
    if (source->masked || is_our_own(source))
        return true;
    if (!service_name_is_template(source->name, strlen(source->name)))
        return load_own_service(launcher, source->name);
    return !source->gone || templates_have_instances(launcher, source->name);
}

/* Takes the texts of services that are forgotten out of what is in force. */
static int drop_forgotten(struct launcher *launcher)
{
    struct sources sources = {0};
    size_t kept = 0;
    int failed = sources_read(launcher->definitions_fd, &sources);
    if (failed)
        return failed;
    for (size_t i = 0; i < sources.count; i++) {
        const struct source *source = &sources.list[i];
        if (is_needed(launcher, source))
            sources.list[kept++] = *source;
    }
    failed = load_store_sources(launcher, sources.list, kept);
    if (!failed)
        failed = templates_put_in_force(launcher, sources.list, kept);
    sources_finish(&sources);
    return failed;
}

void launcher_forget_gone(struct launcher *launcher)
{
    struct manager *manager = &launcher->manager;
    bool forgot = false, left = false;
    if (launcher->reloading)
        return;
    for (uint32_t i = 0; i < manager->slots; i++) {
        struct service *service = &manager->services[i];
        if (!service->in_use || !service_body(manager, service)->gone)
            continue;
        /* A hook that was killed may still have its end to come, which frees what it has. */
        if (runs(launcher, service) || manager->records[i].hook_pid) {
            left = true;
            continue;
        }
        /* One that waits, or backs off, has a timer and a pipe: it stops as any other does. */
        enum service_state state = service_state(manager, service);
        if (state == STATE_WAITING || state == STATE_BACKING_OFF)
            manager_event(manager, service, EVENT_STOP);
        LOG(INFO, "A service is gone with its file", TEXT("service", manager->records[i].name));
        load_forget(launcher, service);
        forgot = true;
    }
    launcher->gone_services = left;
    if (!forgot)
        return;
    int failed = load_resolve(launcher);
    if (!failed)
        failed = drop_forgotten(launcher);
    if (failed)
        LOG(ERROR, "Cannot put the services in order again", TEXT("error", strerror(-failed)));
}
