/* `ready: fd`, as s6 has it: a pipe whose writing end the program finds at that number; a newline
 * means ready. init holds the reading end too, so that what is written while there is no launcher
 * stays in the pipe. */
#include "service-launcher/executor-internal.h"

#include "proc/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES 4096

static int prepare(struct process *process)
{
    int fds[2];
    executor_ready_give_back(process);
    if (process->ready_give_fd >= 0) /* init had no room for the one made before */
        close(process->ready_give_fd);
    process->ready_give_fd = -1;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    process->ready_fd = fds[0];
    process->ready_give_fd = fds[1];
    return 0;
}

static void on_event(struct loop_fd *source, uint32_t events)
{
    struct process *process = container_of(source, struct process, ready_source);
    char bytes[READ_BYTES];
    ssize_t count = read(source->fd, bytes, sizeof bytes);
    (void)events;

    if (count < 0)
        return; /* EAGAIN: it was nothing */
    if (count && !memchr(bytes, '\n', (size_t)count))
        return;
    if (count == 0) {
        loop_remove(&process->executor->launcher->loop, source);
        executor_ready_warn(process, "its descriptor for readiness",
                            "it was closed before a newline was written to it");
        return;
    }
    executor_ready_met(process);
}

static void begin(struct process *process, bool again)
{
    (void)again;
    if (process->ready_fd < 0)
        return;
    int failed = loop_add(&process->executor->launcher->loop, &process->ready_source,
                          process->ready_fd, EPOLLIN, on_event);
    if (!failed)
        return;
    executor_ready_warn(process, "its descriptor for readiness cannot be watched yet",
                        strerror(-failed));
    process->ready_later = true;
    executor_watch_later(process);
}

static void end(struct process *process)
{
    executor_ready_give_back(process);
}

const struct ready_way ready_fd = {.prepare = prepare, .begin = begin, .end = end};
