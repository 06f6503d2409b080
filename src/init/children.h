/* The two children of init: how they are started, and started again. */
#pragma once

#include "loop/loop.h"
#include "protocol/hand-over.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct init;

enum child_id { CHILD_LAUNCHER, CHILD_JOURNAL, CHILDREN };

struct child {
    struct init *init;
    const char *program; /* file name, and what it is called in messages */
    uint32_t owner;      /* the bit of enum hand_over_owner */
    pid_t pid;           /* 0: not running */
    struct loop_fd link; /* our end of the pair; fd -1: none is open */
    int link_fd;         /* the same, also when it could not be added to the loop */
    int error_fd;        /* where the starting child says why it could not execute */
    struct loop_timer restart;
    unsigned failures; /* ends since the last READY */
    bool ready;
    bool replaying;                       /* HELD and HELD_DONE are still to be sent */
    uint32_t cursor;                      /* the next key to look at for them */
    uint32_t refused[HAND_OVER_KEYS_MAX]; /* keys still to be refused; nothing is read before */
    uint32_t refused_count;
};

/* Fills in both; starts nothing. */
void children_init(struct init *init);

/* Starts one now; on failure it is tried again later. */
void child_start(struct child *child);

/* Its process `pid` has ended with `status` (waitpid(2)) and was reaped, child->pid is 0 already,
 * and all it sent has been read. Starts the next one, now or later. */
void child_ended(struct child *child, pid_t pid, int status);

/* It has said READY: the next failure is the first again. */
void child_is_ready(struct child *child);

/* Closes our end of its pair. */
void child_close_link(struct child *child);

/* The rescue shell has ended. */
void rescue_ended(struct init *init);
