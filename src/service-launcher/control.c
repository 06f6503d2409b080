/* The control socket: accepts clients, takes in calls, sends what is to be said, and keeps every
 * client within bounds, so that none can hurt another or the launcher.
 *
 * A connection works on one call at a time and takes the next one only when its output is sent: a
 * client that does not read is not read from. What memory clients can take is bounded by the
 * tunables below; who has taken most, or has not moved for longest, is closed first. */
#include "service-launcher/control.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/group.h"
#include "base/shortage.h"
#include "log/log.h"
#include "protocol/foreign.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX  512         /* each takes a descriptor, which services need too */
#define ACCEPTS_PER_TURN 16          /* so that a flood of clients leaves time for the others */
#define RECEIVE_BYTES    16384       /* at once, for the same reason */
#define INPUT_MAX_BYTES  (16u << 20) /* half messages of all clients together */
#define OUTPUT_MAX_BYTES (32u << 20) /* unread replies of all clients together */
#define STALL_NS         (30 * NS_PER_SEC) /* a client that has read nothing for so long is closed */
#define WANT_SAID_NS     (10 * NS_PER_SEC) /* how often it is said that one cannot be served */
#define PAUSE_NS         (NS_PER_SEC / 2)  /* after accept() failed for want of memory */

static struct loop *loop_of(const struct control *control)
{
    return &control->launcher->loop;
}

void control_say_want(struct control *control, int failed)
{
    if (clock_now_ns() >= control->next_want_ns)
        LOG(WARNING, "A client cannot be served", TEXT("error", strerror(-failed)));
    control->next_want_ns = clock_now_ns() + WANT_SAID_NS;
}

void connection_lack(struct connection *connection, bool undone)
{
    control_say_want(connection->control, -ENOMEM);
    connection->failed = true;
    connection->undone = undone;
}

/* ---- closing -------------------------------------------------------------------------------- */

static void count_buffers(struct connection *connection, size_t input, size_t output)
{
    struct control *control = connection->control;
    if (output && !connection->counted_output)
        connection->sent_at_ns = clock_now_ns(); /* from now on it can stall */
    control->input_bytes += input - connection->counted_input;
    control->output_bytes += output - connection->counted_output;
    connection->counted_input = input;
    connection->counted_output = output;
}

static void connection_destroy(struct connection *connection)
{
    struct control *control = connection->control;
    int fd = connection->source.fd;

    control_end_call(connection);
    kept_leave(connection);
    count_buffers(connection, 0, 0);
    loop_clear_timer(loop_of(control), &connection->timer);
    loop_remove(loop_of(control), &connection->source);
    list_remove(&connection->link);
    control->connection_count--;
    varlink_input_finish(&connection->input);
    buffer_finish(&connection->output);
    foreign_drain(fd);
    close(fd);
    free(connection);
}

/* Whether it waits for the answer to a call. */
static bool is_waiting(const struct connection *connection)
{
    return connection->call || connection->awaits;
}

static bool connection_idle(const struct connection *connection)
{
    return !is_waiting(connection) && !buffer_used(&connection->output) &&
           !buffer_used(&connection->input.buffer);
}

/* ---- sending -------------------------------------------------------------------------------- */

struct json_writer connection_writer(struct connection *connection)
{
    struct json_writer writer;
    json_writer_init(&writer, &connection->output);
    return writer;
}

void connection_end_message(struct connection *connection, struct json_writer *writer)
{
    varlink_end(writer);
    if (writer->failed) {
        connection_lack(connection, false);
    }
}

void connection_send(struct connection *connection)
{
    if (connection->kept) {
        kept_flush(connection->kept);
        return;
    }
    while (buffer_used(&connection->output)) {
        ssize_t sent = send(connection->source.fd, buffer_bytes(&connection->output),
                            buffer_used(&connection->output), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) { /* for want of memory as without room: it is sent when there is some */
            if (is_shortage(-errno))
                control_say_want(connection->control, -errno);
            else if (errno != EAGAIN)
                connection->failed = true;
            return;
        }
        connection->sent_at_ns = clock_now_ns();
        buffer_consume(&connection->output, (size_t)sent);
    }
}

/* ---- receiving ------------------------------------------------------------------------------ */

static void connection_receive(struct connection *connection)
{
    ssize_t got = varlink_input_receive(&connection->input, connection->source.fd, RECEIVE_BYTES);
    if (got > 0) {
        list_remove(&connection->link);
        list_append(&connection->control->connections, &connection->link);
    } else if (got == 0) {
        connection->ended = true;
    } else if (got != -EAGAIN) {
        if (is_shortage((int)got))
            control_say_want(connection->control, (int)got);
        connection->failed = true;
    }
}

/* Says why, and closes once that is sent. */
static void connection_refuse(struct connection *connection, const char *why)
{
    control_reply_error(connection, CONTROL_INTERFACE ".BadMessage", "why", why);
    varlink_input_finish(&connection->input);
    connection->closing = true;
}

/* Carries out the next call, if it is whole and its turn has come. */
static void connection_serve(struct connection *connection)
{
    char *bytes;
    size_t count;
    int r;

    if (is_waiting(connection) || connection->closing || buffer_used(&connection->output))
        return;
    r = varlink_input_next(&connection->input, VARLINK_CALL_MAX_BYTES, &bytes, &count);
    connection->hungry = r == 0;
    if (r > 0) {
        control_handle(connection, bytes, count);
        varlink_input_drop(&connection->input);
    } else if (r < 0) {
        connection_refuse(connection, "it is longer than 1 MiB");
    } else if (connection->ended) {
        connection->closing = true;
    }
    if (r > 0 && varlink_input_has_more(&connection->input))
        connection_wake(connection);
    else if (r > 0)
        connection->hungry = true;
}

/* ---- bounds --------------------------------------------------------------------------------- */

static struct connection *connection_of(struct list *link)
{
    return container_of(link, struct connection, link);
}

/* The connection with the most bytes of half a message. */
static struct connection *find_greediest(struct control *control)
{
    struct connection *found = NULL;
    list_for_each(link, &control->connections) if (!found || connection_of(link)->counted_input >
                                                                 found->counted_input) found =
        connection_of(link);
    return found;
}

/* The connection that has not taken any of its output for longest. */
static struct connection *find_stalled(struct control *control)
{
    struct connection *found = NULL;
    list_for_each(link, &control->connections)
    {
        struct connection *connection = connection_of(link);
        if (connection->counted_output && (!found || connection->sent_at_ns < found->sent_at_ns))
            found = connection;
    }
    return found;
}

/* Notes what the connection's buffers hold, and marks who is to go when all together hold too
 * much. */
static void connection_account(struct connection *connection)
{
    struct control *control = connection->control;
    struct connection *victim;

    count_buffers(connection, buffer_used(&connection->input.buffer),
                  buffer_used(&connection->output));
    if (control->input_bytes > INPUT_MAX_BYTES && (victim = find_greediest(control))) {
        connection_refuse(victim, "all clients together send too much at the moment");
        count_buffers(victim, 0, buffer_used(&victim->output));
        connection_wake(victim);
    }
    if (control->output_bytes > OUTPUT_MAX_BYTES && (victim = find_stalled(control))) {
        victim->failed = true;
        connection_wake(victim);
    }
}

/* ---- one turn of a connection --------------------------------------------------------------- */

static void on_timer(struct loop_timer *timer);

void connection_wake(struct connection *connection)
{
    if (connection->kept)
        kept_wake(connection->kept);
    else
        loop_set_timer(loop_of(connection->control), &connection->timer, clock_now_ns(), on_timer);
}

/* Watches for what can be used now, and for output that stalls. */
static void connection_watch(struct connection *connection)
{
    struct loop *loop = loop_of(connection->control);
    bool sending = buffer_used(&connection->output) > 0;
    bool receiving = connection->hungry && !connection->ended && !connection->closing &&
                     !is_waiting(connection) && !sending;
    uint32_t events = (receiving ? EPOLLIN : 0) | (sending ? EPOLLOUT : 0);

    if (events != connection->source.events && loop_change(loop, &connection->source, events) < 0)
        connection->failed = true;
    if (sending && !connection->failed)
        loop_set_timer(loop, &connection->timer, connection->sent_at_ns + STALL_NS, on_timer);
}

/* Does what there is to do; afterwards the connection may be gone. */
static void connection_turn(struct connection *connection)
{
    loop_clear_timer(loop_of(connection->control), &connection->timer);
    connection_send(connection);
    if (!connection->failed)
        connection_serve(connection);
    if (!connection->failed)
        connection_send(connection);
    connection_account(connection);
    if (buffer_used(&connection->output) && clock_now_ns() >= connection->sent_at_ns + STALL_NS)
        connection->failed = true;
    if (!connection->failed)
        connection_watch(connection);
    if (connection->failed || (connection->closing && !buffer_used(&connection->output)))
        connection_destroy(connection);
}

static void on_timer(struct loop_timer *timer)
{
    connection_turn(container_of(timer, struct connection, timer));
}

static void on_event(struct loop_fd *source, uint32_t events)
{
    struct connection *connection = container_of(source, struct connection, source);

    /* A client that is gone for good gets no answer; but what it sent before is done. */
    if (events & (EPOLLHUP | EPOLLERR) &&
        (is_waiting(connection) || buffer_used(&connection->output)))
        connection->failed = true;
    else if (connection->hungry && !connection->ended)
        connection_receive(connection);
    connection_turn(connection);
}

/* ---- accepting ------------------------------------------------------------------------------ */

/* One message without waiting for anything, then the descriptor is closed. */
static void refuse_client(int fd)
{
    static const char words[] =
        "{\"error\":\"" CONTROL_INTERFACE ".TooManyConnections\",\"parameters\":{}}";
    (void)!send(fd, words, sizeof words, MSG_DONTWAIT | MSG_NOSIGNAL);
    foreign_drain(fd);
    close(fd);
}

/* Whether something it sent waits to be read: then it only looks idle. */
static bool has_unread(const struct connection *connection)
{
    char byte;
    return recv(connection->source.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* Closes one client to make room for another, the least of the losses: one that is idle, one that
 * neither sends the rest of its message nor reads, and for one who may change something also one
 * that waits and may not. Returns whether there is room now. */
static bool make_room(struct control *control, const struct peer *for_whom)
{
    struct connection *stuck = NULL, *lesser = NULL;

    list_for_each(link, &control->connections)
    {
        struct connection *connection = connection_of(link);
        bool unread = !is_waiting(connection) && has_unread(connection);
        if (connection_idle(connection) && !unread) {
            connection_destroy(connection);
            return true;
        }
        if (!is_waiting(connection) && !unread && !stuck)
            stuck = connection;
        if (for_whom->may_change && !connection->peer.may_change && !lesser)
            lesser = connection;
    }
    if (!stuck)
        stuck = lesser;
    if (!stuck)
        return false;
    connection_destroy(stuck);
    return true;
}

/* That it is told that there are too many is near enough; why is for who can do something. */
static void refuse_for_want(struct control *control, int fd, int failed)
{
    control_say_want(control, failed);
    refuse_client(fd);
}

static void add_client(struct control *control, int fd)
{
    struct connection *connection;
    struct peer peer;

    int failed = control_read_peer(fd, control->group, &peer);
    if (failed) {
        refuse_for_want(control, fd, failed);
        return;
    }
    if (control->connection_count >= CONNECTIONS_MAX && !make_room(control, &peer)) {
        refuse_client(fd);
        return;
    }
    connection = calloc(1, sizeof *connection);
    if (!connection) {
        refuse_for_want(control, fd, -ENOMEM);
        return;
    }
    connection->control = control;
    connection->peer = peer;
    connection->sent_at_ns = clock_now_ns();
    connection->hungry = true;
    list_init(&connection->kept_link);
    failed = loop_add(loop_of(control), &connection->source, fd, EPOLLIN, on_event);
    if (failed) {
        free(connection);
        refuse_for_want(control, fd, failed);
        return;
    }
    list_append(&control->connections, &connection->link);
    control->connection_count++;
}

static void on_pause_over(struct loop_timer *timer)
{
    struct control *control = container_of(timer, struct control, pause);
    (void)loop_change(loop_of(control), &control->listener, EPOLLIN);
}

/* accept() keeps failing for a reason that only time mends: a client that waits would make the
 * loop spin. */
static void pause_accepting(struct control *control, int error)
{
    LOG(WARNING, "No client can be served for a moment", TEXT("error", strerror(error)));
    (void)loop_change(loop_of(control), &control->listener, 0);
    loop_set_timer(loop_of(control), &control->pause, clock_now_ns() + PAUSE_NS, on_pause_over);
}

static int open_spare(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* No descriptor is left: closes an idle client, or gives up the spare one to tell the new client.
 */
static void accept_without_descriptors(struct control *control, int error)
{
    int fd;

    if (make_room(control, &(struct peer){.may_change = false}))
        return; /* the loop comes back for the one that waits */
    if (control->spare_fd < 0) {
        pause_accepting(control, error);
        return;
    }
    close(control->spare_fd);
    fd = accept4(control->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        refuse_for_want(control, fd, -error);
    control->spare_fd = open_spare();
}

static void on_accept(struct loop_fd *source, uint32_t events)
{
    struct control *control = container_of(source, struct control, listener);

    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            add_client(control, fd);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE)
            accept_without_descriptors(control, errno);
        else if (errno == ENOMEM || errno == ENOBUFS)
            pause_accepting(control, errno);
        else if (errno == EINTR || errno == ECONNABORTED)
            continue;
        return;
    }
}

/* ---- life ----------------------------------------------------------------------------------- */

int control_create(struct launcher *launcher, int listen_fd, struct control **ret)
{
    struct control *control = calloc(1, sizeof *control);
    int r;

    if (!control) {
        close(listen_fd);
        return -ENOMEM;
    }
    control->launcher = launcher;
    control->spare_fd = -1;
    control->listener.fd = -1;
    control->group = (gid_t)-1;
    list_init(&control->connections);
    list_init(&control->calls);
    list_init(&control->kept);
    r = group_find(GROUP_FILE, CONTROL_GROUP, &control->group);
    if (r < 0 && r != -ENOENT)
        LOG(WARNING, "Cannot look up the group " CONTROL_GROUP, TEXT("error", strerror(-r)));
    r = loop_add(loop_of(control), &control->listener, listen_fd, EPOLLIN, on_accept);
    if (r < 0) {
        close(listen_fd);
        free(control);
        return r;
    }
    control->spare_fd = open_spare();
    *ret = control;
    kept_take_up_all(control);
    return 0;
}

int control_listen(struct control *control, int listen_fd)
{
    int former = control->listener.fd;

    loop_clear_timer(loop_of(control), &control->pause);
    loop_remove(loop_of(control), &control->listener);
    if (former >= 0)
        close(former);
    int failed = loop_add(loop_of(control), &control->listener, listen_fd, EPOLLIN, on_accept);
    if (failed)
        close(listen_fd);
    return failed;
}

void control_destroy(struct control *control)
{
    int fd;

    if (!control)
        return;
    list_for_each(link, &control->connections) connection_destroy(connection_of(link));
    kept_destroy_all(control);
    fd = control->listener.fd;
    loop_clear_timer(loop_of(control), &control->pause);
    loop_clear_timer(loop_of(control), &control->take_up);
    loop_remove(loop_of(control), &control->listener);
    close(fd);
    if (control->spare_fd >= 0)
        close(control->spare_fd);
    buffer_finish(&control->scratch);
    free(control);
}
