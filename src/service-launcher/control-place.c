/* The place of the control socket: made at the boot, and again when its file has gone. Whoever
 * removes it would leave a machine that nobody can ask for anything. (A mount over its folder is
 * seen by the next launcher only: inotify does not tell.) A file that somebody else has put there
 * is left alone: two launchers that were told the same folder must not take it from each other for
 * ever. */
#include "service-launcher/control-place.h"
#include "service-launcher/executor.h"
#include "service-launcher/init-link.h"
#include "service-launcher/launcher.h"
#include "service-launcher/listen.h"
#include "service-launcher/look-apart.h"

#include "base/clock.h"
#include "base/text.h"
#include "log/log.h"
#include "proc/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define AGAIN_MS 2000 /* until a control socket that cannot be made is tried again */
#define LATER_MS 200  /* after it was removed: the rest of its folder may be about to go, too */

static bool find_path(const struct control_place *place, char path[static PATH_MAX])
{
    const char *runtime = place->launcher->options.runtime;
    return runtime[0] == '/' && text_format(path, PATH_MAX, "%s/control", runtime);
}

static bool is_gone(const struct control_place *place)
{
    char path[PATH_MAX];
    struct stat stat_;
    return find_path(place, path) && !look_may_hang(place->launcher->executor, path) &&
           lstat(path, &stat_) < 0 && (errno == ENOENT || errno == ENOTDIR);
}

static void say_missing(struct control_place *place, int failed)
{
    if (!place->missing)
        LOG(ERROR, "Cannot make the control socket: slc will not work until it can be made",
            TEXT("runtime", place->launcher->options.runtime), TEXT("error", strerror(-failed)));
    place->missing = true;
}

static void try_again(struct control_place *place, uint64_t after_ms);

static void serve(struct control_place *place, int fd)
{
    struct launcher *launcher = place->launcher;
    int kept = fcntl(fd, F_DUPFD_CLOEXEC, SPAWN_FD_LAST + 1);
    int failed = launcher->control ? control_listen(launcher->control, fd)
                                   : control_create(launcher, fd, &launcher->control);
    if (failed && kept >= 0) {
        LOG(ERROR, "Cannot serve the control socket yet", TEXT("error", strerror(-failed)));
        place->unserved_fd = kept;
        try_again(place, AGAIN_MS);
        return;
    }
    if (kept >= 0)
        close(kept);
    if (failed)
        LOG(ERROR, "Cannot serve the control socket", TEXT("error", strerror(-failed)));
    else if (place->missing)
        LOG(INFO, "The control socket is there now", TEXT("runtime", launcher->options.runtime));
    place->missing = false;
}

static void on_time(struct loop_timer *timer);

static void try_again(struct control_place *place, uint64_t after_ms)
{
    loop_set_timer(&place->launcher->loop, &place->again, clock_now_ns() + after_ms * NS_PER_MS,
                   on_time);
}

/* A runtime folder that may hang has to have answered just now. Returns 0, -EINPROGRESS or
 * -ETIMEDOUT. */
static int ask_folder(const struct launcher *launcher)
{
    struct look_answer found;
    int failed =
        look_at(launcher->executor, SLOT_NONE, LOOK_AT_EXISTS, launcher->options.runtime, &found);
    if (failed != -EINPROGRESS)
        look_done(launcher->executor, SLOT_NONE);
    return failed;
}

/* A runtime folder that cannot be written to is tried again: /run may still be mounted. */
static void make(struct control_place *place)
{
    struct launcher *launcher = place->launcher;
    const uint32_t key = KEY_CONTROL_SOCKET;
    int fd = ask_folder(launcher);
    if (fd == -EINPROGRESS) {
        try_again(place, LATER_MS);
        return;
    }
    if (!fd)
        fd = listen_control(launcher->options.runtime);
    if (fd < 0) {
        say_missing(place, fd);
        try_again(place, AGAIN_MS);
        return;
    }
    int failed = init_link_store_queued(launcher->init_link, OWNER_LAUNCHER, &key, &fd, 1);
    if (failed)
        LOG(ERROR, "init cannot hold the control socket", TEXT("error", strerror(-failed)));
    serve(place, fd);
    executor_notify_restore(launcher->executor); /* they may have gone with it */
}

static void on_time(struct loop_timer *timer)
{
    struct control_place *place = container_of(timer, struct control_place, again);
    int unserved_fd = place->unserved_fd;
    place->unserved_fd = 0;
    if (unserved_fd)
        serve(place, unserved_fd);
    else if (!place->launcher->control || is_gone(place))
        make(place);
    else
        place->missing = false; /* somebody else has put one there */
}

static void look(struct control_place *place)
{
    if (!place->launcher->control || place->missing || !is_gone(place))
        return;
    LOG(WARNING, "The control socket was removed: it is made again",
        TEXT("runtime", place->launcher->options.runtime));
    place->missing = true;
    try_again(place, LATER_MS);
}

static void on_change(struct watch_path *watch)
{
    look(container_of(watch, struct control_place, watch));
}

void control_place_open(struct control_place *place, struct launcher *launcher, int held_fd)
{
    char path[PATH_MAX];
    place->launcher = launcher;
    if (held_fd >= 0)
        serve(place, held_fd);
    else
        make(place);
    if (find_path(place, path))
        watch_path_begin(executor_watch_paths(launcher->executor), &place->watch, path, on_change);
    look(place);
}
