/* `ready: exec`: a command that ends with 0 once the service is ready, run as the service's hooks
 * are, one at a time. */
#include "service-launcher/executor-internal.h"

#include "base/clock.h"

#include <signal.h>

#define TRY_AGAIN_MS 100

static void run(struct process *process)
{
    process->spawn_hook = true;
    executor_queue_spawn(process);
}

static void on_time(struct loop_timer *timer)
{
    run(container_of(timer, struct ready_wait, timer)->process);
}

/* One that a former launcher has started goes on: its end is what comes. */
static void begin(struct process *process, bool again)
{
    (void)again;
    if (!process_record(process)->hook_pid || process->hook_cancelled)
        run(process);
}

void executor_ready_command_ended(struct process *process, bool good)
{
    if (!process->ready)
        return;
    if (good) {
        executor_ready_met(process);
        return;
    }
    loop_set_timer(&process->executor->launcher->loop, &process->ready->timer,
                   clock_now_ns() + TRY_AGAIN_MS * NS_PER_MS, on_time);
}

/* What it started itself is left to the sweep at the run's end. */
static void end(struct process *process)
{
    if (process->spawn_hook)
        list_remove(&process->spawn_link);
    process->spawn_hook = false;
    if (!process_record(process)->hook_pid)
        return;
    process->hook_cancelled = true;
    pidref_signal(&process->hook, SIGKILL);
}

const struct ready_way ready_command = {.begin = begin, .end = end};
