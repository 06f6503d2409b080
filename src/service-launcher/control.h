/* The control socket, inside: what the control-*.c files share. From outside it is launcher.h's
 * control_create(), control_destroy() and control_service_changed().
 *
 *   control.c           the listening socket, connections, and the bounds on them
 *   control-peer.c      who is on the other side, and what that one may do
 *   control-methods.c   the method table: from a call to its handler
 *   control-show.c      services as JSON
 *   control-requests.c  calls that wait: start, stop, restart, reload, drain, monitor, upgrade
 *   control-upgrade.c   what came of an upgrade, as JSON
 *   control-reload.c    what a reload found, as JSON
 *   control-kept.c      requests with an id, which outlive their connection and the launcher
 *   control-signal.c    signals to services
 *   control-definition.c  definitions in force, as JSON
 *
 * Nothing is closed or freed from inside a callback of the manager: what happens there is noted,
 * and a timer set to now does the rest. */
#pragma once

#include "protocol/pattern.h"
#include "protocol/varlink.h"
#include "service-launcher/journal-client.h"
#include "service-launcher/launcher.h"

#include <sys/types.h>

#define CONTROL_INTERFACE "org.conit.Launcher"
#define CONTROL_GROUP     "conit"

/* ---- who asks (control-peer.c) -------------------------------------------------------------- */

struct peer {
    uid_t uid;
    bool may_change;
};

/* Who has connected, by SO_PEERCRED and SO_PEERGROUPS. `group`: (gid_t)-1 for none. 0 or -errno. */
int control_read_peer(int socket, gid_t group, struct peer *ret);

/* ---- connections (control.c) ---------------------------------------------------------------- */

struct call;
struct kept;

struct connection {
    struct loop_fd source;
    struct loop_timer timer; /* set to now: there is something to do; else: output that stalls */
    struct list link;        /* in control->connections, least recently active first */
    struct control *control;
    struct peer peer;
    struct varlink_input input;
    struct buffer output;
    struct call *call;     /* the one that waits, NULL: none */
    struct kept *awaits;   /* the kept request that it waits for, NULL: none */
    struct kept *kept;     /* of the one without a socket: whose it is; else NULL */
    struct list kept_link; /* in awaits->clients */
    uint64_t sent_at_ns;   /* when output last moved */
    size_t counted_input;  /* in control->input_bytes */
    size_t counted_output; /* in control->output_bytes */
    bool hungry;           /* what came in holds no whole call */
    bool ended;            /* the client sends nothing more */
    bool closing;          /* to be closed once its output is sent */
    bool failed;           /* to be closed at once */
    bool undone;           /* it failed before anything was done: who asks again is not too late */
    bool more, quiet;      /* while it awaits: it wants progress; it wants not even an answer */
};

struct control {
    struct launcher *launcher;
    struct loop_fd listener;
    struct loop_timer pause; /* accept() failed for want of something: tried again then */
    int spare_fd;            /* given up for a moment to refuse a client when none is left */
    gid_t group;
    struct list connections, calls; /* calls: those that follow changes of state */
    struct list kept;               /* requests that are under way */
    struct loop_timer take_up;      /* there was no memory for some: tried again then */
    size_t connection_count, input_bytes, output_bytes;
    struct buffer scratch;
    uint64_t next_want_ns; /* when it may be said again that a client cannot be served */
};

/* Has the connection looked at soon: it has something to send, or is to go on. */
void connection_wake(struct connection *connection);

/* Sends as much of the output as can be sent now. */
void connection_send(struct connection *connection);

/* Says, now and then, that a client was hung up on for want of something. */
void control_say_want(struct control *control, int failed);

/* It fails for want of memory. `undone`: before anything was done of what it asked for. */
void connection_lack(struct connection *connection, bool undone);

/* Begins a writer on the connection's output. */
struct json_writer connection_writer(struct connection *connection);

/* Ends the message that the writer began. Without memory the client loses its connection, and asks
 * again. */
void connection_end_message(struct connection *connection, struct json_writer *writer);

/* ---- methods (control-methods.c) ------------------------------------------------------------ */

/* The parameters of all methods; which of them a method has is in its row. */
struct arguments {
    const json_t *patterns, *names; /* arrays of strings, or NULL */
    const char *id, *how, *interface, *signal;
    int64_t timeout_ms; /* -1: none */
    bool failed, wait, dry_run, start, force, initial, all, switches;
    bool more, oneway; /* of the call */
};

/* Carries out a call that was found to be in order, and may be made, on this connection. */
void control_dispatch(struct connection *connection, const struct varlink_call *call);

/* Carries out one call, and puts its reply, if it has one by now, into the output. */
void control_handle(struct connection *connection, const char *bytes, size_t count);

/* An error whose one parameter is a text; `key` NULL: none. `error` has its interface. */
void control_reply_error(struct connection *connection, const char *error, const char *key,
                         const char *value);

/* NoSuchService for this name. */
void control_reply_no_service(struct connection *connection, const char *name);

/* The service of that very name or that answers to it, or NULL. */
struct service *control_find(struct control *control, const char *name);

/* ---- services as JSON (control-show.c) ------------------------------------------------------ */

/* What is the same for all services of one reply. */
struct show {
    struct control *control;
    struct json_writer *writer;
    uint64_t realtime_offset_ns; /* CLOCK_REALTIME minus CLOCK_BOOTTIME */
};

struct show show_begin(struct control *control, struct json_writer *writer);

/* Adds a key with the reason's words, or null. */
void show_reason(struct show *show, const struct service *service);
void show_exit(struct show *show, const struct service *service);
void show_time(struct show *show, const char *key, uint64_t boottime_ns);
void show_pid(struct show *show, const struct service *service);

/* One object of the interface's type Service, or Details. */
void show_service(struct show *show, const struct service *service);
void show_details(struct show *show, const struct service *service);

/* All services in use that `patterns` (NULL: all) let through, sorted by name, as an array of
 * pointers that is the caller's to free. Returns how many, or -ENOMEM. */
ssize_t control_select(struct control *control, const json_t *patterns, bool failed,
                       struct service ***ret);
/* The services of these names (NULL or none: all), each once, in the order they are named. */
ssize_t control_select_names(struct control *control, const json_t *names, struct service ***ret);

/* Whether one of the patterns (none: any) fits the service's name; one without * ? [ is a name it
 * has or answers to. */
bool control_lets_through(struct control *control, const json_t *patterns,
                          const struct service *service);

/* The first pattern that is a name and no service's, or NULL; without `patterns` any such name. */
const char *control_find_missing(struct control *control, const json_t *names, bool patterns);

/* The services of these names, as control_select_names(). Where one is none, or without memory,
 * that is answered and -1 returned. */
ssize_t control_services_named(struct connection *connection, const json_t *names,
                               struct service ***ret);

/* ---- a reload (control-reload.c) ------------------------------------------------------------ */

/* The message that says what it found. */
void control_write_report(struct json_writer *writer, const struct reload_report *report);

/* Does the rest of a reload that a former launcher was killed in, by that message of it. Returns 0,
 * or -errno: then nothing was done. */
int control_finish_reload(struct launcher *launcher, const char *answer, bool start);

/* The last reply: what it found, or `why` it failed. */
void control_reply_reload(struct connection *connection, const struct reload_report *report,
                          const char *why);

/* Progress: what is being read. */
void control_reply_reading(struct connection *connection);

/* ---- an upgrade (control-upgrade.c) --------------------------------------------------------- */

/* The last reply, from the state; and that it goes on. */
void control_reply_upgraded(struct connection *connection);
void control_reply_upgrading(struct connection *connection);

/* ---- calls that wait (control-requests.c) --------------------------------------------------- */

/* Handlers of the methods; they reply, or leave connection->call set. */
void control_start_request(struct connection *connection, const struct arguments *arguments,
                           enum request_verb verb);
void control_start_drain(struct connection *connection);
void control_start_reload(struct connection *connection, const struct arguments *arguments);
void control_start_upgrade(struct connection *connection, const struct arguments *arguments);
void control_show_definitions(struct connection *connection, const struct arguments *arguments);
void control_send_signal(struct connection *connection, const struct arguments *arguments);
void control_start_monitor(struct connection *connection, const struct arguments *arguments);

/* Ends the connection's call without a reply, if it has one. What a request began goes on. */
void control_end_call(struct connection *connection);

/* Has its progress told soon: somebody has come who wants it. */
void control_tell_soon(struct connection *connection);

/* ---- requests that are kept (control-kept.c) ------------------------------------------------- */

struct request_item_record;

/* Carries out a call with an id, or attaches the connection to what that id has begun. Returns
 * false where it cannot be kept: then it is to be carried out as one without an id. */
bool kept_call(struct connection *connection, const struct varlink_call *call, const char *id,
               const char *bytes, size_t count);

/* Goes on with what a former launcher had been asked and has not answered. What there is no memory
 * for is tried again, until there is. */
void kept_take_up_all(struct control *control);
void kept_destroy_all(struct control *control);

/* A client goes, or has its answer. */
void kept_leave(struct connection *connection);

/* Hands out what the output holds: now, or in the loop's next turn. */
void kept_flush(struct kept *kept);
void kept_wake(struct kept *kept);

/* Whether one of its clients wants to know how it goes on. */
bool kept_is_heard(const struct kept *kept);

/* For handlers; on a connection of a client they do nothing. */
bool kept_again(const struct connection *connection); /* a former launcher may have begun it */
uint64_t kept_asked_ns(const struct connection *connection);

/* From here on the request is not carried out again, but waited for. */
void kept_begin(struct connection *connection, const struct request_item_record *items,
                size_t count);
/* What became of one item. */
void kept_note(struct connection *connection, size_t index, uint32_t standing);
/* The items of a request that a former launcher began, from malloc; 0: it did not; or -errno. */
ssize_t kept_items(const struct connection *connection, struct request_item_record **ret);

/* The answer that counts once the definitions with that number are in force. */
void kept_prepare(struct connection *connection, const struct buffer *answer, uint64_t commit);
/* Appends it to *ret, where it was prepared for that number. Returns 0; -ENOENT: it was not. */
int kept_prepared(struct connection *connection, uint64_t commit, struct buffer *ret);
