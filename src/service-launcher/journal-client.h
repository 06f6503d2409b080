/* The launcher's side of its link with the journal (protocol/journal-link.h).
 *
 * Nothing here ever waits. Every message is kept on the heap until the journal acknowledges it,
 * and sent again when a new journal says HELLO; events are bounded, registrations never are
 * dropped. What does not fit into the socket now is sent when it can be read from the other side.
 *
 * Who writes a service's pipe, in this order: STORE it with init, then journal_client_register(),
 * and the program is executed only once its registration is in the kernel's queue. So whoever is
 * killed, its output is found again. A launcher that was restarted registers every service it
 * adopts once more: the journal knows a pipe it reads already, and does nothing then. */
#pragma once

#include "base/list.h"
#include "loop/loop.h"
#include "protocol/journal-link.h"
#include "service-launcher/outbox.h"
#include "service/quota.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOURNAL_CLIENT_EVENTS_MAX 4096 /* not yet acknowledged; more are dropped and counted */
#define JOURNAL_CLIENT_OPEN_PIPE  (-2) /* for a descriptor: open_pipe gives it when it is sent */

/* A drain under way, embedded in the object that waits for it. A zeroed one is unset. */
struct journal_drain {
    struct list node;
    uint32_t token;
    bool pending;
    void (*on_drained)(struct journal_drain *drain); /* may free what it is embedded in */
};

struct journal_client {
    struct loop *loop;
    struct loop_fd source;
    struct loop_timer retry;
    uint64_t *sequence;    /* in the state memfd: the last number given out */
    struct outbox *outbox; /* of the owner: what of the queue outlives us; NULL: nothing */
    struct list queue;     /* struct queued: not acknowledged, oldest first */
    struct list *unsent;   /* the first of them that is not in the socket; &queue: none */
    struct list drains;
    uint32_t last_token;
    size_t events;        /* in the queue */
    uint64_t lost_events; /* dropped and not reported yet */
    int counts_fd;        /* -1: not known yet */
    bool batching;        /* set by the owner: lines wait for journal_client_flush() */
    bool paused;          /* set by the owner: so does everything */
    /* Set by the owner after init, each may be NULL. on_registered: the registration for which
     * journal_client_register() said -EAGAIN is in the kernel's queue now. on_note: a word of the
     * journal for the launcher's log. */
    void (*on_registered)(void *context, uint32_t id);
    /* The journal looks for the line of this run; it was there (said more than once); and: a new
     * journal is there, to be asked again for every line that is waited for. */
    void (*on_match_taken)(void *context, uint32_t id, const uint64_t run[2]);
    void (*on_matched)(void *context, uint32_t id, const uint64_t run[2]);
    void (*on_new_journal)(void *context);
    void (*on_note)(void *context, uint32_t level, const char *text);
    /* A descriptor of the service's pipe, which is closed once it is sent: thousands of services
     * that are taken up need no descriptor more. -ENOENT: it has none any more, and nothing is
     * sent; another -errno: it is tried again later. */
    int (*open_pipe)(void *context, uint32_t id);
    void *context;
};

/* `fd` stays the caller's and outlives the client; so does *sequence. Returns 0 or -errno. */
int journal_client_init(struct journal_client *client, struct loop *loop, int fd,
                        uint64_t *sequence);

/* What is said of services from here on is kept in the outbox, which outlives the client. What it
 * holds of a former launcher goes before all that was said so far and is not sent. 0 or -ENOMEM. */
int journal_client_keep(struct journal_client *client, struct outbox *outbox);

/* Frees what is queued; pending drains are forgotten without a call. */
void journal_client_finish(struct journal_client *client);

/* Gives the read end of a service's output pipe (any description of the pipe will do: the journal
 * opens its own) to the journal. `folder` NULL: LOGS/NAME. `flags`: enum journal_flag. `fd` is
 * taken in every case, or JOURNAL_CLIENT_OPEN_PIPE.
 * Returns 0 when the message is in the kernel's queue; -EAGAIN when it is queued here, and
 * on_registered will tell; -ENOMEM or -EINVAL (name or folder too long) when nothing is sent. */
int journal_client_register(struct journal_client *client, uint32_t id, const char *name,
                            const char *folder, uint32_t flags, const struct quota *quota, int fd);

/* Other flags and another quota, from now on, for a service that was registered; for any other it
 * does nothing. 0 or -ENOMEM. */
int journal_client_settings(struct journal_client *client, uint32_t id, uint32_t flags,
                            const struct quota *quota);

/* What holds for all journals. `cgroup`: the path of the cgroup that holds the services', as
 * /proc/PID/cgroup tells it, "" for none; `dev_log`: of the socket. `flags`: enum
 * journal_system_flag; `max_size_bytes` and `sync_ms`: 0 for the default.
 * 0, -ENOMEM, or -EINVAL: a path is too long. */
int journal_client_system(struct journal_client *client, uint32_t flags, uint64_t max_size_bytes,
                          uint32_t sync_ms, const char *dev_log, const char *cgroup);

/* A line about the service in its journal; `level` is syslog's 0 to 7. With JOURNAL_OWN_ID it is a
 * line of the journal `conit`. Line ends in it become blanks. Never fails: what cannot be kept is
 * counted, and said in the journal later. */
void journal_client_event(struct journal_client *client, uint32_t id, uint32_t level,
                          const char *format, ...) __attribute__((format(printf, 4, 5)));

/* For a log sink: `bytes` of one line, a line end at its end is left out. */
void journal_client_line(struct journal_client *client, uint32_t id, uint32_t level,
                         const char *line, size_t bytes);

/* Sends what waits. With `batching` it is called once a turn: the journal then wakes up for a whole
 * batch and not for each line. Errors and worse, registrations and requests never wait. */
void journal_client_flush(struct journal_client *client);

/* Whether all is in the socket. */
bool journal_client_has_sent(const struct journal_client *client);

/* The run is over: its unfinished line is ended, after what it printed was read, and an event says
 * how its process ended, in these words. Of a process whose end a launcher before this one has told
 * it does nothing. `pid` 0: there was no process, and there is no event. 0 or -ENOMEM. */
int journal_client_run_ended(struct journal_client *client, uint32_t id, int32_t pid,
                             uint32_t level, const char *words);

/* The id gets free: what is left in the pipe is written, then the journal forgets it.
 * 0 or -ENOMEM. */
int journal_client_forget(struct journal_client *client, uint32_t id);

/* How much a service has printed, as of now: a look into memory, nobody is asked. -ENOENT while the
 * journal has not said where; 0 or -errno. */
int journal_client_counts(const struct journal_client *client, uint32_t id,
                          struct journal_counts *ret);

/* Asks for the first line of what the service prints from now on that matches; `run` is the run's
 * invocation id. Once on_match_taken says so no line is missed. 0, -ENOMEM, or -EINVAL: too long.
 */
int journal_client_match(struct journal_client *client, uint32_t id, const uint64_t run[2],
                         const char *expression);

/* Nobody waits for it any more. 0 or -ENOMEM. */
int journal_client_unmatch(struct journal_client *client, uint32_t id, const uint64_t run[2]);

/* The number of what was said last, and whether the journal has carried out all up to a number. */
uint64_t journal_client_said(const struct journal_client *client);
bool journal_client_has_heard(const struct journal_client *client, uint64_t sequence);

/* Calls on_drained once everything that was printed before this call is in the files. Asked for
 * again when the journal is restarted; there is no time-out. 0 or -ENOMEM. */
int journal_client_drain(struct journal_client *client, struct journal_drain *drain,
                         void (*on_drained)(struct journal_drain *drain));

/* Forgets a drain, set or not. */
void journal_drain_cancel(struct journal_drain *drain);
