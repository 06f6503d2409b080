/* slc list [PATTERN…] [--failed]: every service in one line. */
#include "slc/client.h"
#include "slc/render.h"

static const struct option_row options[] = {
    {"failed", 0, OPTION_FLAG, offsetof(struct options, failed), NULL,
     "only those that are failed or broken"},
    {NULL},
};

/* The description, and behind it the reason, if there is one: also why it is stopped, and what is
 * the matter with the file of one that runs. */
static void add_words(struct table *table, const json_t *service)
{
    const char *description = render_member(service, "description");
    const char *reason = render_member(service, "reason");
    char words[1400];

    text_format(words, sizeof words, *description && *reason ? "%s (%s)" : "%s%s", description,
                reason);
    table_add(table, words);
}

static void add_service(struct table *table, const struct render *render, const json_t *service)
{
    const json_t *pid = json_object_get(service, "pid");
    struct text text;
    char cell[64];

    table_add(table, render_member(service, "state"));
    table_add(table, render_member(service, "name"));
    text_init(&text, cell, sizeof cell);
    if (json_is_integer(pid))
        text_add_signed(&text, json_integer_value(pid));
    else
        text_add(&text, "-");
    table_add(table, cell);
    text_init(&text, cell, sizeof cell);
    render_age(render, render_member(service, "since"), &text);
    table_add(table, cell);
    text_init(&text, cell, sizeof cell);
    text_add_signed(&text, json_integer_value(json_object_get(service, "restarts")));
    table_add(table, cell);
    add_words(table, service);
}

static int print(const json_t *services)
{
    struct render render = render_begin();
    struct table table = {
        .columns = 6,
        .titles = {"STATE", "NAME", "PID", "SINCE", "RESTARTS", "DESCRIPTION"},
        .right = {[2] = true, [3] = true, [4] = true},
        .state_column = 0,
    };

    for (size_t i = 0; i < json_array_size(services); i++)
        add_service(&table, &render, json_array_get(services, i));
    int failed = table_print(&table, &render, stdout);
    if (failed) {
        slc_complain("list", "it is not whole: %s", strerror(-failed));
        return SLC_FAILED;
    }
    return SLC_DONE;
}

static int run(struct slc *slc)
{
    const struct varlink_reply *reply;
    struct client client;
    struct json_writer *parameters = client_begin(&client, slc, "List", false);
    int status;

    client_add_words(&client, "patterns");
    if (slc->options.failed)
        json_add_bool(parameters, "failed", true);
    status = client_ask(&client, &reply);
    if (status == SLC_DONE) {
        const json_t *services = json_object_get(reply->parameters, "services");
        if (slc->options.json)
            render_json(services);
        else if (!slc->options.quiet)
            status = print(services);
    }
    client_finish(&client);
    return status;
}

const struct verb verb_list = {
    .name = "list",
    .arguments = "[PATTERN…]",
    .most = ANY_NUMBER,
    .options = options,
    .help = "every service: state, pid, since, restarts, description",
    .details = "A pattern is a name in which * stands for anything, ? for one character and [a-z]\n"
               "for one of those. The last column also has the reason where there is one to give.",
    .run = run,
};
