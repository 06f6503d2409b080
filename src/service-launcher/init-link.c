/* The launcher's side of its pair with init: what cannot be sent at once waits on the heap, in
 * order, until the socket takes it. */
#include "service-launcher/init-link.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/shortage.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* Messages taken in one turn, so that a flood of them does not keep the loop from its other work.
 */
#define RECEIVED_A_TURN 32

struct queued {
    struct list node;
    struct hand_over_message message;
    size_t fd_count;
    int fds[];
};

static void destroy_queued(struct queued *queued)
{
    for (size_t i = 0; i < queued->fd_count; i++)
        close(queued->fds[i]);
    free(queued);
}

static void watch(struct init_link *link)
{
    bool out = link->queued || link->room_wanted;
    uint32_t events = EPOLLIN | (out ? EPOLLOUT : 0u);
    if (link->source.fd >= 0)
        loop_change(link->loop, &link->source, link->pause.set ? 0 : events);
}

static void on_pause_over(struct loop_timer *timer);

/* The kernel lacks something: the socket would be ready all the time, and nothing would come of it.
 */
static void pause_a_while(struct init_link *link)
{
    loop_set_timer(link->loop, &link->pause, clock_now_ns() + SHORTAGE_RETRY_MS * NS_PER_MS,
                   on_pause_over);
    watch(link);
}

/* 0, -EAGAIN when it has to wait, or -errno. */
static int send_now(struct init_link *link, struct hand_over_message *message, const int *fds,
                    size_t fd_count)
{
    int failed =
        link->pause.set ? -EAGAIN : hand_over_send(link->source.fd, message, fds, fd_count);
    if (!is_shortage(failed))
        return failed;
    pause_a_while(link);
    return -EAGAIN;
}

/* Sends from the queue what the socket takes. Returns 0 when it is empty, -EAGAIN, or -errno. */
static int flush(struct init_link *link)
{
    while (!list_empty(&link->queue)) {
        struct queued *first = container_of(list_first(&link->queue), struct queued, node);
        int failed = send_now(link, &first->message, first->fds, first->fd_count);
        if (failed)
            return failed;
        list_remove(&first->node);
        link->queued--;
        destroy_queued(first);
    }
    return 0;
}

static struct queued *create_queued(const struct hand_over_message *message, size_t fd_count)
{
    struct queued *queued = malloc(sizeof *queued + fd_count * sizeof(int));
    if (!queued)
        return NULL;
    list_init(&queued->node);
    queued->message = *message;
    queued->fd_count = 0;
    return queued;
}

static int enqueue(struct init_link *link, const struct hand_over_message *message, const int *fds,
                   size_t fd_count)
{
    struct queued *queued = create_queued(message, fd_count);
    if (!queued)
        return -ENOMEM;
    for (size_t i = 0; i < fd_count; i++) {
        int copy = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
        if (copy < 0) {
            int failed = -errno;
            destroy_queued(queued);
            return failed;
        }
        queued->fds[queued->fd_count++] = copy;
    }
    list_append(&link->queue, &queued->node);
    link->queued++;
    watch(link);
    return 0;
}

/* Sends now, or -EAGAIN when older ones wait or there is no room. */
static int try_send(struct init_link *link, struct hand_over_message *message, const int *fds,
                    size_t fd_count)
{
    if (link->source.fd < 0)
        return -ENOTCONN;
    int failed = flush(link);
    return failed ? failed : send_now(link, message, fds, fd_count);
}

static int send_or_queue(struct init_link *link, struct hand_over_message *message, const int *fds,
                         size_t fd_count)
{
    int failed = try_send(link, message, fds, fd_count);
    return failed == -EAGAIN ? enqueue(link, message, fds, fd_count) : failed;
}

/* ---- what comes ---------------------------------------------------------------------------- */

static void lose(struct init_link *link, int error)
{
    loop_remove(link->loop, &link->source);
    if (link->handlers->on_lost)
        link->handlers->on_lost(link->context, error);
}

static void take_held(struct init_link *link, const struct hand_over_message *message,
                      const int *fds)
{
    for (size_t i = 0; fds && i < message->count; i++) {
        if (link->handlers->on_held)
            link->handlers->on_held(link->context, message->keys[i], fds[i]);
        else
            close(fds[i]);
    }
}

static void take_ended(struct init_link *link, const struct hand_over_message *message)
{
    struct hand_over_message seen = {.type = HAND_OVER_ENDED_SEEN,
                                     .argument = (int32_t)message->count};
    for (size_t i = 0; i < message->count && link->handlers->on_ended; i++)
        link->handlers->on_ended(link->context, message->ended[i].pid, message->ended[i].status);
    send_or_queue(link, &seen, NULL, 0); /* one that is lost makes the pairs come again, no more */
}

static void take_upgraded(struct init_link *link, const struct hand_over_message *message)
{
    char text[sizeof message->text + 1];
    memcpy(text, message->text, message->count);
    text[message->count] = 0;
    if (link->handlers->on_upgraded)
        link->handlers->on_upgraded(link->context, (uint32_t)message->argument,
                                    (uint32_t)message->status, text);
}

/* Init could not take the descriptors of a HELD: say so, as the contract asks. */
static void refuse(struct init_link *link, const struct hand_over_message *message)
{
    struct hand_over_message refused = *message;
    refused.type = HAND_OVER_REFUSED;
    send_or_queue(link, &refused, NULL, 0);
    if (link->handlers->on_refused)
        link->handlers->on_refused(link->context, message->keys, message->count);
}

/* `fds` may be NULL where the message carries none. */
static void take(struct init_link *link, const struct hand_over_message *message, const int *fds)
{
    const struct init_link_handlers *handlers = link->handlers;
    switch (message->type) {
    case HAND_OVER_HELD:
        take_held(link, message, fds);
        break;
    case HAND_OVER_HELD_DONE:
        if (handlers->on_held_done)
            handlers->on_held_done(link->context, message->argument != 0);
        break;
    case HAND_OVER_ENDED:
        take_ended(link, message);
        break;
    case HAND_OVER_SIGNAL:
        if (handlers->on_signal)
            handlers->on_signal(link->context, message->argument, message->status);
        break;
    case HAND_OVER_REFUSED:
        if (handlers->on_refused)
            handlers->on_refused(link->context, message->keys, message->count);
        break;
    case HAND_OVER_YIELD:
        if (handlers->on_yield)
            handlers->on_yield(link->context);
        break;
    case HAND_OVER_RESUME:
        if (handlers->on_resume)
            handlers->on_resume(link->context);
        break;
    case HAND_OVER_UPGRADED:
        take_upgraded(link, message);
        break;
    default: /* of a later version, or not for us: a STORE, whose descriptors are not wanted */
        for (size_t i = 0; message->type == HAND_OVER_STORE && fds && i < message->count; i++)
            close(fds[i]);
        break;
    }
}

static void receive_some(struct init_link *link)
{
    struct hand_over_message message;
    int fds[HAND_OVER_KEYS_MAX];
    size_t fd_count;

    for (int i = 0; i < RECEIVED_A_TURN && link->source.fd >= 0; i++) {
        int result = hand_over_receive(link->source.fd, &message, fds, &fd_count);
        if (result == -EAGAIN || result == -EINTR)
            return;
        if (result == 1)
            take(link, &message, fds);
        else if (result == -EMFILE)
            refuse(link, &message);
        else if (is_shortage(result)) {
            pause_a_while(link); /* the message is still in the socket */
            return;
        } else if (result != -EPROTO)
            lose(link, result);
    }
}

static void send_queued(struct init_link *link)
{
    int failed = flush(link);
    if (failed && failed != -EAGAIN) {
        lose(link, failed);
        return;
    }
    if (!failed && link->room_wanted) {
        link->room_wanted = false;
        if (link->handlers->on_room)
            link->handlers->on_room(link->context);
    }
}

static void on_pause_over(struct loop_timer *timer)
{
    struct init_link *link = container_of(timer, struct init_link, pause);
    if (link->source.fd < 0)
        return;
    send_queued(link);
    watch(link);
}

static void on_event(struct loop_fd *source, uint32_t events)
{
    struct init_link *link = container_of(source, struct init_link, source);
    if (events & EPOLLOUT)
        send_queued(link);
    if (link->source.fd >= 0 && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        receive_some(link);
    watch(link);
}

/* ---- what goes ----------------------------------------------------------------------------- */

int init_link_init(struct init_link *link, struct loop *loop, int socket,
                   const struct init_link_handlers *handlers, void *context)
{
    *link = (struct init_link){.loop = loop, .handlers = handlers, .context = context};
    list_init(&link->queue);
    list_init(&link->deferred);
    return loop_add(loop, &link->source, socket, EPOLLIN, on_event);
}

void init_link_finish(struct init_link *link)
{
    struct list *node;
    if (!link || !link->loop)
        return;
    loop_remove(link->loop, &link->source);
    loop_clear_timer(link->loop, &link->pause);
    while ((node = list_take(&link->queue)) || (node = list_take(&link->deferred)))
        destroy_queued(container_of(node, struct queued, node));
    link->queued = 0;
}

static struct hand_over_message with_keys(enum hand_over_type type, uint32_t owner,
                                          const uint32_t *keys, size_t count)
{
    struct hand_over_message message = {.type = type, .owner = owner, .count = (uint32_t)count};
    memcpy(message.keys, keys, count * sizeof keys[0]);
    return message;
}

static size_t batch(size_t count)
{
    return count < HAND_OVER_KEYS_MAX ? count : HAND_OVER_KEYS_MAX;
}

int init_link_store(struct init_link *link, uint32_t owner, const uint32_t *keys, const int *fds,
                    size_t count)
{
    if (count > HAND_OVER_KEYS_MAX)
        return -EMSGSIZE;
    struct hand_over_message message = with_keys(HAND_OVER_STORE, owner, keys, count);
    int failed = try_send(link, &message, fds, count);
    if (failed == -EAGAIN) {
        link->room_wanted = true;
        watch(link);
    }
    return failed;
}

int init_link_store_queued(struct init_link *link, uint32_t owner, const uint32_t *keys,
                           const int *fds, size_t count)
{
    for (size_t done = 0; done < count; done += batch(count - done)) {
        size_t here = batch(count - done);
        struct hand_over_message message = with_keys(HAND_OVER_STORE, owner, keys + done, here);
        int failed = send_or_queue(link, &message, fds + done, here);
        if (failed)
            return failed;
    }
    return 0;
}

int init_link_drop(struct init_link *link, uint32_t owner, const uint32_t *keys, size_t count)
{
    for (size_t done = 0; done < count; done += batch(count - done)) {
        struct hand_over_message message =
            with_keys(HAND_OVER_DROP, owner, keys + done, batch(count - done));
        int failed = send_or_queue(link, &message, NULL, 0);
        if (failed)
            return failed;
    }
    return 0;
}

int init_link_ready(struct init_link *link)
{
    struct hand_over_message message = {.type = HAND_OVER_READY};
    return send_or_queue(link, &message, NULL, 0);
}

int init_link_progress(struct init_link *link, const char *text)
{
    struct hand_over_message message = {.type = HAND_OVER_PROGRESS};
    message.count = (uint32_t)strnlen(text, sizeof message.text);
    memcpy(message.text, text, message.count);
    return send_or_queue(link, &message, NULL, 0);
}

int init_link_shut_down(struct init_link *link, enum shut_down how, int status, bool force)
{
    struct hand_over_message message = {.type = HAND_OVER_SHUT_DOWN,
                                        .argument = (int32_t)how | (force ? SHUT_DOWN_FORCE : 0),
                                        .status = status};
    return send_or_queue(link, &message, NULL, 0);
}

int init_link_upgrade(struct init_link *link, uint32_t parts)
{
    struct hand_over_message message = {.type = HAND_OVER_UPGRADE, .argument = (int32_t)parts};
    return send_or_queue(link, &message, NULL, 0);
}

int init_link_upgraded_seen(struct init_link *link)
{
    struct hand_over_message message = {.type = HAND_OVER_UPGRADED_SEEN};
    return send_or_queue(link, &message, NULL, 0);
}

int init_link_failed(struct init_link *link, const char *text)
{
    struct hand_over_message message = {.type = HAND_OVER_FAILED};
    message.count = (uint32_t)strnlen(text, sizeof message.text);
    memcpy(message.text, text, message.count);
    return send_or_queue(link, &message, NULL, 0);
}

/* ---- standing still ------------------------------------------------------------------------ */

/* A message that is to wait until we go on. Without memory it is lost, as it would be by a kill
 * now: init sends again what matters. */
static void defer(struct init_link *link, const struct hand_over_message *message, const int *fds,
                  size_t fd_count)
{
    struct queued *queued = fd_count ? NULL : create_queued(message, 0);
    for (size_t i = 0; i < fd_count; i++)
        close(fds[i]);
    if (queued)
        list_append(&link->deferred, &queued->node);
}

static void take_deferred(struct init_link *link)
{
    struct list *node;
    while (link->source.fd >= 0 && (node = list_take(&link->deferred))) {
        struct queued *queued = container_of(node, struct queued, node);
        take(link, &queued->message, NULL);
        destroy_queued(queued);
    }
}

int init_link_yield(struct init_link *link)
{
    struct hand_over_message message = {.type = HAND_OVER_YIELDED};
    int fds[HAND_OVER_KEYS_MAX], result = send_or_queue(link, &message, NULL, 0);
    size_t fd_count;

    message.type = 0;
    while ((result >= 0 || result == -EAGAIN || result == -EINTR || result == -EPROTO ||
            result == -EMFILE) &&
           message.type != HAND_OVER_RESUME) {
        struct pollfd init = {.fd = link->source.fd,
                              .events = (short)(POLLIN | (link->queued ? POLLOUT : 0))};
        if (poll(&init, 1, -1) > 0 && init.revents & POLLOUT)
            flush(link);
        message.type = 0;
        result = hand_over_receive(link->source.fd, &message, fds, &fd_count);
        if (result == 0)
            result = -EPIPE;
        else if (result == 1 && message.type != HAND_OVER_RESUME)
            defer(link, &message, fds, fd_count);
    }
    if (message.type != HAND_OVER_RESUME) {
        lose(link, result);
        return result;
    }
    take_deferred(link);
    return 0;
}
