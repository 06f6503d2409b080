/* Calls that wait: start, stop, restart, reload until all services of the request have settled; a
 * drain until the journal has answered; a monitor until its client goes.
 *
 * What the manager or the journal tells comes in the middle of their work. So here it only sets
 * the call's timer to now, and the timer writes, ends and frees. Events of a monitor are the
 * exception: they are written at once, because the state may be another one later; nothing is
 * closed there either. */
#include "service-launcher/control-call.h"
#include "service-launcher/request-store.h"

#include "base/clock.h"
#include "base/text.h"
#include "log/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PROGRESS_EVERY_NS (2 * NS_PER_SEC) /* a client gives up after 5 s without a word */
#define PROGRESS_LEAST_NS (50 * NS_PER_MS) /* between two, however much happens */
#define DRAIN_MAX_NS      (4 * NS_PER_SEC) /* then the client reads what there is */
#define EVENTS_MAX_BYTES  (4u << 20)       /* not yet read by a client that monitors */

static struct loop *loop_of(const struct call *call)
{
    return &call->connection->control->launcher->loop;
}

/* ---- life ----------------------------------------------------------------------------------- */

static struct call *call_create(struct connection *connection, enum call_kind kind)
{
    struct call *call = calloc(1, sizeof *call);

    if (!call) {
        connection_lack(connection, true);
        return NULL;
    }
    call->kind = kind;
    call->connection = connection;
    list_init(&call->link);
    list_init(&call->request.link);
    connection->call = call;
    return call;
}

void control_end_call(struct connection *connection)
{
    struct call *call = connection->call;

    if (!call)
        return;
    connection->call = NULL;
    if (call->kind == CALL_REQUEST)
        manager_cancel(manager_of(call), &call->request);
    if (call->kind == CALL_DRAIN)
        journal_drain_cancel(&call->drain);
    if (call->reload)
        launcher_reload_leave(call->reload);
    loop_clear_timer(loop_of(call), &call->timer);
    list_remove(&call->link);
    for (size_t i = 0; i < call->name_count; i++)
        free(call->names[i]);
    free(call->names);
    free(call->request.items);
    json_decref(call->patterns);
    free(call);
}

/* ---- the call's timer ----------------------------------------------------------------------- */

static void on_timer(struct loop_timer *timer);

static void call_wake(struct call *call)
{
    loop_set_timer(loop_of(call), &call->timer, clock_now_ns(), on_timer);
}

/* Sets the timer to whatever comes first. */
static void call_sleep(struct call *call)
{
    uint64_t at = call->progress_at_ns;

    if (at && call->changed)
        at = call->told_at_ns + PROGRESS_LEAST_NS;
    if (call->give_up_at_ns && (!at || call->give_up_at_ns < at))
        at = call->give_up_at_ns;
    if (at)
        loop_set_timer(loop_of(call), &call->timer, at, on_timer);
}

/* Progress is left out while the client has not read the last one, and while there is none. */
static void call_tell(struct call *call, uint64_t now)
{
    if (call->connection->kept && !kept_is_heard(call->connection->kept)) {
        call->progress_at_ns = 0;
        return;
    }
    if (!buffer_used(&call->connection->output) && call->kind == CALL_RELOAD)
        control_reply_reading(call->connection);
    else if (!buffer_used(&call->connection->output) && call->kind == CALL_UPGRADE)
        control_reply_upgrading(call->connection);
    else if (!buffer_used(&call->connection->output))
        call_reply_progress(call);
    call->changed = false;
    call->told_at_ns = now;
    call->progress_at_ns = now + PROGRESS_EVERY_NS;
    connection_wake(call->connection);
}

static void reply_drain(struct call *call)
{
    struct json_writer writer = connection_writer(call->connection);

    varlink_begin_reply(&writer, false);
    json_add_string(&writer, "logs", call->connection->control->launcher->options.logs);
    json_add_bool(&writer, "drained", call->done);
    connection_end_message(call->connection, &writer);
}

static void on_timer(struct loop_timer *timer)
{
    struct call *call = container_of(timer, struct call, timer);
    struct connection *connection = call->connection;
    uint64_t now = clock_now_ns();

    if (call->done || (call->give_up_at_ns && now >= call->give_up_at_ns)) {
        if (call->kind == CALL_DRAIN)
            reply_drain(call);
        else if (call->kind == CALL_UPGRADE)
            control_reply_upgraded(connection);
        else
            call_reply_results(call, true);
        control_end_call(connection);
        connection_wake(connection);
        return;
    }
    if (call->progress_at_ns && (now >= call->progress_at_ns ||
                                 (call->changed && now >= call->told_at_ns + PROGRESS_LEAST_NS)))
        call_tell(call, now);
    call_sleep(call);
}

/* ---- start, stop, restart, reload, reset --------------------------------------------------- */

static void on_request_done(struct request *request)
{
    struct call *call = container_of(request, struct call, request);
    call->done = true;
    call_wake(call);
}

/* What is to run and is an instance of a template that nobody has named so far is made now. */
static int make_instances(struct call *call, const json_t *names)
{
    struct launcher *launcher = call->connection->control->launcher;
    bool made = false;

    for (size_t i = 0; i < json_array_size(names); i++) {
        int r = launcher_make_instance(launcher, json_string_value(json_array_get(names, i)));
        if (r == -ENOMEM)
            return r;
        made |= r > 0;
    }
    return made ? launcher_resolve(launcher) : 0;
}

/* Fills in the slots of the services named, each once. Returns 0, or -errno: -ENOENT with the name
 * that is no service's in *ret_missing. */
static int fill_items(struct call *call, const json_t *names, const char **ret_missing)
{
    struct manager *manager = manager_of(call);
    struct service **services;
    ssize_t count;

    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (!manager_find(manager, name)) {
            *ret_missing = name;
            return -ENOENT;
        }
    }
    count = control_select_names(call->connection->control, names, &services);
    if (count < 0)
        return (int)count;
    call->request.items = calloc((size_t)count + 1, sizeof *call->request.items);
    for (ssize_t i = 0; call->request.items && i < count; i++)
        call->request.items[i].slot = services[i]->slot;
    call->request.count = call->request.items ? (size_t)count : 0;
    free(services);
    return call->request.items ? 0 : -ENOMEM;
}

/* Keeps the names of all items, also of those the manager took along. Returns 0 or -ENOMEM. */
static int keep_names(struct call *call)
{
    const struct manager *manager = manager_of(call);

    call->names = calloc(call->request.count + 1, sizeof *call->names);
    if (!call->names)
        return -ENOMEM;
    for (size_t i = 0; i < call->request.count; i++) {
        call->names[i] = strdup(manager->records[call->request.items[i].slot].name);
        if (!call->names[i])
            return -ENOMEM;
        call->name_count++;
    }
    return 0;
}

static void log_request(const struct call *call, const json_t *names, const char *message)
{
    size_t count = json_array_size(names);
    LOG(DEBUG, message, TEXT("service", json_string_value(json_array_get(names, 0))),
        NUMBER("services", count), NUMBER("uid", call->connection->peer.uid));
}

/* ---- a request that is kept ------------------------------------------------------------------ */

static uint32_t standing_of(const struct request_item *item)
{
    return (uint32_t)item->outcome | (uint32_t)item->by << 8 | (uint32_t)item->why << 16 |
           (uint32_t)item->taken_along << 24;
}

static void on_item(struct request *request, const struct request_item *item)
{
    struct call *call = container_of(request, struct call, request);
    kept_note(call->connection, (size_t)(item - request->items), standing_of(item));
}

/* Notes that the manager has it, and what each service's part in it is. */
static void note_begun(struct call *call)
{
    const struct request *request = &call->request;
    struct request_item_record *records =
        call->connection->kept ? calloc(request->count + 1, sizeof *records) : NULL;

    for (size_t i = 0; records && i < request->count; i++) {
        const struct request_item *item = &request->items[i];
        records[i] = (struct request_item_record){.slot = item->slot,
                                                  .serial = item->serial,
                                                  .reload = item->reload,
                                                  .standing = standing_of(item)};
        text_format(records[i].name, sizeof records[i].name, "%s", call->names[i]);
    }
    if (records)
        kept_begin(call->connection, records, request->count);
    free(records);
}

/* An item as a former launcher noted it. A service that is not there any more has nothing to wait
 * for. */
static struct request_item item_of(const struct call *call,
                                   const struct request_item_record *record)
{
    const struct manager *manager = manager_of(call);
    struct request_item item = {.slot = record->slot,
                                .serial = record->serial,
                                .reload = record->reload,
                                .outcome = (enum outcome)(record->standing & 0xff),
                                .by = (enum request_verb)(record->standing >> 8 & 0xff),
                                .why = (enum refusal)(record->standing >> 16 & 0xff),
                                .taken_along = record->standing >> 24 & 1};
    bool there = record->slot < manager->slots && manager->services[record->slot].in_use &&
                 !strcmp(manager->records[record->slot].name, record->name);

    if (item.outcome > OUTCOME_REFUSED || item.by >= REQUEST_VERBS || item.why >= REFUSALS)
        item = (struct request_item){.slot = record->slot, .outcome = OUTCOME_FAILED};
    if (!there && item.outcome == OUTCOME_PENDING)
        item.outcome = call->request.verb == REQUEST_STOP ? OUTCOME_DONE : OUTCOME_FAILED;
    if (!there)
        item.slot = 0; /* put_result() sees by the name that it is not this one */
    return item;
}

/* Fills in what a former launcher began. Returns 1, 0: it had begun nothing; or -errno. */
static int take_up_items(struct call *call)
{
    struct request_item_record *records = NULL;
    ssize_t count = kept_items(call->connection, &records);

    if (count <= 0)
        return (int)count;
    call->request.items = calloc((size_t)count, sizeof *call->request.items);
    call->names = calloc((size_t)count, sizeof *call->names);
    for (ssize_t i = 0; call->request.items && call->names && i < count; i++) {
        call->request.items[call->request.count++] = item_of(call, &records[i]);
        if (!(call->names[call->name_count] = strdup(records[i].name)))
            break;
        call->name_count++;
    }
    free(records);
    return call->name_count == (size_t)count ? 1 : -ENOMEM;
}

/* A former launcher may have carried out a part of it before it was killed: what it finds done may
 * have been done by itself. */
static void excuse_repetition(struct call *call)
{
    if (kept_again(call->connection) &&
        (call->request.verb == REQUEST_STOP || call->request.verb == REQUEST_RESET))
        for (size_t i = 0; i < call->request.count; i++)
            if (call->request.items[i].outcome == OUTCOME_ALREADY)
                call->request.items[i].outcome = OUTCOME_DONE;
}

void control_tell_soon(struct connection *connection)
{
    struct call *call = connection->call;

    if (!call || (call->kind != CALL_REQUEST && call->kind != CALL_RELOAD))
        return;
    if (call->kind == CALL_REQUEST && list_empty(&call->link))
        list_append(&connection->control->calls, &call->link);
    call->progress_at_ns = clock_now_ns() + PROGRESS_LEAST_NS;
    call_sleep(call);
}

/* Begins to wait for the request, which the manager has. */
static void wait_for_request(struct call *call, const struct arguments *arguments)
{
    struct control *control = call->connection->control;
    uint64_t now = clock_now_ns();

    if (arguments->timeout_ms >= 0)
        call->give_up_at_ns =
            kept_asked_ns(call->connection) + (uint64_t)arguments->timeout_ms * NS_PER_MS;
    if (arguments->more) {
        list_append(&control->calls, &call->link);
        call->progress_at_ns = now + PROGRESS_LEAST_NS;
    }
    call_sleep(call);
}

/* Has the manager begin the request. Returns 0, or -errno: it is answered. */
static int begin_request(struct call *call, const struct arguments *arguments)
{
    static const char *const words[REQUEST_VERBS] = {
        [REQUEST_START] = "Asked to start",     [REQUEST_STOP] = "Asked to stop",
        [REQUEST_RESTART] = "Asked to restart", [REQUEST_RELOAD] = "Asked to reload",
        [REQUEST_RESET] = "Asked to reset",
    };
    struct connection *connection = call->connection;
    const char *missing = NULL;
    int r = call->request.verb == REQUEST_STOP ? 0 : make_instances(call, arguments->names);

    if (r == 0)
        r = fill_items(call, arguments->names, &missing);
    bool begun = r == 0;
    if (begun) {
        log_request(call, arguments->names, words[call->request.verb]);
        manager_request(manager_of(call), &call->request);
        r = keep_names(call);
    }
    if (r == -ENOENT)
        control_reply_no_service(connection, missing);
    else if (r < 0)
        connection_lack(connection, !begun);
    if (r < 0)
        return r;
    excuse_repetition(call);
    note_begun(call);
    return 0;
}

void control_start_request(struct connection *connection, const struct arguments *arguments,
                           enum request_verb verb)
{
    struct call *call;

    if (!json_array_size(arguments->names)) {
        control_reply_error(connection, "org.varlink.service.InvalidParameter", "parameter",
                            "names");
        return;
    }
    call = call_create(connection, CALL_REQUEST);
    if (!call)
        return;
    call->request.verb = verb;
    call->request.on_done = on_request_done;
    call->request.on_item = on_item;
    int r = take_up_items(call);
    if (r == 0)
        r = begin_request(call, arguments);
    else if (r > 0)
        manager_resume(manager_of(call), &call->request);
    else
        connection_lack(connection, true);
    if (r < 0) {
        control_end_call(connection);
    } else if (!call->request.pending || !arguments->wait || arguments->oneway) {
        call_reply_results(call, arguments->wait);
        control_end_call(connection);
    } else {
        wait_for_request(call, arguments);
    }
}

/* ---- reload --------------------------------------------------------------------------------- */

static void on_reloaded(struct reload_request *request, const struct reload_report *report,
                        const char *why)
{
    struct call *call = request->context;
    struct connection *connection = call->connection;

    call->reload = NULL;
    control_reply_reload(connection, report, why);
    control_end_call(connection);
    if (connection->kept) /* before anything else is put in force */
        kept_flush(connection->kept);
    connection_wake(connection);
}

/* The answer is kept before what it says is done: from then on it stands or falls with that. */
static void on_decided(struct reload_request *request, const struct reload_report *report,
                       uint64_t number)
{
    struct call *call = request->context;
    struct connection *connection = call->connection;
    struct buffer answer = {0};
    struct json_writer writer;

    if (!connection->kept)
        return;
    json_writer_init(&writer, &answer);
    control_write_report(&writer, report);
    if (!writer.failed)
        kept_prepare(connection, &answer, number);
    buffer_finish(&answer);
}

/* A former launcher was killed in the middle of it. Returns whether what it read is in force: then
 * the answer is in the output, or there was no memory, and it is tried again. */
static bool finish_reload(struct connection *connection, const struct arguments *arguments)
{
    struct launcher *launcher = connection->control->launcher;
    struct buffer *output = &connection->output;

    if (arguments->dry_run)
        return false;
    int failed = kept_prepared(connection, launcher->definitions_number, output);
    if (!failed)
        failed = control_finish_reload(launcher, buffer_bytes(output), arguments->start);
    if (!failed)
        return true;
    buffer_consume(output, buffer_used(output));
    if (failed == -ENOMEM)
        connection_lack(connection, true);
    return failed == -ENOMEM;
}

void control_start_reload(struct connection *connection, const struct arguments *arguments)
{
    if (finish_reload(connection, arguments))
        return;
    struct call *call = call_create(connection, CALL_RELOAD);

    if (!call)
        return;
    struct launcher *launcher = connection->control->launcher;
    call->reload = arguments->switches ? launcher_read_switches(launcher, on_reloaded, call)
                                       : launcher_reload(launcher, arguments->dry_run,
                                                         arguments->start, on_reloaded, call);
    if (!call->reload) {
        connection_lack(connection, true);
        control_end_call(connection);
        return;
    }
    call->reload->on_decided = on_decided;
    call->progress_at_ns = arguments->more ? clock_now_ns() + PROGRESS_EVERY_NS : 0;
    call_sleep(call);
}

/* ---- upgrade -------------------------------------------------------------------------------- */

void control_start_upgrade(struct connection *connection, const struct arguments *arguments)
{
    struct control *control = connection->control;
    int r = launcher_upgrade(control->launcher, arguments->id ? arguments->id : "",
                             connection->peer.uid);
    struct call *call;

    if (r < 0) {
        control_reply_error(connection, CONTROL_INTERFACE ".UpgradeUnderWay", NULL, NULL);
        return;
    }
    call = call_create(connection, CALL_UPGRADE);
    if (!call)
        return;
    list_append(&control->calls, &call->link);
    call->done = r > 0;
    call->progress_at_ns = arguments->more ? clock_now_ns() + PROGRESS_EVERY_NS : 0;
    if (call->done)
        call_wake(call);
    else
        call_sleep(call);
}

void control_upgrade_ended(struct control *control)
{
    list_for_each(link, &control->calls)
    {
        struct call *call = container_of(link, struct call, link);
        if (call->kind != CALL_UPGRADE)
            continue;
        call->done = true;
        call_wake(call);
    }
}

/* ---- drain ---------------------------------------------------------------------------------- */

static void on_drained(struct journal_drain *drain)
{
    struct call *call = container_of(drain, struct call, drain);
    call->done = true;
    call_wake(call);
}

void control_start_drain(struct connection *connection)
{
    struct journal_client *journal = connection->control->launcher->journal;
    struct call *call = call_create(connection, CALL_DRAIN);

    if (!call)
        return;
    if (!journal || journal_client_drain(journal, &call->drain, on_drained) < 0) {
        reply_drain(call);
        control_end_call(connection);
        return;
    }
    call->give_up_at_ns = clock_now_ns() + DRAIN_MAX_NS;
    call_sleep(call);
}

/* ---- monitor -------------------------------------------------------------------------------- */

/* One message of the event, in `out`. `before` NULL: none. Returns 0 or -ENOMEM. */
static int write_event(struct control *control, struct buffer *out, const struct service *service,
                       const char *before)
{
    const struct manager *manager = &control->launcher->manager;
    struct json_writer writer;
    struct show show = show_begin(control, &writer);
    const struct service_body *body = service_body(manager, service);

    json_writer_init(&writer, out);
    varlink_begin_reply(&writer, true);
    json_put_key(&writer, "event");
    json_begin(&writer, '{');
    show_time(&show, "time", body->since_ns);
    json_add_string(&writer, "name", service_name(manager, service));
    json_add_string(&writer, "state", service_state_shown(manager, service));
    json_add_string(&writer, "before", before);
    show_pid(&show, service);
    show_exit(&show, service);
    show_reason(&show, service);
    json_add_number(&writer, "restarts", body->restarts);
    json_end(&writer, '}');
    varlink_end(&writer);
    return writer.failed ? -ENOMEM : 0;
}

void control_start_monitor(struct connection *connection, const struct arguments *arguments)
{
    struct control *control = connection->control;
    const char *missing = control_find_missing(control, arguments->patterns, true);
    struct service **services;
    struct call *call;
    ssize_t count;

    if (missing) {
        control_reply_no_service(connection, missing);
        return;
    }
    call = call_create(connection, CALL_MONITOR);
    if (!call)
        return;
    call->patterns = json_incref((json_t *)arguments->patterns);
    list_append(&control->calls, &call->link);
    if (!arguments->initial)
        return;
    count = control_select(control, arguments->patterns, false, &services);
    if (count < 0)
        connection_lack(connection, true);
    for (ssize_t i = 0; i < count; i++)
        if (write_event(control, &connection->output, services[i], NULL) < 0)
            connection_lack(connection, true);
    if (count >= 0)
        free(services);
}

static void send_event(struct call *call, const struct buffer *event)
{
    struct connection *connection = call->connection;

    if (buffer_used(&connection->output) + buffer_used(event) > EVENTS_MAX_BYTES ||
        buffer_append(&connection->output, buffer_bytes(event), buffer_used(event)) < 0)
        connection->failed = true; /* it does not read: closed, and told by that */
    connection_wake(connection);
}

void control_service_changed(struct control *control, struct service *service,
                             enum service_state before)
{
    const struct manager *manager = &control->launcher->manager;
    bool shown = strcmp(machine_states[before].shown, service_state_shown(manager, service)) != 0;
    bool written = false;

    list_for_each(link, &control->calls)
    {
        struct call *call = container_of(link, struct call, link);
        if (call->kind == CALL_REQUEST) {
            call->changed = true;
            call_sleep(call);
            continue;
        }
        if (call->kind != CALL_MONITOR || !shown ||
            !control_lets_through(control, call->patterns, service))
            continue;
        if (!written) {
            buffer_consume(&control->scratch, buffer_used(&control->scratch));
            if (write_event(control, &control->scratch, service, machine_states[before].shown) < 0)
                connection_lack(call->connection, true);
        }
        written = true;
        send_event(call, &control->scratch);
    }
}
