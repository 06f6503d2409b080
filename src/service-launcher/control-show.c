/* Services as JSON, as the interface's types Service and Details have them. */
#include "service-launcher/control.h"

#include "base/clock.h"
#include "base/signals.h"
#include "base/text.h"
#include "config/keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PROCESSES_MAX 1000 /* that are listed of one service */
#define REASON_BYTES  700
/* The two clocks differ by this much more or less than before: somebody has set the time. Far above
 * what a process that is interrupted between reading the two adds. */
#define CLOCK_WAS_SET_NS (500 * (int64_t)NS_PER_MS)

/* Kept, or `since` would differ by a microsecond each time it is asked for. */
static uint64_t realtime_offset_ns(struct state_header *header)
{
    uint64_t now_ns = clock_read_ns(CLOCK_REALTIME) - clock_now_ns();
    int64_t change_ns = (int64_t)(now_ns - header->realtime_offset_ns);
    if (change_ns > CLOCK_WAS_SET_NS || change_ns < -CLOCK_WAS_SET_NS)
        header->realtime_offset_ns = now_ns;
    return header->realtime_offset_ns;
}

struct show show_begin(struct control *control, struct json_writer *writer)
{
    struct state_header *header = control->launcher->manager.header;
    return (struct show){
        .control = control, .writer = writer, .realtime_offset_ns = realtime_offset_ns(header)};
}

static const struct manager *manager_of(const struct show *show)
{
    return &show->control->launcher->manager;
}

/* ---- parts ---------------------------------------------------------------------------------- */

void show_time(struct show *show, const char *key, uint64_t boottime_ns)
{
    char text[CLOCK_RFC3339_BYTES];
    clock_format_rfc3339(text, boottime_ns + show->realtime_offset_ns);
    json_add_string(show->writer, key, text);
}

void show_pid(struct show *show, const struct service *service)
{
    int32_t pid = executor_main_pid(show->control->launcher->executor, service->slot);
    json_put_key(show->writer, "pid");
    if (pid > 0)
        json_put_number(show->writer, pid);
    else
        json_put_null(show->writer);
}

void show_exit(struct show *show, const struct service *service)
{
    const struct service_body *body = service_body(manager_of(show), service);
    char name[32];
    struct text text;

    json_put_key(show->writer, "exit");
    if (body->exit_kind != EXIT_CODE && body->exit_kind != EXIT_SIGNAL) {
        json_put_null(show->writer);
        return;
    }
    json_begin(show->writer, '{');
    if (body->exit_kind == EXIT_SIGNAL) {
        text_init(&text, name, sizeof name);
        signals_format(body->exit_value, &text);
        json_add_string(show->writer, "signal", name);
    } else {
        json_add_number(show->writer, "code", body->exit_value);
    }
    json_end(show->writer, '}');
}

/* What it has said that it is doing. */
static void add_told(struct text *text, const struct service_body *body)
{
    static const char *const words[] = {[TOLD_NOTHING] = "",
                                        [TOLD_RELOADING] = "reloads its configuration",
                                        [TOLD_STOPPING] = "is stopping by itself"};
    if (!machine_states[body->state].idle)
        text_add(text, words[body->told]);
}

void show_reason(struct show *show, const struct service *service)
{
    char words[REASON_BYTES];
    struct text text;

    json_put_key(show->writer, "reason");
    bool gone = service_body(manager_of(show), service)->gone;
    if (service->errors && *service->errors && !gone) {
        json_put_bytes(show->writer, service->errors, strcspn(service->errors, "\n"));
        return;
    }
    if (service->cycle) {
        json_put_string(show->writer, service->cycle);
        return;
    }
    text_init(&text, words, sizeof words);
    service_reason(manager_of(show), service, &text);
    if (!text.used_bytes && gone)
        text_add(&text, "its file is gone: it disappears when it stops");
    if (!text.used_bytes)
        add_told(&text, service_body(manager_of(show), service));
    json_put_string(show->writer, text.used_bytes ? words : NULL);
}

/* ---- a service ------------------------------------------------------------------------------ */

/* Who says whether it is enabled; NULL: nobody, its file does not load. */
static const char *enabled_by(const struct service *service)
{
    if (service->switched != SWITCHED_NOT)
        return "hand";
    if (!service->definition)
        return NULL;
    return service->definition->keys_given & KEY_BIT(KEY_ENABLED) ? "file" : "default";
}

static void put_service_fields(struct show *show, const struct service *service)
{
    const struct manager *manager = manager_of(show);
    const struct service_body *body = service_body(manager, service);
    const struct definition *definition = service->definition;
    const char *status = manager->records[service->slot].status;
    struct json_writer *writer = show->writer;

    json_add_string(writer, "name", service_name(manager, service));
    json_add_string(writer, "state", service_state_shown(manager, service));
    json_add_string(writer, "type", definition ? service_type_names[definition->type] : NULL);
    show_pid(show, service);
    show_time(show, "since", body->since_ns);
    json_add_number(writer, "restarts", body->restarts);
    show_exit(show, service);
    show_reason(show, service);
    json_add_string(writer, "description", definition ? definition->description : NULL);
    json_add_bool(writer, "enabled", service_is_enabled(service));
    json_add_string(writer, "enabled_by", enabled_by(service));
    json_add_bool(writer, "gone", body->gone);
    json_add_bool(writer, "needs_restart", body->begun_as && !machine_states[body->state].idle);
    json_add_string(writer, "status_text", status[0] ? status : NULL);
}

void show_service(struct show *show, const struct service *service)
{
    json_begin(show->writer, '{');
    put_service_fields(show, service);
    json_end(show->writer, '}');
}

/* ---- details -------------------------------------------------------------------------------- */

static void put_dependency(struct show *show, const char *kind, const char *name)
{
    const struct service *other = control_find(show->control, name);

    json_begin(show->writer, '{');
    json_add_string(show->writer, "kind", kind);
    json_add_string(show->writer, "name", name);
    json_add_string(show->writer, "state",
                    other ? service_state_shown(manager_of(show), other) : NULL);
    json_end(show->writer, '}');
}

static void put_dependencies(struct show *show, const struct service *service)
{
    static const struct {
        const char *kind;
        size_t offset;
    } rows[] = {
        {"needs", offsetof(struct definition, needs)},
        {"wants", offsetof(struct definition, wants)},
        {"after", offsetof(struct definition, after)},
        {"before", offsetof(struct definition, before)},
        {"conflicts", offsetof(struct definition, conflicts)},
    };
    const struct manager *manager = manager_of(show);
    const struct edge *edges = NULL;
    size_t count = 0;

    if (service->slot < manager->graph.nodes)
        edges = graph_before(&manager->graph, service->slot, &count);
    json_put_key(show->writer, "dependencies");
    json_begin(show->writer, '[');
    for (size_t i = 0; service->definition && i < sizeof rows / sizeof *rows; i++) {
        const names_t *names = (const void *)((const char *)service->definition + rows[i].offset);
        for (names_t name = *names; name && *name; name++)
            put_dependency(show, rows[i].kind, *name);
    }
    for (size_t i = 0; i < count; i++)
        if (edges[i].kind == EDGE_NEED || edges[i].kind == EDGE_WANT)
            put_dependency(show, edges[i].kind == EDGE_NEED ? "needed-by" : "wanted-by",
                           manager->records[edges[i].slot].name);
    json_end(show->writer, ']');
}

static void put_processes(struct show *show, const struct service *service)
{
    struct executor *executor = show->control->launcher->executor;
    int32_t pids[PROCESSES_MAX];
    size_t count = executor_processes(executor, service->slot, pids, PROCESSES_MAX);
    int64_t memory = executor_memory_bytes(executor, service->slot);

    json_put_key(show->writer, "processes");
    json_begin(show->writer, '[');
    for (size_t i = 0; i < count && i < PROCESSES_MAX; i++)
        json_put_number(show->writer, pids[i]);
    json_end(show->writer, ']');
    json_put_key(show->writer, "memory");
    if (memory >= 0)
        json_put_number(show->writer, memory);
    else
        json_put_null(show->writer);
}

/* Where the service's journal is. */
static void put_journal(struct show *show, const struct service *service)
{
    char path[4096];
    const struct definition *definition = service->definition;

    if (definition && definition->logs)
        text_format(path, sizeof path, "%s", definition->logs);
    else
        text_format(path, sizeof path, "%s/%s", show->control->launcher->options.logs,
                    service_name(manager_of(show), service));
    json_add_string(show->writer, "journal", path);
}

/* How much it has printed; null as long as the journal has not said where that stands. */
static void put_counts(struct show *show, const struct service *service)
{
    const struct journal_client *journal = show->control->launcher->journal;
    struct journal_counts counts;
    json_put_key(show->writer, "journal_counts");
    if (!journal || journal_client_counts(journal, service->slot, &counts) < 0) {
        json_put_null(show->writer);
        return;
    }
    json_begin(show->writer, '{');
    json_add_number(show->writer, "lines", (int64_t)counts.lines);
    json_add_number(show->writer, "bytes", (int64_t)counts.bytes);
    json_add_number(show->writer, "dropped", (int64_t)(counts.over_rate + counts.no_room));
    json_end(show->writer, '}');
}

void show_details(struct show *show, const struct service *service)
{
    const struct service_body *body = service_body(manager_of(show), service);
    const struct definition *definition = service->definition;
    struct json_writer *writer = show->writer;
    char invocation[33];

    json_begin(writer, '{');
    put_service_fields(show, service);
    json_add_bool(writer, "essential", definition && definition->essential);
    json_add_bool(writer, "wanted", body->wanted);
    json_add_string(writer, "file", definition ? definition->path : NULL);
    json_add_lines(writer, "errors", service->errors);
    put_processes(show, service);
    put_dependencies(show, service);
    json_add_strings(writer, "answers_to",
                     definition ? (const char *const *)definition->provides : NULL);
    text_format(invocation, sizeof invocation, "%016llx%016llx",
                (unsigned long long)body->invocation[0], (unsigned long long)body->invocation[1]);
    json_add_string(writer, "invocation",
                    body->invocation[0] | body->invocation[1] ? invocation : NULL);
    if (body->deadline_ns)
        show_time(show, "next", body->deadline_ns);
    else
        json_add_string(writer, "next", NULL);
    put_journal(show, service);
    put_counts(show, service);
    json_end(writer, '}');
}

/* ---- which ones ----------------------------------------------------------------------------- */

bool control_lets_through(struct control *control, const json_t *patterns,
                          const struct service *service)
{
    const char *name = service_name(&control->launcher->manager, service);
    size_t count = json_array_size(patterns);

    for (size_t i = 0; i < count; i++) {
        const char *pattern = json_string_value(json_array_get(patterns, i));
        if (pattern_is_one(pattern) ? pattern_matches(pattern, name)
                                    : control_find(control, pattern) == service)
            return true;
    }
    return !count;
}

static int compare_names(const void *a, const void *b, void *context)
{
    const struct manager *manager = context;
    return strcmp(service_name(manager, *(struct service *const *)a),
                  service_name(manager, *(struct service *const *)b));
}

static bool has_failed(const struct manager *manager, const struct service *service)
{
    enum service_state state = service_state(manager, service);
    return state == STATE_FAILED || state == STATE_BROKEN;
}

ssize_t control_select(struct control *control, const json_t *patterns, bool failed,
                       struct service ***ret)
{
    struct manager *manager = &control->launcher->manager;
    struct service **found = malloc((manager->slots + 1) * sizeof(*found));
    size_t count = 0;

    if (!found)
        return -ENOMEM;
    for (uint32_t slot = 0; slot < manager->slots; slot++) {
        struct service *service = &manager->services[slot];
        if (service->in_use && (!failed || has_failed(manager, service)) &&
            control_lets_through(control, patterns, service))
            found[count++] = service;
    }
    qsort_r(found, count, sizeof(*found), compare_names, manager);
    *ret = found;
    return (ssize_t)count;
}

ssize_t control_select_names(struct control *control, const json_t *names, struct service ***ret)
{
    struct manager *manager = &control->launcher->manager;
    size_t count = json_array_size(names), used = 0;
    struct service **found;
    bool *seen;

    if (!count)
        return control_select(control, NULL, false, ret);
    found = malloc(count * sizeof(*found));
    seen = calloc(manager->slots + 1, sizeof *seen);
    for (size_t i = 0; found && seen && i < count; i++) {
        struct service *service =
            control_find(control, json_string_value(json_array_get(names, i)));
        if (service && !seen[service->slot]) {
            seen[service->slot] = true;
            found[used++] = service;
        }
    }
    if (!found || !seen) {
        free(found);
        free(seen);
        return -ENOMEM;
    }
    free(seen);
    *ret = found;
    return (ssize_t)used;
}
