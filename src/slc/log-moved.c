/* Hashes of entries, first in, first out: 8 bytes for a line, which in RUNTIME/log takes 33 at
 * least.
 */
#include "slc/log-moved.h"

#include <errno.h>
#include <stdlib.h>

#define ROOM_FIRST 64
/* FNV-1a: http://www.isthe.com/chongo/tech/comp/fnv/ */
#define FNV_BASIS 0xcbf29ce484222325u
#define FNV_PRIME 0x100000001b3u

static uint64_t add_bytes(uint64_t hash, const void *bytes, size_t count)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ at[i]) * FNV_PRIME;
    return hash;
}

static uint64_t hash_of(const struct journal_entry *entry)
{
    uint64_t hash = add_bytes(FNV_BASIS, &entry->time_ns, sizeof entry->time_ns);
    const unsigned char kind[] = {(unsigned char)entry->mark, (unsigned char)entry->level};
    hash = add_bytes(hash, kind, sizeof kind);
    return add_bytes(hash, entry->text, entry->bytes);
}

int log_moved_note(struct log_moved *moved, const struct journal_entry *entry)
{
    if (moved->count == LOG_MOVED_MOST) {
        moved->first = (moved->first + 1) & (moved->room - 1);
        moved->count--;
    }
    if (moved->count == moved->room) {
        size_t room = moved->room ? moved->room * 2 : ROOM_FIRST;
        uint64_t *hashes = calloc(room, sizeof *hashes);
        if (!hashes)
            return -ENOMEM;
        for (size_t i = 0; i < moved->count; i++)
            hashes[i] = moved->hashes[(moved->first + i) & (moved->room - 1)];
        free(moved->hashes);
        *moved = (struct log_moved){hashes, 0, moved->count, room};
    }
    moved->hashes[(moved->first + moved->count++) & (moved->room - 1)] = hash_of(entry);
    return 0;
}

bool log_moved_take(struct log_moved *moved, const struct journal_entry *entry)
{
    uint64_t hash = moved->count ? hash_of(entry) : 0;

    for (size_t i = 0; i < moved->count; i++)
        if (moved->hashes[(moved->first + i) & (moved->room - 1)] == hash) {
            moved->first = (moved->first + i + 1) & (moved->room - 1);
            moved->count -= i + 1;
            return true;
        }
    return false;
}

void log_moved_finish(struct log_moved *moved)
{
    free(moved->hashes);
    *moved = (struct log_moved){0};
}
