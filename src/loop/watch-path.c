/* Paths on one inotify descriptor. The kernel gives one number for an inode however often it is
 * added, so what is watched is shared, and the masks are added up. */
#include "loop/watch-path.h"
#include "base/clock.h"
#include "base/text.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define SELF_MASK     (IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF)
#define FOLDER_MASK   (SELF_MASK | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE)
#define FILE_MASK     (SELF_MASK | IN_MODIFY | IN_CLOSE_WRITE)
#define LOOK_AGAIN_MS 500 /* at what the kernel cannot tell of */
#define READ_BYTES    16384

/* An inode the kernel watches for us. */
struct watched {
    int descriptor;
    struct list bucket_link;
    struct list folders, files; /* of paths for which it is that */
};

static void on_events(struct loop_fd *source, uint32_t events);

/* ---- inodes -------------------------------------------------------------------------------- */

static struct list *bucket_of(struct watch_paths *paths, int descriptor)
{
    return &paths->by_descriptor[(unsigned)descriptor % WATCH_PATHS_BUCKETS];
}

static struct watched *find(struct watch_paths *paths, int descriptor)
{
    list_for_each(node, bucket_of(paths, descriptor))
    {
        struct watched *watched = container_of(node, struct watched, bucket_link);
        if (watched->descriptor == descriptor)
            return watched;
    }
    return NULL;
}

static int open_inotify(struct watch_paths *paths)
{
    if (paths->source.fd >= 0)
        return 0;
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0)
        return -errno;
    int failed = loop_add(paths->loop, &paths->source, fd, EPOLLIN, on_events);
    if (failed)
        close(fd);
    return failed;
}

/* Watches what is at `name` now. NULL when there is nothing, or it cannot be watched (*ret_error).
 */
static struct watched *watch_inode(struct watch_paths *paths, const char *name, uint32_t mask,
                                   int *ret_error)
{
    *ret_error = open_inotify(paths);
    if (*ret_error)
        return NULL;
    int descriptor = inotify_add_watch(paths->source.fd, name, mask | IN_MASK_ADD);
    if (descriptor < 0) {
        *ret_error = -errno;
        return NULL;
    }
    struct watched *watched = find(paths, descriptor);
    if (watched)
        return watched;
    watched = calloc(1, sizeof *watched);
    if (!watched) {
        inotify_rm_watch(paths->source.fd, descriptor);
        *ret_error = -ENOMEM;
        return NULL;
    }
    watched->descriptor = descriptor;
    list_init(&watched->folders);
    list_init(&watched->files);
    list_init(&watched->bucket_link);
    list_append(bucket_of(paths, descriptor), &watched->bucket_link);
    return watched;
}

static void rest(struct watch_paths *paths, struct watched *watched)
{
    if (!watched || !list_empty(&watched->folders) || !list_empty(&watched->files))
        return;
    if (watched->descriptor >= 0)
        inotify_rm_watch(paths->source.fd, watched->descriptor);
    list_remove(&watched->bucket_link);
    free(watched);
}

/* ---- paths --------------------------------------------------------------------------------- */

static void on_time(struct loop_timer *timer);

/* Takes the path off what it watches, and says what that was: for rest(). */
static void unlink_watch(struct watch_path *watch, struct watched **ret_folder,
                         struct watched **ret_file)
{
    *ret_folder = watch->folder;
    *ret_file = watch->file;
    list_remove(&watch->folder_link);
    list_remove(&watch->file_link);
    watch->folder = watch->file = NULL;
}

static void rest_both(struct watch_paths *paths, struct watched *folder, struct watched *file)
{
    rest(paths, folder);
    if (file != folder)
        rest(paths, file);
}

/* Whether the name leads on by a link that leads nowhere: what it waits for is elsewhere. */
static bool is_dangling(const char *name)
{
    struct stat stat_;
    return lstat(name, &stat_) == 0 && S_ISLNK(stat_.st_mode) && stat(name, &stat_) < 0;
}

/* Finds the last folder on the way that is there, and watches it. Returns whether the kernel will
 * tell of what is to come. */
static bool attach_folder(struct watch_path *watch, char *name)
{
    int error = 0;
    for (char *slash = strrchr(name, '/'); slash; slash = strrchr(name, '/')) {
        if (is_dangling(name))
            return false;
        *slash = 0;
        struct watched *folder = watch_inode(watch->paths, *name ? name : "/", FOLDER_MASK, &error);
        watch->awaited = watch->path + (slash - name) + 1;
        if (folder) {
            watch->folder = folder;
            list_append(&folder->folders, &watch->folder_link);
            return true;
        }
        if ((error != -ENOENT && error != -ENOTDIR) || slash == name)
            return false;
    }
    return false;
}

/* Whether the next name on the way is not there: it may have been made before its folder was
 * watched, and nobody would tell. */
static bool is_settled(const struct watch_path *watch)
{
    char name[PATH_MAX];
    size_t next = (size_t)(watch->awaited - watch->path) + strcspn(watch->awaited, "/");
    if (!watch->path[next])
        return true; /* the file's own folder */
    text_format(name, sizeof name, "%.*s", (int)next, watch->path);
    return access(name, F_OK) < 0;
}

static bool attach_once(struct watch_path *watch)
{
    char name[PATH_MAX];
    int error;
    if (!watch->path || !text_format(name, sizeof name, "%s", watch->path) ||
        (watch->paths->may_hang && watch->paths->may_hang(watch->paths->context, name)))
        return false;
    bool told = attach_folder(watch, name);
    watch->file = watch_inode(watch->paths, watch->path, FILE_MASK, &error);
    if (watch->file)
        list_append(&watch->file->files, &watch->file_link);
    return told && (watch->file || error == -ENOENT || error == -ENOTDIR);
}

/* What was watched before is given up last, or the kernel would forget what it has to tell. Returns
 * whether the kernel will tell of what is to come. */
static bool attach(struct watch_path *watch)
{
    struct watched *folder, *file;
    bool told, settled = false;
    unlink_watch(watch, &folder, &file);
    told = attach_once(watch);
    for (int i = 0; i < 8 && told && !(settled = is_settled(watch)); i++) {
        struct watched *last_folder, *last_file;
        unlink_watch(watch, &last_folder, &last_file);
        told = attach_once(watch);
        if (last_folder != folder && last_folder != file)
            rest(watch->paths, last_folder);
        if (last_file != last_folder && last_file != folder && last_file != file)
            rest(watch->paths, last_file);
    }
    rest_both(watch->paths, folder, file);
    return told && settled;
}

static void look_again_later(struct watch_path *watch)
{
    loop_set_timer(watch->paths->loop, &watch->timer, clock_now_ns() + LOOK_AGAIN_MS * NS_PER_MS,
                   on_time);
}

static void on_time(struct loop_timer *timer)
{
    struct watch_path *watch = container_of(timer, struct watch_path, timer);
    if (!attach(watch))
        look_again_later(watch);
    watch->on_change(watch);
}

void watch_path_begin(struct watch_paths *paths, struct watch_path *watch, const char *path,
                      void (*on_change)(struct watch_path *watch))
{
    *watch = (struct watch_path){.paths = paths, .path = strdup(path), .on_change = on_change};
    list_init(&watch->folder_link);
    list_init(&watch->file_link);
    list_init(&watch->changed_link);
    if (!attach(watch))
        look_again_later(watch);
}

void watch_path_end(struct watch_path *watch)
{
    struct watched *folder, *file;
    if (!watch->paths)
        return;
    unlink_watch(watch, &folder, &file);
    rest_both(watch->paths, folder, file);
    loop_clear_timer(watch->paths->loop, &watch->timer);
    list_remove(&watch->changed_link);
    free(watch->path);
    watch->path = NULL;
    watch->paths = NULL;
}

/* ---- events -------------------------------------------------------------------------------- */

static void mark(struct watch_path *watch)
{
    list_remove(&watch->changed_link);
    list_append(&watch->paths->changed, &watch->changed_link);
}

static bool is_awaited(const struct watch_path *watch, const struct inotify_event *event)
{
    size_t bytes = strcspn(watch->awaited, "/");
    return !event->len ||
           (strlen(event->name) == bytes && memcmp(event->name, watch->awaited, bytes) == 0);
}

static void mark_watched(struct watched *watched, const struct inotify_event *event)
{
    list_for_each(node, &watched->files) mark(container_of(node, struct watch_path, file_link));
    list_for_each(node, &watched->folders)
    {
        struct watch_path *watch = container_of(node, struct watch_path, folder_link);
        if (is_awaited(watch, event))
            mark(watch);
    }
}

static void take(struct watch_paths *paths, const struct inotify_event *event)
{
    if (event->mask & IN_Q_OVERFLOW) {
        for (size_t i = 0; i < WATCH_PATHS_BUCKETS; i++)
            list_for_each(node, &paths->by_descriptor[i]) mark_watched(
                container_of(node, struct watched, bucket_link), &(struct inotify_event){.len = 0});
        return;
    }
    struct watched *watched = find(paths, event->wd);
    if (!watched)
        return;
    mark_watched(watched, event);
    if (event->mask & IN_IGNORED) { /* the kernel has taken it away: the number is free */
        list_remove(&watched->bucket_link);
        watched->descriptor = -1;
    }
}

static void on_events(struct loop_fd *source, uint32_t events)
{
    struct watch_paths *paths = container_of(source, struct watch_paths, source);
    _Alignas(struct inotify_event) char bytes[READ_BYTES];
    ssize_t count = read(source->fd, bytes, sizeof bytes);
    (void)events;

    for (ssize_t at = 0; at < count;) {
        const struct inotify_event *event = (const void *)(bytes + at);
        take(paths, event);
        at += (ssize_t)(sizeof *event + event->len);
    }
    for (struct list *node; (node = list_take(&paths->changed));) {
        struct watch_path *watch = container_of(node, struct watch_path, changed_link);
        if (!attach(watch))
            look_again_later(watch);
        watch->on_change(watch);
    }
}

void watch_paths_init(struct watch_paths *paths, struct loop *loop)
{
    *paths = (struct watch_paths){.loop = loop, .source = {.fd = -1}};
    for (size_t i = 0; i < WATCH_PATHS_BUCKETS; i++)
        list_init(&paths->by_descriptor[i]);
    list_init(&paths->changed);
}

void watch_paths_finish(struct watch_paths *paths)
{
    int fd = paths->source.fd;
    if (fd < 0)
        return;
    loop_remove(paths->loop, &paths->source);
    close(fd);
}
