/* Several journals read as one, in the order of time; of each what is wanted.
 *
 *   struct log_merge merge = {.filter = …};
 *   log_merge_add(…); …
 *   log_merge_begin(…);
 *   while (log_merge_next(…) > 0) …
 *   log_merge_finish(&merge); */
#pragma once

#include "journal/joiner.h"
#include "slc/log-filter.h"
#include "slc/log-moved.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The journal in one folder. A service may have two: one below LOGS, and one below RUNTIME/log,
 * where it is while LOGS cannot be written. */
struct log_source {
    char *name, *folder;
    bool is_stopgap;            /* below RUNTIME/log: what is in it is moved below LOGS later */
    struct log_source *stopgap; /* of one that is none: the same service's; NULL: it has none */
    size_t index;               /* the how manyth it was added */
    bool is_open, in_heap;
    bool watched, look; /* following: its folder is watched; there may be more */
    dev_t device;       /* the folder that is watched */
    ino_t inode;
    bool changed; /* there may be other files now: to be looked at when this one is at its end */
    struct journal_reader reader;
    struct journal_joiner joiner;
    struct journal_entry entry; /* the next one */
    uint64_t time_ns;           /* its time, or that of the last one that had any */
    struct journal_place from, stop;
    size_t losses_told; /* of the reader's */

    /* Following. */
    struct log_moved moved; /* of a stopgap: what was shown, and has not come again */
    uint64_t
        begun_ns; /* of a stopgap: what is not newer may be there, too, and was not wanted; 0 */
    struct journal_bookmarks bookmarks;
    bool astray; /* it is still to be looked for where to go on by them */
};

struct log_merge {
    struct log_filter filter;
    bool follow;              /* the end is none: more may come */
    struct log_source **heap; /* the source whose next entry is the oldest is the first */
    size_t count;             /* sources in the heap */
    struct log_source **all;
    size_t all_count;
    json_t *known; /* the folders, as members of an object */
    json_t *named; /* name → the indices of its sources */
    bool taken;    /* the first source's entry was handed out */
    bool live;     /* following: what was there at the beginning was handed out */
};

/* Adds the journal of a service in this folder, which need not be there yet. Returns 0, -EEXIST
 * where it was added before, or -ENOMEM. */
int log_merge_add(struct log_merge *merge, const char *name, const char *folder, bool is_stopgap);

/* Adds every journal in this folder, each named as its own folder. Returns 0, or -errno of reading
 * the folder but -ENOENT. */
int log_merge_add_all(struct log_merge *merge, const char *root, bool is_stopgap);

/* Opens it, at its beginning. Returns 0, -ENOENT where there is none, or another -errno. */
int log_merge_open(struct log_merge *merge, struct log_source *source);

/* Closes one from which nothing was read yet. */
void log_merge_close(struct log_source *source);

/* Stands so that the newest `most` entries follow that are wanted. What comes after that call is
 * left out, unless it is to be followed. Returns 0 or -errno. */
int log_merge_begin(struct log_merge *merge, uint64_t most);

/* The next entry and its service's name, both good until the next call. Returns 1, 0 at the end,
 * or -errno. */
int log_merge_next(struct log_merge *merge, const char **ret_name,
                   const struct journal_entry **ret);

/* Looks whether a source that was at its end has more, opening it where it was not there. Returns
 * 0 or -errno. */
int log_merge_look_again(struct log_merge *merge, struct log_source *source);

void log_merge_finish(struct log_merge *merge);
