/* Reloads, one after the other: a child reads (reader.c), what it found is compared and parsed bit
 * by bit between the loop's other work, and is then put in force at once (reload-plan.c).
 *
 * Whoever asks gets a reading that began after that: requests that come while files are read wait
 * for the next reading. Those that wait for the same one are carried out in the order they came,
 * each against what the one before it has put in force. A request whose client has gone is carried
 * out all the same, unless it was a dry run. */
#include "service-launcher/reload.h"
#include "service-launcher/load-internal.h"
#include "service-launcher/reader.h"
#include "service-launcher/watch.h"

#include "base/clock.h"
#include "log/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void next_round(struct reloads *reloads);

/* ---- one request ---------------------------------------------------------------------------- */

static struct reload_request *request_of(struct list *node)
{
    return container_of(node, struct reload_request, link);
}

static void answer(struct reload_request *request, const struct reload_report *report,
                   const char *why)
{
    list_remove(&request->link);
    if (request->on_done)
        request->on_done(request, report, why);
    free(request);
}

static void log_outcome(const struct reload_request *request, const struct reload_report *report)
{
    size_t counts[RELOAD_CHANGES] = {0};
    for (size_t i = 0; i < report->count; i++)
        counts[report->entries[i].change]++;
    if (!request->dry_run && !request->quiet)
        LOG(INFO, "Read the service files again", NUMBER("broken", counts[RELOAD_BROKEN]),
            NUMBER("changed", counts[RELOAD_CHANGED]), NUMBER("gone", counts[RELOAD_GONE]),
            NUMBER("new", counts[RELOAD_NEW]), NUMBER("unchanged", counts[RELOAD_UNCHANGED]));
    for (size_t i = 0; i < report->count && !request->dry_run && !request->quiet; i++) {
        const struct reload_entry *entry = &report->entries[i];
        if (entry->warnings)
            LOG(WARNING, "Odd, but not wrong", TEXT("service", entry->name),
                TEXT("what", entry->warnings));
        if (entry->cycle)
            LOG(ERROR, "Service files make a cycle", TEXT("service", entry->name),
                TEXT("what", entry->cycle));
    }
}

static void end_request(struct reloads *reloads, struct reload_request *request, int failed)
{
    struct launcher *launcher = reloads->launcher;
    if (!failed)
        failed = plan_decide(&reloads->plan);
    if (!failed && !request->dry_run)
        failed = plan_carry_out(&reloads->plan, request);
    reloads->planning = launcher->reloading = false;
    if (!failed)
        log_outcome(request, &reloads->plan.report);
    answer(request, failed ? NULL : &reloads->plan.report, failed ? strerror(-failed) : NULL);
    plan_finish(&reloads->plan);
    if (failed)
        return;
    launcher_forget_gone(launcher);
    watch_update(launcher);
}

/* ---- a round -------------------------------------------------------------------------------- */

static void fail_round(struct reloads *reloads, const char *why)
{
    while (!list_empty(&reloads->current))
        answer(request_of(list_first(&reloads->current)), NULL, why);
}

static void on_time(struct loop_timer *timer);

static void go_on(struct reloads *reloads)
{
    loop_set_timer(&reloads->launcher->loop, &reloads->timer, clock_now_ns(), on_time);
}

/* Some of the work of the first request that is left; the rest comes in the loop's next turn. */
static void on_time(struct loop_timer *timer)
{
    struct reloads *reloads = container_of(timer, struct reloads, timer);
    if (reloads->launcher->manager.shutting_down)
        fail_round(reloads, "the system is going down");
    if (list_empty(&reloads->current)) {
        plan_finish(&reloads->plan);
        reloads->planning = reloads->launcher->reloading = false;
        reading_finish(&reloads->reading);
        reloads->begun = false;
        next_round(reloads);
        return;
    }
    struct reload_request *request = request_of(list_first(&reloads->current));
    int failed = 0;
    if (request->dry_run && !request->on_done)
        failed = -ECANCELED;
    if (!failed && !reloads->planning) {
        reloads->planning = reloads->launcher->reloading = true;
        failed = plan_begin(&reloads->plan, reloads->launcher, &reloads->reading,
                            request->only_switches);
    }
    if (failed || !plan_step(&reloads->plan))
        end_request(reloads, request, failed);
    go_on(reloads);
}

static void on_read(struct launcher *launcher, struct reading *reading, const char *why)
{
    struct reloads *reloads = launcher->reloads;
    if (!reading) {
        LOG(ERROR, "Cannot read the service files again", TEXT("why", why));
        fail_round(reloads, why);
    } else {
        reloads->reading = *reading;
    }
    go_on(reloads);
}

static void next_round(struct reloads *reloads)
{
    if (reloads->begun || list_empty(&reloads->waiting))
        return;
    for (struct list *node; (node = list_take(&reloads->waiting));)
        list_append(&reloads->current, node);
    reloads->begun = true;
    int failed = reader_begin(reloads->launcher, on_read);
    if (failed)
        on_read(reloads->launcher, NULL,
                failed == -EALREADY ? "earlier readings hang in the kernel" : strerror(-failed));
}

static void on_begin(struct loop_timer *timer)
{
    next_round(container_of(timer, struct reloads, timer));
}

void reloads_init(struct reloads *reloads, struct launcher *launcher)
{
    *reloads = (struct reloads){.launcher = launcher};
    list_init(&reloads->waiting);
    list_init(&reloads->current);
}

/* ---- asking --------------------------------------------------------------------------------- */

struct reload_request *launcher_reload(struct launcher *launcher, bool dry_run, bool start,
                                       reload_done *on_done, void *context)
{
    struct reloads *reloads = launcher->reloads;
    struct reload_request *request = malloc(sizeof *request);
    if (!request)
        return NULL;
    *request = (struct reload_request){
        .dry_run = dry_run, .start = start, .on_done = on_done, .context = context};
    list_append(&reloads->waiting, &request->link);
    if (!reloads->begun)
        loop_set_timer(&launcher->loop, &reloads->timer, clock_now_ns(), on_begin);
    return request;
}

struct reload_request *launcher_read_switches(struct launcher *launcher, reload_done *on_done,
                                              void *context)
{
    struct reload_request *request = launcher_reload(launcher, false, false, on_done, context);
    if (request)
        request->only_switches = request->quiet = true;
    return request;
}

/* What it was made of is another by now; of which, only the former launcher knew. */
#define MADE_OF_SOMETHING_ELSE 1

static void finish_one(struct launcher *launcher, const struct reload_entry *entry,
                       struct service *service)
{
    struct service_body body;
    plan_set_gone(launcher, service, entry->change == RELOAD_GONE);
    manager_edit(&launcher->manager, service, &body);
    if (entry->change != RELOAD_CHANGED || !entry->needs_restart || body.begun_as ||
        machine_states[body.state].idle)
        return;
    body.begun_as = MADE_OF_SOMETHING_ELSE;
    manager_commit(&launcher->manager, service, &body);
}

void launcher_finish_reload(struct launcher *launcher, const struct reload_report *report,
                            bool start)
{
    size_t count = 0;
    for (size_t i = 0; i < report->count; i++) {
        struct service *service = load_own_service(launcher, report->entries[i].name);
        if (!service)
            continue;
        finish_one(launcher, &report->entries[i], service);
        if (report->entries[i].change == RELOAD_NEW && service->definition) {
            service->unbegun = start;
            count++;
        }
    }
    LOG(INFO, "Does the rest of a reload that the former launcher had begun", NUMBER("new", count));
    if (plan_want(launcher, start))
        LOG(ERROR, "No memory to start what is new: reload again");
}

void launcher_reload_leave(struct reload_request *request)
{
    request->on_done = NULL;
}

const char *launcher_reload_where(const struct launcher *launcher)
{
    return reader_where(launcher->reader);
}
