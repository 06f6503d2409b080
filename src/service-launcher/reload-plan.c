/* One reload: new texts are compared with those in force, only what differs is parsed, and all of
 * it is put in force at once. Nothing is stopped or restarted. A file that no longer loads leaves
 * what was in force; a service whose file is gone runs on until it stops, and is forgotten then. */
#include "service-launcher/reload-plan.h"
#include "service-launcher/executor.h"
#include "service-launcher/load-internal.h"
#include "service-launcher/log-setup.h"
#include "service-launcher/state.h"
#include "service-launcher/templates.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "config/definition-parse.h"
#include "config/keys.h"
#include "config/switches.h"
#include "config/users.h"
#include "log/log.h"
#include "service/name.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PARSE_AT_ONCE 64 /* files; then the loop gets a turn: about a millisecond */

static const char *name_of(const struct planned *name)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): one of both is always there */
    return (name->now ? name->now : name->before)->name;
}

static bool is_system(const struct planned *name)
{
    return strcmp(name_of(name), SYSTEM_SOURCE_NAME) == 0;
}

static bool is_switches(const struct planned *name)
{
    return strcmp(name_of(name), SWITCHES_SOURCE_NAME) == 0;
}

static struct service *service_of(const struct plan *plan, const struct planned *name)
{
    return load_own_service(plan->launcher, name_of(name));
}

static bool runs(const struct plan *plan, const struct service *service)
{
    return service && !machine_states[service_state(&plan->launcher->manager, service)].idle;
}

static bool is_gone(const struct planned *name)
{
    return !name->now || name->now->masked;
}

/* ---- comparing ------------------------------------------------------------------------------ */

/* A file that was broken while an older text stays in force is looked at again. */
static bool is_to_be_parsed(const struct plan *plan, const struct planned *name)
{
    const struct service *service = service_of(plan, name);
    if (is_gone(name) || is_switches(name) || plan->only_switches)
        return false;
    /* There are few, and what is wrong with one is said each time. */
    if (name->template || !name->before || !source_equal(name->before, name->now))
        return true;
    /* What was in the way of one that is broken, a user that is not there, may be out of it. */
    return !is_system(name) && service && (service->errors || !service->definition);
}

/* Both lists are in the order of their names. */
static void pair(struct plan *plan)
{
    const struct sources *now = &plan->reading->sources, *before = &plan->before;
    size_t i = 0, j = 0;
    while (i < now->count || j < before->count) {
        int order = i == now->count      ? 1
                    : j == before->count ? -1
                                         : strcmp(now->list[i].name, before->list[j].name);
        struct planned *name = &plan->names[plan->count++];
        *name = (struct planned){.now = order <= 0 ? &now->list[i++] : NULL,
                                 .before = order >= 0 ? &before->list[j++] : NULL};
        name->template = service_name_is_template(name_of(name), strlen(name_of(name)));
    }
}

static int compare_planned(const void *a, const void *b)
{
    return strcmp(name_of(a), name_of(b));
}

bool plan_has(const struct plan *plan, const char *name)
{
    const struct source key = {.name = name};
    const struct planned sought = {.now = &key};
    return plan->count &&
           bsearch(&sought, plan->names, plan->count, sizeof sought, compare_planned);
}

/* The text of the instance's template among these, under the instance's name; NULL: none. */
static const struct source *make_source(struct plan *plan, const struct sources *sources,
                                        const char *name, bool gone)
{
    const struct source *template = templates_find(sources, name, gone);
    if (!template)
        return NULL;
    struct source *source = &plan->made[plan->made_count++];
    *source = *template;
    source->name = name;
    return source;
}

/* An instance without a file of its own is compared by the text that it comes from: its template's,
 * before, now, or both. The first `paired` names are in order. */
static void add_instance(struct plan *plan, const struct service *service, size_t paired)
{
    const char *name = service_name(&plan->launcher->manager, service);
    const struct source key = {.name = name};
    const struct planned sought = {.now = &key};
    struct planned *planned = bsearch(&sought, plan->names, paired, sizeof sought, compare_planned);
    const struct source *file = planned ? planned->now : NULL;
    const struct source *before = planned ? planned->before : NULL, *now = file;

    if (!service->from_template && (file || !before))
        return;
    if (service->from_template)
        before = make_source(plan, &plan->before, name, true);
    if (!file)
        now = make_source(plan, &plan->reading->sources, name, false);
    if (!before && !now)
        return;
    if (!planned)
        planned = &plan->names[plan->count++];
    *planned = (struct planned){.now = now, .before = before};
    planned->instance = file ? file->masked : now || service->from_template;
}

static void add_instances(struct plan *plan)
{
    const struct manager *manager = &plan->launcher->manager;
    size_t paired = plan->count;
    for (uint32_t i = 0; i < manager->slots; i++)
        if (manager->services[i].in_use && service_name_instance(manager->records[i].name))
            add_instance(plan, &manager->services[i], paired);
    if (plan->count)
        qsort(plan->names, plan->count, sizeof *plan->names, compare_planned);
    for (size_t i = 0; i < plan->count; i++)
        plan->names[i].parse = is_to_be_parsed(plan, &plan->names[i]);
}

int plan_begin(struct plan *plan, struct launcher *launcher, const struct reading *reading,
               bool only_switches)
{
    *plan = (struct plan){.launcher = launcher, .reading = reading, .only_switches = only_switches};
    int failed =
        launcher->definitions_fd < 0 ? 0 : sources_read(launcher->definitions_fd, &plan->before);
    if (failed)
        return failed;
    size_t slots = launcher->manager.slots;
    size_t room = reading->sources.count + plan->before.count + slots + 1;
    plan->names = calloc(room, sizeof *plan->names);
    plan->keep = calloc(room, sizeof *plan->keep);
    plan->old = calloc(room, sizeof(*plan->old));
    plan->report.entries = calloc(room, sizeof *plan->report.entries);
    plan->made = calloc(slots * 2 + 1, sizeof *plan->made);
    if (!plan->made || !plan->names || !plan->keep || !plan->old || !plan->report.entries)
        return -ENOMEM;
    pair(plan);
    add_instances(plan);
    return 0;
}

static void parse_system_file(struct plan *plan, const struct source *source)
{
    struct error_list errors = {0};
    plan->system_changed = system_file_parse(source->path, source->text, source->size,
                                             &plan->system_file, &errors) == 0;
    error_list_finish(&errors);
}

static void parse(struct plan *plan, struct planned *name)
{
    if (is_system(name)) {
        parse_system_file(plan, name->now);
        return;
    }
    int failed = name->template   ? load_parse_template(name->now, &name->definition, &name->errors)
                 : name->instance ? load_parse_instance(name->now, name_of(name), &name->definition,
                                                        &name->errors)
                                  : load_parse(name->now, &name->definition, &name->errors);
    name->broken = failed != 0;
}

bool plan_step(struct plan *plan)
{
    users_hold();
    for (size_t some = 0; plan->parsed < plan->count && some < PARSE_AT_ONCE; plan->parsed++) {
        struct planned *name = &plan->names[plan->parsed];
        if (!name->parse)
            continue;
        parse(plan, name);
        some++;
    }
    users_release();
    return plan->parsed < plan->count;
}

/* ---- deciding ------------------------------------------------------------------------------- */

static void say(struct plan *plan, struct planned *name, enum reload_change change)
{
    name->entry = &plan->report.entries[plan->report.count++];
    *name->entry = (struct reload_entry){.change = change, .name = name_of(name)};
}

/* The text of an instance is its template's, which is kept under that one's name. */
static void keep(struct plan *plan, struct planned *name, const struct source *source)
{
    name->kept = source;
    if (!name->instance || source->masked)
        plan->keep[plan->kept++] = *source;
}

static bool same_words(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

/* A service whose file is no longer there, or is masked now. Its text is kept while it runs. */
static void decide_gone(struct plan *plan, struct planned *name)
{
    const struct service *service = service_of(plan, name);
    const struct source *before = name->before;
    if (!before || before->masked || !service) {
        if (name->now)
            keep(plan, name, name->now);
        return;
    }
    say(plan, name, RELOAD_GONE);
    name->entry->known = service_body(&plan->launcher->manager, service)->gone;
    if (runs(plan, service) && !name->instance)
        keep(plan, name, before);
    else if (name->now)
        keep(plan, name, name->now);
}

static void decide_broken(struct plan *plan, struct planned *name)
{
    const struct service *service = service_of(plan, name);
    bool keeps = service && service->definition && name->before && !name->before->masked;
    say(plan, name, RELOAD_BROKEN);
    name->entry->errors = name->errors;
    name->entry->known = service && same_words(service->errors, name->errors);
    /* What ran goes on under the text that loaded. */
    keep(plan, name, keeps ? name->before : name->now);
}

static void decide_same(struct plan *plan, struct planned *name)
{
    const struct service *service = service_of(plan, name);
    bool broken = service && !service->definition;
    keep(plan, name, name->now);
    if (!service)
        return;
    bool back = service_body(&plan->launcher->manager, service)->gone;
    say(plan, name, broken ? RELOAD_BROKEN : back ? RELOAD_CHANGED : RELOAD_UNCHANGED);
    if (broken) {
        name->entry->errors = service->errors;
        name->entry->known = true;
    }
}

static void decide_loads(struct plan *plan, struct planned *name)
{
    const struct service *service = service_of(plan, name);
    const struct source *before = name->before;
    bool known = service && service->definition && before && !before->masked;
    keep(plan, name, name->now);
    say(plan, name, known || (service && before) ? RELOAD_CHANGED : RELOAD_NEW);
    if (!known)
        return;
    name->entry->keys = definition_diff(service->definition, name->definition);
    name->entry->needs_restart = runs(plan, service) && keys_need_restart(name->entry->keys);
}

/* What a template's file said; NULL: there was none, or it did not load. */
static struct definition *parse_before(const struct planned *name)
{
    struct definition *definition = NULL;
    char *errors = NULL;
    if (name->before && !name->before->masked && !name->before->gone)
        load_parse_template(name->before, &definition, &errors);
    free(errors);
    return definition;
}

/* Its file is gone, or masked. What it says is kept for the instances that are there. */
static void decide_template_gone(struct plan *plan, struct planned *name)
{
    const struct source *before = name->before;
    bool was = before && !before->masked;
    if (was && !before->gone)
        say(plan, name, RELOAD_GONE);
    if (was && templates_have_instances(plan->launcher, before->name)) {
        plan->keep[plan->kept] = *before;
        plan->keep[plan->kept++].gone = true;
    } else if (name->now) {
        keep(plan, name, name->now);
    }
}

/* A template is listed where there is something to say of its file; each instance speaks for
 * itself. */
static void decide_template(struct plan *plan, struct planned *name)
{
    if (is_gone(name)) {
        decide_template_gone(plan, name);
        return;
    }
    struct definition *before = parse_before(name);
    bool same = name->before && source_equal(name->before, name->now);
    if (name->broken) {
        say(plan, name, RELOAD_BROKEN);
        name->entry->errors = name->errors;
        name->entry->known = same;
    } else if (!name->before || name->before->masked || name->before->gone) {
        say(plan, name, RELOAD_NEW);
    } else if (!same) {
        say(plan, name, RELOAD_CHANGED);
        name->entry->keys = before ? definition_diff(before, name->definition) : 0;
    }
    keep(plan, name, name->broken && before ? name->before : name->now);
    definition_destroy(before);
}

/* One that does not load leaves the one in force. */
static void decide_system(struct plan *plan, struct planned *name)
{
    if (name->now)
        plan->keep[plan->kept++] = *name->now;
    else if (plan->reading->system_broken)
        plan->keep[plan->kept++] = *name->before;
    else
        plan->system_changed = true; /* there is none any more */
}

static void keep_switches(struct plan *plan, const struct planned *name)
{
    if (name->now)
        plan->keep[plan->kept++] = *name->now;
}

/* All texts stay but that of the switches, which has its place in the order of names. */
static void decide_only_switches(struct plan *plan)
{
    const struct source *now = sources_find(&plan->reading->sources, SWITCHES_SOURCE_NAME);
    for (size_t i = 0; i < plan->before.count; i++) {
        const struct source *before = &plan->before.list[i];
        int order = strcmp(before->name, SWITCHES_SOURCE_NAME);
        if (order >= 0 && now) {
            plan->keep[plan->kept++] = *now;
            now = NULL;
        }
        if (order != 0)
            plan->keep[plan->kept++] = *before;
    }
    if (now)
        plan->keep[plan->kept++] = *now;
}

static void decide(struct plan *plan, struct planned *name)
{
    if (is_system(name))
        decide_system(plan, name);
    else if (is_switches(name))
        keep_switches(plan, name);
    else if (name->template)
        decide_template(plan, name);
    else if (is_gone(name))
        decide_gone(plan, name);
    else if (name->broken)
        decide_broken(plan, name);
    else if (name->definition)
        decide_loads(plan, name);
    else
        decide_same(plan, name);
}

/* Beyond what the state has room for a new one is refused, before anything is done. */
static void refuse_too_many(struct plan *plan)
{
    size_t used = 0;
    for (uint32_t i = 0; i < plan->launcher->manager.slots; i++)
        used += plan->launcher->manager.services[i].in_use;
    for (size_t i = 0; i < plan->count; i++) {
        struct planned *name = &plan->names[i];
        if (!name->entry || name->template || is_gone(name) || service_of(plan, name) ||
            used++ < STATE_SLOTS_MAX)
            continue;
        name->entry->change = RELOAD_BROKEN;
        name->entry->errors = "there is no room for another service";
        name->broken = true;
    }
}

/* Joins texts of lines, of which some may be NULL or "": from malloc, or NULL. 0 or -ENOMEM. */
static int join_lines(const char *const parts[], size_t count, char **ret)
{
    struct text text;
    size_t size = 1;

    for (size_t i = 0; i < count; i++)
        size += parts[i] && *parts[i] ? strlen(parts[i]) + 1 : 0;
    if (size == 1)
        return 0;
    char *words = malloc(size);
    if (!words)
        return -ENOMEM;
    text_init(&text, words, size);
    for (size_t i = 0; i < count; i++)
        if (parts[i] && *parts[i])
            text_printf(&text, "%s%s", text.used_bytes ? "\n" : "", parts[i]);
    *ret = words;
    return 0;
}

/* What is to be said of no service by itself. */
static int decide_warnings(struct plan *plan)
{
    const struct reading *reading = plan->reading;
    AUTO_FREE char *errors = reading_errors_text(&reading->errors);
    AUTO_FREE char *warnings = reading_errors_text(&reading->warnings);
    const char *const odd[] = {warnings, plan->order_words, plan->more_words};
    const char *const wrong[] = {errors, reading->system_broken
                                             ? "the system file does not load: the former settings "
                                               "stay in force"
                                             : NULL};
    int failed = errors && warnings ? 0 : -ENOMEM;
    if (!failed)
        failed = join_lines(odd, sizeof odd / sizeof *odd, &plan->report.warnings);
    return failed ? failed : join_lines(wrong, sizeof wrong / sizeof *wrong, &plan->report.errors);
}

static bool same_or_none(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_start(const struct system_file *a, const struct system_file *b)
{
    size_t i = 0;
    if (!a->start_given || !b->start_given)
        return a->start_given == b->start_given;
    while (a->start[i] && b->start[i] && strcmp(a->start[i], b->start[i]) == 0)
        i++;
    return !a->start[i] && !b->start[i];
}

static bool same_services(const struct system_file *a, const struct system_file *b)
{
    if (a->services_given != b->services_given || a->service_count != b->service_count)
        return false;
    for (size_t i = 0; i < a->service_count; i++)
        if (strcmp(a->services[i].name, b->services[i].name) != 0 ||
            !same_or_none(a->services[i].description, b->services[i].description))
            return false;
    return true;
}

/* Which settings of the system file are others now. */
static int decide_settings(struct plan *plan)
{
    const struct system_file *was = plan->launcher->system_file, *is = &plan->system_file;
    const struct {
        bool changed;
        const char *name;
    } rows[] = {
        {!same_or_none(was->title, is->title), "title"},
        {!same_or_none(was->version, is->version), "version"},
        {!same_services(was, is), "services"},
        {!same_start(was, is), "start"},
        {was->watch != is->watch, "watch"},
        {was->log.max_size_bytes != is->log.max_size_bytes, "max-size of log"},
        {was->log.sync_ms != is->log.sync_ms, "sync of log"},
        {was->log.dev_log != is->log.dev_log ||
             strcmp(was->log.dev_log_path, is->log.dev_log_path) != 0,
         "dev-log of log"},
        {was->log.kernel != is->log.kernel, "kernel of log"},
    };
    const char *parts[sizeof rows / sizeof *rows] = {NULL};

    for (size_t i = 0; i < sizeof rows / sizeof *rows && plan->system_changed; i++)
        parts[i] = rows[i].changed ? rows[i].name : NULL;
    return join_lines(parts, sizeof rows / sizeof *rows, &plan->report.settings);
}

int plan_decide(struct plan *plan)
{
    if (plan->only_switches) {
        decide_only_switches(plan);
        return 0;
    }
    for (size_t i = 0; i < plan->count; i++)
        decide(plan, &plan->names[i]);
    refuse_too_many(plan);
    int failed = plan_look_at_names(plan);
    if (!failed)
        failed = decide_warnings(plan);
    return failed ? failed : decide_settings(plan);
}

/* ---- carrying out --------------------------------------------------------------------------- */

void plan_set_gone(struct launcher *launcher, struct service *service, bool gone)
{
    struct service_body body;
    manager_edit(&launcher->manager, service, &body);
    if (body.gone == gone)
        return;
    body.gone = gone;
    launcher->gone_services |= gone;
    manager_commit(&launcher->manager, service, &body);
}

static void put_no_room(struct planned *name)
{
    name->entry->change = RELOAD_BROKEN;
    name->entry->errors = "there is no memory for another service";
}

static void put_broken(struct plan *plan, struct planned *name)
{
    struct service *service = load_service_for(plan->launcher, name_of(name));
    if (!service) {
        put_no_room(name);
        return;
    }
    service->from_template = name->instance;
    load_put_broken(plan->launcher, service, take_pointer(name->errors));
}

/* The definition that was in force is kept until names and edges no longer point into it. */
static void put_in_force(struct plan *plan, struct planned *name)
{
    struct launcher *launcher = plan->launcher;
    struct service *service = load_service_for(launcher, name_of(name));
    if (!service) {
        put_no_room(name);
        return;
    }
    bool known = service->definition && name->before && !name->before->masked;
    service->from_template = name->instance;
    struct definition *former =
        load_put_in_force(launcher, service, take_pointer(name->definition));
    if (former)
        plan->old[plan->old_count++] = former;
    if (!known)
        service->unbegun = plan->starts;
}

static void put(struct plan *plan, struct planned *name)
{
    struct service *service = service_of(plan, name);
    if (is_system(name) || name->template || !name->entry)
        return;
    if (service)
        plan_set_gone(plan->launcher, service, name->entry->change == RELOAD_GONE);
    if (name->definition && name->entry->change != RELOAD_BROKEN)
        put_in_force(plan, name);
    else if (name->broken && name->parse)
        put_broken(plan, name);
}

/* An instance that was made while files were parsed is not in the plan. */
static void put_made_meanwhile(struct plan *plan)
{
    struct manager *manager = &plan->launcher->manager;
    for (uint32_t i = 0; i < manager->slots; i++)
        if (manager->services[i].in_use && manager->services[i].from_template &&
            !plan_has(plan, manager->records[i].name))
            templates_define(plan->launcher, &manager->services[i]);
}

/* What came with a reload before this one, and could not be started for want of memory, too. */
static int want_unbegun(struct launcher *launcher)
{
    struct manager *manager = &launcher->manager;
    const struct system_file *system_file = launcher->system_file;
    const bool listed = system_file->services_given || system_file->start_given;
    size_t count = 0;
    uint32_t *slots = calloc(manager->slots + 1, sizeof *slots);
    if (!slots)
        return -ENOMEM;
    for (uint32_t i = 0; i < manager->slots; i++)
        if (manager->services[i].in_use && manager->services[i].definition &&
            manager->services[i].unbegun && !listed && service_is_enabled(&manager->services[i]))
            slots[count++] = i;
    int failed = manager_want_gently(manager, slots, count);
    for (uint32_t i = 0; i < manager->slots && !failed; i++)
        manager->services[i].unbegun = false;
    free(slots);
    return failed;
}

int plan_want(struct launcher *launcher, bool starts)
{
    int failed = starts ? want_unbegun(launcher) : 0;
    if (!failed)
        failed = manager_want_again(&launcher->manager);
    manager_keep_running(&launcher->manager);
    return failed;
}

/* Whoever asked notes what will have been done once init holds the new texts, and not before. */
static int store_texts(struct plan *plan, struct reload_request *request)
{
    uint64_t number = 0;
    int fd = load_write_sources(plan->keep, plan->kept, &number);
    if (fd < 0)
        return fd;
    if (request->on_done && request->on_decided)
        request->on_decided(request, &plan->report, number);
    return load_hold_sources(plan->launcher, fd);
}

int plan_carry_out(struct plan *plan, struct reload_request *request)
{
    struct launcher *launcher = plan->launcher;
    plan->starts = request->start;
    manager_settle(&launcher->manager); /* what was before this is not to be taken for its doing */
    int failed = store_texts(plan, request);
    if (failed)
        return failed;
    failed = templates_put_in_force(launcher, plan->keep, plan->kept);
    if (failed)
        LOG(ERROR, "No memory to put templates in force: reload again");
    for (size_t i = 0; i < plan->count; i++)
        put(plan, &plan->names[i]);
    put_made_meanwhile(plan);
    if (plan->system_changed) {
        system_file_finish(launcher->system_file);
        *launcher->system_file = plan->system_file;
        plan->system_file = (struct system_file){0};
        log_tell_settings(launcher);
    }
    load_set_switches(launcher, plan->keep, plan->kept);
    /* From here on the files are in force. Without memory the old names and edges stay, with the
     * definitions they point into, and it is tried again. */
    failed = load_resolve(launcher);
    if (failed) {
        LOG(ERROR, "No memory to put the services in order: reload again");
        plan->old_count = 0;
        return 0;
    }
    if (plan_want(launcher, plan->starts))
        LOG(ERROR, "No memory to start what is new: reload again");
    return 0;
}

void plan_finish(struct plan *plan)
{
    for (size_t i = 0; i < plan->old_count; i++)
        definition_destroy(plan->old[i]);
    for (size_t i = 0; plan->names && i < plan->count; i++) {
        definition_destroy(plan->names[i].definition);
        free(plan->names[i].errors);
    }
    free(plan->report.warnings);
    free(plan->report.errors);
    free(plan->report.settings);
    free(plan->report.entries);
    free(plan->names);
    free(plan->made);
    free(plan->keep);
    free(plan->old);
    system_file_finish(&plan->system_file);
    sources_finish(&plan->before);
    arena_finish(&plan->arena);
    *plan = (struct plan){0};
}
