/* What the measured programs share: a file of one page that each of them maps. */
#pragma once

#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct counter {
    uint64_t arrived;    /* programs that have reached main() */
    uint64_t arrived_ns; /* CLOCK_MONOTONIC when the latest of them did */
    uint64_t first_ns;   /* the first writer's first write; 0: none yet */
    uint64_t last_ns;    /* the return of the last write of the writer that ended last */
    uint64_t ended;      /* writers that have written all */
};

static inline uint64_t counter_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Returns NULL where the file cannot be mapped. */
static inline volatile struct counter *counter_map(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    void *map = mmap(NULL, sizeof(struct counter), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return map == MAP_FAILED ? NULL : map;
}
