/* The cgroups below ours, and cgroup2 as process 1 sees it. */
#include "run-on-pid-ns/cgroup-place.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "log/log.h"
#include "proc/cgroup.h"
#include "run-on-pid-ns/steps.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define INSIDE     "inside"
#define OUTSIDE    "outside"
#define EMPTIES_MS 1000 /* after its last process has ended: that is counted a little later */
#define NAMES_MOST 16
#define LIST_BYTES 4096
#define DEPTH_MOST "62" /* below each other inside: no more than cgroup_remove_tree() removes */
#define OPEN_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)

/* Hands each controller on, or takes them back. One that cannot be is no error. */
static void set_controllers(int cgroup_fd, char sign)
{
    char list[LIST_BYTES], word[64];
    const char *file = sign == '+' ? "cgroup.controllers" : "cgroup.subtree_control";
    if (file_read(cgroup_fd, file, list, sizeof list) <= 0)
        return;
    for (char *at = list; *at;) {
        size_t bytes = strcspn(at, " \n");
        text_format(word, sizeof word, "%c%.*s", sign, (int)bytes, at);
        int failed = bytes ? cgroup_write(cgroup_fd, "cgroup.subtree_control", word) : 0;
        if (failed)
            LOG(DEBUG, "A controller stays as it is", TEXT("controller", word + 1),
                TEXT("error", strerror(-failed)));
        at += bytes + (at[bytes] != 0);
    }
}

/* ---- making -------------------------------------------------------------------------------- */

/* Whether the cgroup has no process but us. */
static bool is_ours_alone(int cgroup_fd)
{
    int32_t pids[2];
    char list[64];
    ssize_t bytes = file_read(cgroup_fd, "cgroup.procs", list, sizeof list);
    if (bytes <= 0 || strchr(list, '\n') != list + bytes - 1)
        return false;
    return cgroup_processes(cgroup_fd, pids, 2) == 1;
}

static bool is_inside_name(const char *name)
{
    const char *rest;
    return text_starts_with(name, INSIDE, &rest) && (!*rest || *rest == '-');
}

/* Whether the folder of that name still is the one that is open. */
static bool is_there(int own_fd, const char *name, int fd)
{
    struct stat named, opened;
    return fstatat(own_fd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && fstat(fd, &opened) == 0 &&
           named.st_ino == opened.st_ino;
}

static int open_and_lock(int own_fd, const char *name)
{
    AUTO_CLOSE int fd = openat(own_fd, name, OPEN_FLAGS);
    if (fd < 0)
        return errno == ENOENT ? -EBUSY : -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0 || !is_there(own_fd, name, fd))
        return -EBUSY;
    return take_fd(&fd);
}

/* Returns the locked descriptor; -EBUSY when another one is using it, or has taken it for a
 * leftover before it was locked; or -errno. */
static int make_inside(int own_fd, const char *name)
{
    bool made = mkdirat(own_fd, name, 0755) == 0;
    if (!made && errno != EEXIST)
        return -errno;
    int fd = open_and_lock(own_fd, name);
    if (fd < 0 && made)
        unlinkat(own_fd, name, AT_REMOVEDIR);
    return fd;
}

/* The names with our pid are tried with a number too: another PID namespace may have such a pid. */
static int make_some_inside(struct cgroup_place *place, bool *alone)
{
    text_format(place->inside, sizeof place->inside, INSIDE);
    int inside = *alone ? make_inside(place->own_fd, place->inside) : -EBUSY;
    for (int i = 0; i < NAMES_MOST && inside == -EBUSY; i++) {
        *alone = false;
        text_format(place->inside, sizeof place->inside, i ? INSIDE "-%d-%d" : INSIDE "-%d",
                    (int)getpid(), i);
        inside = make_inside(place->own_fd, place->inside);
    }
    return inside;
}

static int go_outside(struct cgroup_place *place)
{
    if (mkdirat(place->own_fd, OUTSIDE, 0755) < 0 && errno != EEXIST)
        return -errno;
    int failed = cgroup_write(place->own_fd, OUTSIDE "/cgroup.procs", "0");
    if (failed) {
        unlinkat(place->own_fd, OUTSIDE, AT_REMOVEDIR);
        return failed;
    }
    place->divided = true;
    set_controllers(place->own_fd, '+');
    return 0;
}

int step_divide_cgroup(struct run *run, const struct step *step, int *fd)
{
    struct cgroup_place *place = run->cgroup;
    int own = cgroup_open_own();
    if (own < 0)
        return own;
    place->own_fd = own;
    cgroup_remove_leftovers(own, is_inside_name);
    bool alone = is_ours_alone(own);
    int inside = make_some_inside(place, &alone);
    if (inside < 0)
        return inside;
    place->inside_fd = inside;
    (void)cgroup_write(inside, "cgroup.max.depth",
                       DEPTH_MOST); /* where it is not ours to say: less */
    return alone ? go_outside(place) : 0;
}

int step_enter_cgroup(struct run *run, const struct step *step, int *fd)
{
    return cgroup_write(run->cgroup->inside_fd, "cgroup.procs", "0");
}

/* Below /sys, which need not be a sysfs of ours. */
int step_mount_cgroup(struct run *run, const struct step *step, int *fd)
{
    int failed = make_place(run, step->target, true);
    if (failed)
        return failed;
    return mount("cgroup2", step->target, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0
               ? -errno
               : 0;
}

/* ---- removing ------------------------------------------------------------------------------ */

static void remove_inside(const struct cgroup_place *place)
{
    AUTO_CLOSE int events = cgroup_open_events(place->inside_fd);
    cgroup_remove_tree(place->own_fd, place->inside);
    if (events < 0 || faccessat(place->own_fd, place->inside, F_OK, 0) < 0)
        return;
    struct pollfd changed = {.fd = events, .events = POLLPRI};
    if (cgroup_is_populated(place->inside_fd) == 1)
        (void)poll(&changed, 1, EMPTIES_MS);
    cgroup_remove_tree(place->own_fd, place->inside);
    if (faccessat(place->own_fd, place->inside, F_OK, 0) == 0)
        LOG(WARNING, "A cgroup is left, for something is in it", TEXT("name", place->inside));
}

void cgroup_place_finish(struct cgroup_place *place)
{
    if (place->inside_fd >= 0) {
        remove_inside(place);
        close(place->inside_fd);
    }
    if (place->divided) {
        set_controllers(place->own_fd, '-');
        int failed = cgroup_write(place->own_fd, "cgroup.procs", "0");
        if (failed)
            LOG(DEBUG, "We stay in a cgroup of our own", TEXT("error", strerror(-failed)));
        unlinkat(place->own_fd, OUTSIDE, AT_REMOVEDIR);
    }
    if (place->own_fd >= 0)
        close(place->own_fd);
    *place = CGROUP_PLACE_NONE;
}
