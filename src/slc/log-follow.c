/* What is not there yet is waited for in the nearest folder above that is. A watch is set before
 * what is watched is looked at, so nothing falls between. */
#include "slc/log-follow.h"

#include "base/text.h"
#include "journal/folder.h"
#include "slc/slc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOURNAL_EVENTS                                                                             \
    (IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_MOVE_SELF |              \
     IN_DELETE_SELF | IN_ONLYDIR | IN_MASK_ADD)
#define ABOVE_EVENTS                                                                               \
    (IN_CREATE | IN_MOVED_TO | IN_MOVE_SELF | IN_DELETE_SELF | IN_ONLYDIR | IN_MASK_ADD)

/* ---- watches -------------------------------------------------------------------------------- */

/* Returns the watch's number, or -errno. */
static int add_watch(struct log_follow *follow, const char *folder, enum log_watch_kind kind,
                     struct log_source *source)
{
    int number = inotify_add_watch(follow->inotify, folder,
                                   kind == WATCH_JOURNAL ? JOURNAL_EVENTS : ABOVE_EVENTS);
    if (number < 0)
        return -errno;
    for (size_t i = 0; i < follow->watch_count && kind == WATCH_ABOVE; i++)
        if (follow->watches[i].number == number && follow->watches[i].kind == kind)
            return number;
    void *grown = reallocarray(follow->watches, follow->watch_count + 1, sizeof *follow->watches);
    if (!grown)
        return -ENOMEM;
    follow->watches = grown;
    follow->watches[follow->watch_count++] = (struct log_watch){number, kind, source};
    if (source)
        source->watched = true;
    return number;
}

/* Watches the nearest folder above that is there. What comes between the two is made meanwhile, or
 * will be seen. Returns 0 or -errno. */
static int watch_above(struct log_follow *follow, const char *folder)
{
    char path[PATH_MAX];
    int r = -ENOENT;

    if (!text_format(path, sizeof path, "%s", folder))
        return -ENAMETOOLONG;
    while (r == -ENOENT || r == -ENOTDIR) {
        char *slash = strrchr(path, '/');
        if (!slash)
            return add_watch(follow, ".", WATCH_ABOVE, NULL) < 0 ? -ENOENT : 0;
        slash[slash == path] = 0;
        r = add_watch(follow, path, WATCH_ABOVE, NULL);
        if (slash == path)
            break;
    }
    return r < 0 ? r : 0;
}

/* Watches the source's folder, or what is above it. Returns 0 or -errno. */
static int watch_source(struct log_follow *follow, struct log_source *source)
{
    struct stat now = {0};
    int r = add_watch(follow, source->folder, WATCH_JOURNAL, source);

    if (r == -ENOENT || r == -ENOTDIR) {
        r = watch_above(follow, source->folder);
        if (r == 0) {
            r = add_watch(follow, source->folder, WATCH_JOURNAL, source);
            r = r == -ENOENT || r == -ENOTDIR ? 0 : r;
        }
    }
    if (r == -ENOSPC && !follow->full) {
        slc_complain("journal", "the kernel watches no more folders: raise the sysctl "
                                "fs.inotify.max_user_watches");
        follow->full = true;
    }
    if (r > 0 && stat(source->folder, &now) == 0) {
        source->device = now.st_dev;
        source->inode = now.st_ino;
    }
    return r == -ENOSPC || r == -EACCES || r == -EPERM || r > 0 ? 0 : r;
}

/* ---- folders that are new ------------------------------------------------------------------- */

static int find_in_root(struct log_follow *follow, const char *root, bool is_stopgap)
{
    int r = add_watch(follow, root, WATCH_ABOVE, NULL);

    if (r == -ENOENT || r == -ENOTDIR)
        r = watch_above(follow, root);
    if (r >= 0)
        r = log_merge_add_all(follow->merge, root, is_stopgap);
    return r == -EACCES || r == -EPERM ? 0 : r; /* closed to this user: what is in it is, too */
}

/* Looks for everything that is not watched yet. */
static int watch_missing(struct log_follow *follow)
{
    int r = 0;

    for (size_t i = 0; i < 2 && r >= 0; i++)
        if (follow->roots[i])
            r = find_in_root(follow, follow->roots[i], i == 1);
    for (size_t i = 0; i < follow->merge->all_count && r >= 0; i++) {
        struct log_source *source = follow->merge->all[i];
        if (source->watched)
            continue;
        r = watch_source(follow, source);
        source->changed = source->is_open;
        source->look = source->watched || source->is_open;
    }
    return r < 0 ? r : 0;
}

int log_follow_begin(struct log_follow *follow, struct log_merge *merge)
{
    follow->merge = merge;
    follow->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    follow->mounts = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    return follow->inotify < 0 ? -errno : watch_missing(follow);
}

/* ---- what has happened ---------------------------------------------------------------------- */

static void drop_watch(struct log_follow *follow, size_t at)
{
    struct log_source *source = follow->watches[at].source;

    if (source)
        source->watched = false;
    follow->watches[at] = follow->watches[--follow->watch_count];
}

/* Returns whether folders may have come or gone. */
static bool take_event(struct log_follow *follow, const struct inotify_event *event)
{
    bool is_current = event->len && !strcmp(event->name, JOURNAL_FILE_CURRENT), folders = false;

    for (size_t i = follow->watch_count; i-- > 0;) {
        struct log_watch *watch = &follow->watches[i];
        if (event->mask & IN_Q_OVERFLOW) {
            folders = true;
            if (watch->source)
                watch->source->look = watch->source->changed = true;
            continue;
        }
        if (watch->number != event->wd)
            continue;
        if (watch->source && (is_current || (event->mask & IN_DELETE))) {
            watch->source->look = true;
            watch->source->changed |= (event->mask & ~(uint32_t)IN_MODIFY) != 0;
        }
        folders |= watch->kind == WATCH_ABOVE || (event->mask & IN_IGNORED);
        if (event->mask & IN_IGNORED)
            drop_watch(follow, i);
    }
    if (event->mask & (IN_MOVE_SELF)) /* the folder has another name now: it is not ours any more */
        inotify_rm_watch(follow->inotify, event->wd);
    return folders;
}

/* Something was mounted or unmounted, of which inotify tells nothing above the mount point: stops
 * watching what is not in its place any more. */
static void drop_covered(struct log_follow *follow)
{
    struct stat now;

    for (size_t i = follow->watch_count; i-- > 0;) {
        const struct log_source *source = follow->watches[i].source;
        int number = follow->watches[i].number;
        if (!source || (stat(source->folder, &now) == 0 && now.st_dev == source->device &&
                        now.st_ino == source->inode))
            continue;
        drop_watch(follow, i);
        inotify_rm_watch(follow->inotify, number);
    }
}

/* Whether mounts have changed since this was asked last: the kernel tells each change once. */
static bool mounts_have_changed(struct log_follow *follow)
{
    struct pollfd fd = {.fd = follow->mounts, .events = POLLPRI};
    bool changed = follow->mounts_changed || (poll(&fd, 1, 0) > 0 && fd.revents);

    follow->mounts_changed = false;
    return changed;
}

static int read_events(struct log_follow *follow)
{
    char bytes[16384] __attribute__((aligned(__alignof__(struct inotify_event))));
    bool folders = mounts_have_changed(follow);
    ssize_t got;

    if (folders)
        drop_covered(follow);
    while ((got = read(follow->inotify, bytes, sizeof bytes)) > 0)
        for (ssize_t at = 0; at < got;) {
            const struct inotify_event *event = (const struct inotify_event *)(bytes + at);
            folders |= take_event(follow, event);
            at += (ssize_t)(sizeof *event + event->len);
        }
    if (got < 0 && errno != EAGAIN && errno != EINTR)
        return -errno;
    return folders ? watch_missing(follow) : 0;
}

/* What is new cannot be followed; the others can. */
static int lack_descriptors(struct log_follow *follow)
{
    if (!follow->no_descriptors)
        slc_complain("journal", "there are no descriptors for more journals: raise the limit "
                                "(ulimit -n), or name fewer services");
    follow->no_descriptors = true;
    return 0;
}

int log_follow_look(struct log_follow *follow)
{
    struct log_merge *merge = follow->merge;
    int r = read_events(follow);

    /* What was moved is read to its end before what it was moved to. */
    for (int stopgaps = 1; stopgaps >= 0; stopgaps--)
        for (size_t i = 0; i < merge->all_count && r >= 0; i++) {
            struct log_source *source = merge->all[i];
            if (!source->look || source->is_stopgap != stopgaps)
                continue;
            source->look = false;
            r = log_merge_look_again(merge, source);
            if (r == -EACCES || r == -EPERM) /* a new one that is closed to this user */
                r = 0;
            if (r == -EMFILE || r == -ENFILE)
                r = lack_descriptors(follow);
        }
    return r;
}

int log_follow_wait(struct log_follow *follow)
{
    struct pollfd fds[] = {{.fd = follow->inotify, .events = POLLIN},
                           {.fd = STDOUT_FILENO, .events = 0}, /* its end is told all the same */
                           {.fd = follow->mounts, .events = POLLPRI}};

    if (poll(fds, 3, -1) < 0)
        return errno == EINTR ? 1 : -errno;
    follow->mounts_changed |= fds[2].revents != 0;
    return !(fds[1].revents & (POLLERR | POLLHUP | POLLNVAL));
}

void log_follow_finish(struct log_follow *follow)
{
    free(follow->watches);
    if (follow->inotify >= 0)
        close(follow->inotify);
    if (follow->mounts >= 0)
        close(follow->mounts);
    *follow = LOG_FOLLOW_NONE;
}
