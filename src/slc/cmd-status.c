/* slc status [NAME…]: services in detail, with the last lines of their journals, which slc reads
 * from the files itself. */
#include "slc/client.h"
#include "slc/log-drain.h"
#include "slc/log-lines.h"
#include "slc/render.h"

#include <stdlib.h>
#include <string.h>

#define LOG_LINES 10

static void print_row(const char *title, const char *words)
{
    if (*words)
        printf("%13s  %s\n", title, words);
}

static void print_state(const struct render *render, const json_t *service)
{
    const char *state = render_member(service, "state");
    const json_t *pid = json_object_get(service, "pid");
    char storage[300], time[CLOCK_LOCAL_BYTES];
    struct text text;

    text_init(&text, storage, sizeof storage);
    text_printf(&text, "%s%s%s for ", render_state_colour(render, state), state,
                *render_state_colour(render, state) ? render_plain(render) : "");
    render_age(render, render_member(service, "since"), &text);
    text_printf(&text, ", since %s", render_time(render_member(service, "since"), time));
    if (json_is_integer(pid))
        text_printf(&text, ", pid %lld", (long long)json_integer_value(pid));
    print_row("state", storage);
    print_row("reason", render_member(service, "reason"));
    print_row("says", render_member(service, "status_text"));
    if (json_is_true(json_object_get(service, "needs_restart"))) {
        text_init(&text, storage, sizeof storage);
        text_printf(&text, "as its file was before a reload: slc restart %s",
                    render_member(service, "name"));
        print_row("runs", storage);
    }
    print_row(!strcmp(state, "running") ? "watchdog" : "until",
              render_time(render_member(service, "next"), time));
}

/* The last run, and how often it was started again. */
static void print_runs(const json_t *service)
{
    long long restarts = (long long)json_integer_value(json_object_get(service, "restarts"));
    char storage[100];
    struct text text;

    text_init(&text, storage, sizeof storage);
    if (render_exit(json_object_get(service, "exit"), &text))
        print_row("last run", storage);
    text_init(&text, storage, sizeof storage);
    text_printf(&text, "%lld", restarts);
    if (restarts)
        print_row("restarts", storage);
}

static void print_processes(const json_t *service)
{
    const json_t *processes = json_object_get(service, "processes");
    const json_t *memory = json_object_get(service, "memory");
    size_t count = json_array_size(processes);
    char storage[200];
    struct text text;

    if (count) {
        printf("%13s ", "processes");
        for (size_t i = 0; i < count; i++)
            printf(" %lld", (long long)json_integer_value(json_array_get(processes, i)));
        putchar('\n');
    }
    text_init(&text, storage, sizeof storage);
    if (json_is_integer(memory) && count) {
        render_bytes((uint64_t)json_integer_value(memory), &text);
        print_row("memory", storage);
    }
}

/* The dependencies of one kind in a line: "db (running), net (failed)". */
static void print_kind(const json_t *dependencies, const char *kind)
{
    bool begun = false;

    for (size_t i = 0; i < json_array_size(dependencies); i++) {
        const json_t *dependency = json_array_get(dependencies, i);
        const char *state = render_member(dependency, "state");
        if (strcmp(render_member(dependency, "kind"), kind) != 0)
            continue;
        if (begun)
            fputs(", ", stdout);
        else
            printf("%13s  ", kind);
        begun = true;
        printf("%s (%s)", render_member(dependency, "name"), *state ? state : "no such service");
    }
    if (begun)
        putchar('\n');
}

static void print_strings(const char *title, const json_t *strings)
{
    for (size_t i = 0; i < json_array_size(strings); i++)
        print_row(i ? "" : title, json_string_value(json_array_get(strings, i)));
}

static void print_enabled(const json_t *service)
{
    const char *by = render_member(service, "enabled_by");
    char storage[64];

    if (!*by)
        return;
    text_format(storage, sizeof storage, "%s%s",
                json_is_true(json_object_get(service, "enabled")) ? "yes" : "no",
                !strcmp(by, "hand")   ? ", by hand"
                : !strcmp(by, "file") ? ", by its file"
                                      : "");
    print_row("enabled", storage);
}

static void print_counts(const json_t *service)
{
    const json_t *counts = json_object_get(service, "journal_counts");
    json_int_t lines = json_integer_value(json_object_get(counts, "lines"));
    json_int_t dropped = json_integer_value(json_object_get(counts, "dropped"));
    char storage[200];
    struct text text;

    if (!json_is_object(counts))
        return;
    text_init(&text, storage, sizeof storage);
    text_printf(&text, "%lld line%s, ", (long long)lines, lines == 1 ? "" : "s");
    render_bytes((uint64_t)json_integer_value(json_object_get(counts, "bytes")), &text);
    if (dropped)
        text_printf(&text, ", %lld dropped", (long long)dropped);
    print_row("printed", storage);
}

static void print_service(const struct slc *slc, const struct render *render, const json_t *service)
{
    static const char *const kinds[] = {"needs",     "wants",     "after",    "before",
                                        "conflicts", "needed-by", "wanted-by"};
    const char *description = render_member(service, "description");
    const json_t *errors = json_object_get(service, "errors");

    printf("%s%s%s%s%s%s\n", render_symbol(render, render_member(service, "state")),
           render_bold(render), render_member(service, "name"), render_plain(render),
           *description ? ": " : "", description);
    print_state(render, service);
    print_strings("errors", errors);
    print_runs(service);
    print_processes(service);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        print_kind(json_object_get(service, "dependencies"), kinds[i]);
    print_strings("answers to", json_object_get(service, "answers_to"));
    print_row("type", render_member(service, "type"));
    print_row("file", render_member(service, "file"));
    print_enabled(service);
    print_counts(service);
    log_lines_print(slc, render, render_member(service, "name"), render_member(service, "journal"),
                    LOG_LINES);
}

/* Running, done and skipped are well; anything else is "not running". */
static int status_of(const json_t *service)
{
    static const char *const well[] = {"running", "done", "skipped"};
    const char *state = render_member(service, "state");

    for (size_t i = 0; i < sizeof well / sizeof *well; i++)
        if (!strcmp(state, well[i]))
            return SLC_DONE;
    return SLC_NOT_RUNNING;
}

/* As JSON the lines stand in the object, where they may be read. */
static void print_json(const struct slc *slc, const json_t *services)
{
    for (size_t i = 0; i < json_array_size(services); i++) {
        json_t *service = json_array_get(services, i);
        json_t *lines = log_lines_json(slc, render_member(service, "name"),
                                       render_member(service, "journal"), LOG_LINES);
        json_object_set_new(service, "log", lines ? lines : json_null());
    }
    render_json(slc->word_count == 1 ? json_array_get(services, 0) : services);
}

static int print(const struct slc *slc, const json_t *services)
{
    struct render render = render_begin();
    int status = SLC_DONE;

    for (size_t i = 0; i < json_array_size(services); i++) {
        const json_t *service = json_array_get(services, i);
        if (i && !slc->options.json && !slc->options.quiet)
            putchar('\n');
        if (!slc->options.json && !slc->options.quiet)
            print_service(slc, &render, service);
        if (status == SLC_DONE)
            status = status_of(service);
    }
    if (slc->options.json)
        print_json(slc, services);
    return status;
}

/* The last lines are those that were printed by now. */
static void drain(const struct slc *slc)
{
    char *logs = NULL;
    bool drained;

    if (slc->options.quiet || !log_drain(slc, &logs, &drained))
        return;
    if (!drained)
        log_drain_complain("status");
    free(logs);
}

static int run(struct slc *slc)
{
    const struct varlink_reply *reply;
    struct client client;
    int status;

    drain(slc);

    client_begin(&client, slc, "Status", false);
    client_add_words(&client, "names");
    status = client_ask(&client, &reply);
    if (status == SLC_DONE)
        status = print(slc, json_object_get(reply->parameters, "services"));
    client_finish(&client);
    return status;
}

const struct verb verb_status = {
    .name = "status",
    .arguments = "[NAME…]",
    .most = ANY_NUMBER,
    .help = "one service in detail, with its last log lines; all without a name",
    .details = "Exits with 0 for a service that is running, done or skipped, else with 3; for\n"
               "several with the first that is not 0. -q prints nothing.",
    .run = run,
};
