/* A pipe through which the journal gives lines to itself, as a service does: so they are counted,
 * limited and kept through a kill like all others. One for each journal that gets lines this way;
 * init holds it. */
#pragma once

#include "base/list.h"
#include "service-journal/intake-state.h"

#include <stdbool.h>

struct journal;

struct feed {
    struct list node;
    uint32_t id; /* of the journal */
    int fd;      /* O_RDWR, non-blocking */
};

struct feeds {
    struct journal *journal;
    struct intake_state *state;
    struct list list;
};

/* The key that init holds the feed of a journal under, and back. */
uint32_t feed_key(uint32_t id);
bool feed_is_key(uint32_t key, uint32_t *ret_id);

/* Takes one back that another journal has made; `fd` is taken. */
void feed_restore(struct feeds *feeds, uint32_t id, int fd);

/* Once all are back: what was being written when the other journal was killed is written, or not.
 */
void feed_recover(struct feeds *feeds);

/* Finds the feed of a journal, or makes it. NULL when it cannot be made. */
struct feed *feed_get(struct feeds *feeds, uint32_t id);

/* The journal is forgotten. */
void feed_forget(struct feeds *feeds, uint32_t id);

/* Lines on their way from an item of a source to a feed. */
struct pour {
    struct feeds *feeds;
    struct feed *feed;
    enum intake_source source;
    size_t skip; /* bytes of the item that are in the pipe from an earlier try */
};

/* Begins with the item at which the source is, or goes on with it. */
void pour_begin(struct pour *pour, struct feeds *feeds, struct feed *feed,
                enum intake_source source);

/* Writes so many bytes of it. -EAGAIN: the pipe is full; then all of the item is given again, the
 * same bytes, later. */
int pour_bytes(struct pour *pour, const char *bytes, size_t count);
