/* The intake's memory, which init holds. */
#include "service-journal/intake-state.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC      0x6b74696e6f63ull /* "conitk" */
#define VERSION    4
#define PAGE_BYTES 4096 /* no kernel has smaller ones */

static int map(struct intake_state **ret, int fd)
{
    void *page = mmap(NULL, sizeof **ret, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        return -errno;
    *ret = page;
    return 0;
}

void intake_state_prepare(struct intake_state *state)
{
    char *bytes = (char *)state->datagrams;
    for (size_t at = 0; at < sizeof state->datagrams; at += PAGE_BYTES)
        __atomic_fetch_add(&bytes[at], 0, __ATOMIC_RELAXED);
    __atomic_fetch_add(&bytes[sizeof state->datagrams - 1], 0, __ATOMIC_RELAXED);
}

int intake_state_create(struct intake_state **ret, int *ret_fd)
{
    int fd = memfd_create("journal-intake", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int failed = ftruncate(fd, sizeof **ret) < 0 ? -errno : map(ret, fd);
    if (failed) {
        close(fd);
        return failed;
    }
    for (size_t i = 0; i < INTAKE_DATAGRAMS; i++)
        (*ret)->headers[i].msg_len = INTAKE_NONE;
    (*ret)->version = VERSION;
    (*ret)->bytes = sizeof **ret;
    (*ret)->magic = MAGIC;
    *ret_fd = fd;
    return 0;
}

int intake_state_open(struct intake_state **ret, int fd)
{
    struct intake_state *state = NULL;
    struct stat stat;
    /* A page that the file does not have would be a SIGBUS later. */
    int failed = fstat(fd, &stat) < 0            ? -errno
                 : stat.st_size != sizeof *state ? -EPROTO
                                                 : map(&state, fd);
    close(fd);
    if (failed || !state)
        return failed;
    if (state->magic != MAGIC || state->version != VERSION || state->bytes != sizeof *state) {
        munmap(state, sizeof *state);
        return -EPROTO;
    }
    state->dev_log[sizeof state->dev_log - 1] = 0;
    state->cgroup[sizeof state->cgroup - 1] = 0;
    for (size_t i = 0; i < INTAKE_DATAGRAMS; i++) {
        char *service = state->datagrams[i].sender.service;
        service[sizeof state->datagrams[i].sender.service - 1] = 0;
    }
    *ret = state;
    return 0;
}
