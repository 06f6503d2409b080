/* Hand-over: the messages between init and its two children, over a SOCK_SEQPACKET pair each.
 *
 * init keeps what must survive a child: descriptors, each under a key. Every message is one
 * `struct hand_over_message`, sent whole; descriptors go beside it as SCM_RIGHTS, the i-th with
 * keys[i]. A receiver answers REFUSED with the keys when the control message was cut (MSG_CTRUNC);
 * a message of another version or size is left out. Unknown types are skipped. Numbers are never
 * reused.
 *
 *   child → init                                init → child
 *   STORE     count × (key, descriptor)         HELD      count × (key, descriptor), then
 *   DROP      count × key                       HELD_DONE once, after the last
 *   READY                                       ENDED     count × (pid, wait status)
 *   PROGRESS  text: what is waited for          SIGNAL    argument: a signal init was sent
 *   SHUT_DOWN argument: enum shut_down          DRAIN     (to the journal) write all, then DRAINED
 *   UPGRADE                                     LINE      (to the journal) text: a line of init's
 *   DRAINED                                               own, level in `argument`
 *   REFUSED   count × key                       REFUSED   count × key: not held, table full
 *   ENDED_SEEN argument: that many pairs of     YIELD     stop acting, then answer YIELDED: a new
 *             ENDED are carried out; init keeps           one is tried beside it
 *             the others for the next launcher  RESUME    the new one is no good: go on
 *   YIELDED                                     UPGRADED  (to the launcher) argument: mask of the
 *   FAILED    text: why this new one cannot               parts that are new now, status: mask of
 *             go on from what is held                     those that failed, text: why, a line
 *   UPGRADED_SEEN                                         "PART: why\n" for each
 *
 * UPGRADE's argument, too, is a mask of enum hand_over_part; 0 means all of them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define HAND_OVER_VERSION   1
#define HAND_OVER_KEYS_MAX  240 /* descriptors in one message; the kernel's SCM_MAX_FD is 253 */
#define HAND_OVER_ENDED_MAX 120

enum hand_over_type {
    HAND_OVER_STORE = 1,
    HAND_OVER_DROP = 2,
    HAND_OVER_READY = 3,
    HAND_OVER_PROGRESS = 4,
    HAND_OVER_SHUT_DOWN = 5,
    HAND_OVER_UPGRADE = 6,
    HAND_OVER_DRAINED = 7,
    HAND_OVER_REFUSED = 8,
    HAND_OVER_ENDED_SEEN = 9,
    HAND_OVER_YIELDED = 10,
    HAND_OVER_FAILED = 11,
    HAND_OVER_UPGRADED_SEEN = 12,
    HAND_OVER_HELD = 16,
    HAND_OVER_HELD_DONE = 17,
    HAND_OVER_ENDED = 18,
    HAND_OVER_SIGNAL = 19,
    HAND_OVER_DRAIN = 20,
    HAND_OVER_LINE = 21,
    HAND_OVER_YIELD = 22,
    HAND_OVER_RESUME = 23,
    HAND_OVER_UPGRADED = 24,
};

/* What can be upgraded: bits of a mask on the wire, in the order in which it is done. */
enum hand_over_part { PART_INIT = 1, PART_JOURNAL = 2, PART_LAUNCHER = 4, PARTS_ALL = 7 };

/* To whom a held descriptor is given when it starts again: bits, so one can be both's. */
enum hand_over_owner { OWNER_LAUNCHER = 1, OWNER_JOURNAL = 2 };

/* How the machine ends. The numbers are on the wire. */
enum shut_down {
    SHUT_DOWN_NONE = 0,
    SHUT_DOWN_POWEROFF = 1,
    SHUT_DOWN_REBOOT = 2,
    SHUT_DOWN_HALT = 3,
    SHUT_DOWN_KEXEC = 4,
    SHUT_DOWN_HOWS
};

struct hand_over_ended {
    int32_t pid;
    int32_t status; /* as waitpid(2) gives it */
};

struct hand_over_message {
    uint16_t version, type;
    uint32_t owner;   /* STORE, DROP: bits of enum hand_over_owner */
    uint32_t count;   /* entries below, or bytes of text */
    int32_t argument; /* SIGNAL: its number; SHUT_DOWN: how (| SHUT_DOWN_FORCE); LINE: log level */
    int32_t status;   /* SHUT_DOWN: exit status of a container's init; SIGNAL: sender's pid;
                       LINE: which one it is, 0: not known */
    union {
        uint32_t keys[HAND_OVER_KEYS_MAX];
        struct hand_over_ended ended[HAND_OVER_ENDED_MAX];
        char text[HAND_OVER_KEYS_MAX * 4];
    };
};

#define SHUT_DOWN_FORCE 0x100 /* skip the services: init ends everything itself at once */

/* Keys: small numbers, because init finds a key by indexing. The launcher's own first, then one
 * for each service slot. The journal has keys of its own; a service's pipe is owned by both. */
enum hand_over_key {
    KEY_CONTROL_SOCKET = 0,
    KEY_STATE = 1,         /* memfd: one record a service */
    KEY_DEFINITIONS = 2,   /* memfd: the service files in force */
    KEY_CGROUP = 3,        /* the locked folder of our cgroups */
    KEY_FOLLOW = 4,        /* memfd: one entry a service for follow-forks (follow.h) */
    KEY_FOLLOW_BELL = 5,   /* its eventfd */
    KEY_REQUESTS = 6,      /* memfd: requests with an id, and their answers */
    KEY_OUTBOX = 7,        /* memfd: what the journal has not acknowledged */
    KEY_JOURNAL_STATE = 8, /* the journal's memfd */
    KEY_JOURNAL_SPOOL = 9,
    KEY_JOURNAL_QUEUE = 10,   /* memfd: lines on their way to the thread that writes */
    KEY_JOURNAL_INTAKE = 11,  /* memfd: what is taken in that no service prints */
    KEY_JOURNAL_DEV_LOG = 12, /* the socket /dev/log */
    KEY_FEED_SYSLOG = 13,     /* pipes, as KEY_FEED_FIRST, of journals that are no service's */
    KEY_FEED_KERNEL = 14,
    KEY_JOURNAL_COUNTS = 15,  /* memfd: how much each service has printed */
    KEY_SERVICE_FIRST = 16,   /* + slot: the service's output pipe, opened O_RDWR */
    KEY_READY_FIRST = 131072, /* + slot: its sd_notify socket, or the pipe of `ready: fd` */
    KEY_FEED_FIRST = 262128,  /* + slot: the pipe of what it says by other ways than its output */
    KEY_JOURNAL_BACKLOGS = 393184, /* memfd: lines that cannot be written now */
    KEY_MAX = 393185               /* keys are below this */
};

/* Descriptors a child of init finds open at its start. */
enum child_fd {
    CHILD_FD_INIT = 3, /* its pair with init */
    CHILD_FD_LINK = 4, /* its end of the pair between launcher and journal */
};

/* How a signal to init ends the machine; SHUT_DOWN_NONE for one that does not. */
enum shut_down shut_down_of_signal(int signal);

/* "poweroff", "reboot", "halt", "kexec". */
const char *shut_down_name(enum shut_down how);

/* Sends one message with `fd_count` descriptors. Never blocks. Returns 0, -EAGAIN when the
 * socket is full, or -errno. Pure transport: version is filled in. */
int hand_over_send(int socket, struct hand_over_message *message, const int *fds, size_t fd_count);

/* Receives one message and up to HAND_OVER_KEYS_MAX descriptors (close-on-exec), which become the
 * caller's. Never blocks. Returns 1 for a message, 0 for the end of the stream (no process holds
 * the other side), -EAGAIN when there is none, -EPROTO for one that is malformed (its descriptors
 * are closed), -EMFILE for one whose descriptors were cut because this process may have no more
 * (those that came are closed; *message is good, so that its keys can be REFUSED), or -errno.
 * `fds` has room for HAND_OVER_KEYS_MAX. Of an unknown type only the message is handed out. */
int hand_over_receive(int socket, struct hand_over_message *message, int *fds, size_t *ret_count);

/* What the kernel writes when it gives out a message: all of it in one call, so that whoever has it
 * in memory that outlives him finds either nothing or everything. */
struct hand_over_inbox {
    struct hand_over_message message;
    struct msghdr header; /* as recvmsg(2) left it; its pointers mean nothing later */
    union {
        struct cmsghdr first;
        char bytes[CMSG_SPACE(253 * sizeof(int))]; /* SCM_MAX_FD: room for all that can come */
    } control;
};

/* The first half of hand_over_receive(): takes the next message as it is, with descriptors that
 * stay open in another program. Returns its bytes, 0 for the end, or -errno. */
int hand_over_inbox_fill(struct hand_over_inbox *inbox, int socket);

/* Whether there is a message in it. */
bool hand_over_inbox_is_filled(const struct hand_over_inbox *inbox);

/* The second half: checks what came with that many bytes. As hand_over_receive(). */
int hand_over_inbox_open(struct hand_over_inbox *inbox, size_t bytes, int *fds, size_t *ret_count);
