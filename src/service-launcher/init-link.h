/* The launcher's side of its pair with init (protocol/hand-over.h), on the launcher's loop.
 *
 * What must be in init's hands before the next step is tried at once (init_link_store); all else
 * is queued on the heap when the socket is full and sent by readiness, in order. What has been
 * sent is init's even if the launcher is killed right after: init reads all that a dead child has
 * sent before it starts the next.
 *
 * An ENDED is acknowledged after on_ended has returned for all its pairs: what on_ended has not
 * written into the state by then comes again after a crash, so a pair may come twice. */
#pragma once

#include "base/list.h"
#include "loop/loop.h"
#include "protocol/hand-over.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* All are called from the loop, none from inside an init_link_… function. Any may be NULL. */
struct init_link_handlers {
    /* A descriptor kept from before this start; it is the handler's now, and close-on-exec. Init
     * holds its own copy under `key` until it is dropped. */
    void (*on_held)(void *context, uint32_t key, int fd);
    /* No more on_held comes; nothing held: at once. `beside`: a former launcher stands by, and goes
     * on if this one does not get ready. */
    void (*on_held_done)(void *context, bool beside);
    void (*on_ended)(void *context, pid_t pid, int status);     /* as waitpid(2) gives it */
    void (*on_signal)(void *context, int signal, pid_t sender); /* sender 0: the kernel */
    void (*on_refused)(void *context, const uint32_t *keys, size_t count); /* not held */
    /* There is room again after -EAGAIN, once for any number of them. */
    void (*on_room)(void *context);
    /* A new launcher is to be tried beside this one, which answers with init_link_yield() or
     * init_link_failed(), soon; or is no longer to do so. */
    void (*on_yield)(void *context);
    void (*on_resume)(void *context);
    /* What became of an upgrade: bits of enum hand_over_part; a line "PART: why" for each of those
     * that failed. It comes again until init_link_upgraded_seen(). */
    void (*on_upgraded)(void *context, uint32_t done, uint32_t failed, const char *text);
    /* Init has gone (no child of init outlives it) or the socket failed. No handler is called
     * after this one. `error` is a -errno, 0 for the end of the stream. */
    void (*on_lost)(void *context, int error);
};

struct init_link {
    struct loop *loop;
    struct loop_fd source;
    const struct init_link_handlers *handlers;
    void *context;
    struct list queue; /* of messages not sent yet, the oldest first */
    size_t queued;     /* how many */
    bool room_wanted;
    struct list deferred;    /* of messages that came while we had yielded */
    struct loop_timer pause; /* set: the kernel lacks something, and nothing is tried until then */
};

/* Begins to listen on `socket` (CHILD_FD_INIT), which stays open and the caller's. Returns 0 or
 * -errno. `handlers` is not copied. */
int init_link_init(struct init_link *link, struct loop *loop, int socket,
                   const struct init_link_handlers *handlers, void *context);

/* Frees what is queued, unsent. */
void init_link_finish(struct init_link *link);

/* Sends up to HAND_OVER_KEYS_MAX descriptors to init, under their keys, for `owner` (bits of enum
 * hand_over_owner); one already there is replaced. When this returns 0 they are safe. The caller
 * keeps its own. -EAGAIN: there is no room now (or older messages are still queued), nothing was
 * done, on_room will be called. Else -errno. */
int init_link_store(struct init_link *link, uint32_t owner, const uint32_t *keys, const int *fds,
                    size_t count);

/* The same, but what does not fit now is queued (with copies of the descriptors) instead of
 * -EAGAIN. Any count. Returns 0, -ENOMEM, or -EMFILE. */
int init_link_store_queued(struct init_link *link, uint32_t owner, const uint32_t *keys,
                           const int *fds, size_t count);

/* Takes `owner` off the keys; init closes a descriptor that has no owner left. Any count. The
 * functions from here on queue what does not fit, and return 0, -ENOMEM, or a -errno of the
 * socket. */
int init_link_drop(struct init_link *link, uint32_t owner, const uint32_t *keys, size_t count);

/* Recovery is over and the launcher works: init starts to reap orphans and to report them. */
int init_link_ready(struct init_link *link);

/* While the machine ends: what is being waited for, at least every 5 s. Init shows it on the
 * console once the end takes longer than 5 s. */
int init_link_progress(struct init_link *link, const char *text);

/* The services are stopped: init is to end the rest. `status` is the exit status of a container's
 * init. `force`: they are not, and shall not be. The launcher is killed soon after. */
int init_link_shut_down(struct init_link *link, enum shut_down how, int status, bool force);

/* Has the files on disk taken for the parts (bits of enum hand_over_part; 0: all). */
int init_link_upgrade(struct init_link *link, uint32_t parts);

/* What on_upgraded said is where a crash cannot reach it. */
int init_link_upgraded_seen(struct init_link *link);

/* Why this launcher cannot take up the state, or cannot yield. */
int init_link_failed(struct init_link *link, const char *text);

/* Nothing is queued: tells init that this launcher stands still, and stands still, until init has
 * it go on or ends it. What came meanwhile is told to the handlers before it returns. Returns 0, or
 * -errno: then init is gone. */
int init_link_yield(struct init_link *link);
