/* What init holds for the journal: descriptors that the next one gets back. */
#include "service-journal/hold.h"
#include "log/log.h"
#include "protocol/hand-over.h"

#include <string.h>

static void tell(enum hand_over_type type, uint32_t key, const int *fds, size_t count)
{
    struct hand_over_message message = {
        .type = (uint16_t)type, .owner = OWNER_JOURNAL, .count = 1, .keys = {key}};
    int failed = hand_over_send(CHILD_FD_INIT, &message, fds, count);
    if (failed)
        LOG(ERROR, "Init does not hold our state", NUMBER("key", key),
            TEXT("error", strerror(-failed)));
}

void hold_store(uint32_t key, int fd)
{
    tell(HAND_OVER_STORE, key, &fd, 1);
}

void hold_drop(uint32_t key)
{
    tell(HAND_OVER_DROP, key, NULL, 0);
}
