/* `ready: tcp` and `ready: unix`: somebody accepts. Connections are made without waiting; the
 * kernel tells nobody that a socket begins to listen, so this is tried again by time. */
#include "service-launcher/executor-internal.h"

#include "base/clock.h"
#include "base/host-port.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TRY_AGAIN_MS 100
#define ATTEMPT_MS   1000 /* for one connection: its first packet may have been dropped */

static void try_tcp(struct process *process);
static void try_unix(struct process *process);

static void again_after(struct ready_wait *wait, uint64_t ms, void (*on_time)(struct loop_timer *))
{
    loop_set_timer(&wait->process->executor->launcher->loop, &wait->timer,
                   clock_now_ns() + ms * NS_PER_MS, on_time);
}

static void drop_connection(struct ready_wait *wait)
{
    int fd = wait->source.fd;
    loop_remove(&wait->process->executor->launcher->loop, &wait->source);
    if (fd >= 0)
        close(fd);
}

/* ---- tcp ----------------------------------------------------------------------------------- */

/* Of a port in the range from which the kernel takes ours, it may have taken this very one: then we
 * have been connected with ourselves. */
static bool is_own(int fd)
{
    struct sockaddr_storage here = {0}, there = {0};
    socklen_t here_bytes = sizeof here, there_bytes = sizeof there;
    return getsockname(fd, (struct sockaddr *)&here, &here_bytes) == 0 &&
           getpeername(fd, (struct sockaddr *)&there, &there_bytes) == 0 &&
           here_bytes == there_bytes && memcmp(&here, &there, here_bytes) == 0;
}

static void on_tcp_time(struct loop_timer *timer)
{
    struct ready_wait *wait = container_of(timer, struct ready_wait, timer);
    drop_connection(wait);
    try_tcp(wait->process);
}

static void on_tcp(struct loop_fd *source, uint32_t events)
{
    struct ready_wait *wait = container_of(source, struct ready_wait, source);
    int error = 0;
    socklen_t bytes = sizeof error;
    (void)events;
    if (getsockopt(source->fd, SOL_SOCKET, SO_ERROR, &error, &bytes) == 0 && error == 0 &&
        !is_own(source->fd)) {
        executor_ready_met(wait->process);
        return;
    }
    drop_connection(wait);
    again_after(wait, TRY_AGAIN_MS, on_tcp_time);
}

static void try_tcp(struct process *process)
{
    struct ready_wait *wait = process->ready;
    struct host_port addresses[HOST_PORT_MAX];
    int count = host_port_parse(process_service(process)->definition->ready.word, addresses);
    if (count <= 0)
        return;
    const struct host_port *to = &addresses[wait->attempt++ % (unsigned)count];
    int fd = socket(to->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error = fd < 0 ? errno : 0;
    if (!error && connect(fd, (const struct sockaddr *)&to->address, to->bytes) < 0)
        error = errno;
    if (!error && !is_own(fd)) {
        close(fd);
        executor_ready_met(process);
        return;
    }
    if (error == EINPROGRESS &&
        loop_add(&process->executor->launcher->loop, &wait->source, fd, EPOLLOUT, on_tcp) == 0) {
        again_after(wait, ATTEMPT_MS, on_tcp_time);
        return;
    }
    if (fd >= 0)
        close(fd);
    /* The other address of localhost is tried at once. */
    again_after(wait, wait->attempt % (unsigned)count ? 0 : TRY_AGAIN_MS, on_tcp_time);
}

static void begin_tcp(struct process *process, bool again)
{
    (void)again;
    try_tcp(process);
}

/* ---- unix ---------------------------------------------------------------------------------- */

static void on_unix_time(struct loop_timer *timer)
{
    try_unix(container_of(timer, struct ready_wait, timer)->process);
}

/* Bound and not listening yet, or busy: nobody tells when that ends. */
static void try_unix(struct process *process)
{
    struct ready_wait *wait = process->ready;
    struct look_answer found;
    int error = look_at(process->executor, process->slot, LOOK_AT_READY_SOCKET,
                        process_service(process)->definition->ready.word, &found);
    if (error == -EINPROGRESS) /* executor_looked() calls again */
        return;
    look_done(process->executor, process->slot);
    if (!error)
        error = found.error;
    if (!error)
        executor_ready_met(process);
    else if (error != -ENOENT && error != -ENOTDIR)
        again_after(wait, TRY_AGAIN_MS, on_unix_time);
}

static void on_path(struct watch_path *path)
{
    try_unix(container_of(path, struct ready_wait, path)->process);
}

static void begin_unix(struct process *process, bool again)
{
    (void)again;
    watch_path_begin(&process->executor->paths, &process->ready->path,
                     process_service(process)->definition->ready.word, on_path);
    try_unix(process);
}

const struct ready_way ready_tcp = {.begin = begin_tcp};
const struct ready_way ready_unix = {.begin = begin_unix};
