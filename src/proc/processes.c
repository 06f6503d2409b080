/* Processes as /proc shows them, and how one has ended that is no child of ours. */
#include "proc/processes.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define STAT_BYTES        1024
#define ENVIRONMENT_BYTES 65536 /* looked at; an entry behind them is not found */
#define LOOKS_MAX         20    /* at processes that fork and end faster than they are looked at */

/* The fields of /proc/PID/stat behind the name, counted from 0: proc_pid_stat(5) counts from 3. */
enum stat_field {
    FIELD_STATE = 0,
    FIELD_PARENT = 1,
    FIELD_SESSION = 3,
    FIELD_START = 19,
    FIELD_EXIT_CODE = 49,
    STAT_FIELDS
};

bool processes_are_ours(void)
{
    static int ours = -1; /* what is mounted there does not change under a program that runs */
    char target[32];
    uint64_t number;
    if (ours < 0) {
        ssize_t bytes = readlink("/proc/self", target, sizeof target - 1);
        target[bytes > 0 ? bytes : 0] = 0;
        ours = text_parse_unsigned(target, &number) == 0 && number == (uint64_t)getpid();
    }
    return ours;
}

int process_read_stat(pid_t pid, struct process_stat *ret)
{
    char path[40], line[STAT_BYTES];
    if (!processes_are_ours())
        return -ENXIO;
    text_format(path, sizeof path, "/proc/%d/stat", (int)pid);
    ssize_t bytes = file_read(AT_FDCWD, path, line, sizeof line);
    if (bytes < 0)
        return bytes == -ENOENT ? -ESRCH : (int)bytes;
    /* A name may hold blanks and brackets: it ends at the last bracket. */
    char *at = strrchr(line, ')');
    const char *fields[STAT_FIELDS] = {0};
    size_t count = 0;
    for (at = at ? at + 1 : NULL; at && *at == ' ' && count < STAT_FIELDS; count++) {
        fields[count] = ++at;
        at += strcspn(at, " \n");
    }
    if (count <= FIELD_START)
        return -EPROTO;
    *ret = (struct process_stat){
        .pid = pid,
        .parent = (pid_t)strtol(fields[FIELD_PARENT], NULL, 10),
        .session = (pid_t)strtol(fields[FIELD_SESSION], NULL, 10),
        .state = fields[FIELD_STATE][0],
        .start_ticks = strtoull(fields[FIELD_START], NULL, 10),
        .status = count > FIELD_EXIT_CODE ? (int)strtol(fields[FIELD_EXIT_CODE], NULL, 10) : 0,
    };
    return 0;
}

static ssize_t read_link(pid_t pid, char *target, size_t size_bytes)
{
    char path[40];
    text_format(path, sizeof path, "/proc/%d/exe", (int)pid);
    ssize_t bytes = readlink(path, target, size_bytes - 1);
    if (bytes < 0)
        return -errno;
    target[bytes] = 0;
    return bytes;
}

bool process_is_called(pid_t pid, const char *name)
{
    char path[40], target[PATH_MAX];
    const char *const deleted = " (deleted)";
    ssize_t bytes = read_link(pid, target, sizeof target);
    if (bytes > 0) {
        size_t behind = (size_t)bytes - strlen(deleted);
        if ((size_t)bytes > strlen(deleted) && strcmp(target + behind, deleted) == 0)
            target[behind] = 0;
        const char *slash = strrchr(target, '/');
        if (slash && strcmp(slash + 1, name) == 0)
            return true;
    }
    text_format(path, sizeof path, "/proc/%d/comm", (int)pid);
    if (file_read(AT_FDCWD, path, target, sizeof target) <= 0)
        return false;
    target[strcspn(target, "\n")] = 0;
    return *target && strncmp(target, name, 15) == 0 &&
           (strlen(name) == strlen(target) || strlen(target) == 15);
}

/* An error of ours, and not of the process. */
static bool may_pass(int failed)
{
    return failed == -EMFILE || failed == -ENFILE || failed == -ENOMEM;
}

int process_has_environment(pid_t pid, const char *entry)
{
    char path[40];
    size_t length = strlen(entry);
    AUTO_FREE char *all = malloc(ENVIRONMENT_BYTES);
    text_format(path, sizeof path, "/proc/%d/environ", (int)pid);
    ssize_t bytes = all ? file_read(AT_FDCWD, path, all, ENVIRONMENT_BYTES) : -ENOMEM;
    for (ssize_t at = 0; at < bytes; at += (ssize_t)strlen(all + at) + 1)
        if (strncmp(all + at, entry, length + 1) == 0)
            return 1;
    return may_pass((int)bytes) ? (int)bytes : 0;
}

int processes_each(bool (*each)(void *context, const struct process_stat *stat), void *context)
{
    DIR *folder = processes_are_ours() ? opendir("/proc") : NULL;
    if (!folder && !processes_are_ours())
        return -ENXIO;
    if (!folder)
        return -errno;
    int failed = 0, gone = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        struct process_stat stat;
        uint64_t pid;
        if (text_parse_unsigned(entry->d_name, &pid) < 0 || pid > INT_MAX)
            continue;
        failed = process_read_stat((pid_t)pid, &stat);
        if (may_pass(failed) || (!failed && !each(context, &stat)))
            break;
        gone += failed < 0;
    }
    closedir(folder);
    return may_pass(failed) ? failed : gone;
}

/* ---- descendants --------------------------------------------------------------------------- */

struct snapshot {
    struct process_stat *stats; /* from malloc */
    size_t count, room;
    bool no_memory;
};

static bool add(void *context, const struct process_stat *stat)
{
    struct snapshot *all = context;
    if (all->count == all->room) {
        size_t room = all->room ? all->room * 2 : 256;
        struct process_stat *grown = reallocarray(all->stats, room, sizeof *grown);
        if (!grown) {
            all->no_memory = true;
            return false;
        }
        all->stats = grown;
        all->room = room;
    }
    all->stats[all->count++] = *stat;
    return true;
}

static bool lives(const struct process_stat *stat)
{
    return stat->state != 'Z' && stat->state != 'X';
}

static int by_parent(const void *a, const void *b)
{
    const struct process_stat *first = a, *second = b;
    return first->parent < second->parent ? -1 : first->parent > second->parent;
}

/* The first process whose parent is this one; all->count: none. */
static size_t first_child(const struct snapshot *all, pid_t parent)
{
    size_t low = 0, high = all->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (all->stats[middle].parent < parent)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The number that was given to a process last; -1 where it is not known. */
static long last_number(void)
{
    char line[128];
    ssize_t bytes = file_read(AT_FDCWD, "/proc/loadavg", line, sizeof line);
    const char *last = bytes > 0 ? strrchr(line, ' ') : NULL;
    return last ? strtol(last + 1, NULL, 10) : -1;
}

/* One look. *ret_ended: whether any that may have been one of them has ended since it began. */
static ssize_t look_below(pid_t root, pid_t **ret, bool *ret_ended)
{
    struct snapshot all = {0};
    long before = last_number();
    int gone = processes_each(add, &all);
    /* /proc is read from the lowest number up: a child that was given a low one again, by a parent
     * with a high one that ended then, is not seen, nor is the parent. */
    bool began_anew = last_number() < before;
    if (gone < 0 || all.no_memory) {
        free(all.stats);
        return gone < 0 ? gone : -ENOMEM;
    }
    if (all.count)
        qsort(all.stats, all.count, sizeof *all.stats, by_parent);
    pid_t *found = malloc((all.count + 1) * sizeof *found);
    size_t count = 0, kept = 0;
    if (!found) {
        free(all.stats);
        return -ENOMEM;
    }
    /* Breadth first: what is found is looked at in its turn. A process has one parent, so none is
     * found twice, and a number that was given again in the middle cannot make a circle longer
     * than the list. */
    pid_t parent = root;
    for (size_t next = 0; count < all.count; parent = found[next++]) {
        for (size_t i = first_child(&all, parent);
             i < all.count && all.stats[i].parent == parent && count < all.count; i++)
            found[count++] = all.stats[i].pid;
        if (next == count)
            break;
    }
    /* Zombies have no children: leaving them out now loses nobody. */
    int failed = 0;
    for (size_t i = 0; i < count && !may_pass(failed); i++) {
        struct process_stat stat;
        failed = process_read_stat(found[i], &stat);
        if (!failed && lives(&stat))
            found[kept++] = found[i];
    }
    free(all.stats);
    if (may_pass(failed)) {
        free(found);
        return failed;
    }
    *ret = found;
    *ret_ended = gone > 0 || kept < count || began_anew;
    return (ssize_t)kept;
}

ssize_t processes_below(pid_t root, pid_t **ret)
{
    for (int looks = 1;; looks++) {
        pid_t *found = NULL;
        bool ended = false;
        ssize_t count = look_below(root, &found, &ended);
        if (count < 0)
            return count;
        if (count > 0 || !ended) {
            *ret = found;
            return count;
        }
        /* Those that there were may have left children that were not there yet. */
        free(found);
        if (looks == LOOKS_MAX)
            return -EAGAIN;
    }
}

/* ---- the end of what is no child ----------------------------------------------------------- */

/* struct pidfd_info and the request of linux/pidfd.h, which distributions do not have yet: its
 * first version is 64 bytes, and `exit_code` came with kernel 6.15. */
struct pidfd_info {
    uint64_t mask, cgroup_id;
    uint32_t pid, tgid, parent, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
    int32_t exit_code;
};
#define PIDFD_INFO_CGROUP 4u
#define PIDFD_INFO_EXIT   8u
#define PIDFD_GET_INFO    _IOWR(0xFF, 11, struct pidfd_info)

static int status_of_pidfd(int fd, int *ret_status)
{
    struct pidfd_info info = {.mask = PIDFD_INFO_EXIT};
    if (ioctl(fd, PIDFD_GET_INFO, &info) < 0 || !(info.mask & PIDFD_INFO_EXIT))
        return -ENODATA;
    *ret_status = info.exit_code;
    return 0;
}

int process_cgroup_id(int pidfd, uint64_t *ret)
{
    struct pidfd_info info = {.mask = PIDFD_INFO_CGROUP | PIDFD_INFO_EXIT};
    if (ioctl(pidfd, PIDFD_GET_INFO, &info) < 0)
        return -errno;
    if (!(info.mask & PIDFD_INFO_CGROUP))
        return -ENODATA;
    *ret = info.cgroup_id;
    return 0;
}

int pidref_end_status(const struct pidref *process, int *ret_status)
{
    struct process_stat stat;
    char target[PATH_MAX];
    struct pollfd poll_fd = {.fd = process->fd, .events = POLLIN};

    if (poll(&poll_fd, 1, 0) == 0)
        return -EAGAIN;
    /* Who may not look at a process is told status 0: then its executable is kept secret, too. */
    if (process_read_stat(process->pid, &stat) == 0 && stat.state == 'Z' &&
        read_link(process->pid, target, sizeof target) == -ENOENT &&
        pidref_signal(process, 0) == 0) { /* not reaped yet: the number was its own */
        *ret_status = stat.status;
        return 0;
    }
    return status_of_pidfd(process->fd, ret_status);
}
