/* The block that is being written, where a kill cannot reach it. */
#include "service-journal/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int map(struct spool *spool, int fd)
{
    void *bytes = mmap(NULL, SPOOL_BYTES, PROT_READ, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED) {
        int failed = -errno;
        close(fd);
        return failed;
    }
    *spool = (struct spool){fd, bytes};
    return 0;
}

int spool_create(struct spool *spool)
{
    *spool = (struct spool){.fd = -1};
    int fd = memfd_create("journal-spool", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (ftruncate(fd, SPOOL_BYTES) < 0) {
        int failed = -errno;
        close(fd);
        return failed;
    }
    return map(spool, fd);
}

int spool_open(struct spool *spool, int fd)
{
    struct stat stat;
    *spool = (struct spool){.fd = -1};
    int failed = fstat(fd, &stat) < 0 ? -errno : stat.st_size != SPOOL_BYTES ? -EPROTO : 0;
    if (failed)
        close(fd);
    return failed ? failed : map(spool, fd);
}

ssize_t spool_take(struct spool *spool, int pipe_fd, size_t most)
{
    ssize_t count = splice(pipe_fd, NULL, spool->fd, NULL, most < SPOOL_BYTES ? most : SPOOL_BYTES,
                           SPLICE_F_NONBLOCK);
    return count < 0 ? -errno : count;
}

size_t spool_taken(const struct spool *spool)
{
    off_t at = spool->fd < 0 ? 0 : lseek(spool->fd, 0, SEEK_CUR);
    return at < 0 || at > SPOOL_BYTES ? 0 : (size_t)at;
}

void spool_done(struct spool *spool)
{
    lseek(spool->fd, 0, SEEK_SET);
}
