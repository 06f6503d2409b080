/* Requests that are kept: those with an id, of methods that change something.
 *
 * Such a call is carried out on a connection of its own that has no socket, so it does not matter
 * whether its client is still there. Whoever sends the same id (of the same user) is attached, and
 * gets its progress and its answer. Call, services and answer are in the request store, which a
 * next launcher takes up: what had not begun is carried out then, what had begun is waited for, and
 * an answer that was given is given again. */
#include "service-launcher/control.h"
#include "service-launcher/request-store.h"

#include "base/clock.h"
#include "base/text.h"
#include "log/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAKE_UP_AGAIN_NS (NS_PER_SEC / 10) /* when there was no memory */

struct kept {
    struct connection connection; /* without a socket; its output is what the client is to get */
    struct list link;             /* in control->kept, the oldest first */
    struct list clients;          /* connections, by kept_link */
    struct request_record *record;
    bool again;    /* a former launcher had begun to carry it out */
    bool answered; /* it has its answer, and is to be freed */
};

static struct request_store *store_of(const struct control *control)
{
    return control->launcher->requests;
}

static struct kept *kept_of(struct list *link)
{
    return container_of(link, struct kept, link);
}

static struct connection *client_of(struct list *link)
{
    return container_of(link, struct connection, kept_link);
}

/* ---- life ----------------------------------------------------------------------------------- */

static void on_timer(struct loop_timer *timer);

static struct kept *kept_create(struct control *control, struct request_record *record)
{
    struct kept *kept = calloc(1, sizeof *kept);
    if (!kept)
        return NULL;
    kept->record = record;
    kept->connection.control = control;
    kept->connection.source.fd = -1;
    kept->connection.peer = (struct peer){.uid = record->uid, .may_change = true};
    kept->connection.kept = kept;
    list_init(&kept->connection.link);
    list_init(&kept->connection.kept_link);
    list_init(&kept->clients);
    list_append(&control->kept, &kept->link);
    return kept;
}

static void kept_destroy(struct kept *kept)
{
    struct control *control = kept->connection.control;
    list_for_each(link, &kept->clients) kept_leave(client_of(link));
    control_end_call(&kept->connection);
    loop_clear_timer(&control->launcher->loop, &kept->connection.timer);
    buffer_finish(&kept->connection.output);
    list_remove(&kept->link);
    free(kept);
}

void kept_leave(struct connection *connection)
{
    list_remove(&connection->kept_link);
    connection->awaits = NULL;
}

void kept_destroy_all(struct control *control)
{
    list_for_each(link, &control->kept) kept_destroy(kept_of(link));
}

/* ---- what its clients get ------------------------------------------------------------------- */

static void send_to(struct connection *connection, const char *bytes, size_t count)
{
    if (!connection->quiet && buffer_append(&connection->output, bytes, count) < 0)
        connection_lack(connection, false);
    connection_send(connection);
    connection_wake(connection);
}

static void send_progress(struct kept *kept, const char *bytes, size_t count)
{
    list_for_each(link, &kept->clients)
    {
        struct connection *connection = client_of(link);
        if (connection->more && !buffer_used(&connection->output))
            send_to(connection, bytes, count);
    }
}

/* Nobody asked for it who could be told, or ask again: see control_keep_reload(). */
static bool is_our_own(const struct request_record *record)
{
    return !record->id[0];
}

/* The answer is kept before anybody gets it. */
static void send_answer(struct kept *kept, const char *bytes, size_t count)
{
    struct control *control = kept->connection.control;
    int failed = 0;
    if (is_our_own(kept->record))
        request_store_forget(store_of(control), kept->record);
    else
        failed = request_store_answer(store_of(control), kept->record, bytes, count);
    if (failed)
        LOG(WARNING, "The answer to a request is not kept", TEXT("error", strerror(-failed)));
    kept->answered = true;
    list_for_each(link, &kept->clients)
    {
        struct connection *connection = client_of(link);
        kept_leave(connection);
        send_to(connection, bytes, count);
    }
}

static void on_take_up_time(struct loop_timer *timer)
{
    kept_take_up_all(container_of(timer, struct control, take_up));
}

static void take_up_later(struct control *control)
{
    loop_set_timer(&control->launcher->loop, &control->take_up, clock_now_ns() + TAKE_UP_AGAIN_NS,
                   on_take_up_time);
}

/* Without memory nobody can be told what came of it; what was done is done. Of what a former
 * launcher had begun nothing was done by this one: it is taken up once more. */
static void lose_answer(struct kept *kept)
{
    if (kept->connection.undone && kept->again)
        take_up_later(kept->connection.control);
    else if (kept->connection.undone || is_our_own(kept->record))
        request_store_forget(store_of(kept->connection.control), kept->record);
    else
        request_store_spend(store_of(kept->connection.control), kept->record);
    kept->answered = true;
    list_for_each(link, &kept->clients)
    {
        struct connection *connection = client_of(link);
        kept_leave(connection);
        connection->failed = true;
        connection_wake(connection);
    }
}

/* Messages end with a NUL; the last one is the answer once nothing is waited for any more. */
void kept_flush(struct kept *kept)
{
    struct buffer *output = &kept->connection.output;
    const char *end;

    while (!kept->answered && buffer_used(output) &&
           (end = memchr(buffer_bytes(output), 0, buffer_used(output)))) {
        size_t count = (size_t)(end - buffer_bytes(output)) + 1;
        if (count == buffer_used(output) && !kept->connection.call)
            send_answer(kept, buffer_bytes(output), count);
        else
            send_progress(kept, buffer_bytes(output), count);
        buffer_consume(output, count);
    }
    if (kept->connection.failed && !kept->answered)
        lose_answer(kept);
}

static void on_timer(struct loop_timer *timer)
{
    struct kept *kept = container_of(timer, struct kept, connection.timer);
    kept_flush(kept);
    if (kept->answered)
        kept_destroy(kept);
}

void kept_wake(struct kept *kept)
{
    loop_set_timer(&kept->connection.control->launcher->loop, &kept->connection.timer,
                   clock_now_ns(), on_timer);
}

bool kept_is_heard(const struct kept *kept)
{
    list_for_each(link, &kept->clients) if (client_of(link)->more) return true;
    return false;
}

/* ---- asking --------------------------------------------------------------------------------- */

static void attach(struct kept *kept, struct connection *connection,
                   const struct varlink_call *call)
{
    connection->awaits = kept;
    connection->more = call->more;
    connection->quiet = call->oneway;
    list_append(&kept->clients, &connection->kept_link);
    if (call->more)
        control_tell_soon(&kept->connection);
}

static struct kept *find_kept(struct control *control, const struct request_record *record)
{
    list_for_each(link, &control->kept) if (kept_of(link)->record == record) return kept_of(link);
    return NULL;
}

static bool is_under_way(const struct request_record *record)
{
    return record->phase == REQUEST_ASKED || record->phase == REQUEST_BEGUN;
}

static void take_up(struct control *control, struct request_record *record);

/* A request that is known already: its answer, or the wait for it. */
static void ask_again(struct connection *connection, const struct varlink_call *call,
                      struct request_record *record, uint64_t call_hash)
{
    struct control *control = connection->control;

    if (is_under_way(record) && !find_kept(control, record))
        take_up(control, record);
    struct kept *kept = find_kept(control, record);

    if (record->call_hash != call_hash)
        control_reply_error(connection, "org.varlink.service.InvalidParameter", "parameter", "id");
    else if (kept)
        attach(kept, connection, call);
    else if (is_under_way(record)) /* there is no memory yet to take it up */
        connection_lack(connection, true);
    else if (record->phase != REQUEST_ANSWERED)
        control_reply_error(connection, CONTROL_INTERFACE ".AnswerNotKept", "id", record->id);
    else if (!call->oneway &&
             request_store_read_answer(store_of(control), record, &connection->output) < 0)
        connection->failed = true;
}

/* FNV-1a, over the method and what it is given. */
static uint64_t hash_bytes(uint64_t hash, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001b3u;
    return hash;
}

static int on_text(const char *bytes, size_t count, void *hash)
{
    *(uint64_t *)hash = hash_bytes(*(uint64_t *)hash, bytes, count);
    return 0;
}

/* Not by json_dumps(), which without memory for a key leaves it out of its text, and says nothing.
 */
static int hash_of(const struct varlink_call *call, uint64_t *ret)
{
    uint64_t hash = hash_bytes(0xcbf29ce484222325u, call->method, strlen(call->method) + 1);
    if (call->parameters &&
        json_dump_callback(call->parameters, on_text, &hash, JSON_SORT_KEYS | JSON_COMPACT) < 0)
        return -ENOMEM;
    *ret = hash_bytes(hash, "", 1);
    return 0;
}

/* All records wait for their answer: the oldest one whose client has gone gives up its place. */
static bool forget_lonely(struct control *control)
{
    list_for_each(link, &control->kept)
    {
        struct kept *kept = kept_of(link);
        if (!list_empty(&kept->clients))
            continue;
        request_store_forget(store_of(control), kept->record);
        kept_destroy(kept);
        return true;
    }
    return false;
}

bool kept_call(struct connection *connection, const struct varlink_call *call, const char *id,
               const char *bytes, size_t count)
{
    struct control *control = connection->control;
    struct request_store *store = store_of(control);
    struct request_record *record;

    if (!store)
        return false;
    uint64_t call_hash;
    int failed = hash_of(call, &call_hash);
    if (failed) { /* it connects and asks again */
        connection_lack(connection, true);
        return true;
    }
    record = request_store_find(store, connection->peer.uid, id);
    if (record) {
        ask_again(connection, call, record, call_hash);
        return true;
    }
    failed = request_store_add(store, connection->peer.uid, id, bytes, count, call_hash, &record);
    if (failed == -ENOBUFS && forget_lonely(control))
        failed =
            request_store_add(store, connection->peer.uid, id, bytes, count, call_hash, &record);
    struct kept *kept = failed ? NULL : kept_create(control, record);
    if (!kept) {
        LOG(WARNING, "A request is not kept: a crash of the launcher would lose it",
            TEXT("error", strerror(failed ? -failed : ENOMEM)));
        if (!failed)
            request_store_forget(store, record);
        return false;
    }
    attach(kept, connection, call);
    control_dispatch(&kept->connection, call);
    kept_flush(kept);
    if (kept->answered)
        kept_destroy(kept);
    return true;
}

/* ---- what a former launcher had been asked --------------------------------------------------- */

static void take_up(struct control *control, struct request_record *record)
{
    struct buffer bytes = {0};
    struct varlink_call call;
    char why[200];
    struct kept *kept = kept_create(control, record);

    if (!kept) {
        control_say_want(control, -ENOMEM);
        take_up_later(control);
        return;
    }
    kept->again = true;
    int failed = request_store_read_call(store_of(control), record, &bytes);
    if (!failed)
        failed =
            varlink_call_parse(&call, buffer_bytes(&bytes), buffer_used(&bytes), why, sizeof why);
    if (failed == -ENOMEM) {
        connection_lack(&kept->connection, true);
        lose_answer(kept);
    } else if (failed) {
        LOG(ERROR, "A request of the former launcher's time cannot be taken up",
            TEXT("error", strerror(-failed)));
        lose_answer(kept);
    } else {
        control_dispatch(&kept->connection, &call);
        varlink_call_finish(&call);
        kept_flush(kept);
    }
    buffer_finish(&bytes);
    if (kept->answered)
        kept_destroy(kept);
}

/* In the order they were asked in: a later one may overtake an earlier one. */
void kept_take_up_all(struct control *control)
{
    struct request_store *store = store_of(control);
    uint64_t last = 0;

    while (store) {
        struct request_record *asked = request_store_next(store, REQUEST_ASKED, last);
        struct request_record *begun = request_store_next(store, REQUEST_BEGUN, last);
        struct request_record *next =
            !asked || (begun && begun->order < asked->order) ? begun : asked;
        if (!next)
            return;
        last = next->order;
        if (!find_kept(control, next))
            take_up(control, next);
    }
}

/* ---- what its handler notes ------------------------------------------------------------------ */

bool kept_again(const struct connection *connection)
{
    return connection->kept && connection->kept->again;
}

uint64_t kept_asked_ns(const struct connection *connection)
{
    return connection->kept ? connection->kept->record->asked_ns : clock_now_ns();
}

void kept_begin(struct connection *connection, const struct request_item_record *items,
                size_t count)
{
    struct kept *kept = connection->kept;
    int failed =
        !kept ? 0 : request_store_begin(store_of(connection->control), kept->record, items, count);
    if (failed)
        LOG(WARNING, "What a request has begun is not kept", TEXT("error", strerror(-failed)));
}

void kept_note(struct connection *connection, size_t index, uint32_t standing)
{
    struct kept *kept = connection->kept;
    if (kept && kept->record->phase == REQUEST_BEGUN)
        (void)request_store_set_standing(store_of(connection->control), kept->record, index,
                                         standing);
}

ssize_t kept_items(const struct connection *connection, struct request_item_record **ret)
{
    const struct kept *kept = connection->kept;
    if (!kept || kept->record->phase != REQUEST_BEGUN)
        return 0;
    return request_store_read_items(store_of(connection->control), kept->record, ret);
}

void kept_prepare(struct connection *connection, const struct buffer *answer, uint64_t commit)
{
    struct kept *kept = connection->kept;
    if (kept && request_store_prepare(store_of(connection->control), kept->record,
                                      buffer_bytes(answer), buffer_used(answer), commit) < 0)
        LOG(WARNING, "The answer to a reload is not kept while it is carried out");
}

int kept_prepared(struct connection *connection, uint64_t commit, struct buffer *ret)
{
    const struct kept *kept = connection->kept;
    if (!kept || !kept->record->commit || kept->record->commit != commit)
        return -ENOENT;
    return request_store_read_answer(store_of(connection->control), kept->record, ret);
}

/* ---- what nobody has asked for --------------------------------------------------------------- */

struct request_record *control_keep_reload(struct launcher *launcher,
                                           const struct reload_report *report, uint64_t commit)
{
    static const char call[] = "{\"method\":\"" CONTROL_INTERFACE ".Reload\"}";
    struct request_store *store = launcher->requests;
    struct request_record *record = NULL;
    struct buffer answer = {0};
    struct json_writer writer;

    json_writer_init(&writer, &answer);
    control_write_report(&writer, report);
    int failed = !store ? -ENOENT : writer.failed ? -ENOMEM : 0;
    if (!failed)
        failed = request_store_add(store, getuid(), "", call, sizeof call - 1, 0, &record);
    if (!failed)
        failed = request_store_prepare(store, record, buffer_bytes(&answer), buffer_used(&answer),
                                       commit);
    buffer_finish(&answer);
    if (failed)
        LOG(WARNING, "A crash of the launcher would leave a reload half done",
            TEXT("error", strerror(-failed)));
    return record;
}

void control_forget_reload(struct launcher *launcher, struct request_record *record)
{
    if (record)
        request_store_forget(launcher->requests, record);
}
