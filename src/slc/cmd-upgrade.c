/* slc upgrade: has init, journal and launcher go over to the programs that are on the disk now. */
#include "slc/client.h"
#include "slc/render.h"

#include "base/clock.h"

#include <string.h>

#define MOST_NS (100 * NS_PER_SEC) /* the launcher gives up before that */

static void print_part(const struct slc *slc, const json_t *part, bool kept)
{
    const char *name = render_member(part, "name");
    if (kept)
        slc_complain(name, "not upgraded, the former one goes on: %s",
                     render_member(part, "reason"));
    else if (!slc->options.quiet && !slc->options.json)
        printf("%s: upgraded\n", name);
}

static int print(const struct slc *slc, const json_t *parameters)
{
    const json_t *parts = json_object_get(parameters, "parts");
    const char *before = render_member(parameters, "before");
    const char *version = render_member(parameters, "version");
    size_t kept = 0;

    for (size_t i = 0; i < json_array_size(parts); i++) {
        const json_t *part = json_array_get(parts, i);
        bool is_kept = strcmp(render_member(part, "outcome"), "upgraded") != 0;
        print_part(slc, part, is_kept);
        kept += is_kept;
    }
    if (slc->options.json)
        render_json(parameters);
    else if (!slc->options.quiet && strcmp(before, version) != 0)
        printf("version %s, before %s\n", version, before);
    if (kept)
        slc_complain("upgrade",
                     "services are as they were; mend what is wrong with the new programs, "
                     "and run slc upgrade again");
    return kept ? SLC_FAILED : SLC_DONE;
}

/* It is done in a moment, unless something is wrong. */
static void show_waiting(const struct slc *slc, const json_t *parameters)
{
    struct render render = {.now_ns = clock_read_ns(CLOCK_REALTIME)};
    char age[40];
    struct text text;
    if (slc->options.quiet)
        return;
    text_init(&text, age, sizeof age);
    render_age(&render, render_member(parameters, "since"), &text);
    fprintf(stderr, "slc: upgrade: waiting for the new programs to get ready, %s\n", age);
}

static int run(struct slc *slc)
{
    const struct varlink_reply *reply;
    struct client client;
    uint64_t end_ns = clock_now_ns() + MOST_NS;
    int status;

    client_begin(&client, slc, "Upgrade", true);
    client_add_id(&client);
    status = client_send(&client);
    do {
        if (status == SLC_DONE)
            status = client_receive_until(&client, end_ns, &reply);
        if (status == SLC_DONE && reply->continues)
            show_waiting(slc, reply->parameters);
    } while (status == SLC_DONE && reply->continues);
    if (status == CLIENT_TIME_OVER) {
        slc_complain("upgrade",
                     "no answer came within 100 s; slc journal conit says what happened");
        status = SLC_FAILED;
    } else if (status == SLC_DONE) {
        status = print(slc, reply->parameters);
    }
    client_finish(&client);
    return status;
}

const struct verb verb_upgrade = {
    .name = "upgrade",
    .arguments = "",
    .help = "go over to the programs of conit that are on the disk now; no service notices",
    .details =
        "init, service-journal and service-launcher are replaced one after the other by the files\n"
        "now in their folder, with everything they know; services run on, and what waits goes on.\n"
        "A new program that cannot be executed, that crashes, does not get ready within 10 s or\n"
        "cannot read what the former one knows is given up, and the former one goes on: slc says\n"
        "why, and exits with 1. For a package's script: run it when all files are in place.",
    .run = run,
};
