/* The launcher's side of follow-forks: the entries, the bell, and the followers' lives. */
#include "service-launcher/follow.h"
#include "service-launcher/executor-internal.h"
#include "service-launcher/journal-client.h"
#include "service-launcher/state.h"

#include "base/text.h"
#include "log/log.h"
#include "proc/processes.h"
#include "protocol/follow.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROGRAM       "follow-forks"
#define ENTRIES_BYTES ((size_t)STATE_SLOTS_MAX * FOLLOW_ENTRY_BYTES)

static struct follow_entry *entry_of(const struct process *process)
{
    struct follow_entry *entries = process->executor->follow_entries;
    return entries ? &entries[process->slot] : NULL;
}

/* ---- the bell ------------------------------------------------------------------------------ */

static void look_at_entry(struct process *process)
{
    const struct service_record *record = process_record(process);
    int status;
    if (!record->follower_pid || !record->main_pid)
        return;
    if (follow_knows_end(process, &status))
        executor_main_gone(process);
    else if (process->main_source.fd < 0) /* made by a launcher that died over it */
        executor_watch(process, false);
}

static void on_bell(struct loop_fd *source, uint32_t events)
{
    struct executor *executor = container_of(source, struct executor, bell_source);
    uint64_t count;
    (void)events;
    if (read(source->fd, &count, sizeof count) < 0)
        return;
    for (uint32_t slot = 0; slot < executor->slots; slot++)
        if (executor->processes[slot])
            look_at_entry(executor->processes[slot]);
}

/* ---- beginning ----------------------------------------------------------------------------- */

static int make_entries(int *ret)
{
    int fd = memfd_create("conit-follow", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (ftruncate(fd, (off_t)ENTRIES_BYTES) < 0) {
        int failed = -errno;
        close(fd);
        return failed;
    }
    *ret = fd;
    return 0;
}

static int map_entries(struct executor *executor)
{
    struct stat stat;
    if (fstat(executor->follow_fd, &stat) < 0)
        return -errno;
    if (stat.st_size != (off_t)ENTRIES_BYTES)
        return -EPROTO;
    void *memory = mmap(NULL, ENTRIES_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                        executor->follow_fd, 0);
    if (memory == MAP_FAILED)
        return -errno;
    executor->follow_entries = memory;
    return 0;
}

int follow_begin(struct executor *executor, int entries_fd, int bell_fd)
{
    const uint32_t keys[] = {KEY_FOLLOW, KEY_FOLLOW_BELL};
    bool held = entries_fd >= 0 && bell_fd >= 0;
    int failed =
        processes_are_ours() ? 0 : -ENXIO; /* then nobody could tell who descends from whom */
    if (!failed && !held)
        failed = make_entries(&entries_fd);
    if (!failed && !held) {
        bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        failed = bell_fd < 0 ? -errno : 0;
    }
    executor->follow_fd = entries_fd;
    executor->bell_fd = bell_fd;
    if (!failed)
        failed = map_entries(executor);
    if (!failed && !held)
        failed = init_link_store_queued(executor->launcher->init_link, OWNER_LAUNCHER, keys,
                                        (const int[]){entries_fd, bell_fd}, 2);
    if (!failed)
        failed =
            loop_add(&executor->launcher->loop, &executor->bell_source, bell_fd, EPOLLIN, on_bell);
    if (failed)
        executor->follow_entries = NULL;
    return failed;
}

/* ---- a follower's life --------------------------------------------------------------------- */

bool follow_is_wanted(const struct process *process)
{
    const struct definition *definition = process_service(process)->definition;
    return definition && definition->type == TYPE_FORKING && process->cgroup_fd < 0 &&
           entry_of(process);
}

/* Beside our own file, else where it is installed, as for every program of ours. */
static bool find_program(char *path, size_t size_bytes)
{
    ssize_t bytes = readlink("/proc/self/exe", path, size_bytes - 1);
    char *slash = NULL;
    if (bytes > 0) {
        path[bytes] = 0;
        slash = strrchr(path, '/');
    }
    size_t used = slash ? (size_t)(slash - path) + 1 : 0;
    if (slash && text_format(slash + 1, size_bytes - used, "%s", PROGRAM) &&
        access(path, X_OK) == 0)
        return true;
    return text_format(path, size_bytes, "%s/%s", CONIT_LIBEXEC, PROGRAM);
}

void follow_prepare(struct process *process, struct follow_command *storage)
{
    struct follow_entry *entry = entry_of(process);
    struct service_record *record = process_record(process);

    *entry = (struct follow_entry){.version = FOLLOW_VERSION};
    find_program(storage->program, sizeof storage->program);
    text_format(storage->entry, sizeof storage->entry, "%u", process->slot);
    text_format(storage->name, sizeof storage->name, "%s", record->name);
    size_t used = 0;
    storage->argv[used++] = storage->program;
    storage->argv[used++] = (char *)"--service";
    storage->argv[used++] = storage->name;
    storage->argv[used++] = (char *)"--entry";
    storage->argv[used++] = storage->entry;
    storage->argv[used] = NULL;
    storage->spawn = (struct spawn_follow){
        .argv = storage->argv,
        .entries_fd = process->executor->follow_fd,
        .bell_fd = process->executor->bell_fd,
        .first_pid = &record->main_pid,
        .main_pid = &entry->main_pid,
    };
}

/* All that it followed has ended, and it with them; or somebody has killed it. */
static void follower_ended(struct process *process)
{
    struct service_record *record = process_record(process);
    bool unexecuted = executor_apart_failed(process, false);
    const struct follow_entry *entry = entry_of(process);
    bool lost = !unexecuted && !(entry && __atomic_load_n(&entry->empty, __ATOMIC_ACQUIRE));
    if (lost) {
        struct service_body body;
        manager_edit(manager_of(process), process_service(process), &body);
        body.by_mark = 1;
        manager_commit(manager_of(process), process_service(process), &body);
        LOG(WARNING,
            "The follower of a service was killed: what belongs to it is known by its "
            "environment from now on",
            TEXT("service", record->name), NUMBER("pid", record->follower_pid));
    }
    if (pidref_is_set(&process->follower))
        pidref_reap(&process->follower);
    follow_forget(process);
    __atomic_store_n(&record->follower_pid, 0, __ATOMIC_RELEASE);
    if (unexecuted && executor_fail_apart(process, false))
        return;
    /* It was the one to say how the main process ended. */
    if (record->main_pid && process->main_source.fd < 0 && executor_watch(process, false) == -ESRCH)
        executor_main_gone(process);
    else if (!record->main_pid && lost)
        executor_main_lost(process);
    executor_check_empty(process);
}

static void on_follower_ended(struct loop_fd *source, uint32_t events)
{
    (void)events;
    follower_ended(container_of(source, struct process, follower_source));
}

void follow_watch(struct process *process)
{
    struct service_record *record = process_record(process);
    if (!record->follower_pid || process->follower_source.fd >= 0)
        return;
    int failed = pidref_is_set(&process->follower)
                     ? 0
                     : pidref_open(record->follower_pid, &process->follower);
    if (!failed)
        failed = loop_add(&process->executor->launcher->loop, &process->follower_source,
                          process->follower.fd, EPOLLIN, on_follower_ended);
    if (failed && failed != -ESRCH)
        LOG(ERROR, "Cannot watch the follower of a service", TEXT("service", record->name),
            TEXT("error", strerror(-failed)));
    if (failed)
        follower_ended(process);
}

void follow_set_main(struct process *process, pid_t pid)
{
    struct follow_entry *entry = entry_of(process);
    if (entry && process_record(process)->follower_pid)
        __atomic_store_n(&entry->main_pid, pid, __ATOMIC_RELEASE);
}

bool follow_knows_end(const struct process *process, int *ret_status)
{
    const struct follow_entry *entry = entry_of(process);
    const struct service_record *record = process_record(process);
    if (!entry || process->cgroup_fd >= 0 || !record->main_pid ||
        __atomic_load_n(&entry->ended_pid, __ATOMIC_ACQUIRE) != record->main_pid)
        return false;
    *ret_status = entry->ended_status;
    return true;
}

void follow_forget(struct process *process)
{
    loop_remove(&process->executor->launcher->loop, &process->follower_source);
    pidref_close(&process->follower);
}
