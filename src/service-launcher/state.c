/* The memfd with every service's record. The mapping has its full size from the start, so that
 * records never move when the file grows under it. */
#include "service-launcher/state.h"

#include "protocol/hand-over.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_BYTES 4096

_Static_assert(sizeof(struct state_header) <= HEADER_BYTES, "the header has a page of its own");
_Static_assert(STATE_SLOTS_MAX == KEY_READY_FIRST - KEY_SERVICE_FIRST &&
                   STATE_SLOTS_MAX == KEY_FEED_FIRST - KEY_READY_FIRST,
               "each slot has two keys with init");

static size_t bytes_of(uint32_t slots)
{
    return HEADER_BYTES + (size_t)slots * sizeof(struct service_record);
}

static int map(struct state *state)
{
    char *memory = mmap(NULL, bytes_of(STATE_SLOTS_MAX), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_NORESERVE, state->fd, 0);
    if (memory == MAP_FAILED)
        return -errno;
    state->header = (struct state_header *)memory;
    state->records = (struct service_record *)(memory + HEADER_BYTES);
    return 0;
}

int state_create(struct state *state)
{
    *state = (struct state){.fd = memfd_create("conit-state", MFD_CLOEXEC)};
    if (state->fd < 0)
        return -errno;
    int failed = ftruncate(state->fd, HEADER_BYTES) < 0 ? -errno : map(state);
    if (failed) {
        state_finish(state);
        return failed;
    }
    state->header->version = STATE_VERSION;
    state->header->record_bytes = sizeof(struct service_record);
    state->header->essential_slot = SLOT_NONE;
    __atomic_store_n(&state->header->magic, STATE_MAGIC, __ATOMIC_RELEASE);
    return 0;
}

int state_open(struct state *state, int fd)
{
    struct stat stat;
    *state = (struct state){.fd = fd};
    int failed = fstat(fd, &stat) < 0 ? -errno : 0;
    if (!failed && stat.st_size < HEADER_BYTES)
        failed = -EPROTO;
    if (!failed)
        failed = map(state);
    if (!failed &&
        (state->header->magic != STATE_MAGIC || state->header->version != STATE_VERSION ||
         state->header->record_bytes != sizeof(struct service_record) ||
         state->header->slots > STATE_SLOTS_MAX ||
         (size_t)stat.st_size < bytes_of(state->header->slots)))
        failed = -EPROTO;
    if (failed)
        state_finish(state);
    return failed;
}

int state_grow(struct state *state, uint32_t slots)
{
    if (slots <= state->header->slots)
        return 0;
    if (slots > STATE_SLOTS_MAX)
        return -EOVERFLOW;
    if (ftruncate(state->fd, (off_t)bytes_of(slots)) < 0)
        return -errno;
    __atomic_store_n(&state->header->slots, slots, __ATOMIC_RELEASE);
    return 0;
}

void state_finish(struct state *state)
{
    if (state->header)
        munmap(state->header, bytes_of(STATE_SLOTS_MAX));
    if (state->fd >= 0)
        close(state->fd);
    *state = (struct state){.fd = -1};
}
