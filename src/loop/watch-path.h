/* Being told when something may have changed at a path, which need not be there yet, nor the
 * folders above it. One inotify descriptor for any number of paths: see inotify(7).
 *
 * What is watched is the last folder on the way that is there, and the file itself once it is. The
 * kernel tells nothing of some changes: those that a symbolic link on the way leads elsewhere for,
 * or made by another machine; such a path, and one for which there is no room, is looked at
 * again by time, and so is one that may hang. */
#pragma once

#include "base/list.h"
#include "loop/loop.h"

#include <stdbool.h>
#include <stdint.h>

#define WATCH_PATHS_BUCKETS 256

struct watch_path;

struct watch_paths {
    struct loop *loop;
    struct loop_fd source; /* -1 before the first path, and without inotify */
    struct list by_descriptor[WATCH_PATHS_BUCKETS]; /* of struct watched, by the kernel's number */
    struct list changed;                            /* to be told */

    /* Whether whoever looks at the path may wait for ever: then on_change is called by time, and
     * nothing is looked at here. NULL: none does. */
    bool (*may_hang)(void *context, const char *path);
    void *context;
};

/* A path that is watched. The owner's; zeroed, it is not watched. */
struct watch_path {
    struct watch_paths *paths;
    char *path; /* a copy, from malloc; NULL: there was no memory for it */
    struct watched *folder, *file;
    const char *awaited; /* the name below `folder` that counts, inside `path` */
    struct list folder_link, file_link, changed_link;
    struct loop_timer timer;
    void (*on_change)(struct watch_path *watch);
};

/* `paths` outlives every path. Nothing is opened before the first one. */
void watch_paths_init(struct watch_paths *paths, struct loop *loop);
void watch_paths_finish(struct watch_paths *paths);

/* Begins to watch an absolute path. on_change is called from the loop whenever something may have
 * changed, at least once for each change after this has returned; look after this call to miss
 * nothing. It may remove any path, this one too. Never fails: where nothing can be told, it is
 * called by time. */
void watch_path_begin(struct watch_paths *paths, struct watch_path *watch, const char *path,
                      void (*on_change)(struct watch_path *watch));

/* Does nothing for one that is not watched. */
void watch_path_end(struct watch_path *watch);
