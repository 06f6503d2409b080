/* Spawning, in batches: first the pipes of a whole batch go to init and to the journal, then the
 * programs are executed. So a program never runs whose output nobody would find again, whoever is
 * killed in between. */
#include "service-launcher/executor-surroundings.h"
#include "service-launcher/follow.h"
#include "service-launcher/journal-client.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "log/log.h"
#include "protocol/journal-link.h"
#include "service/name.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BATCH_MAX        64   /* programs in one turn of the loop */
#define SMALL_PIPE_FROM  1000 /* above so many services a pipe gets less of the kernel's memory */
#define SMALL_PIPE_BYTES 16384
#define LEFT_FREE        8 /* descriptors that no start may take: clients need some to be heard */
#define TAKEN_LATER      2 /* by each start behind its pipe: its cgroup and its process */

void executor_queue_spawn(struct process *process)
{
    list_remove(&process->spawn_link);
    list_append(&process->executor->spawn_queue, &process->spawn_link);
}

/* ---- failing ------------------------------------------------------------------------------- */

/* What may be better in a moment is tried again by the restart policy; the rest needs a person. */
static bool passes_by_itself(int error)
{
    static const int passing[] = {EAGAIN, ENOMEM, EMFILE, ENFILE, ENOSPC, EIO, ETXTBSY, EINTR};
    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++)
        if (passing[i] == error)
            return true;
    return false;
}

static struct reason step_reason(enum start_step step, int error)
{
    return (struct reason){
        .code = REASON_STEP_FAILED, .step = (uint16_t)step, .service = SLOT_NONE, .number = error};
}

struct reason executor_reason_of(const struct spawn_failure *failure)
{
    struct reason reason = step_reason(failure->step, failure->error);
    if (failure->code)
        reason.code = (uint16_t)failure->code;
    return reason;
}

void executor_fail_start(struct process *process, struct reason reason)
{
    struct launcher *launcher = process->executor->launcher;
    struct service *service = process_service(process);
    struct service_body body;

    process_record(process)->spawning = 0;
    manager_edit(&launcher->manager, service, &body);
    bool hook = process->spawn_hook;
    process->spawn_hook = false;
    if (hook && body.state == STATE_STARTING) { /* tried again, so said once */
        if (process->ready && !process->ready->doubted)
            executor_ready_warn(process, "the command of 'ready' cannot be run",
                                strerror(reason.number));
        if (process->ready)
            process->ready->doubted = 1;
        executor_ready_command_ended(process, false);
        return;
    }
    body.retry = reason.code == REASON_STEP_FAILED && passes_by_itself(reason.number);
    if (hook && reason.code == REASON_STEP_FAILED)
        reason.code = REASON_HOOK_STEP;
    body.reason = reason;
    if (!hook) {
        manager_commit(&launcher->manager, service, &body);
        manager_event(&launcher->manager, service, EVENT_SPAWN_FAILED);
        return;
    }
    char storage[600];
    struct text words;
    text_init(&words, storage, sizeof storage);
    service_reason_words(&launcher->manager, service, &reason, &words);
    argv_t command = executor_hook_command(process);
    const char *why = storage;
    text_starts_with(why, "before-start: ", &why); /* any hook's */
    LOG(WARNING, "Cannot run a hook", TEXT("service", service_name(&launcher->manager, service)),
        TEXT("command", command ? command[0] : "?"), TEXT("error", why));
    journal_client_event(launcher->journal, service->slot, 4, "cannot run the hook %s: %s",
                         command ? command[0] : "?", why);
    if (body.state == STATE_PREPARING) {
        manager_commit(&launcher->manager, service, &body);
        manager_event(&launcher->manager, service, EVENT_SPAWN_FAILED);
        return;
    }
    if (body.state == STATE_RELOADING) {
        if (body.reason.code == REASON_HOOK_STEP)
            body.reason.code = REASON_RELOAD_STEP;
        manager_commit(&launcher->manager, service, &body);
        manager_event(&launcher->manager, service, EVENT_HOOKS_FAILED);
        return;
    }
    executor_hook_ended(process, EXIT_CODE, 127);
}

/* ---- pipes --------------------------------------------------------------------------------- */

/* A pipe of the batch on its way: the ends that init and the journal get. */
struct new_pipe {
    struct process *process;
    int both_fd, read_fd;
};

static int open_again(int fd, int flags)
{
    char path[32];
    text_format(path, sizeof path, "/proc/self/fd/%d", fd);
    int opened = open(path, flags | O_CLOEXEC);
    return opened < 0 ? -errno : opened;
}

int executor_open_pipe(struct executor *executor, uint32_t slot)
{
    const struct process *process = executor_process(executor, slot);
    if (!process || (process->pipe_fd < 0 && process->output_fd < 0))
        return -ENOENT;
    return open_again(process->pipe_fd >= 0 ? process->pipe_fd : process->output_fd, O_RDWR);
}

/* The lowest free numbers are given out: so many are left above one, and none below. `starting`:
 * others that are about to start. */
static bool leaves_room(const struct executor *executor, int fd, size_t starting)
{
    return (rlim_t)fd + LEFT_FREE + TAKEN_LATER * (starting + 1) < executor->nofile.rlim_max;
}

/* The service's own writing end, from the description that init had kept. */
static int recover_pipe(struct process *process, size_t starting)
{
    AUTO_CLOSE int fd = open_again(process->pipe_fd, O_WRONLY);
    if (fd < 0)
        return fd;
    if (!leaves_room(process->executor, fd, starting))
        return -EMFILE;
    process->output_fd = take_fd(&fd);
    close(process->pipe_fd);
    process->pipe_fd = -1;
    return 0;
}

static int make_pipe(struct process *process, size_t starting, struct new_pipe *pipe)
{
    const struct definition *definition = process_service(process)->definition;
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    AUTO_CLOSE int read_fd = fds[0];
    AUTO_CLOSE int write_fd = fds[1];
    if (!leaves_room(process->executor, write_fd, starting))
        return -EMFILE;
    if (process->executor->slots > SMALL_PIPE_FROM)
        fcntl(write_fd, F_SETPIPE_SZ, SMALL_PIPE_BYTES); /* a bigger one does as well */
    if (definition->identity.set &&
        fchown(write_fd, definition->identity.uid, definition->identity.gid) < 0)
        return -errno;
    int both = open_again(read_fd, O_RDWR);
    if (both < 0)
        return both;
    process->output_fd = take_fd(&write_fd);
    *pipe = (struct new_pipe){process, both, take_fd(&read_fd)};
    return 0;
}

static void drop_pipe(struct new_pipe *pipe)
{
    close(pipe->both_fd);
    close(pipe->read_fd);
    close(pipe->process->output_fd);
    pipe->process->output_fd = -1;
}

static void register_pipe(struct new_pipe *pipe)
{
    struct launcher *launcher = pipe->process->executor->launcher;
    const struct service *service = process_service(pipe->process);
    uint32_t flags = service->definition->console ? JOURNAL_FLAG_CONSOLE : 0;
    int result = journal_client_register(
        launcher->journal, service->slot, service_name(&launcher->manager, service),
        service->definition->logs, flags, &service->definition->quota, pipe->read_fd);
    close(pipe->both_fd);
    pipe->process->registering = result == -EAGAIN;
    if (result < 0 && result != -EAGAIN)
        LOG(ERROR, "Cannot register a service with the journal",
            TEXT("service", service_name(&launcher->manager, service)),
            TEXT("error", strerror(-result)));
}

/* Gives all new pipes of a batch to init in one message, then to the journal. Returns false when
 * there is no room now: nothing was made then. */
static bool hand_over(struct executor *executor, struct new_pipe *pipes, size_t count)
{
    uint32_t keys[BATCH_MAX];
    int fds[BATCH_MAX];
    for (size_t i = 0; i < count; i++) {
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): make_pipe filled each */
        keys[i] = KEY_SERVICE_FIRST + pipes[i].process->slot;
        fds[i] = pipes[i].both_fd;
    }
    int failed = count == 0 ? 0
                            : init_link_store(executor->launcher->init_link,
                                              OWNER_LAUNCHER | OWNER_JOURNAL, keys, fds, count);
    if (failed) {
        for (size_t i = 0; i < count; i++)
            drop_pipe(&pipes[i]);
        if (failed == -EAGAIN) {
            executor->no_room = true;
            return false;
        }
        for (size_t i = 0; i < count; i++) {
            list_remove(&pipes[i].process->spawn_link);
            executor_fail_start(pipes[i].process, step_reason(STEP_HAND_OVER, -failed));
        }
        return true;
    }
    for (size_t i = 0; i < count; i++)
        register_pipe(&pipes[i]);
    return true;
}

/* Makes what readiness needs before a program runs, and gives it to init. As above. */
static bool prepare_ready(struct executor *executor, struct process **batch, size_t *count)
{
    struct process *made[BATCH_MAX];
    uint32_t keys[BATCH_MAX];
    int fds[BATCH_MAX];
    size_t made_count = 0, kept = 0;

    for (size_t i = 0; i < *count; i++) {
        struct process *process = batch[i];
        int failed = list_empty(&process->spawn_link) ? 0 : executor_ready_prepare(process);
        if (failed == -EINPROGRESS)
            continue; /* it stays in the queue until that is answered */
        if (failed) {
            list_remove(&process->spawn_link);
            executor_fail_start(process, step_reason(STEP_READY, -failed));
            continue;
        }
        batch[kept++] = process;
        if (process->ready_fd < 0 || process->ready_stored)
            continue;
        made[made_count] = process;
        keys[made_count] = KEY_READY_FIRST + process->slot;
        fds[made_count++] = process->ready_fd;
    }
    *count = kept;
    int failed = made_count == 0 ? 0
                                 : init_link_store(executor->launcher->init_link, OWNER_LAUNCHER,
                                                   keys, fds, made_count);
    executor->no_room = failed == -EAGAIN;
    for (size_t i = 0; i < made_count && failed != -EAGAIN; i++) {
        made[i]->ready_stored = !failed;
        if (!failed)
            continue;
        list_remove(&made[i]->spawn_link);
        executor_fail_start(made[i], step_reason(STEP_HAND_OVER, -failed));
    }
    return failed != -EAGAIN;
}

/* ---- what it needs ------------------------------------------------------------------------- */

static int open_cgroup(struct process *process)
{
    struct executor *executor = process->executor;
    if (executor->cgroup_folder < 0 || process->cgroup_fd >= 0)
        return 0;
    int fd = cgroup_open(executor->cgroup_folder,
                         service_name(&executor->launcher->manager, process_service(process)));
    if (fd < 0)
        return fd;
    process->cgroup_fd = fd;
    return 0;
}

/* Somebody has removed the empty cgroup of a service at rest, which root may do. */
static bool is_removed_cgroup(const struct spawn_failure *failure)
{
    return failure->step == STEP_CLONE && (failure->error == ENOENT || failure->error == ENODEV);
}

/* The service's last run has divided it into parts, and no process may be in what is divided. */
static bool is_divided_cgroup(const struct spawn_failure *failure)
{
    return failure->step == STEP_CLONE && (failure->error == EBUSY || failure->error == EOPNOTSUPP);
}

/* Makes the cgroup again if it was why a spawn has failed. Returns 0 when there is a new one. */
static int remake_cgroup(struct process *process, const struct spawn_failure *failure)
{
    struct executor *executor = process->executor;
    int fd = -1, failed = 0;
    if (process->cgroup_fd < 0 || (!is_removed_cgroup(failure) && !is_divided_cgroup(failure)))
        return -ENOENT;
    if (is_divided_cgroup(failure)) {
        fd = cgroup_renew(executor->cgroup_folder, process_record(process)->name);
        if (fd < 0)
            return fd; /* something lives in it */
    }
    close(process->cgroup_fd);
    process->cgroup_fd = fd;
    if (fd < 0)
        failed = open_cgroup(process);
    process->limited = false;
    executor_limit(process);
    return failed;
}

/* ---- one program --------------------------------------------------------------------------- */

/* What the kernel names next may have the number of the one before it. */
static void forget_hook_before(struct process *process)
{
    struct manager *manager = &process->executor->launcher->manager;
    struct service *service = process_service(process);
    struct service_body body;
    manager_edit(manager, service, &body);
    if (!body.hook_ended)
        return;
    body.hook_ended = 0;
    manager_commit(manager, service, &body);
}

/* Descriptors that this process opens for it, of files that cannot keep us waiting. */
static int open_input(struct process *process, struct spawn *spawn_, int *ret_fd,
                      struct spawn_failure *failure)
{
    const struct definition *definition = process_service(process)->definition;
    const char *path = definition->tty ? definition->tty : definition->stdin_path;
    if (process->spawn_hook || !path)
        return 0;
    *ret_fd = spawn_open(path, definition->tty ? O_RDWR : O_RDONLY);
    if (*ret_fd < 0) {
        *failure = (struct spawn_failure){definition->tty ? STEP_TTY : STEP_STDIN, -*ret_fd, 0};
        return *ret_fd;
    }
    *(definition->tty ? &spawn_->tty_fd : &spawn_->stdin_fd) = *ret_fd;
    return 0;
}

/* One attempt, in the way that `apart` says. */
static int attempt(struct process *process, struct spawn *spawn_, bool apart, struct pidref *which,
                   struct spawn_failure *failure)
{
    return apart ? executor_spawn_apart(process, spawn_, &which->fd, failure)
                 : spawn(spawn_, &which->fd, failure);
}

static int spawn_prepared(struct process *process, struct spawn *spawn_, struct surroundings *s,
                          bool apart, struct spawn_failure *failure)
{
    const struct definition *definition = process_service(process)->definition;
    struct service_record *record = process_record(process);
    bool hook = process->spawn_hook;
    AUTO_CLOSE int input_fd = -1;

    int failed = apart ? 0 : open_input(process, spawn_, &input_fd, failure);
    if (failed)
        return failed;
    spawn_->argv = hook ? executor_hook_command(process) : definition->argv;
    if (!hook && process->ready_give_fd >= 0) {
        spawn_->extra_number = definition->ready.fd;
        spawn_->extra_fd = process->ready_give_fd;
    }
    struct pidref *which = hook ? &process->hook : &process->main;
    spawn_->parent_tid = hook ? &record->hook_pid : &record->main_pid;
    if (!hook && follow_is_wanted(process)) {
        follow_prepare(process, &s->follow);
        spawn_->follow = &s->follow.spawn;
        spawn_->parent_tid = &record->follower_pid;
        which = &process->follower;
    }
    if (hook)
        forget_hook_before(process);
    record->spawning = hook ? 2 : 1;
    failed = attempt(process, spawn_, apart, which, failure);
    if (failed && remake_cgroup(process, failure) == 0) {
        spawn_->cgroup_fd = process->cgroup_fd;
        failed = attempt(process, spawn_, apart, which, failure);
    }
    if (!failed)
        which->pid = *spawn_->parent_tid;
    return failed;
}

/* The cgroup that it is to run in. */
static int make_ready_cgroup(struct process *process, struct reason *ret_reason)
{
    int failed = open_cgroup(process);
    if (failed) {
        *ret_reason = step_reason(STEP_CGROUP, -failed);
        return failed;
    }
    if (process->cgroup_fd >= 0 &&
        cgroup_thaw(process->executor->cgroup_folder, process->cgroup_fd) < 0) {
        *ret_reason = step_reason(STEP_FROZEN, EBUSY);
        return -EBUSY;
    }
    executor_limit(process);
    return 0;
}

/* Executes the main process or the hook. Returns 0 or -errno with the reason. */
static int spawn_one(struct process *process, struct reason *ret_reason)
{
    const struct definition *definition = process_service(process)->definition;
    const struct identity *identity = &definition->identity;
    struct surroundings s = {.environment = NULL};
    struct spawn_failure failure = {STEP_CGROUP, 0, 0};
    bool apart = process->executor->apart;
    int failed = make_ready_cgroup(process, ret_reason);
    if (!failed && !apart)
        failed = surroundings_read(&s, process, ret_reason);
    if (failed) {
        surroundings_finish(&s);
        return failed;
    }
    struct spawn spawn_ = {
        .output_fd = process->output_fd,
        .stdin_fd = -1,
        .tty_fd = -1,
        .cgroup_fd = process->cgroup_fd,
        .root = definition->root,
        .dir = definition->dir,
        .umask = definition->umask,
        .identity_set = identity->set,
        .uid = identity->uid,
        .gid = identity->gid,
        .groups = identity->groups,
        .group_count = identity->group_count,
    };
    surroundings_put(&s, &spawn_);
    surroundings_put_limits(&s, process, &spawn_);
    failed = spawn_prepared(process, &spawn_, &s, apart, &failure);
    if (failed)
        *ret_reason = executor_reason_of(&failure);
    surroundings_finish(&s);
    return failed;
}

bool executor_begin_program(struct process *process)
{
    struct manager *manager = &process->executor->launcher->manager;
    struct service *service = process_service(process);
    struct service_body body;
    manager_edit(manager, service, &body);
    body.type = (uint8_t)service->definition->type;
    body.begun_as = 0;
    manager_commit(manager, service, &body);
    return body.type != TYPE_TARGET;
}

/* A reload may have taken away what was to be run while it waited for its turn. Returns what comes
 * instead, or EVENT_NONE. */
static enum service_event look_again(struct process *process)
{
    if (!process->spawn_hook)
        return executor_begin_program(process) ? EVENT_NONE : EVENT_READY;
    if (executor_hook_command(process))
        return EVENT_NONE;
    process->spawn_hook = false;
    return EVENT_HOOKS_OK;
}

static void run_one(struct process *process)
{
    struct launcher *launcher = process->executor->launcher;
    struct service *service = process_service(process);
    struct reason reason;
    bool hook = process->spawn_hook;
    enum service_event instead = look_again(process);

    if (instead != EVENT_NONE) {
        manager_event(&launcher->manager, service, instead);
        return;
    }
    int failed = spawn_one(process, &reason);
    if (!hook && process->ready_give_fd >= 0) {
        close(process->ready_give_fd);
        process->ready_give_fd = -1;
    }
    if (failed) {
        executor_fail_start(process, reason);
        return;
    }
    process_record(process)->spawning = 0;
    process->spawn_hook = false;
    follow_watch(process);
    failed = executor_watch(process, hook);
    if (failed && failed != -ESRCH)
        LOG(ERROR, "Cannot watch a process yet",
            TEXT("service", service_name(&launcher->manager, service)),
            TEXT("error", strerror(-failed)));
    if (hook || executor_is_apart(process))
        return;
    manager_event(&launcher->manager, service, EVENT_SPAWNED);
    if (failed == -ESRCH) /* its follower has taken its zombie away already */
        executor_main_gone(process);
    executor_ready_begin(process, false);
}

/* ---- batches ------------------------------------------------------------------------------- */

/* Makes the pipes that are missing. A service whose pipe cannot be made fails by itself. */
static size_t make_pipes(struct process **batch, size_t *count, struct new_pipe *pipes)
{
    size_t made = 0, kept = 0;
    for (size_t i = 0; i < *count; i++) {
        struct process *process = batch[i];
        int failed = 0;
        if (process->output_fd < 0 && process->pipe_fd >= 0)
            failed = recover_pipe(process, kept);
        else if (process->output_fd < 0) {
            failed = make_pipe(process, kept, &pipes[made]);
            made += !failed;
        }
        if (!failed) {
            batch[kept++] = process;
            continue;
        }
        list_remove(&process->spawn_link);
        executor_fail_start(process, step_reason(STEP_PIPE, -failed));
    }
    *count = kept;
    return made;
}

/* Those that wait for the journal's socket are told by on_registered, and a hook waits until the
 * one before it, which was killed, has ended; where a line is waited for the journal has to look
 * for it first; and a file may be looked at apart. No turn is made for them. */
static bool is_runnable(const struct process *process)
{
    if (process->registering)
        return false;
    if (process->spawn_hook)
        return !process_record(process)->hook_pid;
    return !process->matching && !look_is_awaited(process->executor, process->slot);
}

static bool has_runnable(const struct executor *executor)
{
    list_for_each(node, &executor->spawn_queue)
    {
        if (is_runnable(container_of(node, struct process, spawn_link)))
            return true;
    }
    return false;
}

bool executor_spawn_batch(struct executor *executor)
{
    struct process *batch[BATCH_MAX];
    struct new_pipe pipes[BATCH_MAX];
    size_t count = 0;

    if (executor->no_room)
        return false;
    list_for_each(node, &executor->spawn_queue)
    {
        struct process *process = container_of(node, struct process, spawn_link);
        if (count < BATCH_MAX && is_runnable(process))
            batch[count++] = process;
        if (count == BATCH_MAX)
            break;
    }
    if (!count)
        return false;
    executor->apart = look_any_may_hang(executor);
    size_t made = make_pipes(batch, &count, pipes);
    if (!hand_over(executor, pipes, made) || !prepare_ready(executor, batch, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        /* An event of an earlier one may have taken a later one out of the queue. */
        if (!is_runnable(batch[i]) || list_empty(&batch[i]->spawn_link))
            continue;
        list_remove(&batch[i]->spawn_link);
        run_one(batch[i]);
    }
    spawner_rest();
    return has_runnable(executor);
}

void executor_on_room(struct executor *executor)
{
    executor->no_room = false;
}

void executor_on_registered(struct executor *executor, uint32_t slot)
{
    struct process *process = executor_process(executor, slot);
    if (process)
        process->registering = false;
}
