/* enable, disable: an empty file in one of two folders, and none in the other. The launcher is
 * asked before which services there are and where the folders are, and told afterwards to look.
 * Where there is none, or the system is another one, the files answer (switch-files.h). */
#include "slc/switch.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "slc/change.h"
#include "slc/client.h"
#include "slc/render.h"
#include "slc/switch-files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const struct option_row switch_options[] = {
    {"now", 0, OPTION_FLAG, offsetof(struct options, now), NULL, "start or stop them now, too"},
    {"root", 0, OPTION_TEXT, offsetof(struct options, root), "DIR",
     "of the system whose / is DIR, as an image; no launcher is asked"},
    {NULL},
};

struct switching {
    struct slc *slc;
    bool on, any_changed;
    bool alone;              /* no launcher is asked */
    char folder[PATH_MAX];   /* of the files to be made */
    int folder_fd, other_fd; /* other_fd -1: there is no such folder */
    json_t *done;            /* what to print: objects */
};

/* ---- files ---------------------------------------------------------------------------------- */

static int complain_file(const char *what, const char *path, int error)
{
    if (error == EACCES || error == EPERM) {
        slc_complain(what, "not permitted: %s cannot be changed by this user: %s", path,
                     strerror(error));
        return SLC_NOT_PERMITTED;
    }
    if (error == EROFS)
        slc_complain(what,
                     "%s cannot be changed: its file system is read-only; make it writable "
                     "(mount -o remount,rw …) and try again",
                     path);
    else
        slc_complain(what, "%s cannot be changed: %s", path, strerror(error));
    return SLC_FAILED;
}

/* A folder below `etc`, or -errno. */
static int open_folder(const char *etc, const char *name, char path[static PATH_MAX])
{
    if (!text_format(path, PATH_MAX, "%s/%s", etc, name))
        return -ENAMETOOLONG;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int make_folder(const char *path)
{
    return mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

static int open_folders(struct switching *s, const char *etc)
{
    static const char *const names[] = {"disabled", "enabled"};
    const char *verb = s->slc->verb->name;
    char other[PATH_MAX];

    umask(022); /* the folders are to be read by everybody, whatever the shell says */
    s->other_fd = open_folder(etc, names[!s->on], other);
    s->folder_fd = open_folder(etc, names[s->on], s->folder);
    int failed = s->folder_fd == -ENOENT ? make_folder(etc) : 0;
    if (failed)
        return complain_file(verb, etc, -failed);
    if (s->folder_fd == -ENOENT) {
        failed = make_folder(s->folder);
        s->folder_fd = failed ? failed : open_folder(etc, names[s->on], s->folder);
    }
    if (s->folder_fd < 0)
        return complain_file(verb, s->folder, -s->folder_fd);
    if (s->other_fd < 0 && s->other_fd != -ENOENT)
        return complain_file(verb, other, -s->other_fd);
    return SLC_DONE;
}

static bool is_there(int folder_fd, const char *name)
{
    return folder_fd >= 0 && faccessat(folder_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Both files are there at no time: one that is in the other folder moves. Returns 1 when something
 * was changed, 0 when there was nothing to do, or -errno. */
static int switch_file(const struct switching *s, const char *name)
{
    if (is_there(s->other_fd, name)) {
        if (renameat(s->other_fd, name, s->folder_fd, name) < 0)
            return -errno;
    } else if (is_there(s->folder_fd, name)) {
        return 0;
    } else {
        int fd = openat(s->folder_fd, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (fd < 0)
            return -errno;
        close(fd);
    }
    /* So that a power cut does not undo it; a file system that cannot do more does what it can. */
    (void)fsync(s->folder_fd);
    if (s->other_fd >= 0)
        (void)fsync(s->other_fd);
    return 1;
}

static int switch_one(struct switching *s, const char *name)
{
    const struct options *options = &s->slc->options;
    const char *word = s->on ? "enabled" : "disabled";
    char path[PATH_MAX + 256];
    int changed = switch_file(s, name);

    if (changed < 0) {
        text_format(path, sizeof path, "%s/%s", s->folder, name);
        return complain_file(name, path, -changed);
    }
    s->any_changed |= changed;
    json_array_append_new(
        s->done, json_pack("{s:s, s:b, s:b}", "name", name, "enabled", s->on, "changed", changed));
    if (!options->json && !options->quiet)
        printf(changed ? "%s: %s\n" : "%s: is %s by hand already\n", name, word);
    return SLC_DONE;
}

/* ---- the launcher --------------------------------------------------------------------------- */

/* The services' own names, for they may be called by others that they provide. */
static int ask_names(struct slc *slc, json_t **ret)
{
    const struct varlink_reply *reply;
    struct client client;
    client_begin(&client, slc, "Resolve", false);
    client_add_words(&client, "names");
    int status = client_ask_if_any(&client, &reply);
    if (status == CLIENT_NO_SOCKET && strcmp(slc->options.runtime, SLC_DEFAULT_RUNTIME) != 0) {
        /* Another folder was named for the launcher's sake. */
        slc_complain(slc->verb->name,
                     "no launcher answers: there is no socket %s/control; `--root /` needs none",
                     slc->options.runtime);
        status = SLC_NO_LAUNCHER;
    }
    if (status == SLC_DONE)
        *ret = json_incref(json_object_get(reply->parameters, "names"));
    client_finish(&client);
    return status;
}

static int ask_place(const struct slc *slc, struct switch_place *ret)
{
    const struct varlink_reply *reply;
    struct client client;
    client_begin(&client, slc, "Describe", false);
    int status = client_ask(&client, &reply);
    if (status == SLC_DONE) {
        text_format(ret->etc, sizeof ret->etc, "%s", render_member(reply->parameters, "etc"));
        ret->listed = json_is_true(json_object_get(reply->parameters, "listed"));
    }
    client_finish(&client);
    return status;
}

static int tell(const struct slc *slc)
{
    const struct varlink_reply *reply;
    struct client client;
    struct json_writer *parameters = client_begin(&client, slc, "Reload", false);
    json_add_bool(parameters, "switches", true);
    int status = client_ask(&client, &reply);
    client_finish(&client);
    return status;
}

/* Starts or stops what was switched; as JSON its results stand beside. */
static int change_now(struct switching *s)
{
    struct slc slc = *s->slc;
    json_t *results = NULL;
    size_t at;
    json_t *done;

    slc.verb = s->on ? &verb_start : &verb_stop;
    if (!slc.options.json)
        return change_run(&slc, s->on ? "Start" : "Stop");
    int status = change_ask(&slc, s->on ? "Start" : "Stop", &results);
    json_array_foreach(s->done, at, done)
    {
        size_t i = 0;
        while (i < json_array_size(results) &&
               strcmp(render_member(json_array_get(results, i), "name"),
                      render_member(done, "name")) != 0)
            i++;
        json_t *result = json_array_get(results, i);
        json_object_set_new(done, "result", result ? json_incref(result) : json_null());
    }
    json_decref(results);
    return status;
}

static int switch_all(struct switching *s, const json_t *names)
{
    int status = SLC_DONE;
    for (size_t i = 0; i < json_array_size(names); i++) {
        int one = switch_one(s, json_string_value(json_array_get(names, i)));
        if (status == SLC_DONE)
            status = one;
    }
    if (s->any_changed && !s->alone) {
        int told = tell(s->slc);
        status = status == SLC_DONE ? told : status;
    }
    if (status == SLC_DONE && s->slc->options.now)
        status = change_now(s);
    if (s->slc->options.json)
        render_json(s->done);
    return status;
}

/* Where the files are and which services are meant: from the launcher, or else from the files. */
static int find_place(struct switching *s, struct switch_place *ret, json_t **ret_names)
{
    struct slc *slc = s->slc;
    int status = slc->options.root ? CLIENT_NO_SOCKET : ask_names(slc, ret_names);

    s->alone = status == CLIENT_NO_SOCKET;
    if (!s->alone)
        return status == SLC_DONE ? ask_place(slc, ret) : status;
    if (slc->options.now && slc->options.root)
        return slc_usage("--now", "is for the system that runs: leave out one of it and --root");
    if (slc->options.now) {
        slc_complain(slc->verb->name,
                     "no launcher answers, so there is nothing to %s now: leave "
                     "out --now, and nothing but the next boot is changed",
                     s->on ? "start" : "stop");
        return SLC_NO_LAUNCHER;
    }
    return switch_files_find(slc, slc->options.root ? slc->options.root : "/", ret, ret_names);
}

static void say_notes(const struct switching *s, const struct switch_place *place)
{
    if (place->listed && !s->slc->options.quiet)
        slc_complain("note", "the system file lists what is started at boot: what is enabled is "
                             "not asked then");
    if (s->alone && !s->slc->options.quiet)
        slc_complain("note", "no launcher was asked: the files in %s count at the next boot",
                     place->etc);
}

int switch_run(struct slc *slc, bool on)
{
    struct switching s = {
        .slc = slc, .on = on, .folder_fd = -1, .other_fd = -1, .done = json_array()};
    struct switch_place place = {0};
    json_t *names = NULL;
    int status = find_place(&s, &place, &names);

    if (status == SLC_DONE)
        status = open_folders(&s, place.etc);
    if (status == SLC_DONE)
        status = switch_all(&s, names);
    if (status == SLC_DONE)
        say_notes(&s, &place);
    if (s.folder_fd >= 0)
        close(s.folder_fd);
    if (s.other_fd >= 0)
        close(s.other_fd);
    json_decref(names);
    json_decref(s.done);
    return status;
}
