/* The method table: which methods there are, what parameters each takes, who may call it, and what
 * carries it out. A parameter that its method does not have is refused: a client that is newer
 * than this launcher and asks for a dry run must not get a real one. */
#include "service-launcher/control.h"

#include "config/system-file.h"

#include "base/text.h"
#include "log/log.h"

#include <errno.h>
#include <string.h>

#define SERVICE_INTERFACE "org.varlink.service"
#define PATTERNS_MAX      64   /* each is tried on every service's name */
#define CANDIDATES_MAX    2000 /* names looked at for the nearest one */
#define ID_MAX_BYTES      64
#define TIMEOUT_MAX_MS    (49LL * 24 * 3600 * 1000)

/* ---- parameters ----------------------------------------------------------------------------- */

enum parameter {
    PARAMETER_PATTERNS,
    PARAMETER_NAMES,
    PARAMETER_ID,
    PARAMETER_HOW,
    PARAMETER_INTERFACE,
    PARAMETER_TIMEOUT,
    PARAMETER_FAILED,
    PARAMETER_WAIT,
    PARAMETER_DRY_RUN,
    PARAMETER_START,
    PARAMETER_FORCE,
    PARAMETER_INITIAL,
    PARAMETER_SIGNAL,
    PARAMETER_ALL,
    PARAMETER_SWITCHES,
    PARAMETERS
};

#define HAS(parameter) (1u << PARAMETER_##parameter)

enum parameter_kind { KIND_STRING, KIND_STRINGS, KIND_NUMBER, KIND_BOOL };

static const struct {
    const char *name;
    enum parameter_kind kind;
    size_t offset; /* in struct arguments */
} parameters[PARAMETERS] = {
    [PARAMETER_PATTERNS] = {"patterns", KIND_STRINGS, offsetof(struct arguments, patterns)},
    [PARAMETER_NAMES] = {"names", KIND_STRINGS, offsetof(struct arguments, names)},
    [PARAMETER_ID] = {"id", KIND_STRING, offsetof(struct arguments, id)},
    [PARAMETER_HOW] = {"how", KIND_STRING, offsetof(struct arguments, how)},
    [PARAMETER_INTERFACE] = {"interface", KIND_STRING, offsetof(struct arguments, interface)},
    [PARAMETER_TIMEOUT] = {"timeout_ms", KIND_NUMBER, offsetof(struct arguments, timeout_ms)},
    [PARAMETER_FAILED] = {"failed", KIND_BOOL, offsetof(struct arguments, failed)},
    [PARAMETER_WAIT] = {"wait", KIND_BOOL, offsetof(struct arguments, wait)},
    [PARAMETER_DRY_RUN] = {"dry_run", KIND_BOOL, offsetof(struct arguments, dry_run)},
    [PARAMETER_START] = {"start", KIND_BOOL, offsetof(struct arguments, start)},
    [PARAMETER_FORCE] = {"force", KIND_BOOL, offsetof(struct arguments, force)},
    [PARAMETER_INITIAL] = {"initial", KIND_BOOL, offsetof(struct arguments, initial)},
    [PARAMETER_SIGNAL] = {"signal", KIND_STRING, offsetof(struct arguments, signal)},
    [PARAMETER_ALL] = {"all", KIND_BOOL, offsetof(struct arguments, all)},
    [PARAMETER_SWITCHES] = {"switches", KIND_BOOL, offsetof(struct arguments, switches)},
};

static bool all_strings(const json_t *array)
{
    size_t index;
    const json_t *value;

    if (!json_is_array(array))
        return false;
    for (index = 0; (value = json_array_get(array, index)); index++)
        if (!json_is_string(value))
            return false;
    return true;
}

/* Takes the value where it belongs; false when it is of another kind. */
static bool take(struct arguments *arguments, enum parameter parameter, const json_t *value)
{
    void *field = (char *)arguments + parameters[parameter].offset;

    switch (parameters[parameter].kind) {
    case KIND_STRING:
        *(const char **)field = json_string_value(value);
        return json_is_string(value);
    case KIND_STRINGS:
        *(const json_t **)field = value;
        return all_strings(value);
    case KIND_NUMBER:
        *(int64_t *)field = json_integer_value(value);
        return json_is_integer(value);
    case KIND_BOOL:
        *(bool *)field = json_is_true(value);
        return json_is_boolean(value);
    }
    return false;
}

/* Reads the call's parameters. Returns NULL, or the name of the first that is wrong: valid as long
 * as the call is. null counts as not given. */
static const char *read_arguments(struct arguments *arguments, const struct varlink_call *call,
                                  unsigned allowed, unsigned needed)
{
    const char *name;
    json_t *value;

    *arguments = (struct arguments){
        .timeout_ms = -1, .wait = true, .start = true, .more = call->more, .oneway = call->oneway};
    json_object_foreach(call->parameters, name, value)
    {
        enum parameter parameter = 0;
        while (parameter < PARAMETERS && strcmp(parameters[parameter].name, name) != 0)
            parameter++;
        if (parameter == PARAMETERS || !(allowed & 1u << parameter))
            return name;
        if (json_is_null(value))
            continue;
        if (!take(arguments, parameter, value))
            return name;
        needed &= ~(1u << parameter);
    }
    for (enum parameter parameter = 0; parameter < PARAMETERS; parameter++)
        if (needed & 1u << parameter)
            return parameters[parameter].name;
    if (json_array_size(arguments->patterns) > PATTERNS_MAX)
        return "patterns";
    if (arguments->timeout_ms < -1 || arguments->timeout_ms > TIMEOUT_MAX_MS)
        return "timeout_ms";
    if (arguments->id && (!*arguments->id || strlen(arguments->id) > ID_MAX_BYTES))
        return "id";
    return NULL;
}

/* ---- errors --------------------------------------------------------------------------------- */

void control_reply_error(struct connection *connection, const char *error, const char *key,
                         const char *value)
{
    struct json_writer writer = connection_writer(connection);

    varlink_begin_error(&writer, error);
    if (key)
        json_add_string(&writer, key, value);
    connection_end_message(connection, &writer);
}

/* The existing name most like this one, or NULL. Only names of about the same length are measured
 * against it, and not more than a few: anybody may ask for any name. */
static const char *nearest_name(struct control *control, const char *name)
{
    const struct manager *manager = &control->launcher->manager;
    const char *candidates[CANDIDATES_MAX];
    size_t count = 0, length = strlen(name), slack = length / 3 < 2 ? 2 : length / 3;

    for (uint32_t slot = 0; slot < manager->slots && count < CANDIDATES_MAX; slot++) {
        size_t other = strlen(manager->records[slot].name);
        if (manager->services[slot].in_use && other + slack >= length && other <= length + slack)
            candidates[count++] = manager->records[slot].name;
    }
    return text_nearest(name, candidates, count);
}

void control_reply_no_service(struct connection *connection, const char *name)
{
    struct json_writer writer = connection_writer(connection);

    varlink_begin_error(&writer, CONTROL_INTERFACE ".NoSuchService");
    json_add_string(&writer, "name", name);
    json_add_string(&writer, "nearest", nearest_name(connection->control, name));
    json_add_string(&writer, "why", launcher_why_missing(connection->control->launcher, name));
    connection_end_message(connection, &writer);
}

struct service *control_find(struct control *control, const char *name)
{
    return manager_find(&control->launcher->manager, name);
}

/* ---- handlers ------------------------------------------------------------------------------- */

static void handle_get_info(struct connection *connection, const struct arguments *arguments)
{
    struct json_writer writer = connection_writer(connection);

    varlink_begin_reply(&writer, false);
    json_add_string(&writer, "vendor", "conit");
    json_add_string(&writer, "product", "service-launcher");
    json_add_string(&writer, "version", CONIT_VERSION);
    json_add_string(&writer, "url", "");
    json_add_strings(&writer, "interfaces",
                     (const char *const[]){SERVICE_INTERFACE, CONTROL_INTERFACE, NULL});
    connection_end_message(connection, &writer);
}

static void handle_get_description(struct connection *connection, const struct arguments *arguments)
{
    struct json_writer writer;
    const char *text =
        !strcmp(arguments->interface, CONTROL_INTERFACE)   ? varlink_launcher_description
        : !strcmp(arguments->interface, SERVICE_INTERFACE) ? varlink_service_description
                                                           : NULL;

    if (!text) {
        control_reply_error(connection, SERVICE_INTERFACE ".InterfaceNotFound", "interface",
                            arguments->interface);
        return;
    }
    writer = connection_writer(connection);
    varlink_begin_reply(&writer, false);
    json_add_string(&writer, "description", text);
    connection_end_message(connection, &writer);
}

static enum shut_down shutting_down(const struct control *control)
{
    return (enum shut_down)control->launcher->manager.header->shut_down;
}

static void handle_describe(struct connection *connection, const struct arguments *arguments)
{
    const struct launcher *launcher = connection->control->launcher;
    struct json_writer writer = connection_writer(connection);
    struct show show = show_begin(connection->control, &writer);
    enum shut_down how = shutting_down(connection->control);
    int64_t services = 0;

    for (uint32_t slot = 0; slot < launcher->manager.slots; slot++)
        services += launcher->manager.services[slot].in_use;
    varlink_begin_reply(&writer, false);
    json_add_string(&writer, "version", CONIT_VERSION);
    json_add_number(&writer, "pid", getpid());
    json_add_string(&writer, "title", launcher->system_file->title);
    json_add_string(&writer, "system_version", launcher->system_file->version);
    json_add_string(&writer, "runtime", launcher->options.runtime);
    json_add_string(&writer, "logs", launcher->options.logs);
    json_add_string(&writer, "etc", launcher->options.etc);
    json_add_bool(&writer, "listed",
                  launcher->system_file->services_given || launcher->system_file->start_given);
    show_time(&show, "since", launcher->started_at_ns);
    json_add_number(&writer, "services", services);
    json_add_bool(&writer, "booted", launcher->started_said);
    json_add_string(&writer, "shutting_down", how == SHUT_DOWN_NONE ? NULL : shut_down_name(how));
    connection_end_message(connection, &writer);
}

/* The first of the names that is no pattern and no service's, or NULL. */
const char *control_find_missing(struct control *control, const json_t *names, bool patterns)
{
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (!(patterns && pattern_is_one(name)) && !control_find(control, name))
            return name;
    }
    return NULL;
}

ssize_t control_services_named(struct connection *connection, const json_t *names,
                               struct service ***ret)
{
    const char *missing = control_find_missing(connection->control, names, false);
    if (missing) {
        control_reply_no_service(connection, missing);
        return -1;
    }
    ssize_t count = control_select_names(connection->control, names, ret);
    connection->failed |= count < 0;
    return count < 0 ? -1 : count;
}

/* The reply to List and Status: `services` is from malloc. */
static void reply_services(struct connection *connection, struct service **services, ssize_t count,
                           void (*show_one)(struct show *show, const struct service *service))
{
    struct json_writer writer = connection_writer(connection);
    struct show show = show_begin(connection->control, &writer);

    varlink_begin_reply(&writer, false);
    json_put_key(&writer, "services");
    json_begin(&writer, '[');
    for (ssize_t i = 0; i < count; i++)
        show_one(&show, services[i]);
    json_end(&writer, ']');
    connection_end_message(connection, &writer);
    free(services);
}

static void handle_list(struct connection *connection, const struct arguments *arguments)
{
    struct control *control = connection->control;
    const char *missing = control_find_missing(control, arguments->patterns, true);
    struct service **services = NULL;

    if (missing) {
        control_reply_no_service(connection, missing);
        return;
    }
    ssize_t count = control_select(control, arguments->patterns, arguments->failed, &services);
    if (count < 0)
        connection_lack(connection, true);
    else
        reply_services(connection, services, count, show_service);
}

static void handle_status(struct connection *connection, const struct arguments *arguments)
{
    struct service **services = NULL;
    ssize_t count = control_services_named(connection, arguments->names, &services);
    if (count >= 0)
        reply_services(connection, services, count, show_details);
}

/* The services' own names, for they may be called by others that they provide. */
static void handle_resolve(struct connection *connection, const struct arguments *arguments)
{
    struct control *control = connection->control;
    struct json_writer writer = connection_writer(connection);
    size_t count = json_array_size(arguments->names);

    for (size_t i = 0; i < count; i++) {
        const char *name = json_string_value(json_array_get(arguments->names, i));
        if (!control_find(control, name) && !launcher_is_instance(control->launcher, name)) {
            control_reply_no_service(connection, name);
            return;
        }
    }
    varlink_begin_reply(&writer, false);
    json_put_key(&writer, "names");
    json_begin(&writer, '[');
    for (size_t i = 0; i < count; i++) {
        const char *name = json_string_value(json_array_get(arguments->names, i));
        const struct service *service = control_find(control, name);
        json_put_string(&writer,
                        service ? service_name(&control->launcher->manager, service) : name);
    }
    json_end(&writer, ']');
    connection_end_message(connection, &writer);
}

static void handle_start(struct connection *connection, const struct arguments *arguments)
{
    control_start_request(connection, arguments, REQUEST_START);
}

static void handle_stop(struct connection *connection, const struct arguments *arguments)
{
    control_start_request(connection, arguments, REQUEST_STOP);
}

static void handle_restart(struct connection *connection, const struct arguments *arguments)
{
    control_start_request(connection, arguments, REQUEST_RESTART);
}

static void handle_reload_services(struct connection *connection, const struct arguments *arguments)
{
    control_start_request(connection, arguments, REQUEST_RELOAD);
}

static void handle_reset(struct connection *connection, const struct arguments *arguments)
{
    control_start_request(connection, arguments, REQUEST_RESET);
}

static void handle_reload(struct connection *connection, const struct arguments *arguments)
{
    enum shut_down how = shutting_down(connection->control);

    if (how == SHUT_DOWN_NONE)
        control_start_reload(connection, arguments);
    else
        control_reply_error(connection, CONTROL_INTERFACE ".ShuttingDown", "how",
                            shut_down_name(how));
}

static void handle_upgrade(struct connection *connection, const struct arguments *arguments)
{
    enum shut_down how = shutting_down(connection->control);

    if (arguments->id && strlen(arguments->id) >= UPGRADE_ID_BYTES)
        control_reply_error(connection, SERVICE_INTERFACE ".InvalidParameter", "parameter", "id");
    else if (how == SHUT_DOWN_NONE)
        control_start_upgrade(connection, arguments);
    else
        control_reply_error(connection, CONTROL_INTERFACE ".ShuttingDown", "how",
                            shut_down_name(how));
}

static void handle_shut_down(struct connection *connection, const struct arguments *arguments)
{
    struct launcher *launcher = connection->control->launcher;
    struct json_writer writer = connection_writer(connection);
    enum shut_down how = SHUT_DOWN_POWEROFF;

    while (how < SHUT_DOWN_HOWS && strcmp(shut_down_name(how), arguments->how) != 0)
        how++;
    if (how == SHUT_DOWN_HOWS) {
        control_reply_error(connection, SERVICE_INTERFACE ".InvalidParameter", "parameter", "how");
        return;
    }
    LOG(INFO, "Asked to end the machine", TEXT("how", arguments->how),
        NUMBER("uid", connection->peer.uid));
    /* Before it is answered: a launcher that is killed in between does not leave it undone. */
    if (!launcher->manager.shutting_down)
        launcher->manager.header->shut_down = how;
    varlink_begin_reply(&writer, false);
    connection_end_message(connection, &writer);
    connection_send(connection);
    launcher_shut_down(launcher, how, arguments->force);
}

static void handle_drain(struct connection *connection, const struct arguments *arguments)
{
    control_start_drain(connection);
}

/* ---- the table ------------------------------------------------------------------------------ */

static const struct method {
    const char *name;
    unsigned allowed, needed; /* bits of enum parameter */
    bool changes;             /* not for everyone */
    bool needs_more;
    void (*handle)(struct connection *connection, const struct arguments *arguments);
} methods[] = {
    {SERVICE_INTERFACE ".GetInfo", 0, 0, false, false, handle_get_info},
    {SERVICE_INTERFACE ".GetInterfaceDescription", HAS(INTERFACE), HAS(INTERFACE), false, false,
     handle_get_description},
    {CONTROL_INTERFACE ".Describe", 0, 0, false, false, handle_describe},
    {CONTROL_INTERFACE ".List", HAS(PATTERNS) | HAS(FAILED), 0, false, false, handle_list},
    {CONTROL_INTERFACE ".Status", HAS(NAMES), 0, false, false, handle_status},
    {CONTROL_INTERFACE ".Show", HAS(NAMES), HAS(NAMES), false, false, control_show_definitions},
    {CONTROL_INTERFACE ".Resolve", HAS(NAMES), HAS(NAMES), false, false, handle_resolve},
    {CONTROL_INTERFACE ".Start", HAS(NAMES) | HAS(WAIT) | HAS(TIMEOUT) | HAS(ID), HAS(NAMES), true,
     false, handle_start},
    {CONTROL_INTERFACE ".Stop", HAS(NAMES) | HAS(WAIT) | HAS(TIMEOUT) | HAS(ID), HAS(NAMES), true,
     false, handle_stop},
    {CONTROL_INTERFACE ".Restart", HAS(NAMES) | HAS(WAIT) | HAS(TIMEOUT) | HAS(ID), HAS(NAMES),
     true, false, handle_restart},
    {CONTROL_INTERFACE ".ReloadServices", HAS(NAMES) | HAS(WAIT) | HAS(TIMEOUT) | HAS(ID),
     HAS(NAMES), true, false, handle_reload_services},
    {CONTROL_INTERFACE ".Reset", HAS(NAMES) | HAS(ID), HAS(NAMES), true, false, handle_reset},
    {CONTROL_INTERFACE ".Signal", HAS(NAMES) | HAS(SIGNAL) | HAS(ALL) | HAS(ID),
     HAS(NAMES) | HAS(SIGNAL), true, false, control_send_signal},
    {CONTROL_INTERFACE ".Reload", HAS(DRY_RUN) | HAS(START) | HAS(SWITCHES) | HAS(ID), 0, true,
     false, handle_reload},
    {CONTROL_INTERFACE ".Upgrade", HAS(ID), 0, true, false, handle_upgrade},
    {CONTROL_INTERFACE ".ShutDown", HAS(HOW) | HAS(FORCE) | HAS(ID), HAS(HOW), true, false,
     handle_shut_down},
    {CONTROL_INTERFACE ".DrainJournal", 0, 0, false, false, handle_drain},
    {CONTROL_INTERFACE ".Monitor", HAS(PATTERNS) | HAS(INITIAL), 0, false, true,
     control_start_monitor},
};

static const struct method *find_method(const char *name)
{
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (!strcmp(methods[i].name, name))
            return &methods[i];
    return NULL;
}

/* MethodNotFound, or InterfaceNotFound where not even the interface is ours. */
static void reply_no_method(struct connection *connection, const char *name)
{
    const char *dot = strrchr(name, '.'), *rest;
    char interface[64];
    bool ours;

    text_format(interface, sizeof interface, "%.*s", (int)(dot ? dot - name : 0), name);
    ours = text_starts_with(name, SERVICE_INTERFACE ".", &rest) ||
           text_starts_with(name, CONTROL_INTERFACE ".", &rest);
    if (dot && ours)
        control_reply_error(connection, SERVICE_INTERFACE ".MethodNotFound", "method", name);
    else if (dot)
        control_reply_error(connection, SERVICE_INTERFACE ".InterfaceNotFound", "interface",
                            interface);
    else
        control_reply_error(connection, SERVICE_INTERFACE ".InvalidParameter", "parameter",
                            "method");
}

/* A call with an id is of a method that changes something: it outlives its connection. */
static void dispatch(struct connection *connection, const struct varlink_call *call,
                     const char *bytes, size_t count)
{
    const struct method *method = find_method(call->method);
    struct arguments arguments;
    const char *wrong;

    if (!method) {
        reply_no_method(connection, call->method);
    } else if (method->changes && !connection->peer.may_change) {
        control_reply_error(connection, SERVICE_INTERFACE ".PermissionDenied", NULL, NULL);
    } else if ((wrong = read_arguments(&arguments, call, method->allowed, method->needed))) {
        control_reply_error(connection, SERVICE_INTERFACE ".InvalidParameter", "parameter", wrong);
    } else if (method->needs_more && !call->more) {
        control_reply_error(connection, SERVICE_INTERFACE ".ExpectedMore", NULL, NULL);
    } else if (connection->kept || !arguments.id ||
               !kept_call(connection, call, arguments.id, bytes, count)) {
        method->handle(connection, &arguments);
    }
}

void control_dispatch(struct connection *connection, const struct varlink_call *call)
{
    dispatch(connection, call, NULL, 0);
}

void control_handle(struct connection *connection, const char *bytes, size_t count)
{
    struct varlink_call call;
    char why[200];
    int r = varlink_call_parse(&call, bytes, count, why, sizeof why);

    if (r == -EBADMSG) {
        control_reply_error(connection, CONTROL_INTERFACE ".BadMessage", "why", why);
        connection->closing = true;
        return;
    }
    if (r < 0) { /* it connects and asks again */
        connection_lack(connection, true);
        return;
    }
    dispatch(connection, &call, bytes, count);
    if (call.oneway) {
        /* The output was empty before: a call is taken only then. */
        buffer_consume(&connection->output, buffer_used(&connection->output));
        control_end_call(connection);
        kept_leave(connection);
    }
    varlink_call_finish(&call);
}
