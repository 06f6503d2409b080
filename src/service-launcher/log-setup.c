/* Where the launcher's lines go, and which of a service's changes are worth one. */
#include "service-launcher/log-setup.h"
#include "service-launcher/executor.h"
#include "service-launcher/journal-client.h"

#include "base/clock.h"
#include "config/system-file.h"
#include "log/console.h"
#include "protocol/journal-link.h"

#include <string.h>

#define REASON_BYTES 512
/* Of the failed ones, and of those that back off, in the line "Started". */
#define NAMES_BYTES 600

static void journal_sink(void *context, enum log_level level, const char *line, size_t bytes)
{
    journal_client_line(context, JOURNAL_OWN_ID, log_syslog_level(level), line, bytes);
}

void log_to_console(enum log_level least, bool container)
{
    console_init(2, true);
    if (!container)
        console_allow_kmsg();
    log_add_sink(console_sink, NULL, least);
}

void log_to_journal(struct launcher *launcher)
{
    log_add_sink(journal_sink, launcher->journal, LOG_INFO);
}

/* In a container /dev and the kernel's log are somebody else's, unless they are asked for. */
static uint32_t flag_of(const struct launcher *launcher, enum log_wish wish, uint32_t flag)
{
    bool wanted = wish == LOG_NOT_GIVEN ? !launcher->options.container : wish == LOG_ON;
    return wanted ? flag : 0;
}

void log_tell_settings(struct launcher *launcher)
{
    const struct log_settings *log = &launcher->system_file->log;
    char cgroup[JOURNAL_LINK_TEXT_BYTES];
    if (executor_cgroup_path(launcher->executor, cgroup, sizeof cgroup) < 0)
        cgroup[0] = 0;
    int failed = journal_client_system(
        launcher->journal,
        flag_of(launcher, log->dev_log, JOURNAL_SYSTEM_DEV_LOG) |
            flag_of(launcher, log->kernel, JOURNAL_SYSTEM_KERNEL),
        log->max_size_bytes, log->sync_ms,
        *log->dev_log_path ? log->dev_log_path : LOG_SETTINGS_DEV_LOG, cgroup);
    if (failed)
        LOG(ERROR, "The journal does not know what the system file says of it: reload again",
            TEXT("error", strerror(-failed)));
}

struct change {
    struct launcher *launcher;
    const struct service *service;
    const struct service_body *body;
    const char *name, *reason;
};

/* First what its journal says, which outlives us from then on: between the state and that there is
 * no system call at which we could be killed. */
static void log_running(const struct change *change)
{
    int32_t pid = change->launcher->manager.records[change->service->slot].main_pid;
    if (pid)
        journal_client_event(change->launcher->journal, change->service->slot, 6, "started pid=%d",
                             (int)pid);
    if (pid)
        LOG(INFO, "Started service", TEXT("service", change->name), NUMBER("pid", pid));
    else
        LOG(INFO, "Reached target", TEXT("service", change->name));
}

static void log_failed(const struct change *change)
{
    journal_client_event(change->launcher->journal, change->service->slot, 3, "failed: %s",
                         change->reason);
    LOG(ERROR, change->body->failed_start ? "Could not start service." : "Service failed",
        TEXT("service", change->name), TEXT("error", change->reason));
}

static void log_done(const struct change *change)
{
    const char *reason = change->reason;
    journal_client_event(change->launcher->journal, change->service->slot, 6, "done%s%s",
                         *reason ? ": " : "", reason);
    if (*reason)
        LOG(INFO, "Service ended.", TEXT("service", change->name), TEXT("reason", reason));
    else
        LOG(INFO, "Service ended.", TEXT("service", change->name), NUMBER("exit", 0));
}

static void log_backing_off(const struct change *change)
{
    uint64_t now = clock_now_ns(), at = change->body->deadline_ns;
    journal_client_event(change->launcher->journal, change->service->slot, 4,
                         "ended: %s; starting again",
                         *change->reason ? change->reason : "exited with 0");
    LOG(WARNING, "Service ended, and will be started again", TEXT("service", change->name),
        TEXT("reason", *change->reason ? change->reason : "exited with 0"),
        NUMBER("delay_ms", at > now ? (at - now) / NS_PER_MS : 0),
        NUMBER("restarts", change->body->restarts));
}

static void log_stopped(const struct change *change)
{
    journal_client_event(change->launcher->journal, change->service->slot, 6, "stopped: %s",
                         change->reason);
    LOG(INFO, "Stopped service", TEXT("service", change->name), TEXT("reason", change->reason));
}

static void log_skipped(const struct change *change)
{
    LOG(INFO, "Skipped service", TEXT("service", change->name), TEXT("reason", change->reason));
}

static void log_killing(const struct change *change)
{
    journal_client_event(change->launcher->journal, change->service->slot, 4,
                         "did not stop in time: killed");
    LOG(WARNING, "Did not stop in time: killing it", TEXT("service", change->name));
}

/* Before and after it; a signal has no end that could be seen. */
static void log_reload(const struct change *change)
{
    struct journal_client *journal = change->launcher->journal;
    uint32_t slot = change->service->slot;

    if (change->body->state == STATE_RELOADING) {
        journal_client_event(journal, slot, 6, "is being told to read its files again");
        LOG(INFO, "Reloading service", TEXT("service", change->name));
    } else if (*change->reason) {
        journal_client_event(journal, slot, 4, "not reloaded: %s", change->reason);
        LOG(WARNING, "Could not reload service", TEXT("service", change->name),
            TEXT("error", change->reason));
    } else {
        journal_client_event(journal, slot, 6, "reloaded");
        LOG(INFO, "Reloaded service", TEXT("service", change->name));
    }
}

static void (*const change_lines[SERVICE_STATES])(const struct change *change) = {
    [STATE_RUNNING] = log_running, [STATE_FAILED] = log_failed,
    [STATE_DONE] = log_done,       [STATE_BACKING_OFF] = log_backing_off,
    [STATE_SKIPPED] = log_skipped, [STATE_KILLING] = log_killing,
};

void log_change(struct launcher *launcher, struct service *service, enum service_state before)
{
    char reason[REASON_BYTES];
    struct text text;
    enum service_state now = service_state(&launcher->manager, service);
    bool reload = now == STATE_RELOADING || before == STATE_RELOADING;
    bool ended = now == STATE_STOPPED && machine_states[before].going_down;

    if (!change_lines[now] && !ended && !reload)
        return;
    text_init(&text, reason, sizeof reason);
    service_reason(&launcher->manager, service, &text);
    struct change change = {launcher, service, service_body(&launcher->manager, service),
                            service_name(&launcher->manager, service), reason};
    if (reload && (now == STATE_RELOADING || now == STATE_RUNNING))
        log_reload(&change);
    else if (ended)
        log_stopped(&change);
    else if (change_lines[now])
        change_lines[now](&change);
}

static void add_name(struct text *text, unsigned *count, const char *name)
{
    text_printf(text, "%s%s", (*count)++ ? "," : "", name);
}

void log_started(struct launcher *launcher)
{
    const struct manager *manager = &launcher->manager;
    char failed_names[NAMES_BYTES], waiting_names[NAMES_BYTES];
    struct text failed_text, waiting_text;
    unsigned running = 0, failed = 0, waiting = 0;
    struct log_field fields[5];
    size_t count = 0;

    if (launcher->started_said || !manager->header->booted || manager->queue_count ||
        manager->coming || manager->shutting_down)
        return;
    text_init(&failed_text, failed_names, sizeof failed_names);
    text_init(&waiting_text, waiting_names, sizeof waiting_names);
    for (uint32_t i = 0; i < manager->slots; i++) {
        const struct service *service = &manager->services[i];
        if (!service->in_use)
            continue;
        enum service_state now = service_state(manager, service);
        running += now == STATE_RUNNING || now == STATE_RELOADING;
        if (now == STATE_FAILED || now == STATE_BROKEN)
            add_name(&failed_text, &failed, service_name(manager, service));
        if (now == STATE_BACKING_OFF) /* it will be tried again */
            add_name(&waiting_text, &waiting, service_name(manager, service));
    }
    launcher->started_said = true;
    fields[count++] = NUMBER("failed", failed);
    if (failed)
        fields[count++] = TEXT("names", failed_names);
    fields[count++] = NUMBER("running", running);
    if (waiting) {
        fields[count++] = NUMBER("restarting", waiting);
        fields[count++] = TEXT("restarting_names", waiting_names);
    }
    log_write(LOG_INFO, "Started", fields, count);
}
