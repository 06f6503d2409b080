/* Following journals: inotify says which folders have changed, and the kernel when something was
 * mounted, which may have put other folders in their place. */
#pragma once

#include "slc/log-merge.h"

struct log_watch {
    int number; /* of inotify */
    enum log_watch_kind {
        WATCH_JOURNAL, /* the folder of `source` */
        WATCH_ABOVE,   /* a folder in which one is missing */
    } kind;
    struct log_source *source;
};

struct log_follow {
    struct log_merge *merge;
    const char
        *roots[2]; /* LOGS and RUNTIME/log: new folders in them count; NULL: named ones only */
    int inotify;
    int mounts; /* /proc/self/mountinfo; -1: it is not there */
    bool mounts_changed;
    struct log_watch *watches;
    size_t watch_count;
    bool full;           /* the kernel takes no more watches, which was said */
    bool no_descriptors; /* which was said, too */
};

#define LOG_FOLLOW_NONE ((struct log_follow){.inotify = -1, .mounts = -1})

/* Begins to watch what is in the merge, before any of it is opened. 0 or -errno. */
int log_follow_begin(struct log_follow *follow, struct log_merge *merge);

/* Has the merge look at what has changed, without waiting. 0 or -errno. */
int log_follow_look(struct log_follow *follow);

/* Waits until something has changed. Returns 1, 0 when nobody reads standard output any more, or
 * -errno. */
int log_follow_wait(struct log_follow *follow);

void log_follow_finish(struct log_follow *follow);
