/* How much each service has printed. The size is sealed, and only the pages of ids that are used
 * exist. */
#include "service-journal/counts.h"
#include "base/text.h"
#include "protocol/hand-over.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define IDS_MAX      (KEY_READY_FIRST - KEY_SERVICE_FIRST)
#define COUNTS_BYTES (IDS_MAX * sizeof(struct journal_counts))
#define SEALS        (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static int map(struct counts *counts, int fd)
{
    void *array = mmap(NULL, COUNTS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (array == MAP_FAILED)
        return -errno;
    *counts = (struct counts){fd, array};
    return 0;
}

int counts_create(struct counts *counts)
{
    *counts = COUNTS_NONE;
    int fd = memfd_create("journal-counts", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    int failed = ftruncate(fd, (off_t)COUNTS_BYTES) < 0 || fcntl(fd, F_ADD_SEALS, SEALS) < 0
                     ? -errno
                     : map(counts, fd);
    if (failed)
        close(fd);
    return failed;
}

int counts_open(struct counts *counts, int fd)
{
    struct stat stat;
    int seals = fcntl(fd, F_GET_SEALS);
    int failed = seals < 0 || fstat(fd, &stat) < 0 ? -errno : 0;
    *counts = COUNTS_NONE;
    /* A page that the file does not have would be a SIGBUS later. */
    if (!failed && ((seals & SEALS) != SEALS || stat.st_size != (off_t)COUNTS_BYTES))
        failed = -EPROTO;
    if (!failed)
        failed = map(counts, fd);
    if (failed)
        close(fd);
    return failed;
}

int counts_open_reading(const struct counts *counts)
{
    char path[40];
    if (counts->fd < 0)
        return -ENOENT;
    text_format(path, sizeof path, "/proc/self/fd/%d", counts->fd);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

void counts_set(struct counts *counts, uint32_t id, const struct journal_counts *now)
{
    if (counts->fd < 0 || id >= IDS_MAX)
        return;
    /* One word at a time: who reads meanwhile gets each as it was or as it is. */
    struct journal_counts *at = &counts->array[id];
    __atomic_store_n(&at->lines, now->lines, __ATOMIC_RELAXED);
    __atomic_store_n(&at->bytes, now->bytes, __ATOMIC_RELAXED);
    __atomic_store_n(&at->over_rate, now->over_rate, __ATOMIC_RELAXED);
}

void counts_begin(struct counts *counts, uint32_t id)
{
    const struct journal_counts nothing = {0};
    uint64_t *no_room = counts_no_room(counts, id);
    counts_set(counts, id, &nothing);
    if (no_room)
        __atomic_store_n(no_room, 0, __ATOMIC_RELAXED);
}

uint64_t *counts_no_room(struct counts *counts, uint32_t id)
{
    return counts->fd < 0 || id >= IDS_MAX ? NULL : &counts->array[id].no_room;
}
