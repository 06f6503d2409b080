/* start, stop, restart, reload, reset, signal: asks, shows on stderr what is waited for, and says
 * what became of each service. */
#include "slc/change.h"

#include "base/clock.h"
#include "slc/client.h"
#include "slc/render.h"

#include <string.h>

#define PATIENCE_NS (2 * NS_PER_SEC) /* without a terminal: what takes longer is told */

const struct option_row change_options[] = {
    {"no-wait", 0, OPTION_FLAG, offsetof(struct options, no_wait), NULL,
     "do not wait until it is done"},
    {"timeout", 0, OPTION_TEXT, offsetof(struct options, timeout), "TIME",
     "wait at most so long (5s, 2min); what was begun goes on"},
    {NULL},
};

/* ---- what is waited for --------------------------------------------------------------------- */

struct waiting {
    bool terminal;
    bool shown; /* a line stands on the terminal */
    uint64_t began_ns;
    char last[300]; /* told last, elsewhere than on a terminal */
};

static void waiting_clear(struct waiting *waiting)
{
    if (waiting->shown)
        fputs("\r\033[K", stderr);
    waiting->shown = false;
}

/* One line about the first services that have not settled. */
static void waiting_show(struct waiting *waiting, const struct slc *slc, const json_t *parameters)
{
    const json_t *first = json_array_get(json_object_get(parameters, "progress"), 0);
    const char *reason = render_member(first, "reason");
    long long pending = (long long)json_integer_value(json_object_get(parameters, "pending"));
    struct render render = {.now_ns = clock_read_ns(CLOCK_REALTIME)};
    char line[300], age[40];
    struct text text, age_text;

    if (!first || slc->options.quiet)
        return;
    text_init(&text, line, sizeof line);
    text_init(&age_text, age, sizeof age);
    render_age(&render, render_member(first, "since"), &age_text);
    text_printf(&text, "%s is %s%s%s", render_member(first, "name"), render_member(first, "state"),
                *reason ? ": " : "", reason);
    if (pending > 1)
        text_printf(&text, " (and %lld more)", pending - 1);
    if (waiting->terminal) {
        fprintf(stderr, "\r\033[K%s, %s", line, age);
        fflush(stderr);
        waiting->shown = true;
    } else if (clock_now_ns() - waiting->began_ns >= PATIENCE_NS &&
               strcmp(line, waiting->last) != 0) {
        fprintf(stderr, "slc: %s: waiting: %s\n", slc->verb->name, line);
        text_format(waiting->last, sizeof waiting->last, "%s", line);
    }
}

/* ---- results -------------------------------------------------------------------------------- */

static const struct {
    const char *verb, *done, *already;
} words[] = {
    {"start", "started", "had nothing to start: it is"},
    {"stop", "stopped", "had nothing to stop: it is"},
    {"restart", "restarted", "is"},
    {"reload", "reloaded", "is"},
    {"reset", "reset", "had nothing to forget: it is"},
    {"signal", "signal sent", "is"},
};

/* ", because it needs db, which was stopped" behind one that was not named. */
static void say_along(const json_t *result)
{
    const char *reason = render_member(result, "reason");
    bool tells = !strncmp(reason, "needs ", strlen("needs "));

    if (json_is_true(json_object_get(result, "taken_along")))
        printf(", because it %s", tells ? reason : "needs one that was named");
}

static void say_done(const struct slc *slc, const json_t *result)
{
    const char *name = render_member(result, "name"), *outcome = render_member(result, "outcome");
    const char *state = render_member(result, "state");

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(words[i].verb, slc->verb->name) != 0)
            continue;
        if (!strcmp(outcome, "already")) {
            printf("%s: %s %s", name, words[i].already, state);
            if (!strcmp(slc->verb->name, "start") && strcmp(state, "running") != 0)
                printf(" (slc restart %s runs it again)", name);
            putchar('\n');
            continue;
        }
        if (!strcmp(outcome, "begun")) {
            printf("%s: begun to %s, and is %s now\n", name, words[i].verb, state);
            continue;
        }
        printf("%s: %s", name, words[i].done);
        if (strcmp(state, "running") != 0 && strcmp(state, "stopped") != 0)
            printf(", and is %s now", state);
        say_along(result);
        putchar('\n');
    }
}

/* Says what went wrong. */
static void say_failed(const struct slc *slc, const json_t *result)
{
    const char *name = render_member(result, "name"), *outcome = render_member(result, "outcome");
    const char *state = render_member(result, "state"), *reason = render_member(result, "reason");

    if (!strcmp(outcome, "overtaken"))
        slc_complain(name, "another request overtook this one: %s", render_member(result, "by"));
    else if (!strcmp(outcome, "timed-out"))
        slc_complain(name, "not done in %s: it is still %s%s%s", slc->options.timeout, state,
                     *reason ? ": " : "", reason);
    else if (!strcmp(outcome, "refused"))
        slc_complain(name, "refused: %s", reason);
    else if (!strcmp(slc->verb->name, "reload"))
        slc_complain(name, "not reloaded: %s", *reason ? reason : "it has ended meanwhile");
    else if (*reason)
        slc_complain(name, "%s: %s", state, reason);
    else /* it has gone on since */
        slc_complain(name, "failed, and is %s now", state);
}

static int say_results(const struct slc *slc, const json_t *results)
{
    static const char *const good[] = {"done", "already", "begun"};
    int status = SLC_DONE;

    for (size_t i = 0; i < json_array_size(results); i++) {
        const json_t *result = json_array_get(results, i);
        const char *outcome = render_member(result, "outcome");
        bool is_good = false;
        for (size_t j = 0; j < sizeof good / sizeof *good; j++)
            is_good |= !strcmp(outcome, good[j]);
        if (!is_good) {
            say_failed(slc, result);
            status = SLC_FAILED;
        } else if (!slc->options.json && !slc->options.quiet) {
            say_done(slc, result);
        }
    }
    if (slc->options.json)
        render_json(results);
    return status;
}

/* The results in *ret, which is the caller's, once they are there. */
static int ask(struct slc *slc, const char *method, json_t **ret)
{
    struct waiting waiting = {.terminal = isatty(STDERR_FILENO), .began_ns = clock_now_ns()};
    const struct varlink_reply *reply;
    struct json_writer *parameters;
    struct client client;
    int64_t timeout_ms = -1;
    int status = slc_read_time("--timeout", slc->options.timeout, &timeout_ms);

    if (status != SLC_DONE)
        return status;
    parameters = client_begin(&client, slc, method, !slc->options.no_wait);
    client_add_words(&client, "names");
    client_add_id(&client);
    if (slc->options.no_wait)
        json_add_bool(parameters, "wait", false);
    if (timeout_ms >= 0)
        json_add_number(parameters, "timeout_ms", timeout_ms);
    status = client_send(&client);
    while (status == SLC_DONE) {
        status = client_receive(&client, false, &reply);
        if (status != SLC_DONE || !reply->continues)
            break;
        waiting_show(&waiting, slc, reply->parameters);
    }
    waiting_clear(&waiting);
    if (status == SLC_DONE)
        *ret = json_incref(json_object_get(reply->parameters, "results"));
    client_finish(&client);
    return status;
}

int change_ask(struct slc *slc, const char *method, json_t **ret_results)
{
    struct slc silent = *slc;
    int status = ask(slc, method, ret_results);
    silent.options.quiet = true;
    silent.options.json = false;
    return status == SLC_DONE ? say_results(&silent, *ret_results) : status;
}

int change_run(struct slc *slc, const char *method)
{
    json_t *results = NULL;
    int status = ask(slc, method, &results);
    if (status == SLC_DONE)
        status = say_results(slc, results);
    json_decref(results);
    return status;
}

int change_run_at_once(struct slc *slc, const char *method,
                       void (*add)(const struct slc *slc, struct json_writer *parameters))
{
    const struct varlink_reply *reply;
    struct client client;
    struct json_writer *parameters = client_begin(&client, slc, method, false);
    int status;

    client_add_words(&client, "names");
    client_add_id(&client);
    if (add)
        add(slc, parameters);
    status = client_ask(&client, &reply);
    if (status == SLC_DONE)
        status = say_results(slc, json_object_get(reply->parameters, "results"));
    client_finish(&client);
    return status;
}
