/* Programs that are executed by a process apart, because something is mounted that can hang: their
 * paths (exec, dir, root, stdin, tty, env-file) are looked at by that process only. Until it
 * has executed the program, or has said why it cannot, the service is starting, and its
 * start-timeout runs.
 *
 * A launcher that takes over while one is on its way takes it for executed: where it was not, it
 * ends with 127, and that is how the start failed. */
#include "service-launcher/executor-surroundings.h"

#include "loop/loop.h"

#include <errno.h>
#include <unistd.h>

struct preparation {
    struct process *process;
    struct surroundings surroundings;
};

/* In the child. */
static int prepare(struct spawn *spawn, struct spawn_failure *ret_failure)
{
    struct preparation *preparation = spawn->context;
    const struct definition *definition = process_service(preparation->process)->definition;
    struct reason reason;
    int failed = surroundings_read(&preparation->surroundings, preparation->process, &reason);
    if (failed) {
        *ret_failure = (struct spawn_failure){reason.step, reason.number, reason.code};
        return failed;
    }
    surroundings_put(&preparation->surroundings, spawn);
    if (preparation->process->spawn_hook)
        return 0;
    spawn->tty_path = definition->tty;
    spawn->stdin_path = definition->stdin_path;
    return 0;
}

/* ---- what it says --------------------------------------------------------------------------- */

bool executor_is_apart(const struct process *process)
{
    return process->report_source.fd >= 0;
}

void executor_forget_apart(struct process *process)
{
    int fd = process->report_source.fd;
    loop_remove(&process->executor->launcher->loop, &process->report_source);
    if (fd >= 0)
        close(fd);
}

static void go_on(struct process *process)
{
    struct service *service = process_service(process);
    if (process->apart_hook || service_state(manager_of(process), service) != STATE_STARTING)
        return;
    manager_event(manager_of(process), service, EVENT_SPAWNED);
    executor_ready_begin(process, false);
}

/* Reads what there is. Nothing yet: returns false. */
static bool take_report(struct process *process)
{
    struct spawn_failure failure;
    ssize_t got = read(process->report_source.fd, &failure, sizeof failure);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    executor_forget_apart(process);
    process->apart_failed = got == sizeof failure;
    if (process->apart_failed)
        process->apart_reason = executor_reason_of(&failure);
    return true;
}

static void on_report(struct loop_fd *source, uint32_t events)
{
    struct process *process = container_of(source, struct process, report_source);
    (void)events;
    if (take_report(process) && !process->apart_failed)
        go_on(process);
}

bool executor_apart_failed(struct process *process, bool hook)
{
    if (executor_is_apart(process) && process->apart_hook == hook && take_report(process) &&
        !process->apart_failed)
        go_on(process);
    return process->apart_failed && process->apart_hook == hook;
}

bool executor_fail_apart(struct process *process, bool hook)
{
    enum service_state state = service_state(manager_of(process), process_service(process));
    process->apart_failed = false;
    if (!hook && state != STATE_STARTING)
        return false;
    if (hook)
        executor_release_hook(process);
    else
        executor_release_main(process);
    process->spawn_hook = hook;
    executor_fail_start(process, process->apart_reason);
    return true;
}

int executor_spawn_apart(struct process *process, struct spawn *spawn, int *ret_pidfd,
                         struct spawn_failure *failure)
{
    struct loop *loop = &process->executor->launcher->loop;
    struct preparation preparation = {.process = process};
    int report_fd;

    executor_forget_apart(process); /* of a hook that was killed */
    spawn->prepare = prepare;
    spawn->context = &preparation;
    int failed = spawn_apart(spawn, ret_pidfd, &report_fd, failure);
    spawn->prepare = NULL;
    spawn->context = NULL;
    if (failed)
        return failed;
    process->apart_hook = process->spawn_hook;
    process->apart_failed = false;
    failed = loop_add(loop, &process->report_source, report_fd, EPOLLIN, on_report);
    if (failed) /* then it is taken for executed at once */
        close(report_fd);
    return 0;
}
