/* slc reload [--dry-run] [--no-start]: has the launcher read the service files again.
 * slc reload NAME…: asks the services themselves to. */
#include "slc/change.h"
#include "slc/client.h"
#include "slc/render.h"

#include <limits.h>
#include <string.h>

static const struct option_row options[] = {
    {"dry-run", 0, OPTION_FLAG, offsetof(struct options, dry_run), NULL, "only say what would be"},
    {"no-start", 0, OPTION_FLAG, offsetof(struct options, no_start), NULL,
     "do not start new services"},
    {"no-wait", 0, OPTION_FLAG, offsetof(struct options, no_wait), NULL,
     "with names: do not wait until it is done"},
    {"timeout", 0, OPTION_TEXT, offsetof(struct options, timeout), "TIME",
     "with names: wait at most so long (5s, 2min); what was begun goes on"},
    {NULL},
};

static bool is(const json_t *change, const char *word)
{
    return !strcmp(render_member(change, "change"), word);
}

static void print_keys(const json_t *change)
{
    const json_t *keys = json_object_get(change, "keys");

    for (size_t i = 0; i < json_array_size(keys); i++)
        printf("%s%s", i ? ", " : ": ", json_string_value(json_array_get(keys, i)));
    if (json_is_true(json_object_get(change, "needs_restart")))
        printf(" (in force after: slc restart %s)", render_member(change, "name"));
}

static void complain_lines(const char *what, const json_t *lines)
{
    for (size_t i = 0; i < json_array_size(lines); i++)
        slc_complain(what, "%s", json_string_value(json_array_get(lines, i)));
}

/* One line a service that is not as it was, or of which there is news; what is wrong is said on
 * stderr. */
static void print_change(const struct slc *slc, const json_t *change)
{
    const char *name = render_member(change, "name"), *reason = render_member(change, "reason");

    complain_lines(name, json_object_get(change, "errors"));
    complain_lines(name, json_object_get(change, "cycle"));
    complain_lines("warning", json_object_get(change, "warnings"));
    if (slc->options.json || slc->options.quiet || (is(change, "unchanged") && !*reason))
        return;
    printf("%-8s %s", render_member(change, "change"), name);
    print_keys(change);
    if (*reason)
        printf(": %s", reason);
    putchar('\n');
}

static void print_settings(const json_t *settings)
{
    for (size_t i = 0; i < json_array_size(settings); i++)
        printf("%s%s", i ? ", " : "changed  the system file: ",
               json_string_value(json_array_get(settings, i)));
    if (json_array_size(settings))
        putchar('\n');
}

static int print(const struct slc *slc, const json_t *parameters)
{
    const json_t *changes = json_object_get(parameters, "changes");
    const json_t *warnings = json_object_get(parameters, "warnings");
    const json_t *errors = json_object_get(parameters, "errors");
    size_t unchanged = 0;
    int status = json_array_size(errors) ? SLC_FAILED : SLC_DONE;

    complain_lines("error", errors);
    complain_lines("warning", warnings);
    for (size_t i = 0; i < json_array_size(changes); i++) {
        const json_t *change = json_array_get(changes, i);
        print_change(slc, change);
        unchanged += is(change, "unchanged");
        if (is(change, "broken") || json_array_size(json_object_get(change, "cycle")))
            status = SLC_FAILED;
    }
    if (slc->options.json)
        render_json(changes);
    if (slc->options.json || slc->options.quiet)
        return status;
    print_settings(json_object_get(parameters, "settings"));
    printf("%zu unchanged\n", unchanged);
    return status;
}

/* Reading takes long: what is being read, once each. */
static void show_reading(const struct slc *slc, const json_t *parameters, char last[PATH_MAX])
{
    const char *path = render_member(parameters, "reading");

    if (slc->options.quiet || !strcmp(path, last))
        return;
    fprintf(stderr, "slc: reload: reading %s\n", *path ? path : "is done, comparing");
    text_format(last, PATH_MAX, "%s", path);
}

/* The options of one of the two mean nothing to the other. */
static int ask_services(struct slc *slc)
{
    if (slc->options.dry_run || slc->options.no_start)
        return slc_usage(slc->options.dry_run ? "--dry-run" : "--no-start",
                         "is for `slc reload` without names, which reads the service files again");
    return change_run(slc, "ReloadServices");
}

static int run(struct slc *slc)
{
    const struct varlink_reply *reply;
    struct client client;
    struct json_writer *parameters;
    char last[PATH_MAX] = "";
    int status;

    if (slc->word_count)
        return ask_services(slc);
    if (slc->options.no_wait || slc->options.timeout)
        return slc_usage(slc->options.no_wait ? "--no-wait" : "--timeout",
                         "is for `slc reload NAME…`: reading the service files is not waited for");
    parameters = client_begin(&client, slc, "Reload", true);
    client_add_id(&client);
    if (slc->options.dry_run)
        json_add_bool(parameters, "dry_run", true);
    if (slc->options.no_start)
        json_add_bool(parameters, "start", false);
    status = client_send(&client);
    do {
        if (status == SLC_DONE)
            status = client_receive(&client, false, &reply);
        if (status == SLC_DONE && reply->continues)
            show_reading(slc, reply->parameters, last);
    } while (status == SLC_DONE && reply->continues);
    if (status == SLC_DONE)
        status = print(slc, reply->parameters);
    client_finish(&client);
    return status;
}

const struct verb verb_reload = {
    .name = "reload",
    .arguments = "[NAME…]",
    .most = ANY_NUMBER,
    .options = options,
    .help = "read the service files again; with names: have those services read their own",
    .details =
        "Each file that loads is put in force; nothing is stopped or restarted. One that no\n"
        "longer loads, the system file too, leaves what was in force; slc exits with 1 then, and\n"
        "where services are in a cycle. Names that no service has are warned of.\n"
        "With names each service is asked itself, in the way that `reload` in its file says; its\n"
        "service file is not read for that.",
    .run = run,
};
