/* Things that can hang. The child writes each result into a pipe; when one does not come in time
 * the child is killed (and left behind, where the kernel does not let go of it), and another goes
 * on with the next step. */
#include "init/steps.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/syscall.h"
#include "init/process.h"
#include "init/processes.h"
#include "log/log.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>

#define NOTICE_MS    5000 /* after this long the console says what is being waited for */
#define ENDING_MS    1000 /* for the child to be gone after its last result */
#define FORK_TRIES   10
#define FORK_WAIT_MS 100

static void __attribute__((noreturn)) run_all(const struct step *steps, size_t count, int results)
{
    for (size_t i = 0; i < count; i++) {
        int32_t result = steps[i].run(&steps[i]);
        if (write(results, &result, sizeof result) != sizeof result)
            _exit(1);
    }
    _exit(0);
}

static void say_waiting(const struct step *step, pid_t pid, uint64_t since_ns)
{
    char where[PROCESS_WHERE_BYTES];
    process_where(pid, where);
    LOG(WARNING, "Waiting", TEXT("for", step->verb), TEXT("object", step->object),
        NUMBER("seconds", (clock_now_ns() - since_ns) / NS_PER_SEC), NUMBER("pid", pid),
        TEXT("where", where));
}

/* Waits for one result. Returns false when the child is no use any more. */
static bool wait_for(struct step *step, pid_t pid, int results)
{
    uint64_t begin = clock_now_ns(), until = begin + step->timeout_ms * NS_PER_MS;
    uint64_t notice = begin + NOTICE_MS * NS_PER_MS;
    int32_t result;

    for (;;) {
        uint64_t now = clock_now_ns(), next = notice < until ? notice : until;
        struct pollfd ready = {.fd = results, .events = POLLIN};
        int left_ms = now < next ? (int)((next - now) / NS_PER_MS) + 1 : 0;
        if (poll(&ready, 1, left_ms) > 0) {
            bool good = read(results, &result, sizeof result) == sizeof result;
            step->result = good ? result : -ECHILD;
            return good;
        }
        now = clock_now_ns();
        if (now >= until)
            break;
        if (now >= notice) {
            say_waiting(step, pid, begin);
            notice += NOTICE_MS * NS_PER_MS;
        }
    }
    step->result = -ETIMEDOUT;
    kill(pid, SIGKILL);
    LOG(ERROR, "Gave up waiting", TEXT("for", step->verb), TEXT("object", step->object),
        NUMBER("seconds", step->timeout_ms / 1000));
    return false;
}

/* The child is on its way out. One that the kernel keeps is left to be reaped with the orphans. */
static void collect(pid_t pid)
{
    AUTO_CLOSE int pidfd = syscall_pidfd_open(pid, 0);
    struct pollfd ready = {.fd = pidfd, .events = POLLIN};
    if (pidfd >= 0)
        poll(&ready, 1, ENDING_MS);
    waitpid(pid, NULL, WNOHANG);
}

static pid_t fork_patiently(void)
{
    pid_t pid = process_fork(NULL);
    for (int i = 0; pid < 0 && i < FORK_TRIES; i++) {
        poll(NULL, 0, FORK_WAIT_MS);
        pid = process_fork(NULL);
    }
    return pid;
}

/* Returns how many have a result now: all, or those up to the one that hung. */
static size_t run_some(struct step *steps, size_t count)
{
    AUTO_CLOSE int reading = -1;
    int results[2];
    size_t done = 0;

    pid_t pid = pipe2(results, O_CLOEXEC) < 0 ? -1 : 0;
    if (pid == 0) {
        reading = results[0];
        pid = fork_patiently();
        if (pid == 0)
            run_all(steps, count, results[1]);
        close(results[1]);
    }
    if (pid < 0) { /* no process to be had: better done here than not at all */
        steps[0].result = steps[0].run(&steps[0]);
        return 1;
    }
    while (done < count)
        if (!wait_for(&steps[done++], pid, reading))
            break;
    collect(pid);
    return done;
}

void steps_run(struct step *steps, size_t count)
{
    for (size_t done = 0; done < count;)
        done += run_some(steps + done, count - done);
}
