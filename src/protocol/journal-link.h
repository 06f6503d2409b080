/* The messages between launcher and journal, over the SOCK_SEQPACKET pair that init holds.
 *
 * Because init holds both ends, neither side sees the other go: a message sent while the other is
 * down waits in the socket. Every message of the launcher has a sequence number, counted up for
 * the life of the state (it is kept in the state memfd); the journal acknowledges the highest it
 * has carried out. The launcher keeps what is not acknowledged and sends it again after a HELLO;
 * the journal skips numbers it has carried out already (the highest is in its own memfd). An ACK
 * of a number the launcher never gave out means that its state is newer than the journal's: it
 * goes on counting from there, and sends what it has again.
 *
 *   launcher → journal                               journal → launcher
 *   REGISTER  id, name, flags, quota, folder, fd     HELLO    sequence: highest carried out
 *   EVENT     id, level, text                        ACK      sequence
 *   RUN_ENDED id, level, text: how, "" for no event   DRAINED  id: the token
 *   FORGET    id: name is free, nothing more comes   NOTE     text: for the launcher's log
 *   DRAIN     id: a token that comes back
 *   SETTINGS  id, flags, quota: others from now on
 *   MATCH     id, run, text: an expression           MATCHED  id, run: a line of it was there
 *   UNMATCH   id, run: nobody waits for it any more
 *   SYSTEM    flags, quota, sync, name, text: of all COUNTS   a descriptor
 *
 * MATCH asks for the first whole line that the service prints from then on and that matches (POSIX,
 * extended); what it printed before is not looked at. A program whose first line is to count is
 * executed when MATCH has been acknowledged. `run` is the run's invocation id: one MATCH an id is
 * in force, one of the run that is in force already changes nothing but that MATCHED is said again,
 * and the end of the run ends it. What is matched, and how far, is in the journal's memfd, so that
 * the next journal goes on in the middle of a line.
 *
 * SYSTEM: `flags` says what else is read, `name` is the path of the socket /dev/log, `text` the
 * path of the cgroup in which each service has its own as /proc/PID/cgroup tells it, a line end,
 * and its path as a file ("": there are none), max_size_bytes is for all journals together, and
 * within sync_ms all is on the disk that is not urgent (0: the default of each). The last one
 * counts.
 * The answer is COUNTS: a descriptor to read from, and nothing else, an array of struct
 * journal_counts by id. So nobody has to be asked how much a service has printed.
 */
#pragma once

#include "service/quota.h"

#include <stddef.h>
#include <stdint.h>

#define JOURNAL_LINK_VERSION 4

enum journal_link_type {
    JOURNAL_REGISTER = 1,
    JOURNAL_EVENT = 2,
    JOURNAL_RUN_ENDED = 3,
    JOURNAL_FORGET = 4,
    JOURNAL_DRAIN = 5,
    JOURNAL_SETTINGS = 6,
    JOURNAL_MATCH = 7,
    JOURNAL_UNMATCH = 8,
    JOURNAL_SYSTEM = 9,
    JOURNAL_HELLO = 16,
    JOURNAL_ACK = 17,
    JOURNAL_DRAINED = 18,
    JOURNAL_NOTE = 19,
    JOURNAL_MATCHED = 20,
    JOURNAL_COUNTS = 21,
};

enum journal_flag {
    JOURNAL_FLAG_CONSOLE = 1, /* its lines also go to the console */
};

enum journal_system_flag {
    JOURNAL_SYSTEM_DEV_LOG = 1, /* what programs write to /dev/log */
    JOURNAL_SYSTEM_KERNEL = 2,  /* what the kernel writes to /dev/kmsg */
};

/* The reserved name of our own messages' journal, and its id: no service slot has it. */
#define JOURNAL_OWN_NAME "conit"
#define JOURNAL_OWN_ID   UINT32_MAX

/* Journals that are no service's, either. */
#define JOURNAL_KERNEL_NAME "kernel"
#define JOURNAL_KERNEL_ID   (UINT32_MAX - 1)
#define JOURNAL_SYSLOG_NAME "syslog" /* what is nobody's */
#define JOURNAL_SYSLOG_ID   (UINT32_MAX - 2)

#define JOURNAL_LINK_NAME_BYTES 208
#define JOURNAL_LINK_TEXT_BYTES 1200

struct journal_link_message {
    uint16_t version, type;
    uint32_t id; /* the service's slot, or a token */
    uint64_t sequence;
    uint32_t flags;
    uint32_t level;                     /* syslog's 0 to 7 */
    struct quota quota;                 /* REGISTER, SETTINGS; max_size_bytes 0: QUOTA_DEFAULT */
    uint32_t sync_ms, unused;           /* SYSTEM */
    uint64_t run[2];                    /* MATCH, UNMATCH, MATCHED: the invocation id */
    char name[JOURNAL_LINK_NAME_BYTES]; /* REGISTER; ends in NUL */
    char text[JOURNAL_LINK_TEXT_BYTES]; /* EVENT, RUN_ENDED: its words; REGISTER: folder, "" for
                                           LOGS/NAME; MATCH: the expression */
};

/* Of a service, since its id was registered for it. */
struct journal_counts {
    uint64_t lines, bytes; /* printed, and taken out of its pipe */
    /* Lines of these that are not in its journal: because of `rate`; because there was no room. */
    uint64_t over_rate, no_room;
};
_Static_assert(sizeof(struct journal_counts) == 32, "no padding");

/* As hand_over_send and hand_over_receive, with at most one descriptor. *ret_fd is -1 for none.
 * -EMFILE: there is a descriptor for which none was free; it is lost, unless this was a peek. */
int journal_link_send(int socket, struct journal_link_message *message, int fd);
int journal_link_receive(int socket, struct journal_link_message *message, int *ret_fd);

/* How many bytes of the socket a message takes. */
size_t journal_link_bytes(const struct journal_link_message *message);

/* The same, but the message stays in the socket until it is dropped: a journal that is killed
 * before it has carried a message out leaves it to the next. The descriptor is a new one. */
int journal_link_peek(int socket, struct journal_link_message *message, int *ret_fd);

/* Takes the first message out of the socket, unread. */
void journal_link_drop(int socket);
