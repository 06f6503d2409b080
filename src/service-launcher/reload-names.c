/* What a reload brings about beyond the files themselves: instances of templates that it makes or
 * drops, names that no service has, and cycles. All of it is worked out on what would be in force,
 * by what `slc check` looks with too, so that a dry run knows it and the words are the same. */
#include "service-launcher/load-internal.h"
#include "service-launcher/reload-plan.h"
#include "service-launcher/templates.h"

#include "base/text.h"
#include "config/check-names.h"
#include "config/switches.h"
#include "config/users.h"
#include "service/name.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MOST 200 /* are told of those that no service has, each with its place */

struct looking {
    struct plan *plan;
    struct names names;
    struct switches switches;
    struct error_list errors;
};

/* ---- what would be in force ----------------------------------------------------------------- */

/* Whether there will be a service of the name: also one that does not load. */
static bool is_there(const struct planned *name)
{
    const struct reload_entry *entry = name->entry;
    return entry && name->kept && entry->change != RELOAD_GONE &&
           !(entry->change == RELOAD_BROKEN && name->definition);
}

static int add_planned(struct looking *looking, struct planned *name)
{
    const struct source *now = name->now;
    struct checked checked = {.name = now ? now->name : name->before->name,
                              .source = name->kept ? name->kept : now,
                              .subject = name,
                              .told = true};
    if (name->template) {
        if (!now || now->masked || !name->kept)
            return 0;
        checked.kind = CHECKED_TEMPLATE;
        return names_add(&looking->names, &checked);
    }
    if (now && now->masked && service_name_instance(now->name)) {
        checked.kind = CHECKED_MASKED;
        return names_add(&looking->names, &checked);
    }
    if (!is_there(name))
        return 0;
    const struct service *service = load_own_service(looking->plan->launcher, checked.name);
    checked.kind = name->instance ? CHECKED_INSTANCE : CHECKED_SERVICE;
    checked.stands = name->instance && service && !service->named;
    checked.definition = name->definition ? name->definition : service ? service->definition : NULL;
    return names_add(&looking->names, &checked);
}

/* An instance that was made while files were parsed. */
static int add_made_meanwhile(struct looking *looking, const struct service *service)
{
    const struct plan *plan = looking->plan;
    struct checked checked = {.name = service_name(&plan->launcher->manager, service),
                              .definition = service->definition,
                              .kind = CHECKED_INSTANCE,
                              .told = true,
                              .stands = true};
    checked.source = templates_find(&plan->reading->sources, checked.name, false);
    return checked.source ? names_add(&looking->names, &checked) : 0;
}

static int add_all(struct looking *looking)
{
    struct plan *plan = looking->plan;
    const struct manager *manager = &plan->launcher->manager;
    int failed = 0;
    for (size_t i = 0; i < plan->count && !failed; i++)
        failed = add_planned(looking, &plan->names[i]);
    for (uint32_t i = 0; i < manager->slots && !failed; i++)
        if (manager->services[i].in_use && manager->services[i].from_template &&
            !plan_has(plan, manager->records[i].name))
            failed = add_made_meanwhile(looking, &manager->services[i]);
    return failed;
}

/* ---- what is news --------------------------------------------------------------------------- */

/* Whether the name was somebody's before. */
static bool was_there(const struct launcher *launcher, const char *name)
{
    const struct service *service = manager_find(&launcher->manager, name);
    if (service)
        return !service_body(&launcher->manager, service)->gone;
    return templates_find(launcher->templates, name, false);
}

/* A name that is none is told by the reload that brings it: the file is a new one or has changed,
 * or the name was somebody's. */
static bool is_news(const void *context, const struct checked *checked, const char *name)
{
    const struct plan *plan = context;
    const struct planned *planned = checked ? checked->subject : NULL;
    bool changed = planned   ? planned->definition != NULL
                   : checked ? checked->owned != NULL
                             : plan->system_changed;
    return changed || was_there(plan->launcher, name);
}

/* ---- the report ----------------------------------------------------------------------------- */

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct reload_entry *)a)->name, ((const struct reload_entry *)b)->name);
}

static const char *copy(struct plan *plan, const char *words)
{
    return arena_copy(&plan->arena, words, strlen(words));
}

/* Why an instance comes into being. */
static const char *words_of_maker(struct looking *looking, const struct checked *made)
{
    char words[SERVICE_NAME_MAX_BYTES + 32];
    if (made->named_by < NAMED_BY_NO_SERVICE)
        text_format(words, sizeof words, "%s names it", looking->names.list[made->named_by].name);
    else
        text_format(words, sizeof words, "%s",
                    made->named_by == NAMED_BY_SWITCH ? "it was switched on"
                                                      : "the system file names it");
    return copy(looking->plan, words);
}

/* Those that are made come to stand among the others, in the order of names. */
static int merge(struct plan *plan, struct reload_entry *made, size_t count)
{
    struct reload_report *report = &plan->report;
    size_t total = report->count + count, at = 0;
    struct reload_entry *all = calloc(total, sizeof *all);
    if (!all)
        return -ENOMEM;
    qsort(made, count, sizeof *made, compare_entries);
    for (size_t i = 0; i < plan->count; i++) {
        struct planned *name = &plan->names[i];
        if (!name->entry)
            continue;
        for (; count && compare_entries(made, name->entry) < 0; count--)
            all[at++] = *made++;
        all[at] = *name->entry;
        name->entry = &all[at++];
    }
    while (count--)
        all[at++] = *made++;
    free(report->entries);
    report->entries = all;
    report->count = total;
    return 0;
}

static int add_made(struct looking *looking)
{
    const struct names *names = &looking->names;
    size_t count = 0;
    struct reload_entry *made = calloc(names->count + 1, sizeof *made);
    int failed = made ? 0 : -ENOMEM;
    for (size_t i = 0; i < names->count && !failed; i++) {
        const struct checked *checked = &names->list[i];
        if (checked->template == UINT32_MAX)
            continue;
        made[count] = (struct reload_entry){.change = RELOAD_NEW,
                                            .name = copy(looking->plan, checked->name),
                                            .reason = words_of_maker(looking, checked)};
        failed = made[count].name && made[count].reason ? 0 : -ENOMEM;
        count++;
    }
    if (count && !failed)
        failed = merge(looking->plan, made, count);
    free(made);
    return failed;
}

/* What becomes of one that was there before. */
static void say_change(struct looking *looking, const struct checked *checked)
{
    const struct planned *planned = checked->subject;
    const struct service *service = load_own_service(looking->plan->launcher, checked->name);
    if (!planned || !planned->entry || !service)
        return;
    if (checked->kind == CHECKED_INSTANCE && service->from_template && service->named &&
        checked->named_by == NAMED_BY_NOBODY) {
        planned->entry->dropped = true;
        planned->entry->reason = "nothing names it any more";
    } else if (service->cycle && !checked->in_cycle && checked->definition) {
        planned->entry->reason = "it is in no cycle any more";
    }
}

static struct reload_entry *entry_of(struct looking *looking, uint32_t index)
{
    const struct checked *checked = &looking->names.list[index];
    const struct planned *planned = checked->subject;
    const struct reload_entry sought = {.name = checked->name};
    const struct reload_report *report = &looking->plan->report;
    if (planned)
        return planned->entry;
    return report->count
               ? bsearch(&sought, report->entries, report->count, sizeof sought, compare_entries)
               : NULL;
}

/* Adds the errors of a finding to *words, one a line. */
static int add_words(struct looking *looking, const struct finding *finding, const char **words)
{
    size_t size = (*words ? strlen(*words) : 0) + 1;
    const struct error *errors = looking->errors.list + finding->first;
    for (size_t i = 0; i < finding->count; i++)
        size += strlen(errors[i].message) + strlen(errors[i].file) + 32;
    char *storage = arena_take_bytes(&looking->plan->arena, size);
    if (!storage)
        return -ENOMEM;
    size_t used = *words ? (size_t)(stpcpy(storage, *words) - storage) : 0;
    for (size_t i = 0; i < finding->count; i++) {
        if (used)
            storage[used++] = '\n';
        error_format(&errors[i], storage + used, size - used);
        used += strlen(storage + used);
    }
    *words = storage;
    return 0;
}

static int say_finding(struct looking *looking, const struct finding *finding)
{
    struct plan *plan = looking->plan;
    if (finding->kind == FINDING_ORDER)
        return add_words(looking, finding, &plan->order_words);
    struct reload_entry *entry = entry_of(looking, finding->index);
    if (!entry)
        return 0;
    if (finding->kind == FINDING_NAME)
        return add_words(looking, finding, &entry->warnings);
    if (finding->kind == FINDING_INSTANCE) {
        entry->change = RELOAD_BROKEN;
        return add_words(looking, finding, &entry->errors);
    }
    const struct service *service = load_own_service(plan->launcher, entry->name);
    entry->cycle_known = service && service->cycle;
    return add_words(looking, finding, &entry->cycle);
}

static int say_all(struct looking *looking)
{
    const struct names *names = &looking->names;
    struct plan *plan = looking->plan;
    int failed = add_made(looking);
    for (size_t i = 0; i < names->count && !failed; i++)
        say_change(looking, &names->list[i]);
    for (size_t i = 0; i < names->finding_count && !failed; i++)
        failed = say_finding(looking, &names->findings[i]);
    if (failed || names->missing <= names->most)
        return failed;
    char words[96];
    text_format(words, sizeof words,
                "%zu more names that no service has: `slc check` says all of them",
                names->missing - names->most);
    plan->more_words = copy(plan, words);
    return plan->more_words ? 0 : -ENOMEM;
}

int plan_look_at_names(struct plan *plan)
{
    const struct source *switched = sources_find(&plan->reading->sources, SWITCHES_SOURCE_NAME);
    struct looking looking = {.plan = plan};
    looking.names = (struct names){.order = plan->system_changed ? &plan->system_file
                                                                 : plan->launcher->system_file,
                                   .switches = &looking.switches,
                                   .in_force = true,
                                   .is_news = is_news,
                                   .context = plan,
                                   .most = NAMES_MOST};
    int failed = switched ? switches_parse(switched->text, switched->size, &looking.switches) : 0;
    if (!failed)
        failed = add_all(&looking);
    users_hold();
    if (!failed)
        failed = names_check(&looking.names, &looking.errors);
    users_release();
    if (!failed)
        failed = looking.errors.no_memory ? -ENOMEM : say_all(&looking);
    names_finish(&looking.names);
    error_list_finish(&looking.errors);
    switches_finish(&looking.switches);
    return failed;
}
