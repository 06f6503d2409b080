/* What the journal does behind its back: it removes what quotas no longer allow, seals what is old,
 * and has sealed files compressed by another program, one at a time. */
#pragma once

#include "base/list.h"
#include "loop/loop.h"

#include <sys/types.h>

struct journal;
struct service;

#define KEEPER_PATH_BYTES 4096

struct keeper {
    struct journal *journal;
    struct loop_timer timer, ages;
    struct list due;      /* service.due_node: their folders are to be looked at */
    struct list unpacked; /* service.unpacked_node: have something to compress */
    struct loop_fd child; /* a pidfd; fd -1: nothing is being compressed */
    pid_t child_pid;
    struct service *packing; /* whose files; NULL: it is forgotten */
    bool ending;             /* the machine goes down: nothing new is begun */
    char program[KEEPER_PATH_BYTES];
};

void keeper_init(struct keeper *keeper, struct journal *journal);

/* Its folder is looked at soon: of a service that is new. */
void keeper_add(struct keeper *keeper, struct service *service);

/* The quota has changed: it is kept at once. */
void keeper_changed(struct keeper *keeper, struct service *service);

/* A file of it was sealed, and the block is done: the quota is kept at once. */
void keeper_sealed(struct keeper *keeper, struct service *service);

/* The service is about to be freed. */
void keeper_drop(struct keeper *keeper, struct service *service);
