/* cgroup v2, used to follow a service. */
#include "proc/cgroup.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/syscall.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER_PREFIX "conit-"
#define FOLDER_DIGITS 16
#define FILE_BYTES    4096
#define HANDLE_KERNFS 0xfe
#define DEPTH_MAX     "64" /* of what services make below: no more is looked through or removed */
#define REMOVE_DEPTH  64

/* ---- where --------------------------------------------------------------------------------- */

bool cgroup_parse_mount(char *line, char **ret_root, char **ret_point)
{
    char *fields[6], *at = line;
    for (size_t i = 0; i < 6; i++) {
        fields[i] = at;
        at = strchr(at, ' ');
        if (!at || at == fields[i])
            return false;
        *at++ = 0;
    }
    while (*at && !text_starts_with(at, "- ", NULL)) { /* fields that may be missing */
        at += strcspn(at, " ");
        at += *at == ' ';
    }
    if (!text_starts_with(at, "- cgroup2 ", NULL))
        return false;
    text_unescape(fields[3]);
    text_unescape(fields[4]);
    *ret_root = fields[3];
    *ret_point = fields[4];
    return true;
}

/* Closes it. Where not all of it could be read, what there is not, and what is the best, is not
 * known. */
static int end_search(FILE *file, int result)
{
    if (ferror(file))
        result = -errno; /* of the last thing that was done, fgets() */
    fclose(file);
    return result;
}

/* Our own cgroup: the line "0::/PATH" of /proc/self/cgroup. */
static int read_own_path(char *path, size_t size_bytes)
{
    char line[PATH_MAX + 16];
    FILE *file = fopen("/proc/self/cgroup", "re");
    int result = -ENOENT;
    if (!file)
        return -errno;
    while (result < 0 && fgets(line, sizeof line, file)) {
        const char *rest;
        if (!text_starts_with(line, "0::", &rest))
            continue;
        line[strcspn(line, "\n")] = 0;
        result = text_format(path, size_bytes, "%s", rest) ? 0 : -ENAMETOOLONG;
    }
    return end_search(file, result);
}

/* The folder of our own cgroup, on the first mount that shows it. */
static int find_own_folder(char *path, size_t size_bytes)
{
    char own[PATH_MAX], line[PATH_MAX * 2];
    int result = read_own_path(own, sizeof own);
    if (result < 0)
        return result;
    FILE *file = fopen("/proc/self/mountinfo", "re");
    if (!file)
        return -errno;
    result = -ENOENT;
    while (result < 0 && fgets(line, sizeof line, file)) {
        char *root, *point;
        const char *rest;
        if (!cgroup_parse_mount(line, &root, &point))
            continue;
        if (strcmp(root, "/") == 0)
            root[0] = 0;
        if (!text_starts_with(own, root, &rest) || (*rest && *rest != '/'))
            continue;
        result = text_format(path, size_bytes, "%s%s", point, rest) ? 0 : -ENAMETOOLONG;
    }
    return end_search(file, result);
}

int cgroup_write(int cgroup_fd, const char *file, const char *value)
{
    AUTO_CLOSE int fd = openat(cgroup_fd, file, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return write(fd, value, strlen(value)) < 0 ? -errno : 0;
}

/* The path of what is open. */
static int path_of(int fd, char *ret, size_t size_bytes)
{
    char link[40];
    text_format(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t bytes = readlink(link, ret, size_bytes);
    if (bytes < 0)
        return -errno;
    if ((size_t)bytes == size_bytes)
        return -ENAMETOOLONG;
    ret[bytes] = 0;
    return 0;
}

/* A file handle of the kernel's kernfs is the id (FILEID_KERNFS, linux/exportfs.h). */
int cgroup_path_of_id(int folder_fd, uint64_t id, char *ret, size_t size_bytes)
{
    union {
        struct file_handle handle;
        char bytes[sizeof(struct file_handle) + sizeof id];
    } of = {.handle = {.handle_bytes = sizeof id, .handle_type = HANDLE_KERNFS}};
    memcpy(of.bytes + offsetof(struct file_handle, f_handle), &id, sizeof id);
    AUTO_CLOSE int fd = open_by_handle_at(folder_fd, &of.handle, O_PATH | O_CLOEXEC);
    return fd < 0 ? -errno : path_of(fd, ret, size_bytes);
}

/* The longest mount point that leads to it counts: a mount may lie below another. */
int cgroup_folder_paths(int folder_fd, char *ret, size_t size_bytes)
{
    char path[PATH_MAX], line[PATH_MAX * 2], *root, *point;
    size_t longest = 0;
    int result = path_of(folder_fd, path, sizeof path);

    if (result < 0)
        return result;
    result = -ENOENT;
    FILE *file = fopen("/proc/self/mountinfo", "re");
    if (!file)
        return -errno;
    while (fgets(line, sizeof line, file)) {
        const char *rest;
        if (!cgroup_parse_mount(line, &root, &point) || strlen(point) < longest ||
            !text_starts_with(path, point, &rest) || *rest != '/')
            continue;
        longest = strlen(point);
        result =
            text_format(ret, size_bytes, "%s%s\n%s", strcmp(root, "/") == 0 ? "" : root, rest, path)
                ? 0
                : -ENAMETOOLONG;
    }
    return end_search(file, result);
}

/* ---- leftovers ----------------------------------------------------------------------------- */

/* "conit-" and 16 digits, as cgroup_create_folder() makes them. */
static bool is_folder_name(const char *name)
{
    const char *rest;
    return text_starts_with(name, FOLDER_PREFIX, &rest) && strlen(rest) == FOLDER_DIGITS &&
           strspn(rest, "0123456789abcdef") == FOLDER_DIGITS;
}

/* Removes all cgroups below, deepest first, and then itself. What is not empty stays, and so does
 * the folder of a launcher that lives below: its services may have empty cgroups. */
static void remove_tree(int parent_fd, const char *name, int depth)
{
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    if (depth && is_folder_name(name) && flock(fd, LOCK_EX | LOCK_NB) < 0) {
        close(fd);
        return;
    }
    DIR *folder = fdopendir(fd);
    if (!folder) {
        close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(folder));)
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.' && depth < REMOVE_DEPTH)
            remove_tree(fd, entry->d_name, depth + 1);
    closedir(folder);
    unlinkat(parent_fd, name, AT_REMOVEDIR);
}

void cgroup_remove_tree(int parent_fd, const char *name)
{
    remove_tree(parent_fd, name, 0);
}

void cgroup_remove_folder(int folder_fd)
{
    char path[PATH_MAX], link[40];
    text_format(link, sizeof link, "/proc/self/fd/%d", folder_fd);
    ssize_t bytes = readlink(link, path, sizeof path - 1);
    if (bytes <= 0)
        return;
    path[bytes] = 0;
    remove_tree(AT_FDCWD, path, 0);
}

void cgroup_remove_leftovers(int own_fd, bool (*is_ours)(const char *name))
{
    int fd = openat(own_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_type != DT_DIR || !is_ours(entry->d_name))
            continue;
        AUTO_CLOSE int old = openat(own_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (old >= 0 && flock(old, LOCK_EX | LOCK_NB) == 0)
            remove_tree(own_fd, entry->d_name, 0);
    }
    closedir(folder);
}

int cgroup_open_own(void)
{
    char path[PATH_MAX];
    int result = find_own_folder(path, sizeof path);
    if (result < 0)
        return result;
    int own = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return own < 0 ? -errno : own;
}

int cgroup_create_folder(void)
{
    char name[32];
    uint64_t random;
    AUTO_CLOSE int own = cgroup_open_own();
    if (own < 0)
        return own;
    cgroup_remove_leftovers(own, is_folder_name);
    for (int attempt = 0; attempt < 8; attempt++) {
        if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
            random = (uint64_t)getpid() << 32 | (uint64_t)(uintptr_t)&random;
        text_format(name, sizeof name, FOLDER_PREFIX "%016llx", (unsigned long long)random);
        if (mkdirat(own, name, 0755) < 0) {
            if (errno == EEXIST)
                continue;
            return -errno;
        }
        AUTO_CLOSE int folder = openat(own, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        /* Somebody may take it for a leftover between mkdir and the lock: then try another. */
        if (folder >= 0 && flock(folder, LOCK_EX | LOCK_NB) == 0 &&
            faccessat(own, name, F_OK, 0) == 0) {
            cgroup_write(folder, "cgroup.max.depth", DEPTH_MAX);
            return take_fd(&folder);
        }
    }
    return -EAGAIN;
}

/* ---- a service's cgroup -------------------------------------------------------------------- */

static void service_folder(char name[static NAME_MAX + 1], const char *service)
{
    text_format(name, NAME_MAX + 1, CGROUP_SERVICE_PREFIX "%s", service);
}

int cgroup_open(int folder_fd, const char *service)
{
    char name[NAME_MAX + 1];
    service_folder(name, service);
    /* Mostly it is there: a new launcher opens those of all that run. */
    int fd = openat(folder_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 || errno != ENOENT)
        return fd < 0 ? -errno : fd;
    if (mkdirat(folder_fd, name, 0755) < 0 && errno != EEXIST)
        return -errno;
    fd = openat(folder_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int cgroup_remove(int folder_fd, const char *service)
{
    char name[NAME_MAX + 1];
    service_folder(name, service);
    return unlinkat(folder_fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

int cgroup_renew(int folder_fd, const char *service)
{
    char name[NAME_MAX + 1];
    service_folder(name, service);
    remove_tree(folder_fd, name, 0);
    /* It is still there when something is in it again. */
    if (mkdirat(folder_fd, name, 0755) < 0)
        return errno == EEXIST ? -EBUSY : -errno;
    return cgroup_open(folder_fd, service);
}

int cgroup_is_populated(int cgroup_fd)
{
    char storage[FILE_BYTES];
    ssize_t bytes = file_read(cgroup_fd, "cgroup.events", storage, sizeof storage);
    if (bytes < 0)
        return (int)bytes;
    const char *line = strstr(storage, "populated ");
    return line && line[strlen("populated ")] == '1';
}

bool cgroup_is_divided(int cgroup_fd)
{
    struct stat stat;
    return fstat(cgroup_fd, &stat) == 0 && stat.st_nlink > 2;
}

/* What is written there, and not what cgroup.events says: that comes later, when all are frozen. */
static bool is_frozen(int cgroup_fd)
{
    char storage[8];
    ssize_t bytes = file_read(cgroup_fd, "cgroup.freeze", storage, sizeof storage);
    return bytes > 0 && storage[0] == '1';
}

int cgroup_thaw(int folder_fd, int cgroup_fd)
{
    int failed = is_frozen(cgroup_fd) ? cgroup_write(cgroup_fd, "cgroup.freeze", "0") : 0;
    return failed || is_frozen(folder_fd) ? -EBUSY : 0;
}

int cgroup_kill(int cgroup_fd)
{
    return cgroup_write(cgroup_fd, "cgroup.kill", "1");
}

/* Calls `each` with every pid in cgroup.procs. Returns how many, or -errno. */
static int for_each_process(int cgroup_fd, void (*each)(void *context, int32_t pid), void *context)
{
    AUTO_CLOSE int fd = openat(cgroup_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    char storage[FILE_BYTES];
    int32_t pid = 0;
    int count = 0;
    ssize_t bytes;
    if (fd < 0)
        return -errno;
    while ((bytes = read(fd, storage, sizeof storage)) > 0) {
        for (ssize_t i = 0; i < bytes; i++) {
            if (storage[i] >= '0' && storage[i] <= '9') {
                pid = pid * 10 + (storage[i] - '0');
            } else if (pid) {
                each(context, pid);
                count++;
                pid = 0;
            }
        }
    }
    return bytes < 0 ? -errno : count;
}

struct signalling {
    int signal, count;
};

/* Between reading the number and opening the process it may have ended and its number be another's:
 * only one that still is in the cgroup's list can be meant, so the window is that of two calls. */
static void signal_process(void *context, int32_t pid)
{
    struct signalling *signalling = context;
    AUTO_CLOSE int fd = syscall_pidfd_open(pid, 0);
    if (fd >= 0 && syscall_pidfd_send_signal(fd, signalling->signal) == 0)
        signalling->count++;
}

/* The same for those below it, too. */
static int for_each_below(int cgroup_fd, void (*each)(void *context, int32_t pid), void *context,
                          int depth)
{
    int result = for_each_process(cgroup_fd, each, context);
    int fd = openat(cgroup_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        if (fd >= 0)
            close(fd);
        return result;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.' || depth >= REMOVE_DEPTH)
            continue;
        AUTO_CLOSE int below = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int found = below < 0 ? 0 : for_each_below(below, each, context, depth + 1);
        if (found > 0 && result >= 0)
            result += found;
    }
    closedir(folder);
    return result;
}

int cgroup_signal(int cgroup_fd, int signal)
{
    struct signalling signalling = {.signal = signal};
    int result = for_each_below(cgroup_fd, signal_process, &signalling, 0);
    return result < 0 ? result : signalling.count;
}

struct collection {
    int32_t *pids;
    size_t count, room;
};

static void collect(void *context, int32_t pid)
{
    struct collection *collection = context;
    if (collection->count < collection->room)
        collection->pids[collection->count++] = pid;
}

int cgroup_processes(int cgroup_fd, int32_t *pids, size_t room)
{
    struct collection collection = {.pids = pids, .room = room};
    return for_each_below(cgroup_fd, collect, &collection, 0);
}

/* The part of a cgroup's path that nobody else's has: our folder's random name and the service's.
 * What is before them depends on the mount and on the namespace. */
static bool own_part(int cgroup_fd, char *storage, size_t size_bytes)
{
    char link[40];
    text_format(link, sizeof link, "/proc/self/fd/%d", cgroup_fd);
    ssize_t bytes = readlink(link, storage, size_bytes - 1);
    if (bytes <= 0 || (size_t)bytes == size_bytes - 1)
        return false;
    storage[bytes] = 0;
    char *last = strrchr(storage, '/');
    if (!last || last == storage)
        return false;
    *last = 0;
    char *first = strrchr(storage, '/');
    *last = '/';
    if (!first)
        return false;
    memmove(storage, first, strlen(first) + 1);
    return true;
}

bool cgroup_contains(int cgroup_fd, int32_t pid)
{
    char part[PATH_MAX], file[40], lines[FILE_BYTES];
    if (cgroup_fd < 0 || !own_part(cgroup_fd, part, sizeof part))
        return false;
    text_format(file, sizeof file, "/proc/%d/cgroup", (int)pid);
    if (file_read(AT_FDCWD, file, lines, sizeof lines) < 0)
        return false;
    const char *path = text_starts_with(lines, "0::", NULL) ? lines : strstr(lines, "\n0::");
    const char *found = path ? strstr(path, part) : NULL;
    /* The next byte is the end, or the beginning of what is below it. */
    return found && strchr("/\n ", found[strlen(part)]);
}

int64_t cgroup_memory_bytes(int cgroup_fd)
{
    char storage[64];
    uint64_t number;
    ssize_t bytes = file_read(cgroup_fd, "memory.current", storage, sizeof storage);
    if (bytes < 0)
        return bytes;
    storage[strcspn(storage, "\n")] = 0;
    int failed = text_parse_unsigned(storage, &number);
    return failed ? failed : (int64_t)number;
}

int cgroup_open_events(int cgroup_fd)
{
    int fd = openat(cgroup_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}
