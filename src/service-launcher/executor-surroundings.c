/* What a program finds: its environment, limits and priorities, out of its definition, its run and
 * its env-file. */
#include "service-launcher/executor-surroundings.h"

#include "base/text.h"
#include "service/name.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ENVIRONMENT_ROOM 16 /* what we add to the file's own */

/* The variable is among the entries; `key` ends in '=' or at its end. */
static bool is_given(names_t entries, const char *key)
{
    size_t length = strcspn(key, "=");
    for (size_t i = 0; entries && entries[i]; i++)
        if (strncmp(entries[i], key, length) == 0 && entries[i][length] == '=')
            return true;
    return false;
}

static void add_default(struct surroundings *s, size_t *count, names_t given, const char *key,
                        const char *value)
{
    size_t at = s->texts_used;
    if (!value || is_given(given, key) || is_given(s->env_file, key) ||
        at == sizeof s->texts / sizeof *s->texts)
        return;
    if (!text_format(s->texts[at], sizeof s->texts[at], "%s=%s", key, value))
        return;
    s->texts_used++;
    s->environment[(*count)++] = s->texts[at];
}

/* Adds what a file says, but what `later` says again, and what only we say. */
static void add_entries(struct surroundings *s, size_t *count, names_t entries, names_t later)
{
    static const char *const own[] = {
        "SERVICE_NAME=",  "SERVICE_INSTANCE=", "INVOCATION_ID=", "NOTIFY_SOCKET=",
        "WATCHDOG_USEC=", "WATCHDOG_PID=",     "MAINPID="};
    for (size_t i = 0; entries && entries[i]; i++) {
        const char *rest;
        bool ours = is_given(later, entries[i]);
        for (size_t k = 0; k < sizeof own / sizeof *own; k++)
            ours = ours || text_starts_with(entries[i], own[k], NULL);
        if (ours)
            continue;
        if (text_starts_with(entries[i], "PATH=", &rest))
            s->path = rest;
        s->environment[(*count)++] = entries[i];
    }
}

static size_t count_entries(names_t entries)
{
    size_t count = 0;
    while (entries && entries[count])
        count++;
    return count;
}

/* Builds the environment in an array from malloc, which is the caller's. The later wins, so a
 * default is left out where the file gives the key. */
static int build_environment(struct surroundings *s, const struct process *process)
{
    struct manager *manager = &process->executor->launcher->manager;
    const struct service *service = process_service(process);
    const struct definition *definition = service->definition;
    const struct service_body *body = service_body(manager, service);
    size_t given = count_entries(definition->env) + count_entries(s->env_file), count = 0;

    s->environment = calloc(given + ENVIRONMENT_ROOM, sizeof *s->environment);
    if (!s->environment)
        return -ENOMEM;
    s->path = SERVICE_DEFAULT_PATH;
    add_default(s, &count, definition->env, "PATH", SERVICE_DEFAULT_PATH);
    if (definition->identity.user_name) {
        add_default(s, &count, definition->env, "HOME", definition->identity.home);
        add_default(s, &count, definition->env, "USER", definition->identity.user_name);
        add_default(s, &count, definition->env, "LOGNAME", definition->identity.user_name);
        add_default(s, &count, definition->env, "SHELL", definition->identity.shell);
    }
    if (definition->tty)
        add_default(s, &count, definition->env, "TERM",
                    strstr(definition->tty, "/ttyS") ? "vt220" : "linux");
    add_entries(s, &count, s->env_file, definition->env);
    add_entries(s, &count, definition->env, NULL);
    text_format(s->name_entry, sizeof s->name_entry, "SERVICE_NAME=%s",
                service_name(manager, service));
    text_format(s->invocation_entry, sizeof s->invocation_entry, "INVOCATION_ID=%016llx%016llx",
                (unsigned long long)body->invocation[0], (unsigned long long)body->invocation[1]);
    s->environment[count++] = s->name_entry;
    const char *instance = service_name_instance(service_name(manager, service));
    if (instance) {
        text_format(s->instance_entry, sizeof s->instance_entry, "SERVICE_INSTANCE=%s", instance);
        s->environment[count++] = s->instance_entry;
    }
    s->environment[count++] = s->invocation_entry;
    executor_notify_environment(process, s->environment + count, &s->pid_text);
    if (process->spawn_hook && process_record(process)->main_pid) {
        text_format(s->main_entry, sizeof s->main_entry, "MAINPID=%d",
                    (int)process_record(process)->main_pid);
        s->environment[count++] = s->main_entry;
    }
    return 0;
}

static size_t build_limits(struct surroundings *s, const struct process *process)
{
    const struct definition *definition = process_service(process)->definition;
    size_t count = 0;
    s->limits[count++] = (struct spawn_limit){RLIMIT_NOFILE, process->executor->nofile};
    for (size_t i = 0; i < definition->limit_count && count <= RLIM_NLIMITS; i++) {
        const struct limit *limit = &definition->limits[i];
        struct rlimit value = {.rlim_cur = limit->soft, .rlim_max = limit->hard};
        s->limits[count++] = (struct spawn_limit){limit->resource, value};
    }
    return count;
}

static void build_priorities(struct spawn_priorities *ret, const struct priorities *from)
{
    *ret = (struct spawn_priorities){
        .nice_set = from->nice_set,
        .nice = from->nice,
        .io_set = from->io != IO_NOT_GIVEN,
        .io = from->io,
        .sched_set = from->sched_policy != SCHED_NOT_GIVEN,
        .sched_policy = from->sched_policy,
        .sched_priority = from->sched_priority,
        .cpus = from->cpus,
        .cpus_bytes = CPUS_MAX / 8,
    };
    if (from->oom_score_adj_set)
        text_format(ret->oom_score_adj, sizeof ret->oom_score_adj, "%d", from->oom_score_adj);
    if (from->nice_set)
        text_format(ret->autogroup, sizeof ret->autogroup, "%d", from->nice);
}

int surroundings_read(struct surroundings *s, const struct process *process,
                      struct reason *ret_reason)
{
    const struct definition *definition = process_service(process)->definition;
    int failed = executor_read_env_file(definition, &s->arena, &s->env_file, ret_reason);
    if (failed)
        return failed;
    failed = build_environment(s, process);
    if (failed)
        *ret_reason = (struct reason){
            .code = REASON_STEP_FAILED, .step = STEP_CLONE, .service = SLOT_NONE, .number = ENOMEM};
    return failed;
}

void surroundings_put(const struct surroundings *s, struct spawn *spawn)
{
    spawn->environment = s->environment;
    spawn->pid_text = s->pid_text;
    spawn->path = s->path;
}

void surroundings_put_limits(struct surroundings *s, const struct process *process,
                             struct spawn *spawn)
{
    spawn->limits = s->limits;
    spawn->limit_count = build_limits(s, process);
    build_priorities(&spawn->priorities, &process_service(process)->definition->priorities);
}

void surroundings_finish(struct surroundings *s)
{
    free(s->environment);
    arena_finish(&s->arena);
}
