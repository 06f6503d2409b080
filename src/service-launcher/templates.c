/* Templates: which are in force, and how their instances come into being and are forgotten.
 *
 * The manager is pure and parses nothing, so all that is named is made before it resolves names:
 * level by level, from what is there by itself, so that how far instances name further instances
 * is known without being kept anywhere. */
#include "service-launcher/templates.h"
#include "service-launcher/load-internal.h"
#include "service-launcher/state.h"

#include "base/text.h"
#include "config/definition-parse.h"
#include "config/switches.h"
#include "config/system-file.h"
#include "log/log.h"
#include "service/name.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- in force ------------------------------------------------------------------------------ */

static bool is_kept(const struct source *source)
{
    return service_name_is_template(source->name, strlen(source->name))
               ? !source->masked
               : source->masked && service_name_instance(source->name);
}

/* Returns false without memory. */
static bool copy_text(struct arena *arena, const char **text, size_t length)
{
    if (!*text)
        return true;
    *text = arena_copy(arena, *text, length);
    return *text != NULL;
}

static bool copy_source(struct arena *arena, const struct source *source, struct source *copy)
{
    *copy = *source;
    const char **texts[] = {&copy->name, &copy->path, &copy->problem, &copy->exec, &copy->logs};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!copy_text(arena, texts[i], *texts[i] ? strlen(*texts[i]) : 0))
            return false;
    return copy_text(arena, &copy->text, copy->size);
}

int templates_put_in_force(struct launcher *launcher, const struct source *list, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        kept += is_kept(&list[i]);
    struct sources *templates = calloc(1, sizeof *templates);
    if (!templates)
        return -ENOMEM;
    templates->list = calloc(kept + 1, sizeof *templates->list);
    bool good = templates->list != NULL;
    for (size_t i = 0; i < count && good; i++)
        if (is_kept(&list[i]))
            good = copy_source(&templates->arena, &list[i], &templates->list[templates->count++]);
    if (!good) {
        sources_finish(templates);
        free(templates);
        return -ENOMEM;
    }
    templates_finish(launcher);
    launcher->templates = templates;
    return 0;
}

void templates_finish(struct launcher *launcher)
{
    if (launcher->templates)
        sources_finish(launcher->templates);
    free(launcher->templates);
    launcher->templates = NULL;
}

const struct source *templates_find(const struct sources *sources, const char *name, bool gone)
{
    char storage[SERVICE_NAME_MAX_BYTES + 1];
    if (!sources || !sources->count || !service_name_template(name, storage) ||
        (!gone && sources_find(sources, name)))
        return NULL;
    const struct source *template = sources_find(sources, storage);
    return template && !template->masked && (gone || !template->gone) ? template : NULL;
}

bool templates_have_instances(const struct launcher *launcher, const char *template)
{
    const struct manager *manager = &launcher->manager;
    size_t length = strlen(template);
    for (uint32_t i = 0; i < manager->slots; i++)
        if (manager->services[i].in_use && manager->services[i].from_template &&
            strncmp(manager->records[i].name, template, length) == 0)
            return true;
    return false;
}

void templates_check(const struct source *template)
{
    struct definition *definition = NULL;
    char *errors = NULL;
    if (load_parse_template(template, &definition, &errors) == -EINVAL)
        LOG(ERROR, "A template does not load", TEXT("template", template->name),
            TEXT("error", errors ? errors : template->path));
    definition_destroy(definition);
    free(errors);
}

/* ---- one instance -------------------------------------------------------------------------- */

static void define(struct launcher *launcher, struct service *service,
                   const struct source *template)
{
    struct definition *definition = NULL;
    char *errors = NULL;
    const char *name = service_name(&launcher->manager, service);
    service->from_template = true;
    if (load_parse_instance(template, name, &definition, &errors) == 0) {
        definition_destroy(load_put_in_force(launcher, service, definition));
        return;
    }
    LOG(ERROR, "An instance of a template does not load", TEXT("service", name),
        TEXT("error", errors ? errors : template->path));
    load_put_broken(launcher, service, errors);
}

/* Returns 0, -ENOMEM or -EOVERFLOW. */
static int make(struct launcher *launcher, const struct source *template, const char *name,
                struct service **ret)
{
    struct service *service = load_service_for(launcher, name);
    if (!service)
        return launcher->manager.slots < STATE_SLOTS_MAX ? -ENOMEM : -EOVERFLOW;
    define(launcher, service, template);
    *ret = service;
    return 0;
}

int launcher_make_instance(struct launcher *launcher, const char *name)
{
    struct service *service;
    if (service_name_problem(name, strlen(name), NULL) || manager_find(&launcher->manager, name))
        return 0;
    const struct source *template = templates_find(launcher->templates, name, false);
    int failed = template ? make(launcher, template, name, &service) : 0;
    return failed ? failed : template != NULL;
}

bool launcher_is_instance(const struct launcher *launcher, const char *name)
{
    return !service_name_problem(name, strlen(name), NULL) &&
           templates_find(launcher->templates, name, false);
}

int launcher_resolve(struct launcher *launcher)
{
    return load_resolve(launcher);
}

void templates_define(struct launcher *launcher, struct service *service)
{
    const struct source *template =
        templates_find(launcher->templates, service_name(&launcher->manager, service), true);
    if (template)
        define(launcher, service, template);
}

void templates_define_again(struct launcher *launcher)
{
    struct manager *manager = &launcher->manager;
    for (uint32_t i = 0; i < manager->slots; i++) {
        struct service *service = &manager->services[i];
        if (service->in_use && !service->definition && !service->errors)
            templates_define(launcher, service);
    }
}

const char *launcher_why_missing(const struct launcher *launcher, const char *name)
{
    const char *problem = service_name_problem(name, strlen(name), NULL);
    if (problem)
        return problem;
    if (!templates_find(launcher->templates, name, false))
        return NULL;
    return launcher->manager.first_free < STATE_SLOTS_MAX
               ? "is an instance of a template that nobody has named: `slc start` makes it"
               : "cannot be made: there is no room for another service";
}

/* ---- what is named ------------------------------------------------------------------------- */

/* A walk over all services, each before those that it names. */
struct walk {
    struct launcher *launcher;
    uint8_t *levels; /* [STATE_SLOTS_MAX]: 0: not reached; else 1 + how many instances in a row */
    uint32_t *queue; /* of slots; each stands in it once */
    size_t begun, count;
    int failed;
    bool full; /* there was no room, and it was said */
};

static void reach(struct walk *walk, struct service *service, unsigned level)
{
    if (walk->levels[service->slot])
        return;
    walk->levels[service->slot] = (uint8_t)(level + 1);
    walk->queue[walk->count++] = service->slot;
}

/* Says why an instance that is named is not made. */
static void say_not_made(const char *name, const char *by, const char *why)
{
    LOG(ERROR, "An instance is not made", TEXT("service", name), TEXT("named-by", by),
        TEXT("why", why));
}

/* `by`, which is `level` instances deep (NULL: the system file), names `name`. */
static void name_one(struct walk *walk, const char *by, unsigned level, const char *name)
{
    struct launcher *launcher = walk->launcher;
    struct service *service = manager_find(&launcher->manager, name);
    if (!service) {
        const struct source *template = templates_find(launcher->templates, name, false);
        if (!template)
            return;
        if (level >= SERVICE_INSTANCE_CHAIN_MAX) {
            say_not_made(name, by,
                         "instances that name instances are followed 16 deep: do they name "
                         "themselves, each with a longer name?");
            return;
        }
        int failed = make(launcher, template, name, &service);
        if (failed && !walk->full)
            say_not_made(name, by ? by : launcher->system_file->path,
                         failed == -ENOMEM ? "out of memory"
                                           : "there is no room for another service");
        walk->full |= failed != 0;
        if (failed)
            return;
    }
    if (!service->from_template || strcmp(service_name(&launcher->manager, service), name) != 0)
        return;
    service->named = true;
    reach(walk, service, level + 1);
}

static void name_all(struct walk *walk, uint32_t slot)
{
    const struct manager *manager = &walk->launcher->manager;
    const struct definition *definition = manager->services[slot].definition;
    unsigned level = walk->levels[slot] - 1u;
    if (!definition)
        return;
    for (names_t names = definition->needs; names && *names; names++)
        name_one(walk, definition->name, level, *names);
    for (names_t names = definition->wants; names && *names; names++)
        name_one(walk, definition->name, level, *names);
}

static void follow(struct walk *walk)
{
    while (walk->begun < walk->count)
        name_all(walk, walk->queue[walk->begun++]);
}

static void name_system_file(struct walk *walk)
{
    const struct system_file *file = walk->launcher->system_file;
    for (size_t i = 0; file->services_given && i < file->service_count; i++)
        name_one(walk, NULL, 0, file->services[i].name);
    for (size_t i = 0; file->start_given && file->start[i]; i++)
        name_one(walk, NULL, 0, file->start[i]);
}

/* What a person has switched on is started at the boot, so it is to be there. */
static void name_switched_on(struct walk *walk)
{
    const struct switches *switches = walk->launcher->switches;
    for (size_t i = 0; i < switches->count; i++)
        if (switches->list[i].which == SWITCHED_ON)
            name_one(walk, walk->launcher->options.etc, 0, switches->list[i].name);
}

/* What is there by itself comes first: services with files; then instances that only a person has
 * named; then those that are left, which name each other in a ring. */
static void walk_all(struct walk *walk)
{
    struct manager *manager = &walk->launcher->manager;
    for (uint32_t i = 0; i < manager->slots; i++) {
        manager->services[i].named = false;
        if (manager->services[i].in_use && !manager->services[i].from_template)
            reach(walk, &manager->services[i], 0);
    }
    name_system_file(walk);
    name_switched_on(walk);
    follow(walk);
    for (int rings = 0; rings < 2; rings++)
        for (uint32_t i = 0; i < manager->slots; i++) {
            if (!manager->services[i].in_use || walk->levels[i])
                continue;
            reach(walk, &manager->services[i], 1);
            follow(walk);
        }
}

int templates_make_named(struct launcher *launcher)
{
    struct walk walk = {.launcher = launcher};
    if (!launcher->templates || !launcher->templates->count)
        return 0;
    int failed = manager_index_names(&launcher->manager);
    if (failed)
        return failed;
    walk.levels = calloc(STATE_SLOTS_MAX, sizeof *walk.levels);
    walk.queue = calloc(STATE_SLOTS_MAX, sizeof *walk.queue);
    if (walk.levels && walk.queue)
        walk_all(&walk);
    else
        failed = -ENOMEM;
    free(walk.levels);
    free(walk.queue);
    launcher->idle_instances = true; /* one that was named may not be any more */
    return failed;
}

/* ---- forgetting ---------------------------------------------------------------------------- */

static bool is_asked_for(const struct manager *manager, const struct service *service)
{
    list_for_each(node, &manager->requests)
    {
        const struct request *request = container_of(node, struct request, link);
        for (size_t i = 0; i < request->count; i++)
            if (request->items[i].slot == service->slot)
                return true;
    }
    return false;
}

/* Whether it is an instance that need not be there: nobody names it and nothing of it runs. */
static bool is_at_rest(const struct manager *manager, const struct service *service)
{
    const struct service_body *body = service_body(manager, service);
    if (!service->in_use || !service->from_template || service->named || body->gone ||
        !machine_states[body->state].idle || manager->records[service->slot].hook_pid)
        return false;
    return body->state == STATE_STOPPED
               ? !body->wanted
               : body->state != STATE_WAITING && body->state != STATE_BACKING_OFF;
}

struct resting {
    uint64_t since_ns;
    uint32_t slot;
};

static int compare_resting(const void *a, const void *b)
{
    const struct resting *left = a, *right = b;
    return left->since_ns < right->since_ns ? -1 : left->since_ns > right->since_ns;
}

/* Forgets the oldest of those that are kept to be looked at. Returns how many. */
static size_t forget_oldest(struct launcher *launcher, struct resting *list, size_t count)
{
    size_t forgot = 0;
    qsort(list, count, sizeof *list, compare_resting);
    for (; count - forgot > INSTANCES_AT_REST_MAX; forgot++)
        load_forget(launcher, &launcher->manager.services[list[forgot].slot]);
    return forgot;
}

void launcher_forget_instances(struct launcher *launcher)
{
    struct manager *manager = &launcher->manager;
    struct resting *resting = NULL;
    size_t count = 0, room = 0, forgot = 0;
    bool left = false;

    if (launcher->reloading)
        return;
    for (uint32_t i = 0; i < manager->slots; i++) {
        struct service *service = &manager->services[i];
        if (!is_at_rest(manager, service))
            continue;
        if (is_asked_for(manager, service)) {
            left = true;
        } else if (service_state(manager, service) == STATE_STOPPED) {
            load_forget(launcher, service);
            forgot++;
        } else {
            if (count == room) {
                struct resting *grown =
                    reallocarray(resting, room ? room * 2 : 64, sizeof *resting);
                if (!grown)
                    break; /* it is tried again */
                resting = grown;
                room = room ? room * 2 : 64;
            }
            resting[count++] = (struct resting){service_body(manager, service)->since_ns, i};
        }
    }
    if (count > INSTANCES_AT_REST_MAX)
        forgot += forget_oldest(launcher, resting, count);
    free(resting);
    launcher->idle_instances = left;
    if (forgot && load_resolve(launcher) < 0)
        LOG(ERROR, "No memory to put the services in order again");
}
