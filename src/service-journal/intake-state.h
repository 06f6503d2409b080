/* What the next journal has to know of lines that no pipe of a service brings, in a memfd that init
 * holds (KEY_JOURNAL_INTAKE): what the launcher has said of all journals, how far /dev/log and
 * /dev/kmsg are taken, and the datagrams that were received and are not done. */
#pragma once

#include "protocol/journal-link.h"
#include "service-journal/sender.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define INTAKE_DATAGRAMS      4     /* received at once */
#define INTAKE_DATAGRAM_BYTES 16384 /* what is longer is cut */
#define INTAKE_CONTROL_BYTES  1280  /* SCM_CREDENTIALS, and as many descriptors as may come along */

/* Who brings lines. */
enum intake_source { INTAKE_DEV_LOG, INTAKE_KMSG, INTAKE_SOURCES };

/* How far a source is taken, in one word, so that it changes at one stroke: the number of the item
 * that is next, and how many bytes of its lines are in a pipe already. */
#define INTAKE_DONE_BITS  24
#define INTAKE_ITEM(at)   ((at) >> INTAKE_DONE_BITS)
#define INTAKE_DONE(at)   ((at) & ((1u << INTAKE_DONE_BITS) - 1))
#define INTAKE_AT(number) ((uint64_t)(number) << INTAKE_DONE_BITS)

struct intake_datagram {
    uint32_t target; /* the id of a journal */
    uint32_t resolved;
    int32_t pid, uid; /* of the sender; pid 0: not known */
    uint32_t real_bytes, unused;
    struct sender sender; /* where the target is nobody's: it may be a service's all the same */
    _Alignas(16) char control[INTAKE_CONTROL_BYTES];
    char bytes[INTAKE_DATAGRAM_BYTES];
};

#define INTAKE_NONE UINT32_MAX /* msg_len: nothing was received */

struct intake_state {
    uint64_t magic;
    uint32_t version, bytes;
    /* SYSTEM */
    uint32_t told, flags; /* told: set last */
    uint64_t max_size_bytes;
    uint32_t sync_ms, unused;
    char dev_log[JOURNAL_LINK_NAME_BYTES], cgroup[JOURNAL_LINK_TEXT_BYTES];
    /* What is being written into a pipe: which counts if the pipe holds another number of bytes
     * than before it. Nobody reads the pipe meanwhile. */
    uint32_t writing, source, target, before;
    uint64_t at_after;
    uint64_t at[INTAKE_SOURCES];
    struct mmsghdr headers[INTAKE_DATAGRAMS]; /* msg_len says what was received */
    struct intake_datagram datagrams[INTAKE_DATAGRAMS];
};

/* Makes the pages of the datagrams, so that the kernel never has to make one while it receives:
 * what is killed in the middle of that would lose a datagram. */
void intake_state_prepare(struct intake_state *state);

/* Makes one, or takes over one of another journal (`fd` is taken). 0 or -errno; -EPROTO: it is
 * none of this version. */
int intake_state_create(struct intake_state **ret, int *ret_fd);
int intake_state_open(struct intake_state **ret, int fd);
