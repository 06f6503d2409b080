/* The memory of all backlogs. */
#include "service-journal/backlogs.h"
#include "service-journal/state.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC        0x676c6b74696e6f63ull /* "conitklg" */
#define VERSION      1
#define HEADER_BYTES 65536 /* the largest page there is */
#define HEADS_AT     (HEADER_BYTES + BACKLOGS_CHUNK_BYTES)
#define HEADS_BYTES  (JOURNAL_SLOTS_MAX * sizeof(struct backlog_head))
#define RINGS_AT     (HEADS_AT + (((off_t)HEADS_BYTES + HEADER_BYTES - 1) & -HEADER_BYTES))
#define SEALS        (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define ALL_BYTES    (RINGS_AT + (off_t)JOURNAL_SLOTS_MAX * BACKLOG_RING_BYTES)

_Static_assert(BACKLOG_RING_BYTES % HEADER_BYTES == 0, "a ring can be mapped");

struct backlogs_header {
    uint64_t magic;
    uint32_t version, slots;
    struct backlogs_intent intent;
    struct backlogs_chunk chunk;
};

static int map(struct backlogs *backlogs)
{
    char *begin = mmap(NULL, (size_t)RINGS_AT, PROT_READ | PROT_WRITE, MAP_SHARED, backlogs->fd, 0);
    if (begin == MAP_FAILED)
        return -errno;
    backlogs->header = (struct backlogs_header *)begin;
    backlogs->intent = &backlogs->header->intent;
    backlogs->chunk = &backlogs->header->chunk;
    backlogs->chunk_bytes = begin + HEADER_BYTES;
    backlogs->heads = (struct backlog_head *)(begin + HEADS_AT);
    return 0;
}

int backlogs_create(struct backlogs *backlogs)
{
    *backlogs =
        (struct backlogs){.fd = memfd_create("journal-backlogs", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    if (backlogs->fd < 0)
        return -errno;
    int failed =
        ftruncate(backlogs->fd, ALL_BYTES) < 0 || fcntl(backlogs->fd, F_ADD_SEALS, SEALS) < 0
            ? -errno
            : map(backlogs);
    if (failed) {
        close(backlogs->fd);
        backlogs->fd = -1;
        return failed;
    }
    backlogs->header->version = VERSION;
    backlogs->header->slots = JOURNAL_SLOTS_MAX;
    backlogs->header->magic = MAGIC;
    return 0;
}

int backlogs_open(struct backlogs *backlogs, int fd)
{
    struct stat stat;
    *backlogs = (struct backlogs){.fd = fd};
    int seals = fcntl(fd, F_GET_SEALS);
    int failed = seals < 0 || fstat(fd, &stat) < 0 ? -errno : 0;
    /* A page that the file does not have would be a SIGBUS later. */
    if (!failed && ((seals & SEALS) != SEALS || stat.st_size != ALL_BYTES))
        failed = -EPROTO;
    if (!failed)
        failed = map(backlogs);
    if (!failed && (backlogs->header->magic != MAGIC || backlogs->header->version != VERSION ||
                    backlogs->header->slots != JOURNAL_SLOTS_MAX))
        failed = -EPROTO;
    if (failed) {
        close(fd);
        backlogs->fd = -1;
    }
    return failed;
}

/* Which pages there are says the kernel: looking at them would make them. */
bool backlogs_find(const struct backlogs *backlogs, uint32_t *slot)
{
    const off_t end = HEADS_AT + (off_t)HEADS_BYTES;
    while (*slot < JOURNAL_SLOTS_MAX) {
        off_t at = HEADS_AT + (off_t)*slot * (off_t)sizeof(struct backlog_head);
        off_t data = lseek(backlogs->fd, at, SEEK_DATA);
        if (data < 0 || data >= end)
            return false;
        if (data > at)
            *slot = (uint32_t)((size_t)(data - HEADS_AT) / sizeof(struct backlog_head));
        const struct backlog_head *head = &backlogs->heads[*slot];
        if (head->states[head->turn % 2].begin)
            return true;
        ++*slot;
    }
    return false;
}

static off_t ring_at(uint32_t slot)
{
    return RINGS_AT + (off_t)slot * BACKLOG_RING_BYTES;
}

/* FNV-1a, of all bytes and the NUL behind them. */
static uint64_t hash(uint64_t before, const char *text)
{
    do
        before = (before ^ (unsigned char)*text) * 0x100000001b3;
    while (*text++);
    return before;
}

int backlogs_open_one(struct backlogs *backlogs, struct backlog_pool *pool, uint32_t slot,
                      const char *name, const char *folder, uint64_t *count, struct backlog *ret)
{
    uint64_t owner = hash(hash(0xcbf29ce484222325, name), folder ? folder : "");
    return backlog_open(ret, pool, &backlogs->heads[slot], backlogs->fd, ring_at(slot), owner,
                        count);
}

void backlogs_forget(struct backlogs *backlogs, uint32_t slot)
{
    struct backlog_pool pool = {BACKLOG_POOL_BYTES};
    struct backlog backlog;
    if (backlog_open(&backlog, &pool, &backlogs->heads[slot], backlogs->fd, ring_at(slot), 0,
                     NULL) == 0)
        backlog_close(&backlog, &pool);
}

uint64_t backlogs_begin_chunk(struct backlogs *backlogs, uint32_t slot)
{
    uint64_t number = backlogs->chunk->number + 1;
    *backlogs->chunk = (struct backlogs_chunk){.number = number, .slot = slot};
    return number;
}

void backlogs_note_file(struct backlogs *backlogs, uint64_t device, uint64_t inode, uint64_t bytes)
{
    backlogs->chunk->device = device;
    backlogs->chunk->inode = inode;
    backlogs->chunk->file_bytes = bytes;
    __atomic_store_n(&backlogs->chunk->opened, 1, __ATOMIC_SEQ_CST);
}
