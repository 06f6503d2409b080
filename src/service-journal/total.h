/* The quota of the whole system: what all journals have on the disk together. The writer's; how
 * much each has is looked at when a file of it is sealed, compressed or removed, and remembered. */
#pragma once

#include "base/list.h"
#include "journal/store.h"
#include "loop/loop.h"

#include <stdbool.h>

/* One journal's part of it: of one that has something on the disk. */
struct total_share {
    struct list node;
    const struct journal_file *file;
    struct journal_measure measure;
};

/* Whether they are above the quota, and why nothing more goes. */
enum total_state {
    TOTAL_BELOW,
    TOTAL_CURRENT_ABOVE, /* each `current` stays */
    TOTAL_SEALED_STAY,   /* sealed files that cannot be removed */
};

struct total {
    struct journal_store *store;
    struct loop *loop;
    struct list shares;
    struct list strays; /* of journals that nobody writes to any more; also in `shares` */
    struct loop_timer look, more;
    /* How many journals of that name below LOGS are written to. */
    unsigned (*count_written)(void *context, const char *name);
    void *context;
    /* Set by the other thread: */
    _Atomic uint64_t max_bytes; /* 0: the default */
    _Atomic bool changed;
    enum total_state state; /* as it was said */
};

void total_init(struct total *total, struct journal_store *store, struct loop *loop,
                unsigned (*count_written)(void *context, const char *name), void *context);

/* Something of a journal was sealed, compressed or removed: it is looked at anew, and the quota is
 * kept. *share is the total's; NULL for one that has none so far. */
void total_measure(struct total *total, struct total_share **share,
                   const struct journal_file *file);

/* Nothing more is written to it; its files count on. It is counted as written to still. */
void total_leave(struct total *total, struct total_share **share, const struct journal_file *file);

/* For the other thread: another quota. The writer is to be woken. */
void total_set(struct total *total, uint64_t max_bytes);

/* Keeps another quota, if there is one. */
void total_look(struct total *total);
