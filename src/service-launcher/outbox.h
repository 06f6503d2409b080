/* What the launcher has to say of services and has not heard to be in the journal: a ring in a
 * memfd that init holds, so that a launcher that is killed takes no event with it.
 *
 * A message counts from one aligned store on. The next launcher finds all that was not acknowledged
 * and sends it again under the numbers it had; the journal leaves out what it has carried out
 * already. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OUTBOX_BYTES (256 << 10) /* some 4000 events; pages that were never needed cost nothing */

struct outbox_entry {
    uint32_t bytes; /* with this header, a multiple of 8; 0: the ring goes on at its beginning */
    uint16_t type, level; /* enum journal_link_type; syslog's 0 to 7 */
    uint32_t id;
    uint32_t text_bytes;
    uint64_t sequence;
    int32_t pid; /* whose end it tells; 0: nobody's */
    uint32_t unused;
    char text[];
};

struct outbox {
    struct outbox_header *header; /* NULL: not open, nothing is kept */
    char *ring;
    /* What the launcher before us has put in last, where that was the end of a process: it may have
     * been killed before it noted that end. */
    uint32_t former_id;
    int32_t former_pid;
};

/* Takes up what is in the memfd, or begins anew where that is empty or of another make. The
 * descriptor stays the caller's. 0, or -errno: then nothing is kept, and all else works. */
int outbox_open(struct outbox *outbox, int fd);
void outbox_finish(struct outbox *outbox);

/* A copy of `entry`, whose sizes are filled in, with this text. Returns whether there was room. */
bool outbox_add(struct outbox *outbox, const struct outbox_entry *entry, const char *text,
                size_t bytes);

/* The first that is kept, or the one after `entry`; NULL: there is none. */
struct outbox_entry *outbox_next(const struct outbox *outbox, const struct outbox_entry *entry);

/* Everything up to this number is in the journal. */
void outbox_acknowledge(struct outbox *outbox, uint64_t sequence);

/* Whether the launcher before us has said already that this process of this service has ended. */
bool outbox_has_told(const struct outbox *outbox, uint32_t id, int32_t pid);
