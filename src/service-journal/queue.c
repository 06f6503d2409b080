/* The ring between the journal's two threads. */
#include "service-journal/queue.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC        0x75716a74696e6f63ull /* "conitjqu" */
#define VERSION      1
#define HEADER_BYTES 65536 /* the largest page there is */
#define ALIGN_BYTES  8
#define LINE_BYTES   64 /* the two threads write to lines of the cache of their own */

struct queue_header {
    uint64_t magic;
    uint32_t version, ring_bytes;
    _Alignas(LINE_BYTES) _Atomic uint64_t head;
    _Alignas(LINE_BYTES) _Atomic uint64_t tail;
    struct queue_note notes[QUEUE_NOTES];
};

_Static_assert(sizeof(struct queue_header) <= HEADER_BYTES, "the header has its place");
_Static_assert(sizeof(struct queue_record) % ALIGN_BYTES == 0, "records are aligned");

static int map_ring(struct queue *queue)
{
    char *both = mmap(NULL, 2 * (size_t)QUEUE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (both == MAP_FAILED)
        return -errno;
    for (size_t half = 0; half < 2; half++)
        if (mmap(both + half * QUEUE_BYTES, QUEUE_BYTES, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_FIXED, queue->fd, HEADER_BYTES) == MAP_FAILED)
            return -errno; /* the program ends */
    queue->ring = both;
    return 0;
}

static int map(struct queue *queue)
{
    void *header = mmap(NULL, HEADER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, queue->fd, 0);
    if (header == MAP_FAILED)
        return -errno;
    queue->header = header;
    return map_ring(queue);
}

int queue_create(struct queue *queue)
{
    *queue = (struct queue){.fd = memfd_create("journal-queue", MFD_CLOEXEC)};
    if (queue->fd < 0)
        return -errno;
    int failed = ftruncate(queue->fd, HEADER_BYTES + QUEUE_BYTES) < 0 ? -errno : map(queue);
    if (failed) {
        close(queue->fd);
        return failed;
    }
    queue->header->magic = MAGIC;
    queue->header->version = VERSION;
    queue->header->ring_bytes = QUEUE_BYTES;
    return 0;
}

int queue_open(struct queue *queue, int fd)
{
    struct stat stat;
    *queue = (struct queue){.fd = fd};
    int failed = fstat(fd, &stat) < 0                         ? -errno
                 : stat.st_size != HEADER_BYTES + QUEUE_BYTES ? -EPROTO
                                                              : map(queue);
    if (!failed && (queue->header->magic != MAGIC || queue->header->version != VERSION ||
                    queue->header->ring_bytes != QUEUE_BYTES ||
                    queue_head(queue) - queue_tail(queue) > QUEUE_BYTES ||
                    (queue_head(queue) | queue_tail(queue)) % ALIGN_BYTES))
        failed = -EPROTO;
    if (failed)
        close(fd);
    queue->at = failed ? 0 : queue_head(queue);
    return failed;
}

void queue_close_fd(struct queue *queue)
{
    close(queue->fd);
    queue->fd = -1;
}

uint64_t queue_head(const struct queue *queue)
{
    return queue->header->head;
}

uint64_t queue_tail(const struct queue *queue)
{
    return queue->header->tail;
}

static char *place_of(const struct queue *queue, uint64_t at)
{
    return queue->ring + at % QUEUE_BYTES;
}

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
}

/* ---- the reader ---------------------------------------------------------------------------- */

size_t queue_room(const struct queue *queue)
{
    return QUEUE_BYTES - (size_t)(queue->at - queue_tail(queue));
}

size_t queue_left(const struct queue *queue)
{
    const struct queue_record *open = queue->open;
    return queue_room(queue) - (open ? aligned(sizeof *open + open->bytes) : 0);
}

size_t queue_free(const struct queue *queue)
{
    return QUEUE_BYTES - (size_t)(queue_head(queue) - queue_tail(queue));
}

size_t queue_need(size_t text_bytes)
{
    /* A record is closed when it is half full at the earliest. */
    size_t records = text_bytes / (QUEUE_RECORD_BYTES / 2) + 2;
    return text_bytes + records * (sizeof(struct queue_record) + ALIGN_BYTES);
}

void queue_begin(struct queue *queue)
{
    queue->at = queue_head(queue);
    queue->open = NULL;
}

static void close_record(struct queue *queue)
{
    if (queue->open)
        queue->at += aligned(sizeof *queue->open + queue->open->bytes);
    queue->open = NULL;
}

char *queue_place(struct queue *queue, uint32_t slot, unsigned flags, size_t least,
                  size_t *ret_room)
{
    struct queue_record *open = queue->open;
    if (open && (open->slot != slot || open->bytes + least > QUEUE_RECORD_BYTES))
        close_record(queue);
    size_t taken = sizeof *open + (queue->open ? queue->open->bytes : 0), room = queue_room(queue);
    if (room < taken + least + ALIGN_BYTES)
        return NULL;
    if (!queue->open) {
        queue->open = (struct queue_record *)place_of(queue, queue->at);
        *queue->open = (struct queue_record){.slot = slot, .flags = flags};
    }
    room -= taken + ALIGN_BYTES;
    size_t left = QUEUE_RECORD_BYTES - queue->open->bytes;
    *ret_room = left < room ? left : room;
    return queue->open->text + queue->open->bytes;
}

void queue_put(struct queue *queue, size_t bytes, unsigned flags)
{
    queue->open->bytes += (uint32_t)bytes;
    queue->open->flags |= flags;
    if (flags & QUEUE_SEAL) /* what follows is to be behind it */
        close_record(queue);
}

void queue_commit(struct queue *queue)
{
    close_record(queue);
    queue->header->head = queue->at;
}

void queue_take_back(struct queue *queue, uint64_t head)
{
    queue->header->head = head;
    queue_begin(queue);
}

/* ---- the writer ---------------------------------------------------------------------------- */

const struct queue_record *queue_get(const struct queue *queue, uint64_t at, uint64_t *ret_next)
{
    uint64_t head = queue_head(queue);
    if (head - at < sizeof(struct queue_record) || head - at > QUEUE_BYTES)
        return NULL;
    const struct queue_record *record = (const struct queue_record *)place_of(queue, at);
    size_t bytes = aligned(sizeof *record + record->bytes);
    if (record->bytes > QUEUE_RECORD_BYTES || bytes > head - at)
        return NULL;
    *ret_next = at + bytes;
    return record;
}

void queue_note(struct queue *queue, size_t number, uint32_t slot, uint64_t device, uint64_t inode,
                uint64_t bytes)
{
    struct queue_note *note = &queue->header->notes[number];
    note->slot = slot;
    note->device = device;
    note->inode = inode;
    note->bytes = bytes;
    __atomic_store_n(&note->tail, queue_tail(queue) + 1, __ATOMIC_SEQ_CST);
}

const struct queue_note *queue_noted(const struct queue *queue, size_t number)
{
    const struct queue_note *note = &queue->header->notes[number];
    return note->tail == queue_tail(queue) + 1 ? note : NULL;
}

void queue_forget_notes(struct queue *queue)
{
    for (size_t i = 0; i < QUEUE_NOTES; i++)
        queue->header->notes[i].tail = 0;
}

void queue_done(struct queue *queue, uint64_t tail)
{
    queue->header->tail = tail;
}
