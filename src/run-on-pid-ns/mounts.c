/* What process 1 mounts, and how its root is moved. See mount_namespaces(7), pivot_root(2). */
#include "base/cleanup.h"
#include "base/syscall.h"
#include "base/text.h"
#include "run-on-pid-ns/steps.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TTY_GROUP "5" /* everywhere; a user namespace has no such group */

/* ---- places -------------------------------------------------------------------------------- */

static int make_one(const char *path, bool folder)
{
    if (folder)
        return mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    return fd < 0 && errno != EEXIST ? -errno : 0;
}

static int make_all(char *path, bool folder)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        int failed = make_one(path, true);
        *slash = '/';
        if (failed && failed != -EROFS && failed != -EACCES)
            return failed;
    }
    return make_one(path, folder);
}

int make_place(struct run *run, const char *path, bool folder)
{
    char copy[PATH_MAX];
    struct stat stat_;
    if (stat(path, &stat_) == 0)
        return !S_ISDIR(stat_.st_mode) == !folder ? 0 : folder ? -ENOTDIR : -EISDIR;
    if (!text_format(copy, sizeof copy, "%s", path))
        return -ENAMETOOLONG;
    int failed = make_all(copy, folder);
    if (failed)
        run->hint = folder ? "inside there is no such folder, and none can be made: make it"
                           : "inside there is no such file, and none can be made: make it";
    return failed;
}

static int mount_new(struct run *run, const char *type, const char *target, unsigned long flags,
                     const char *data)
{
    int failed = make_place(run, target, true);
    if (failed)
        return failed;
    return mount(type, target, type, flags, data) < 0 ? -errno : 0;
}

/* ---- the root ------------------------------------------------------------------------------ */

/* What is mounted inside does not show outside, and what is unmounted outside goes inside too. */
int step_keep_mounts(struct run *run, const struct step *step, int *fd)
{
    return mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ? -errno : 0;
}

/* pivot_root(".", ".") puts the old one above the new one, where "/.." leads to it: it is let go of
 * (step_drop_outside) before any other path is looked up. */
int step_move_root(struct run *run, const struct step *step, int *fd)
{
    char path[PATH_MAX];
    struct stat root;
    if (!realpath(step->source, path) || stat(path, &root) < 0)
        return -errno;
    if (!S_ISDIR(root.st_mode))
        return -ENOTDIR;
    if (strcmp(path, "/") == 0) { /* the same folder mounted elsewhere is as good as another one */
        run->hint = "it is the root already: leave --root out";
        return -EINVAL;
    }
    AUTO_CLOSE int tree = syscall_open_tree(AT_FDCWD, step->source,
                                            OPEN_TREE_CLONE | O_CLOEXEC | SYSCALL_AT_RECURSIVE);
    if (tree < 0)
        return tree;
    int failed = syscall_move_mount(tree, step->source);
    if (failed)
        return failed;
    if (fchdir(tree) < 0)
        return -errno;
    if (syscall(SYS_pivot_root, ".", ".") < 0) {
        if (errno == EINVAL)
            run->hint = "the root outside is the kernel's first one (initramfs), which cannot be "
                        "moved";
        return -errno;
    }
    return 0;
}

int step_drop_outside(struct run *run, const struct step *step, int *fd)
{
    if (umount2(".", MNT_DETACH) < 0)
        return -errno;
    return chdir("/") < 0 ? -errno : 0;
}

/* ---- file systems -------------------------------------------------------------------------- */

/* Opened while the mounts outside are in sight, for a user namespace may mount it only where it
 * sees a whole one. Where the root stays it is mounted at its place, which older kernels know. */
static int open_new(const struct run *run, const char *type, uint64_t attributes, int *fd)
{
    attributes |= SYSCALL_MOUNT_ATTR_NOSUID | SYSCALL_MOUNT_ATTR_NODEV | SYSCALL_MOUNT_ATTR_NOEXEC;
    int opened = run->options->root ? syscall_mount_new(type, attributes) : -1;
    if (run->options->root && opened < 0)
        return opened;
    *fd = opened;
    return 0;
}

/* Puts the mount that is open at its place, and closes it. */
static int put(struct run *run, const char *target, bool folder, int *fd)
{
    int failed = make_place(run, target, folder);
    if (!failed)
        failed = syscall_move_mount(*fd, target);
    close(*fd);
    *fd = -1;
    return failed;
}

int step_open_proc(struct run *run, const struct step *step, int *fd)
{
    return open_new(run, "proc", 0, fd);
}

int step_mount_proc(struct run *run, const struct step *step, int *fd)
{
    if (*fd >= 0)
        return put(run, step->target, true, fd);
    return mount_new(run, "proc", step->target, MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

/* A user namespace may mount a sysfs only where it sees all of the outside's. */
static int hint_at_hidden_sys(struct run *run, int failed)
{
    if (failed == -EPERM)
        run->hint = "a part of /sys is hidden here, as in a container";
    return failed;
}

int step_open_sys(struct run *run, const struct step *step, int *fd)
{
    return hint_at_hidden_sys(run, open_new(run, "sysfs", SYSCALL_MOUNT_ATTR_RDONLY, fd));
}

int step_mount_sys(struct run *run, const struct step *step, int *fd)
{
    if (*fd >= 0)
        return put(run, step->target, true, fd);
    return hint_at_hidden_sys(run, mount_new(run, "sysfs", step->target,
                                             MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL));
}

int step_mount_tmpfs(struct run *run, const struct step *step, int *fd)
{
    char mode[16];
    text_format(mode, sizeof mode, "mode=%o", (unsigned)step->number);
    /* Nodes are bound, and work on any mount that does not forbid them itself. */
    return mount_new(run, "tmpfs", step->target, MS_NOSUID | MS_STRICTATIME, mode);
}

int step_mount_pts(struct run *run, const struct step *step, int *fd)
{
    return mount_new(run, "devpts", step->target, MS_NOSUID | MS_NOEXEC,
                     run->options->user ? "newinstance,ptmxmode=0666,mode=620"
                                        : "newinstance,ptmxmode=0666,mode=620,gid=" TTY_GROUP);
}

int step_link(struct run *run, const struct step *step, int *fd)
{
    return symlink(step->source, step->target) < 0 ? -errno : 0;
}

/* ---- binds --------------------------------------------------------------------------------- */

/* A copy of the mount with all below it, on a descriptor: it can be opened while the outside is
 * still in sight, and put at a path inside when that is there. */
static int open_tree_at(const char *path, bool read_only)
{
    AUTO_CLOSE int tree =
        syscall_open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | O_CLOEXEC | SYSCALL_AT_RECURSIVE);
    if (tree < 0)
        return tree;
    int failed = read_only ? syscall_mount_set(tree, "", AT_EMPTY_PATH | SYSCALL_AT_RECURSIVE,
                                               SYSCALL_MOUNT_ATTR_RDONLY)
                           : 0;
    return failed ? failed : take_fd(&tree);
}

int step_open_source(struct run *run, const struct step *step, int *fd)
{
    int tree = open_tree_at(step->source, step->number == BIND_READ_ONLY);
    if (tree < 0)
        return tree;
    *fd = tree;
    return 0;
}

int step_bind(struct run *run, const struct step *step, int *fd)
{
    struct stat source;
    if (fstat(*fd, &source) < 0)
        return -errno;
    int failed = put(run, step->target, S_ISDIR(source.st_mode), fd);
    return failed == -EISDIR ? -ENOTDIR : failed;
}

/* Of the root itself only its own mount: what is mounted in it has its own purpose. */
int step_read_only(struct run *run, const struct step *step, int *fd)
{
    if (!step->target[strspn(step->target, "/")])
        return syscall_mount_set(AT_FDCWD, "/", 0, SYSCALL_MOUNT_ATTR_RDONLY);
    AUTO_CLOSE int tree = open_tree_at(step->target, true);
    return tree < 0 ? tree : syscall_move_mount(tree, step->target);
}
