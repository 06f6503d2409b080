/* The ring of what the journal has not acknowledged. Where it begins, where it ends and where its
 * newest entry is are one word, so that a kill never falls between them. */
#include "service-launcher/outbox.h"

#include "protocol/journal-link.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC    0x786f6274756full /* "outbox" */
#define VERSION  1u
#define UNIT     8u /* bytes: places are counted in these */
#define PLACES   (OUTBOX_BYTES / UNIT)
#define NO_PLACE 0x1fffffu
#define HEADER   4096

struct outbox_header {
    uint64_t magic;
    uint32_t version, ring_bytes;
    uint64_t places; /* begin, end, and the newest entry if it tells an end: 21 bits each */
};

struct places {
    uint32_t begin, end, newest_end;
};

_Static_assert(PLACES < NO_PLACE, "a place fits into 21 bits");
_Static_assert(sizeof(struct outbox_entry) % UNIT == 0, "what follows an entry begins at a place");

static struct places places_of(const struct outbox *outbox)
{
    uint64_t word = __atomic_load_n(&outbox->header->places, __ATOMIC_ACQUIRE);
    return (struct places){word & NO_PLACE, word >> 21 & NO_PLACE, word >> 42 & NO_PLACE};
}

static void set_places(struct outbox *outbox, struct places places)
{
    uint64_t word = places.begin | (uint64_t)places.end << 21 | (uint64_t)places.newest_end << 42;
    __atomic_store_n(&outbox->header->places, word, __ATOMIC_RELEASE);
}

static struct outbox_entry *entry_at(const struct outbox *outbox, uint32_t place)
{
    return (struct outbox_entry *)(outbox->ring + (size_t)place * UNIT);
}

/* A place where the ring goes on at its beginning is that beginning. */
static uint32_t place_at(const struct outbox *outbox, uint32_t place, uint32_t end)
{
    if (place == end)
        return place;
    return place == PLACES || !entry_at(outbox, place)->bytes ? 0 : place;
}

static uint32_t place_after(const struct outbox *outbox, uint32_t place, uint32_t end)
{
    return place_at(outbox, place + entry_at(outbox, place)->bytes / UNIT, end);
}

static uint32_t place_of(const struct outbox *outbox, const struct outbox_entry *entry)
{
    return (uint32_t)((size_t)((const char *)entry - outbox->ring) / UNIT);
}

/* ---- opening ------------------------------------------------------------------------------- */

static bool entry_is_sound(const struct outbox *outbox, uint32_t place, uint32_t end)
{
    const struct outbox_entry *entry = entry_at(outbox, place);
    uint32_t limit = place < end ? end : PLACES;
    return (size_t)(limit - place) * UNIT >= sizeof *entry && entry->bytes % UNIT == 0 &&
           entry->bytes >= sizeof *entry && entry->bytes <= (limit - place) * UNIT &&
           entry->text_bytes <= entry->bytes - sizeof *entry &&
           entry->text_bytes < JOURNAL_LINK_TEXT_BYTES;
}

/* Whether one gets from its beginning to its end. */
static bool is_sound(const struct outbox *outbox)
{
    struct places places = places_of(outbox);
    if (outbox->header->magic != MAGIC || outbox->header->version != VERSION ||
        outbox->header->ring_bytes != OUTBOX_BYTES || places.begin > PLACES || places.end > PLACES)
        return false;
    uint32_t at = place_at(outbox, places.begin, places.end);
    for (uint32_t i = 0; at != places.end; i++) {
        if (i > PLACES || !entry_is_sound(outbox, at, places.end))
            return false;
        at = place_after(outbox, at, places.end);
    }
    return places.newest_end == NO_PLACE || (places.newest_end < places.end &&
                                             entry_is_sound(outbox, places.newest_end, places.end));
}

static void begin_anew(struct outbox *outbox)
{
    outbox->header->magic = 0;
    outbox->header->version = VERSION;
    outbox->header->ring_bytes = OUTBOX_BYTES;
    set_places(outbox, (struct places){.newest_end = NO_PLACE});
    __atomic_store_n(&outbox->header->magic, MAGIC, __ATOMIC_RELEASE);
}

int outbox_open(struct outbox *outbox, int fd)
{
    struct stat stat;
    *outbox = (struct outbox){0};
    if (fstat(fd, &stat) < 0)
        return -errno;
    if (stat.st_size < HEADER + OUTBOX_BYTES && ftruncate(fd, HEADER + OUTBOX_BYTES) < 0)
        return -errno;
    char *memory = mmap(NULL, HEADER + OUTBOX_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return -errno;
    outbox->header = (struct outbox_header *)memory;
    outbox->ring = memory + HEADER;
    if (!is_sound(outbox))
        begin_anew(outbox);
    uint32_t newest = places_of(outbox).newest_end;
    if (newest != NO_PLACE) {
        outbox->former_id = entry_at(outbox, newest)->id;
        outbox->former_pid = entry_at(outbox, newest)->pid;
    }
    return 0;
}

void outbox_finish(struct outbox *outbox)
{
    if (outbox->header)
        munmap(outbox->header, HEADER + OUTBOX_BYTES);
    *outbox = (struct outbox){0};
}

/* ---- what is in it ------------------------------------------------------------------------- */

/* Where so many units in a row are free; NO_PLACE: nowhere. The end never meets the beginning from
 * behind: that would be an empty ring. */
static uint32_t room_for(const struct outbox *outbox, struct places places, uint32_t units)
{
    if (places.end < places.begin)
        return places.begin - places.end > units ? places.end : NO_PLACE;
    if (PLACES - places.end >= units)
        return places.end;
    if (places.begin <= units)
        return NO_PLACE;
    if (places.end < PLACES)
        entry_at(outbox, places.end)->bytes = 0;
    return 0;
}

bool outbox_add(struct outbox *outbox, const struct outbox_entry *entry, const char *text,
                size_t bytes)
{
    if (!outbox->header)
        return false;
    struct places places = places_of(outbox);
    uint32_t units = (uint32_t)((sizeof *entry + bytes + UNIT - 1) / UNIT);
    uint32_t place = room_for(outbox, places, units);
    if (place == NO_PLACE)
        return false;
    struct outbox_entry *kept = entry_at(outbox, place);
    memcpy(kept, entry, sizeof *kept);
    kept->bytes = units * UNIT;
    kept->text_bytes = (uint32_t)bytes;
    memcpy(kept->text, text, bytes);
    set_places(outbox, (struct places){places.begin, place + units, entry->pid ? place : NO_PLACE});
    if (entry->pid && entry->id == outbox->former_id)
        outbox->former_pid = 0;
    return true;
}

struct outbox_entry *outbox_next(const struct outbox *outbox, const struct outbox_entry *entry)
{
    if (!outbox->header)
        return NULL;
    struct places places = places_of(outbox);
    uint32_t place = entry ? place_after(outbox, place_of(outbox, entry), places.end)
                           : place_at(outbox, places.begin, places.end);
    return place == places.end ? NULL : entry_at(outbox, place);
}

void outbox_acknowledge(struct outbox *outbox, uint64_t sequence)
{
    const struct outbox_entry *entry = outbox_next(outbox, NULL);
    if (!entry || entry->sequence > sequence)
        return;
    while (entry && entry->sequence <= sequence)
        entry = outbox_next(outbox, entry);
    struct places places = {.newest_end = NO_PLACE};
    if (entry) {
        places.begin = place_of(outbox, entry);
        places.end = places_of(outbox).end;
    }
    set_places(outbox, places);
}

bool outbox_has_told(const struct outbox *outbox, uint32_t id, int32_t pid)
{
    return pid && outbox->former_pid == pid && outbox->former_id == id;
}
