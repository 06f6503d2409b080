/* slc events [PATTERN…]: changes of state as they happen, until interrupted. */
#include "slc/client.h"
#include "slc/render.h"

#include <stdio.h>

static void print(const struct render *render, const json_t *event)
{
    const char *state = render_member(event, "state"), *reason = render_member(event, "reason");
    char time[CLOCK_LOCAL_BYTES];
    const char *colour = render_state_colour(render, state);

    printf("%s %s: %s -> %s%s%s%s%s\n", render_time(render_member(event, "time"), time),
           render_member(event, "name"), render_member(event, "before"), colour, state,
           *colour ? render_plain(render) : "", *reason ? ": " : "", reason);
}

static int run(struct slc *slc)
{
    struct render render = render_begin();
    const struct varlink_reply *reply;
    struct client client;
    unsigned lost = 0;
    int status;

    client_begin(&client, slc, "Monitor", true);
    client_add_words(&client, "patterns");
    status = client_send(&client);
    while (status == SLC_DONE && !ferror(stdout)) {
        status = client_receive(&client, true, &reply);
        if (status != SLC_DONE)
            break;
        if (client.reconnects != lost)
            slc_complain("events", "the launcher was restarted: some may be missing");
        lost = client.reconnects;
        if (slc->options.json)
            render_json_line(json_object_get(reply->parameters, "event"));
        else if (!slc->options.quiet)
            print(&render, json_object_get(reply->parameters, "event"));
        fflush(stdout);
    }
    client_finish(&client);
    return status;
}

const struct verb verb_events = {
    .name = "events",
    .arguments = "[PATTERN…]",
    .most = ANY_NUMBER,
    .help = "changes of state as they happen, until interrupted",
    .details = "With --json one object a line.",
    .run = run,
};
