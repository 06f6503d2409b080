/* The child that watches the service files with inotify(7), and says when they have changed.
 *
 * All that is on the way to a folder is watched for the one name that counts there, so a folder
 * that is replaced, renamed, led elsewhere or not there yet is seen as well. After each change all
 * of it is looked up anew, and only then told: nothing can change unseen between the two.
 *
 * Nothing is told before it has been quiet for a moment, or has gone on for too long; and not
 * before the last one was dealt with, and as long again has passed. */
#include "service-launcher/watch.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "config/system-file.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define QUIET_MS    100   /* after the last change */
#define LONGEST_MS  500   /* after the first one, whatever goes on */
#define AGAIN_MS    10000 /* until what could not be watched is tried again */
#define LINKS_MAX   40    /* on one way, as path_resolution(7) has it */
#define EVENT_BYTES 65536

/* A folder is made of names: what is written is read when it is closed. */
#define WAY_EVENTS                                                                                 \
    (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF |         \
     IN_CLOSE_WRITE | IN_ATTRIB | IN_ONLYDIR)

/* One folder that is watched, for one name in it or for all. */
struct place {
    int wd;
    char *name;  /* NULL: any */
    char path[]; /* of the folder */
};

static struct {
    const struct launcher_options *options;
    int inotify;
    struct place **places, **former; /* sorted by wd */
    size_t count, room, former_count;
    bool incomplete, no_memory;
    char warned[300];
    uint64_t first_ns, last_ns; /* changes that are not told yet; 0: none */
    uint64_t told_ns;           /* and no answer yet; 0: none is to come */
    uint64_t not_before_ns;
} watcher;

/* ---- telling -------------------------------------------------------------------------------- */

static void tell(char kind, const char *words)
{
    char message[WATCH_MESSAGE_BYTES];
    text_format(message, sizeof message, "%c%s", kind, words);
    if (send(STDIN_FILENO, message, strlen(message), MSG_NOSIGNAL) < 0)
        _exit(0); /* the launcher is gone */
}

static void warn(const char *path, int error)
{
    char words[300];
    watcher.incomplete = true;
    if (error == ENOSPC)
        text_format(words, sizeof words,
                    "changes in %.100s are seen within 10 s only: no watch is left; raise "
                    "fs.inotify.max_user_watches (sysctl)",
                    path);
    else if (error == EMFILE)
        text_format(words, sizeof words,
                    "changes are not seen: no inotify is left; raise "
                    "fs.inotify.max_user_instances (sysctl)");
    else
        text_format(words, sizeof words, "changes in %.100s are not seen: %s", path,
                    strerror(error));
    if (strcmp(words, watcher.warned) == 0)
        return;
    text_format(watcher.warned, sizeof watcher.warned, "%s", words);
    tell(WATCH_WARNING, words);
}

/* ---- what is to be watched ------------------------------------------------------------------ */

static struct place *create_place(int wd, const char *path, const char *name)
{
    size_t path_bytes = strlen(path) + 1, name_bytes = name ? strlen(name) + 1 : 0;
    struct place *place = malloc(sizeof *place + path_bytes + name_bytes);
    if (!place)
        return NULL;
    place->wd = wd;
    memcpy(place->path, path, path_bytes);
    place->name = name ? memcpy(place->path + path_bytes, name, name_bytes) : NULL;
    return place;
}

static void add_place(int wd, const char *path, const char *name)
{
    if (watcher.count == watcher.room) {
        size_t room = watcher.room ? watcher.room * 2 : 64;
        struct place **grown = reallocarray(watcher.places, room, sizeof(*grown));
        if (!grown) {
            watcher.no_memory = true;
            return;
        }
        watcher.places = grown;
        watcher.room = room;
    }
    struct place *place = create_place(wd, path, name);
    if (place)
        watcher.places[watcher.count++] = place;
    else
        watcher.no_memory = true;
}

/* Returns whether the folder is there, and is one. */
static bool watch_folder(const char *path, const char *name)
{
    int wd = inotify_add_watch(watcher.inotify, path, WAY_EVENTS | IN_MASK_ADD);
    if (wd >= 0)
        add_place(wd, path, name);
    else if (errno == ENOSPC || errno == ENOMEM || errno == EACCES)
        warn(path, errno);
    return wd >= 0;
}

/* The way to `path`, an absolute one, link by link. Fills in what it leads to: its parent, which is
 * watched for it, and its name. Returns false when the way ends before. */
static bool watch_way(const char *path, char real[static PATH_MAX])
{
    char rest[PATH_MAX], at[PATH_MAX] = "", link[PATH_MAX];
    if (!text_format(rest, sizeof rest, "%s", path))
        return false;
    for (unsigned links = 0;;) {
        size_t skip = strspn(rest, "/"), length = strcspn(rest + skip, "/");
        char name[NAME_MAX + 1];
        if (!length)
            return text_format(real, PATH_MAX, "%s", *at ? at : "/");
        if (length > NAME_MAX)
            return false;
        text_format(name, sizeof name, "%.*s", (int)length, rest + skip);
        memmove(rest, rest + skip + length, strlen(rest + skip + length) + 1);
        if (strcmp(name, ".") == 0)
            continue;
        if (strcmp(name, "..") == 0) {
            char *slash = strrchr(at, '/');
            if (slash)
                *slash = 0;
            continue;
        }
        if (!watch_folder(*at ? at : "/", name))
            return false;
        size_t end = strlen(at);
        if (!text_format(at + end, sizeof at - end, "/%s", name))
            return false;
        ssize_t got = readlink(at, link, sizeof link - 1);
        if (got < 0 && errno != EINVAL)
            return false; /* it is not there */
        if (got < 0)
            continue;
        if (++links > LINKS_MAX)
            return false;
        link[got] = 0;
        char whole[PATH_MAX];
        if (!text_format(whole, sizeof whole, "%s%s", link, rest))
            return false;
        text_format(rest, sizeof rest, "%s", whole);
        at[link[0] == '/' ? 0 : end] = 0;
    }
}

static bool is_passed_over(const char *name)
{
    return name[0] == '.' || name[strlen(name) - 1] == '~';
}

static unsigned char kind_of(const char *path, const struct dirent *entry)
{
    struct stat status;
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type;
    if (lstat(path, &status) < 0)
        return DT_REG;
    return S_ISDIR(status.st_mode) ? DT_DIR : S_ISLNK(status.st_mode) ? DT_LNK : DT_REG;
}

/* A folder's content: all its names, where links in it lead, and `depth` folders more below it. */
static void watch_content(const char *path, unsigned depth)
{
    struct dirent *entry;
    if (!watch_folder(path, NULL))
        return;
    DIR *folder = opendir(path);
    if (!folder && errno != ENOENT) /* it has just gone: an event tells of that */
        warn(path, errno);
    while (folder && (entry = readdir(folder))) {
        char below[PATH_MAX], real[PATH_MAX];
        if (is_passed_over(entry->d_name) ||
            !text_format(below, sizeof below, "%s/%s", path, entry->d_name))
            continue;
        unsigned char kind = kind_of(below, entry);
        if (kind == DT_DIR && depth)
            watch_content(below, depth - 1);
        else if (kind == DT_LNK && watch_way(below, real) && depth)
            watch_content(real, depth - 1);
    }
    if (folder)
        closedir(folder);
}

/* ---- all of it ------------------------------------------------------------------------------ */

static void absolute(const char *path, char ret[static PATH_MAX])
{
    char folder[PATH_MAX];
    if (path[0] == '/' || !getcwd(folder, sizeof folder))
        text_format(ret, PATH_MAX, "%s", path);
    else
        text_format(ret, PATH_MAX, "%s/%s", folder, path);
}

static void watch_services(const char *path)
{
    char whole[PATH_MAX], real[PATH_MAX];
    absolute(path, whole);
    if (watch_way(whole, real))
        watch_content(real, 1);
}

static void watch_system_file(const char *path)
{
    char whole[PATH_MAX], real[PATH_MAX];
    const char *beside = system_file_services(path);
    absolute(path, whole);
    watch_way(whole, real);
    if (beside)
        watch_services(beside);
}

static int compare_places(const void *a, const void *b)
{
    const struct place *left = *(struct place *const *)a, *right = *(struct place *const *)b;
    return (left->wd > right->wd) - (left->wd < right->wd);
}

/* The first of the places with that number; watcher.count: there is none. */
static size_t find(int wd)
{
    size_t low = 0, high = watcher.count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (watcher.places[middle]->wd < wd)
            low = middle + 1;
        else
            high = middle;
    }
    return low < watcher.count && watcher.places[low]->wd == wd ? low : watcher.count;
}

/* What is not watched any more is given back to the kernel. */
static void drop_former(void)
{
    for (size_t i = 0; i < watcher.former_count; i++) {
        int wd = watcher.former[i]->wd;
        bool last = i + 1 == watcher.former_count || watcher.former[i + 1]->wd != wd;
        if (last && find(wd) == watcher.count)
            inotify_rm_watch(watcher.inotify, wd);
        free(watcher.former[i]);
    }
    free(watcher.former);
    watcher.former = NULL;
    watcher.former_count = 0;
}

static void watch_all(void)
{
    const struct launcher_options *options = watcher.options;
    watcher.former = watcher.places;
    watcher.former_count = watcher.count;
    watcher.places = NULL;
    watcher.count = watcher.room = 0;
    watcher.incomplete = watcher.no_memory = false;
    if (options->config)
        watch_system_file(options->config);
    for (size_t i = 0; !options->config && system_file_places[i]; i++)
        watch_system_file(system_file_places[i]);
    for (size_t i = 0; i < options->service_count; i++)
        watch_services(options->services[i]);
    if (watcher.no_memory)
        _exit(1); /* the launcher starts another one */
    if (watcher.count)
        qsort(watcher.places, watcher.count, sizeof *watcher.places, compare_places);
    drop_former();
    if (!watcher.incomplete)
        watcher.warned[0] = 0;
}

/* ---- events --------------------------------------------------------------------------------- */

/* A plain file that was only just made is still being written, and is told when it is closed. */
static bool is_begun(const struct place *place, const struct inotify_event *event)
{
    char path[PATH_MAX];
    struct stat status;
    if ((event->mask & (IN_CREATE | IN_ISDIR)) != IN_CREATE ||
        !text_format(path, sizeof path, "%s/%s", place->path, event->name))
        return false;
    return lstat(path, &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink == 1;
}

static bool counts(const struct inotify_event *event)
{
    const char *name = event->len ? event->name : "";
    if (event->mask & (IN_Q_OVERFLOW | IN_UNMOUNT | IN_DELETE_SELF | IN_MOVE_SELF))
        return true;
    if (event->mask & IN_IGNORED)
        return false;
    for (size_t i = find(event->wd); i < watcher.count && watcher.places[i]->wd == event->wd; i++) {
        const struct place *place = watcher.places[i];
        if (place->name ? strcmp(place->name, name) == 0 : *name && !is_passed_over(name))
            return !is_begun(place, event);
    }
    return false;
}

static bool take_events(void)
{
    static char bytes[EVENT_BYTES] __attribute__((aligned(__alignof__(struct inotify_event))));
    bool changed = false;
    ssize_t got = read(watcher.inotify, bytes, sizeof bytes);
    for (ssize_t at = 0; at < got;) {
        const struct inotify_event *event = (const void *)(bytes + at);
        at += (ssize_t)(sizeof *event + event->len);
        changed |= counts(event);
    }
    return changed;
}

/* ---- the loop ------------------------------------------------------------------------------- */

static void note_change(uint64_t now)
{
    watcher.last_ns = now;
    if (!watcher.first_ns)
        watcher.first_ns = now;
}

/* When the changes are to be told; 0: there is nothing to tell, or it is not our turn. */
static uint64_t due_ns(void)
{
    if (!watcher.first_ns || watcher.told_ns)
        return 0;
    uint64_t quiet = watcher.last_ns + QUIET_MS * NS_PER_MS;
    uint64_t latest = watcher.first_ns + LONGEST_MS * NS_PER_MS;
    uint64_t due = quiet < latest ? quiet : latest;
    return due > watcher.not_before_ns ? due : watcher.not_before_ns;
}

static void take_answer(uint64_t now)
{
    char message[8];
    if (recv(STDIN_FILENO, message, sizeof message, 0) <= 0)
        _exit(0);
    watcher.not_before_ns = now + (watcher.told_ns ? now - watcher.told_ns : 0);
    watcher.told_ns = 0;
}

static void tell_changes(uint64_t now)
{
    watcher.first_ns = 0;
    watch_all();
    watcher.told_ns = now;
    tell(WATCH_CHANGED, "");
}

static int wait_ms(uint64_t now)
{
    uint64_t due = due_ns();
    if (due)
        return due <= now ? 0 : (int)((due - now) / NS_PER_MS) + 1;
    return watcher.incomplete && !watcher.told_ns ? AGAIN_MS : -1;
}

void watch_child(const struct launcher_options *options)
{
    struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
    prctl(PR_SET_NAME, "watch-services");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    watcher.options = options;
    watcher.inotify = fds[1].fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (watcher.inotify < 0) {
        warn("", errno);
        poll(fds, 1, AGAIN_MS);
        _exit(1);
    }
    note_change(clock_now_ns() - QUIET_MS * NS_PER_MS);
    for (;;) {
        int ready = poll(fds, 2, wait_ms(clock_now_ns()));
        uint64_t now = clock_now_ns(), due;
        if (ready == 0 && !due_ns())
            note_change(now); /* what could not be watched */
        if (ready > 0 && fds[0].revents)
            take_answer(now);
        if (ready > 0 && fds[1].revents && take_events())
            note_change(now);
        due = due_ns();
        if (due && due <= now)
            tell_changes(now);
    }
}
