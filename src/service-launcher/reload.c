/* Reload: the service files are read again, and what is different is put in force.
 *
 * New texts are compared with those in force, and only what differs is parsed. Nothing is stopped
 * or restarted. A file that no longer loads leaves what was in force; a service whose file is gone
 * runs on until it stops, and is forgotten then. */
#include "service-launcher/executor.h"
#include "service-launcher/load-internal.h"

#include "config/definition-parse.h"
#include "config/keys.h"
#include "log/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct reloading {
    struct launcher *launcher;
    bool dry_run, start;
    struct sources old;
    struct system_file *system_file; /* what was read; NULL: the one in force stays */
    struct reload_report *report;
    struct source *keep; /* what is to be in force afterwards */
    size_t kept;
    uint32_t *fresh; /* slots of new services */
    size_t fresh_count;
};

static struct reload_entry *add_entry(struct reloading *r, enum reload_change change,
                                      const char *name)
{
    struct reload_entry *entry = &r->report->entries[r->report->count];
    char *copy = strdup(name);
    if (!copy)
        return NULL;
    *entry = (struct reload_entry){.change = change, .name = copy};
    r->report->count++;
    return entry;
}

static bool runs(const struct launcher *launcher, const struct service *service)
{
    return !machine_states[service_state(&launcher->manager, service)].idle;
}

static bool needs_restart(uint64_t bits)
{
    for (unsigned row = 0; row < KEY_COUNT; row++)
        if ((bits & KEY_BIT(row)) && key_needs_restart(row))
            return true;
    return false;
}

/* A source that is new or says something else than before. */
static int reload_changed(struct reloading *r, const struct source *source,
                          const struct source *old)
{
    struct launcher *launcher = r->launcher;
    struct service *service = load_own_service(launcher, source->name);
    struct definition *definition = NULL;
    char *errors = NULL;
    int failed = load_parse(source, &definition, &errors);
    if (failed == -ENOMEM)
        errors = strdup("there is no memory to read it");

    if (failed) {
        struct reload_entry *entry = add_entry(r, RELOAD_BROKEN, source->name);
        if (entry)
            entry->errors = errors ? strdup(errors) : NULL;
        /* What ran goes on under the text that loaded. */
        bool keeps = service && service->definition && old && !old->masked;
        r->keep[r->kept++] = keeps ? *old : *source;
        if (!r->dry_run && (service = load_service_for(launcher, source->name)))
            load_put_broken(launcher, service, errors);
        else
            free(errors);
        return 0;
    }
    bool known = service && service->definition && old && !old->masked;
    struct reload_entry *entry =
        add_entry(r, known || (service && old) ? RELOAD_CHANGED : RELOAD_NEW, source->name);
    if (entry && known) {
        entry->keys = definition_diff(service->definition, definition);
        entry->needs_restart = runs(launcher, service) && needs_restart(entry->keys);
    }
    r->keep[r->kept++] = *source;
    if (r->dry_run) {
        definition_destroy(definition);
        return 0;
    }
    service = load_service_for(launcher, source->name);
    if (!service) {
        definition_destroy(definition);
        if (entry) {
            entry->change = RELOAD_BROKEN;
            entry->errors = strdup("there is no room for another service");
        }
        return 0;
    }
    load_put_in_force(launcher, service, definition);
    if (!known)
        r->fresh[r->fresh_count++] = service->slot;
    return 0;
}

static void set_gone(struct launcher *launcher, struct service *service, bool gone)
{
    struct service_body body;
    manager_edit(&launcher->manager, service, &body);
    if (body.gone == gone)
        return;
    body.gone = gone;
    launcher->gone_services |= gone;
    manager_commit(&launcher->manager, service, &body);
}

static int reload_one(struct reloading *r, const struct source *source)
{
    const struct source *old = sources_find(&r->old, source->name);
    struct service *service = load_own_service(r->launcher, source->name);
    if (service && !r->dry_run)
        set_gone(r->launcher, service, false);
    /* A file that was broken under a text that still is in force is looked at again. */
    bool in_doubt = service && service->errors && service->definition;
    if (old && source_equal(old, source) && !in_doubt) {
        if (source->masked || !service) {
            r->keep[r->kept++] = *source;
            return 0;
        }
        bool broken = !service->definition;
        struct reload_entry *entry =
            add_entry(r, broken ? RELOAD_BROKEN : RELOAD_UNCHANGED, source->name);
        if (entry && broken && service->errors)
            entry->errors = strdup(service->errors);
        r->keep[r->kept++] = *source;
        return 0;
    }
    return reload_changed(r, source, old);
}

/* A service whose file is no longer there, or is masked now. */
static void reload_gone(struct reloading *r, const struct source *old)
{
    struct launcher *launcher = r->launcher;
    struct service *service = load_own_service(launcher, old->name);
    if (old->masked || !service || strcmp(old->name, SYSTEM_SOURCE_NAME) == 0)
        return;
    add_entry(r, RELOAD_GONE, old->name);
    if (runs(launcher, service))
        r->keep[r->kept++] = *old;
    if (!r->dry_run)
        set_gone(launcher, service, true);
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct reload_entry *)a)->name, ((const struct reload_entry *)b)->name);
}

static int want_fresh(struct reloading *r)
{
    struct launcher *launcher = r->launcher;
    size_t count = 0;
    if (!r->start || launcher->system_file->services_given || launcher->system_file->start_given)
        return 0;
    for (size_t i = 0; i < r->fresh_count; i++)
        if (launcher->manager.services[r->fresh[i]].definition->enabled)
            r->fresh[count++] = r->fresh[i];
    return manager_want(&launcher->manager, r->fresh, count);
}

/* A system file that does not parse leaves the one in force, as a service's file does. */
static void reload_system_file(struct reloading *r, const struct reading *reading,
                               struct system_file *system_file)
{
    const struct source *old = sources_find(&r->old, SYSTEM_SOURCE_NAME);
    if (reading->system_broken && old)
        r->keep[r->kept++] = *old;
    else if (reading->system_file.count)
        r->keep[r->kept++] = reading->system_file.list[0];
    r->system_file = reading->system_broken ? NULL : system_file;
}

static int reload_sources(struct reloading *r, const struct reading *reading)
{
    int failed = 0;
    for (size_t i = 0; i < reading->sources.count && !failed; i++) {
        const struct source *source = &reading->sources.list[i];
        if (source->masked) {
            r->keep[r->kept++] = *source;
            continue;
        }
        failed = reload_one(r, source);
    }
    for (size_t i = 0; i < r->old.count && !failed; i++) {
        const struct source *now = sources_find(&reading->sources, r->old.list[i].name);
        if (!now || now->masked)
            reload_gone(r, &r->old.list[i]);
    }
    return failed;
}

static int compare_sources(const void *a, const void *b)
{
    return strcmp(((const struct source *)a)->name, ((const struct source *)b)->name);
}

static int apply(struct reloading *r)
{
    /* A set of sources is sorted by name, and what is gone was put at its end. */
    qsort(r->keep, r->kept, sizeof *r->keep, compare_sources);
    int failed = load_store_sources(r->launcher, r->keep, r->kept);
    if (!failed && r->system_file) {
        system_file_finish(r->launcher->system_file);
        *r->launcher->system_file = *r->system_file;
        *r->system_file = (struct system_file){0};
    }
    if (!failed)
        failed = load_resolve(r->launcher);
    if (!failed) {
        failed = want_fresh(r);
        if (!failed)
            failed = manager_want_again(&r->launcher->manager);
        if (failed)
            LOG(ERROR, "No memory to start what is new: reload again");
        failed = 0; /* the files are in force */
    }
    launcher_forget_gone(r->launcher);
    return failed;
}

int launcher_reload(struct launcher *launcher, bool dry_run, bool start,
                    struct reload_report *ret_report)
{
    struct reading reading;
    struct system_file system_file = {0};
    struct reload_report report = {0};
    struct reloading r = {
        .launcher = launcher, .dry_run = dry_run, .start = start, .report = &report};
    int failed = load_read_all(launcher, &reading, &system_file);

    if (!failed && launcher->definitions_fd >= 0)
        failed = sources_read(launcher->definitions_fd, &r.old);
    size_t room = reading.sources.count + r.old.count + 2;
    report.entries = calloc(room, sizeof *report.entries);
    r.keep = calloc(room * 2, sizeof *r.keep);
    r.fresh = calloc(room, sizeof *r.fresh);
    if (!failed && (!report.entries || !r.keep || !r.fresh))
        failed = -ENOMEM;
    if (!failed) {
        reload_system_file(&r, &reading, &system_file);
        failed = reload_sources(&r, &reading);
    }
    if (!failed && !dry_run)
        failed = apply(&r);
    if (!failed && reading.warnings.count + reading.errors.count) {
        for (size_t i = 0; i < reading.errors.count; i++)
            error_list_add(&reading.warnings, reading.errors.list[i].file,
                           reading.errors.list[i].line, reading.errors.list[i].column, "%s",
                           reading.errors.list[i].message);
        report.warnings = load_errors_text(&reading.warnings);
    }
    if (report.entries)
        qsort(report.entries, report.count, sizeof *report.entries, compare_entries);
    if (failed)
        reload_report_finish(&report);
    else
        *ret_report = report;
    system_file_finish(&system_file);
    free(r.keep);
    free(r.fresh);
    sources_finish(&r.old);
    load_reading_finish(&reading);
    return failed;
}

void reload_report_finish(struct reload_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        free((char *)report->entries[i].name);
        free((char *)report->entries[i].errors);
    }
    free(report->entries);
    free(report->warnings);
    *report = (struct reload_report){0};
}

/* ---- services without a file --------------------------------------------------------------- */

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
        if (source->masked || strcmp(source->name, SYSTEM_SOURCE_NAME) == 0 ||
            load_own_service(launcher, source->name))
            sources.list[kept++] = *source;
    }
    failed = load_store_sources(launcher, sources.list, kept);
    sources_finish(&sources);
    return failed;
}

void launcher_forget_gone(struct launcher *launcher)
{
    struct manager *manager = &launcher->manager;
    bool forgot = false, left = false;
    for (uint32_t i = 0; i < manager->slots; i++) {
        struct service *service = &manager->services[i];
        if (!service->in_use || !service_body(manager, service)->gone)
            continue;
        /* A hook that was killed may still have its end to come, which frees what it has. */
        if (runs(launcher, service) || manager->records[i].hook_pid) {
            left = true;
            continue;
        }
        LOG(INFO, "A service is gone with its file", TEXT("service", manager->records[i].name));
        executor_forget(launcher->executor, service);
        definition_destroy((struct definition *)service->definition);
        load_set_errors(service, NULL);
        service->definition = NULL;
        manager_forget(manager, service);
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
