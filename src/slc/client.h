/* slc's connection to the launcher.
 *
 *   struct client client;
 *   struct json_writer *parameters = client_begin(&client, slc, "Start", true);
 *   json_add_…(parameters, …);
 *   status = client_send(&client);
 *   while (status == SLC_DONE && !(status = client_receive(&client, &reply, …))) …
 *   client_finish(&client);
 *
 * A connection that is lost before its last reply is made again, and the request sent again: the
 * launcher that takes over from one that was killed answers it. */
#pragma once

#include "protocol/varlink.h"
#include "slc/slc.h"

#define CLIENT_INTERFACE "org.conit.Launcher."
#define CLIENT_ID_BYTES  33

struct client {
    const struct slc *slc;
    int socket; /* -1: none */
    struct buffer request;
    struct json_writer writer;
    struct varlink_input input;
    struct varlink_reply reply; /* the one handed out last */
    uint64_t give_up_at_ns;
    bool has_reply;
    bool answered;       /* at least one reply has come */
    unsigned reconnects; /* how often the connection was lost */
};

/* Begins a request; the writer takes its parameters. */
struct json_writer *client_begin(struct client *client, const struct slc *slc, const char *method,
                                 bool more);

/* Adds an array of the words given, where there are any. */
void client_add_words(struct client *client, const char *key);

/* Adds the `id` that tells the launcher that a request sent again is the same one. */
void client_add_id(struct client *client);

/* Sends the request, connecting first. Returns SLC_DONE, or an exit status after it has said why.
 */
int client_send(struct client *client);

/* Waits for the next reply: 10 s for the first answer, then 5 s each; for ever when `patient`, for
 * a stream in which nothing may happen for long.
 * Returns SLC_DONE with *ret (the client's, until the next call), or an exit status after it has
 * said why: also when the reply is an error. */
int client_receive(struct client *client, bool patient, const struct varlink_reply **ret);

/* The same for a stream: waits until `at_ns` (UINT64_MAX: for ever), and returns CLIENT_TIME_OVER
 * without a word when it is over. */
#define CLIENT_TIME_OVER (-1)
int client_receive_until(struct client *client, uint64_t at_ns, const struct varlink_reply **ret);

/* Sends what was begun and waits for its one reply. */
int client_ask(struct client *client, const struct varlink_reply **ret);

/* The same, but returns CLIENT_NO_SOCKET without a word where there is no socket at all: no
 * launcher has been there since the boot. One that is just being restarted has left its own. */
#define CLIENT_NO_SOCKET (-2)
int client_ask_if_any(struct client *client, const struct varlink_reply **ret);

/* The same, but without a word when there is no launcher: for who can do without. */
int client_ask_quietly(struct client *client, const struct varlink_reply **ret);

void client_finish(struct client *client);
