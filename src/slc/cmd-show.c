/* slc show NAME…: the definition in force, each key with the file or the default it comes from. */
#include "slc/client.h"
#include "slc/render.h"

#include <string.h>

#define VALUE_COLUMN 16 /* where values begin */

/* Looks like the line of a service file. */
static void print_key(const json_t *key)
{
    const char *value = render_member(key, "value"), *from = render_member(key, "from");
    bool hidden = json_is_true(json_object_get(key, "hidden"));

    if (hidden)
        printf("# %s: not shown to who may not change the service", render_member(key, "key"));
    else
        printf("%s:%*s%s", render_member(key, "key"),
               VALUE_COLUMN - 1 - (int)strlen(render_member(key, "key")), "", value);
    printf("  # %s\n", *from ? from : "default");
}

static void print_service(const struct slc *slc, const json_t *service)
{
    const json_t *keys = json_object_get(service, "keys");
    const json_t *errors = json_object_get(service, "errors");

    for (size_t i = 0; i < json_array_size(errors); i++)
        slc_complain(render_member(service, "name"), "%s",
                     json_string_value(json_array_get(errors, i)));
    if (slc->options.quiet)
        return;
    if (slc->word_count > 1)
        printf("# %s\n", render_member(service, "name"));
    for (size_t i = 0; i < json_array_size(keys); i++)
        print_key(json_array_get(keys, i));
}

/* The values as what they are, not as texts. */
static void print_json(const struct slc *slc, json_t *services)
{
    for (size_t i = 0; i < json_array_size(services); i++) {
        json_t *keys = json_object_get(json_array_get(services, i), "keys");
        for (size_t j = 0; j < json_array_size(keys); j++) {
            json_t *key = json_array_get(keys, j);
            json_t *value = json_loads(render_member(key, "value"), JSON_DECODE_ANY, NULL);
            json_object_set_new(key, "value", value ? value : json_null());
        }
    }
    render_json(slc->word_count == 1 ? json_array_get(services, 0) : services);
}

/* 1 where there is no definition to be shown. */
static int print(const struct slc *slc, json_t *services)
{
    int status = SLC_DONE;
    for (size_t i = 0; i < json_array_size(services); i++) {
        const json_t *service = json_array_get(services, i);
        if (i && !slc->options.json && !slc->options.quiet)
            putchar('\n');
        if (!slc->options.json)
            print_service(slc, service);
        if (!json_array_size(json_object_get(service, "keys")))
            status = SLC_FAILED;
    }
    if (slc->options.json)
        print_json(slc, services);
    return status;
}

static int run(struct slc *slc)
{
    const struct varlink_reply *reply;
    struct client client;

    client_begin(&client, slc, "Show", false);
    client_add_words(&client, "names");
    int status = client_ask(&client, &reply);
    if (status == SLC_DONE)
        status = print(slc, json_object_get(reply->parameters, "services"));
    client_finish(&client);
    return status;
}

const struct verb verb_show = {
    .name = "show",
    .arguments = "NAME…",
    .least = 1,
    .most = ANY_NUMBER,
    .help = "the definition in force, each key with the file or the default it comes from",
    .details =
        "Behind # stands the file, or `default`. Values of `env` are shown only to those who may\n"
        "change services. Ends with 1 for one whose file does not load.",
    .run = run,
};
