/* Limits of a service's cgroup, and the controllers they need, which are enabled when one does. */
#include "proc/cgroup-limits.h"
#include "base/cleanup.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEAF           "programs" /* of init, launcher and journal; services begin otherwise */
#define LEVELS_MAX     16         /* from the folder up to the root of the mount */
#define FILE_BYTES     512
#define OWN_MAX        32 /* of our own processes */
#define MOVE_TRIES     4  /* init may start one while the others are moved */
#define CPU_PERIOD_US  100000
#define WEIGHT_DEFAULT 100
#define BFQ_MAX        1000

/* ---- what is in the files ------------------------------------------------------------------ */

/* Whether a word is in a file of words. */
static bool has_word(int folder_fd, const char *file, const char *word)
{
    char storage[FILE_BYTES];
    size_t length = strlen(word);
    if (file_read(folder_fd, file, storage, sizeof storage) < 0)
        return false;
    for (const char *at = storage; *at;) {
        at += strspn(at, " \n");
        size_t part = strcspn(at, " \n");
        if (part == length && strncmp(at, word, part) == 0)
            return true;
        at += part;
    }
    return false;
}

/* Without waiting: a new limit of memory would be reached by the writer's work otherwise. */
static int write_file(int folder_fd, const char *file, const char *value)
{
    AUTO_CLOSE int fd = openat(folder_fd, file, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return write(fd, value, strlen(value)) < 0 ? -errno : 0;
}

static int switch_controller(int folder_fd, char sign, const char *controller)
{
    char value[32];
    text_format(value, sizeof value, "%c%s", sign, controller);
    return write_file(folder_fd, "cgroup.subtree_control", value);
}

/* ---- the leaf ------------------------------------------------------------------------------ */

static int read_link(char *path, size_t size_bytes, const char *format, int pid)
{
    char name[40];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    text_format(name, sizeof name, format, pid);
#pragma GCC diagnostic pop
    ssize_t bytes = readlink(name, path, size_bytes - 1);
    if (bytes < 0)
        return -errno;
    path[bytes] = 0;
    return 0;
}

/* A program of ours is init, or lies in the same folder as this one. */
static bool is_ours(int32_t pid)
{
    char mine[PATH_MAX], other[PATH_MAX];
    if (pid == getpid() || pid == getppid())
        return true;
    if (pid <= 0 || read_link(mine, sizeof mine, "/proc/self/exe", 0) < 0 ||
        read_link(other, sizeof other, "/proc/%d/exe", pid) < 0)
        return false;
    const char *slash = strrchr(mine, '/'), *other_slash = strrchr(other, '/');
    size_t length = slash ? (size_t)(slash - mine) : 0;
    return slash && other_slash && (size_t)(other_slash - other) == length &&
           strncmp(mine, other, length) == 0;
}

static int move(int32_t pid, int target_fd)
{
    char number[16];
    text_format(number, sizeof number, "%d", (int)pid);
    int failed = write_file(target_fd, "cgroup.procs", number);
    return failed == -ESRCH ? 0 : failed; /* it has ended */
}

/* The processes in a cgroup, if all of them are ours. Returns how many, or -EBUSY. One of another
 * PID namespace is shown as 0. */
static int list_ours(int cgroup_fd, int32_t pids[static OWN_MAX])
{
    char storage[FILE_BYTES];
    int count = 0;
    ssize_t bytes = file_read(cgroup_fd, "cgroup.procs", storage, sizeof storage);
    if (bytes < 0)
        return (int)bytes;
    for (char *at = storage, *end; (end = strchr(at, '\n')); at = end + 1) {
        uint64_t pid;
        *end = 0;
        if (text_parse_unsigned(at, &pid) < 0 || count == OWN_MAX || !is_ours((int32_t)pid))
            return -EBUSY;
        pids[count++] = (int32_t)pid;
    }
    return bytes == FILE_BYTES - 1 ? -EBUSY : count;
}

/* Moves all processes of one cgroup to another, if each is ours. Returns 0, or -EBUSY. */
static int move_ours(int from_fd, int target_fd)
{
    int32_t pids[OWN_MAX] = {0};
    for (int tries = 0; tries < MOVE_TRIES; tries++) {
        int count = list_ours(from_fd, pids);
        if (count <= 0)
            return count;
        for (int i = 0; i < count; i++) {
            int failed = move(pids[i], target_fd);
            if (failed)
                return failed;
        }
    }
    return -EBUSY;
}

static int enter_leaf(int folder_fd, int own_fd)
{
    if (mkdirat(folder_fd, LEAF, 0755) < 0 && errno != EEXIST)
        return -errno;
    AUTO_CLOSE int leaf = openat(folder_fd, LEAF, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (leaf < 0)
        return -errno;
    int failed = move_ours(own_fd, leaf);
    if (failed)
        unlinkat(folder_fd, LEAF, AT_REMOVEDIR); /* which it stays when somebody is in it */
    return failed;
}

void cgroup_leave_leaf(int folder_fd)
{
    static const char *const controllers[] = {"memory", "cpu", "pids", "io"};
    AUTO_CLOSE int leaf = openat(folder_fd, LEAF, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSE int own = openat(folder_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (leaf < 0 || own < 0)
        return;
    for (size_t i = 0; i < sizeof controllers / sizeof *controllers; i++) {
        switch_controller(folder_fd, '-', controllers[i]);
        switch_controller(own, '-', controllers[i]);
    }
    move_ours(leaf, own);
}

/* ---- controllers --------------------------------------------------------------------------- */

bool cgroup_has_controllers(int folder_fd)
{
    char storage[FILE_BYTES];
    return file_read(folder_fd, "cgroup.subtree_control", storage, sizeof storage) > 1;
}

/* Opens the cgroups from the folder up to one that has the controller for those below it, or could.
 * Returns how many there are, or -errno: -ENOENT when none has it, -EACCES when it is up to others
 * to enable it. */
static int find_levels(int folder_fd, const char *controller, bool container, int fds[LEVELS_MAX])
{
    int count = 0;
    int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), failed = -errno;
    while (fd >= 0) {
        fds[count++] = fd;
        if (has_word(fd, "cgroup.controllers", controller))
            return count;
        int above = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        fd = -1;
        if (above < 0)
            failed = -errno;
        else if (faccessat(above, "cgroup.controllers", F_OK, 0) < 0)
            failed = -ENOENT;
        else if (count == LEVELS_MAX)
            failed = -ELOOP;
        else if (container && count > 1)
            failed = -EACCES;
        else
            fd = take_fd(&above);
        if (above >= 0)
            close(above);
    }
    while (count)
        close(fds[--count]);
    return failed;
}

/* Whether it holds processes and is not the root, which alone may. The kernel refuses that for some
 * controllers only; others make all below it threaded, where no process can be put. */
static bool holds_what_it_may_not(int cgroup_fd)
{
    char storage[8];
    return faccessat(cgroup_fd, "cgroup.type", F_OK, 0) == 0 &&
           file_read(cgroup_fd, "cgroup.procs", storage, sizeof storage) > 0;
}

/* Enables it for what is below each of the cgroups, the highest first. */
static int enable(int folder_fd, const char *controller, bool container)
{
    int fds[LEVELS_MAX] = {0}, failed = 0;
    if (has_word(folder_fd, "cgroup.subtree_control", controller))
        return 0;
    int count = find_levels(folder_fd, controller, container, fds);
    if (count < 0)
        return count;
    for (int i = count; i-- && !failed;) {
        if (holds_what_it_may_not(fds[i]))
            failed = i == 1 ? enter_leaf(folder_fd, fds[i]) : -EBUSY;
        if (!failed)
            failed = switch_controller(fds[i], '+', controller);
    }
    while (count)
        close(fds[--count]);
    return failed;
}

static void add_why(struct text *problems, int error, const char *controller)
{
    if (error == -ENOENT)
        text_printf(problems, "cgroup v2 has no controller '%s' here", controller);
    else if (error == -EACCES)
        text_printf(problems, "the controller '%s' is not enabled for our own cgroup", controller);
    else if (error == -EBUSY)
        text_add(problems, "other processes than ours are in our own cgroup");
    else
        text_printf(problems, "enabling the controller '%s': %s", controller, strerror(-error));
}

/* ---- the limits ---------------------------------------------------------------------------- */

static int put_number(int fd, const char *file, uint64_t value)
{
    char number[24] = "max";
    if (value)
        text_format(number, sizeof number, "%llu", (unsigned long long)value);
    return write_file(fd, file, number);
}

static int put_memory(int fd, const struct cgroup_limits *limits)
{
    return put_number(fd, "memory.max", limits->memory_bytes);
}

static int put_memory_high(int fd, const struct cgroup_limits *limits)
{
    return put_number(fd, "memory.high", limits->memory_high_bytes);
}

static int put_tasks(int fd, const struct cgroup_limits *limits)
{
    return put_number(fd, "pids.max", limits->tasks);
}

static int put_cpu(int fd, const struct cgroup_limits *limits)
{
    char value[48];
    if (!limits->cpu_percent)
        return write_file(fd, "cpu.max", "max");
    text_format(value, sizeof value, "%llu %d",
                (unsigned long long)limits->cpu_percent * CPU_PERIOD_US / 100, CPU_PERIOD_US);
    return write_file(fd, "cpu.max", value);
}

/* Two of the kernel's schedulers have a weight, BFQ only up to 1000: above 100 it is stretched. */
static int put_io_weight(int fd, const struct cgroup_limits *limits)
{
    char value[32];
    uint32_t weight = limits->io_weight ? limits->io_weight : WEIGHT_DEFAULT;
    text_format(value, sizeof value, "default %u", weight);
    int failed = write_file(fd, "io.weight", value);
    if (weight > WEIGHT_DEFAULT)
        weight = WEIGHT_DEFAULT + (weight - WEIGHT_DEFAULT) / 11;
    text_format(value, sizeof value, "default %u", weight);
    int failed_too = write_file(fd, "io.bfq.weight", value);
    return failed_too ? failed : 0;
}
_Static_assert(WEIGHT_DEFAULT + (10000 - WEIGHT_DEFAULT) / 11 == BFQ_MAX, "the highest is BFQ's");

static uint64_t memory_of(const struct cgroup_limits *limits)
{
    return limits->memory_bytes;
}

static uint64_t memory_high_of(const struct cgroup_limits *limits)
{
    return limits->memory_high_bytes;
}

static uint64_t cpu_of(const struct cgroup_limits *limits)
{
    return limits->cpu_percent;
}

static uint64_t tasks_of(const struct cgroup_limits *limits)
{
    return limits->tasks;
}

static uint64_t io_weight_of(const struct cgroup_limits *limits)
{
    return limits->io_weight;
}

/* Those of one controller stand together. */
static const struct {
    const char *name, *controller;
    uint64_t (*value)(const struct cgroup_limits *limits); /* 0: not given */
    int (*put)(int cgroup_fd, const struct cgroup_limits *limits);
} rows[] = {
    {"memory", "memory", memory_of, put_memory},
    {"memory-high", "memory", memory_high_of, put_memory_high},
    {"cpu", "cpu", cpu_of, put_cpu},
    {"tasks", "pids", tasks_of, put_tasks},
    {"io-weight", "io", io_weight_of, put_io_weight},
};
#define ROWS (sizeof rows / sizeof *rows)

bool cgroup_limits_any(const struct cgroup_limits *limits)
{
    for (size_t i = 0; i < ROWS; i++)
        if (rows[i].value(limits))
            return true;
    return false;
}

static void begin_problem(struct text *problems, const char *names)
{
    text_printf(problems, "%s%s: ", problems->used_bytes ? "; " : "", names);
}

/* The limits of one controller: rows `first` up to but not including `end`. */
static bool limit_rows(int folder_fd, int cgroup_fd, size_t first, size_t end,
                       const struct cgroup_limits *limits, bool container, struct text *problems)
{
    const char *controller = rows[first].controller;
    char names[40];
    struct text given;
    bool good = true;

    text_init(&given, names, sizeof names);
    for (size_t i = first; i < end; i++)
        if (rows[i].value(limits))
            text_printf(&given, "%s%s", given.used_bytes ? ", " : "", rows[i].name);
    if (!given.used_bytes && !has_word(folder_fd, "cgroup.subtree_control", controller))
        return true;
    int failed = given.used_bytes ? enable(folder_fd, controller, container) : 0;
    if (failed) {
        begin_problem(problems, names);
        add_why(problems, failed, controller);
        return false;
    }
    for (size_t i = first; i < end; i++) {
        failed = rows[i].put(cgroup_fd, limits);
        if (!failed || !rows[i].value(limits))
            continue;
        begin_problem(problems, rows[i].name);
        text_add(problems, failed == -ENOENT ? "this kernel does not have it" : strerror(-failed));
        good = false;
    }
    return good;
}

bool cgroup_limit(int folder_fd, int cgroup_fd, const struct cgroup_limits *limits, bool container,
                  struct text *problems)
{
    bool good = true;
    for (size_t first = 0, end; first < ROWS; first = end) {
        for (end = first + 1;
             end < ROWS && strcmp(rows[end].controller, rows[first].controller) == 0;)
            end++;
        if (!limit_rows(folder_fd, cgroup_fd, first, end, limits, container, problems))
            good = false;
    }
    return good;
}
