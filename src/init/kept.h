/* What must survive init itself, as it stands in init's record (docs/init-record.md).
 *
 * The record is a memfd that is mapped shared and written in place, so that an init that is
 * executed anew, after a fault or for an upgrade, finds it as it was at the last instruction.
 * Another version finds its way by the table in front: a member is only ever added at the end of
 * its struct, one whose meaning changes gets a new field, and numbers are never reused. Zero always
 * means: nothing there yet. No pointers. */
#pragma once

#include "protocol/hand-over.h"

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_MAGIC "conit 1"  /* 8 bytes with its end */
#if defined(CONIT_RECORD_LATER) /* Meson's state_variant: two more, of which one is not for others \
                                 */
#define RECORD_VERSION 3
#define RECORD_READER  2
#elif defined(CONIT_STATE_VARIANT)
#define RECORD_VERSION 2
#define RECORD_READER  1
#else
#define RECORD_VERSION 1
#define RECORD_READER  1 /* the version of the oldest init that can go on from it */
#endif
#define RECORD_OLDEST 1 /* the oldest one that this init can go on from */

/* Behind the two: a new one that is tried beside one of them. */
enum child_id { CHILD_LAUNCHER, CHILD_JOURNAL, CHILDREN, CHILD_TRIAL = CHILDREN, CHILDREN_ALL };

#ifndef CONIT_STATE_VARIANT
#define ENDED_RING       4096  /* pairs */
#define LINES_RING_BYTES 16384 /* a power of two; some 150 lines: a boot that goes wrong */
#else
#define ENDED_RING       6000
#define LINES_RING_BYTES 8192
#endif
#define WORDS_KEPT_BYTES 4096 /* of the command line; the kernel's own is no longer than 2048 */
#define WORDS_KEPT_MAX   130
#define MOUNTS_OWN_MAX   16
#define HELD_PAGE        1024 /* keys a page of the table */
/* Descriptors are below this: the kernel gives the lowest that is free, and more than are held at
 * most, and some, are never open. */
#define FD_MOST    (KEY_MAX + 1024)
#define HELD_PAGES (KEY_MAX / HELD_PAGE + 1)

struct record_head {
    char magic[8];
    uint32_t version;                  /* of who wrote it */
    uint32_t readable_from;            /* the oldest version that can go on from it */
    uint32_t field_count, field_bytes; /* of the table that follows */
    uint64_t bytes;                    /* of all */
};

struct record_field {
    uint32_t id; /* enum record_id; 0: a row that is not used */
    uint32_t count, element_bytes, spare;
    uint64_t at; /* from the beginning of the record */
};

enum record_id {
    FIELD_OWN = 1,
    FIELD_WORDS = 2,
    FIELD_CHILDREN = 3,
    FIELD_REAPING = 4,
    FIELD_ENDING = 5,
    FIELD_MOUNTS = 6,
    FIELD_INBOX = 7,
    FIELD_LINES = 8,
    FIELD_LINES_RING = 9,
    FIELD_ENDED = 10,
    FIELD_ENDED_RING = 11,
    FIELD_HELD = 12,
    FIELD_HELD_PAGES = 13,
    FIELD_HELD_TABLE = 14,
    FIELD_FAULTS = 15,
    FIELD_UPGRADE = 16,
};

#define RECORD_FIELDS 16
#define FAULTS_MOST   3 /* of init's own, within a minute */

struct kept_own {
    int32_t booted; /* the first stage is over, and the children have been started */
    int32_t container;
    int32_t record_fd;
    int32_t exe_fd; /* our own file; -1: it could not be opened */
    int32_t quiet;  /* the kernel's command line says so, and no option says otherwise */
    int32_t rescue_pid;
    int32_t middle[CHILDREN]; /* the pair between launcher and journal: an end for each */
    int32_t reap_anyway;      /* nobody took the reports for too long */
    int32_t held_limit;       /* descriptors from here on are not held; 0: no limit */
    uint64_t reap_until_ns;   /* when it is too long; 0: nobody is waited for */
    uint64_t child_files_soft, child_files_hard; /* RLIMIT_NOFILE for children */
    char path[256];                              /* of our own file; "": not known */
    char name[16];                               /* of the process, as the kernel had it */
#ifdef CONIT_STATE_VARIANT
    char more[40];
#endif
};

/* The command line as it was found, words ended by NUL. */
struct kept_words {
    uint32_t count, bytes;
    char text[WORDS_KEPT_BYTES];
};

/* Making room for a new one beside it. */
enum yield { YIELD_NONE, YIELD_WANTED, YIELD_TOLD, YIELD_DONE, YIELD_RESUME };

struct kept_child {
    int32_t pid;       /* 0: not running. The kernel writes it (CLONE_PARENT_SETTID) */
    int32_t link_fd;   /* our end of the pair; -1: none is open */
    int32_t error_fd;  /* where the starting child says why it could not execute; -1 */
    uint32_t failures; /* ends since the last READY */
    uint32_t ready;
    uint32_t replaying;     /* HELD and HELD_DONE are still to be sent */
    uint32_t cursor;        /* the next key to look at for them */
    uint32_t sending;       /* a type that must not be sent twice is on its way; 0: none */
    uint64_t restart_at_ns; /* 0: no start is waited for */
    uint32_t refused_count; /* keys still to be refused; nothing is read before */
    uint32_t refused[HAND_OVER_KEYS_MAX];
    uint32_t yield;     /* enum yield: but for YIELD_NONE nothing else is sent */
    int32_t program_fd; /* what was ready last, for where its file is no good any more; 0: none */
    uint64_t ready_until_ns; /* how long it is waited for while it is not; 0: not noted */
#ifdef CONIT_STATE_VARIANT
    uint64_t more[3];
#endif
};

/* A process that is being reaped: the kernel writes here who it was, in the same call in which it
 * forgets it. It has been dealt with when `ended.last` has moved on from `after`. */
struct kept_reaping {
    uint64_t after;
    siginfo_t info; /* si_pid 0: nobody */
};

/* The end of the machine, step by step (stage3-shut-down.c). */
enum phase {
    PHASE_NONE,
    PHASE_TERM,  /* what is left, but for the journal, was asked to end */
    PHASE_KILL,  /* and is being killed */
    PHASE_DRAIN, /* the journal writes what it has */
    PHASE_CLOSE, /* the journal ends */
    PHASE_LAST,  /* nothing runs; does not return to the loop */
    PHASES
};

struct kept_ending {
    uint32_t how;          /* enum shut_down: asked for */
    int32_t exit_status;   /* of a container's init */
    int32_t signal;        /* that asked for it; 0: none */
    int32_t signal_sender; /* 0: the kernel, or somebody outside the namespace */
    uint32_t signal_told;  /* to the launcher that runs now */
    uint32_t phase;        /* enum phase */
    uint32_t drain_wanted, drained;
    uint64_t asked_at_ns;       /* when it was asked for */
    uint64_t patience_until_ns; /* until the launcher is no longer waited for; 0: it is not */
    uint64_t phase_until_ns;
    uint64_t notice_at_ns; /* when the console says next what is waited for */
};

/* A file system that init itself mounted. */
struct kept_mount {
    uint64_t id; /* of the mount; 0: an empty row */
    char target[40];
};

/* What is being received. */
struct kept_inbox {
    int32_t from;            /* 1 + enum child_id; 0: nothing has been received */
    uint32_t tries;          /* how often it has been begun to deal with it */
    uint64_t answers_before; /* `answers` of kept_ended when it came */
    struct hand_over_inbox inbox;
};

/* Faults of init's own, and signals that mean one and were sent by somebody. */
struct kept_faults {
    uint32_t under_way;  /* init is being executed anew and has not reached its loop yet */
    uint32_t minimal;    /* the minimal loop is to run; counts faults in it, too */
    uint32_t own_count;  /* since the minimal loop was left, or ever */
    uint32_t ends_tried; /* by the minimal loop */
    uint64_t own_at_ns[FAULTS_MOST]; /* the last ones */
    uint64_t quiet_at_ns;            /* when the minimal loop is left */
    /* The last one that is still to be said; signal 0: none. */
    int32_t signal, code;
    int32_t sent; /* it was sent: by whom */
    int32_t sender, user;
    uint32_t number; /* how many there have been, of both kinds */
    uint64_t address;
};

enum upgrade_step {
    UPGRADE_NONE,
    UPGRADE_TRYING,    /* a child of init's tries the new init */
    UPGRADE_EXECUTING, /* init executes it */
    UPGRADE_FELL_BACK, /* it had a fault before it reached its loop: the former one is back */
    UPGRADE_YIELDING,  /* the former child makes room */
    UPGRADE_TRIAL,     /* the new one has to get ready */
    UPGRADE_PROMOTED,  /* it is the child, and is told so next */
    UPGRADE_STEPS
};

enum upgrade_report { REPORT_NONE, REPORT_WANTED, REPORT_TOLD };

#define UPGRADE_KILLED 4

struct kept_upgrade {
    uint32_t wanted; /* parts (enum hand_over_part) that are still to be tried */
    uint32_t part;   /* the one under way; 0: none */
    uint32_t step;   /* enum upgrade_step */
    uint32_t late;   /* its time is over */
    uint32_t done, failed;
    uint32_t report; /* enum upgrade_report: what the launcher knows of done, failed and text */
    int32_t try_pid;
    int32_t answer_fd, file_fd, former_fd; /* of a trial of init; -1 */
    int32_t try_status;                    /* how it ended, */
    uint32_t try_ended;                    /* when it has */
    int32_t killed[UPGRADE_KILLED]; /* processes that are no use any more, still to be reaped */
    uint64_t nonce, until_ns;
    char why[200];  /* the part under way has failed */
    char text[960]; /* of those that have, a line each */
    /* What the former init has written, while the new one has not reached its loop; 0: that is our
     * own record, or there is none. */
    int32_t former_record_fd;
};

struct kept_lines {
    uint32_t begin, end; /* they only grow, and wrap with their type */
};

/* The counters only grow: seen <= sent <= last. A change of several becomes valid by one store of
 * `live`. */
struct kept_ended {
    uint32_t live, spare;
    uint64_t last;
    struct kept_ended_half {
        uint64_t seen, sent;
        uint64_t lost_sent; /* sent, then pushed out of the ring: the answer is still to come */
        uint64_t answers;   /* ENDED_SEEN messages that were dealt with */
    } halves[2];
};

struct kept_held {
    uint32_t end; /* no key at or above it is held */
};

/* Pages of the table that nobody wrote to do not exist, and reading one would make it: so it is
 * counted how many entries there are in each. Never too few. */
struct kept_page {
    uint32_t used;
};

struct kept {
    struct record_head head;
    struct record_field fields[RECORD_FIELDS];
#ifdef CONIT_STATE_VARIANT
    uint64_t elsewhere[77];
#endif
    struct kept_own own;
    struct kept_words words;
    struct kept_child children[CHILDREN_ALL];
    struct kept_reaping reaping;
    struct kept_ending ending;
    struct kept_mount mounts[MOUNTS_OWN_MAX];
    struct kept_inbox inbox;
    struct kept_lines lines;
    struct kept_ended ended;
    struct kept_faults faults;
    struct kept_upgrade upgrade;
    struct kept_held held;
    struct kept_page held_pages[HELD_PAGES];
    unsigned char lines_ring[LINES_RING_BYTES];
    struct hand_over_ended ended_ring[ENDED_RING];
    /* An entry is one word: descriptor and owners; 0 is an empty one. */
    uint32_t held_table[KEY_MAX] __attribute__((aligned(4096)));
};

/* What stands in front of this is in memory before what stands behind it: a fault between finds
 * the one, or both. */
static inline void kept_settle(void)
{
    __asm__ volatile("" ::: "memory");
}
