/* slc wait NAME… [--state S] [--timeout T]: until services are in a state. */
#include "base/clock.h"
#include "slc/client.h"
#include "slc/render.h"

#include <string.h>

static const struct option_row options[] = {
    {"state", 0, OPTION_TEXT, offsetof(struct options, state), "STATE",
     "the state to wait for; without: running, done or skipped"},
    {"timeout", 0, OPTION_TEXT, offsetof(struct options, timeout), "TIME",
     "wait at most so long (5s, 2min)"},
    {NULL},
};

static const char *const states[] = {"stopped",  "waiting",     "starting", "running", "done",
                                     "stopping", "backing-off", "failed",   "skipped", "broken"};

static bool is_one_of(const char *state, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(state, list[i]))
            return true;
    return false;
}

/* 1: it is where it is waited for; -1: by itself it does not get there any more; 0: not yet. */
static int judge(const struct slc *slc, const char *state)
{
    static const char *const up[] = {"running", "done", "skipped"};
    static const char *const down[] = {"failed", "broken"};

    if (slc->options.state)
        return !strcmp(state, slc->options.state);
    if (is_one_of(state, up, sizeof up / sizeof *up))
        return 1;
    return is_one_of(state, down, sizeof down / sizeof *down) ? -1 : 0;
}

/* Whether all have got there, by their newest events (name → event). */
static bool all_there(const struct slc *slc, json_t *newest)
{
    const char *name;
    json_t *event;

    json_object_foreach(newest, name, event)
    {
        if (!json_is_object(event) || judge(slc, render_member(event, "state")) != 1)
            return false;
    }
    return true;
}

static void say_not_there(const struct slc *slc, json_t *newest, const char *why)
{
    const char *name;
    json_t *event;

    json_object_foreach(newest, name, event)
    {
        const char *state = render_member(event, "state"), *reason = render_member(event, "reason");
        if (judge(slc, state) != 1)
            slc_complain(name, "%s: it is %s%s%s", why, *state ? state : "not known",
                         *reason ? ": " : "", reason);
    }
}

/* The services that the words name, each as a key of an object that is yet to be known. */
static int find_names(struct slc *slc, json_t **ret_newest)
{
    const struct varlink_reply *reply;
    struct client client;
    int status;

    client_begin(&client, slc, "List", false);
    client_add_words(&client, "patterns");
    status = client_ask(&client, &reply);
    if (status == SLC_DONE) {
        const json_t *services = json_object_get(reply->parameters, "services");
        *ret_newest = json_object();
        for (size_t i = 0; i < json_array_size(services); i++)
            json_object_set_new(*ret_newest, render_member(json_array_get(services, i), "name"),
                                json_null());
    }
    client_finish(&client);
    return status;
}

/* Follows the events until the end. The launcher tells the present states first, so nothing is
 * missed, also after a reconnect. */
static int follow(struct slc *slc, struct client *client, json_t *newest, uint64_t give_up_at_ns)
{
    const struct varlink_reply *reply;
    int status = client_send(client);

    while (status == SLC_DONE && !all_there(slc, newest)) {
        status = client_receive_until(client, give_up_at_ns, &reply);
        if (status == CLIENT_TIME_OVER) {
            say_not_there(slc, newest, "waited in vain");
            return SLC_FAILED;
        }
        if (status != SLC_DONE)
            break;
        json_t *event = json_object_get(reply->parameters, "event");
        const char *name = render_member(event, "name");
        if (json_object_get(newest, name))
            json_object_set(newest, name, event);
        if (judge(slc, render_member(event, "state")) < 0) {
            say_not_there(slc, newest, "does not get there by itself");
            return SLC_FAILED;
        }
    }
    return status;
}

static void print(const struct slc *slc, json_t *newest)
{
    json_t *list = json_array(), *event;
    const char *name;

    json_object_foreach(newest, name, event)
    {
        json_array_append(list, event);
        if (!slc->options.json && !slc->options.quiet)
            printf("%s: %s\n", name, render_member(event, "state"));
    }
    if (slc->options.json)
        render_json(list);
    json_decref(list);
}

static int run(struct slc *slc)
{
    uint64_t now = clock_now_ns();
    struct json_writer *parameters;
    int64_t timeout_ms = -1;
    json_t *newest = NULL;
    struct client client;
    int status = slc_read_time("--timeout", slc->options.timeout, &timeout_ms);

    if (status == SLC_DONE && slc->options.state &&
        !is_one_of(slc->options.state, states, sizeof states / sizeof *states))
        status = slc_usage("--state",
                           "\"%s\" is no state: write stopped, waiting, starting, running, done, "
                           "stopping, backing-off, failed, skipped or broken",
                           slc->options.state);
    if (status == SLC_DONE)
        status = find_names(slc, &newest);
    if (status != SLC_DONE)
        return status;
    parameters = client_begin(&client, slc, "Monitor", true);
    client_add_words(&client, "patterns");
    json_add_bool(parameters, "initial", true);
    status = follow(slc, &client, newest,
                    timeout_ms >= 0 ? now + (uint64_t)timeout_ms * NS_PER_MS : UINT64_MAX);
    if (status == SLC_DONE)
        print(slc, newest);
    client_finish(&client);
    json_decref(newest);
    return status;
}

const struct verb verb_wait = {
    .name = "wait",
    .arguments = "NAME…",
    .least = 1,
    .most = ANY_NUMBER,
    .options = options,
    .help = "wait until services are up, or in a given state",
    .details = "Without --state it ends with 1 as soon as one is failed or broken.",
    .run = run,
};
