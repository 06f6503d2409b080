/* What init holds for the journal: descriptors that the next one gets back. */
#include "service-journal/hold.h"
#include "base/shortage.h"
#include "log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define WAITING_MOST 8 /* the journal's own memory */

static bool waits;
static struct {
    uint32_t key;
    int fd;
} waiting[WAITING_MOST];
static size_t waiting_count;

#define TRIES    20 /* each a wait of 10 ms: what is told here is not told again */
#define PAUSE_MS 10

int tell_init(struct hand_over_message *message, const int *fds, size_t count)
{
    int failed = hand_over_send(CHILD_FD_INIT, message, fds, count);
    for (int i = 0; i < TRIES && (is_shortage(failed) || failed == -EAGAIN); i++) {
        poll(NULL, 0, PAUSE_MS);
        failed = hand_over_send(CHILD_FD_INIT, message, fds, count);
    }
    return failed;
}

static void tell(enum hand_over_type type, uint32_t key, const int *fds, size_t count)
{
    struct hand_over_message message = {
        .type = (uint16_t)type, .owner = OWNER_JOURNAL, .count = 1, .keys = {key}};
    int failed = tell_init(&message, fds, count);
    if (failed)
        LOG(ERROR, "Init does not hold our state", NUMBER("key", key),
            TEXT("error", strerror(-failed)));
}

void hold_store(uint32_t key, int fd)
{
    if (!waits) {
        tell(HAND_OVER_STORE, key, &fd, 1);
        return;
    }
    int copy = waiting_count < WAITING_MOST ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (copy < 0) {
        LOG(ERROR, "Init will not hold our state", NUMBER("key", key),
            TEXT("error", strerror(waiting_count < WAITING_MOST ? errno : EMFILE)));
        return;
    }
    waiting[waiting_count].key = key;
    waiting[waiting_count++].fd = copy;
}

void hold_drop(uint32_t key)
{
    tell(HAND_OVER_DROP, key, NULL, 0);
}

void hold_wait(void)
{
    waits = true;
}

void hold_go_on(void)
{
    waits = false;
    for (size_t i = 0; i < waiting_count; i++) {
        hold_store(waiting[i].key, waiting[i].fd);
        close(waiting[i].fd);
    }
    waiting_count = 0;
}
