/* What the writer does beside writing: it removes what quotas no longer allow, seals what is old,
 * and has sealed files compressed by another program, one at a time. */
#pragma once

#include "base/list.h"
#include "loop/loop.h"

#include <sys/types.h>

struct writer;
struct book;

#define KEEPER_PATH_BYTES 4096

struct keeper {
    struct writer *writer;
    struct loop_timer timer, ages;
    struct list due;      /* book.due_node: their folders are to be looked at */
    struct list unpacked; /* book.unpacked_node: have something to compress */
    struct loop_fd child; /* a pidfd; fd -1: nothing is being compressed */
    pid_t child_pid;
    struct book *packing; /* whose files; NULL: it has ended */
    bool ending;          /* the machine goes down: nothing new is begun */
    char program[KEEPER_PATH_BYTES];
};

void keeper_init(struct keeper *keeper, struct writer *writer);

/* Its folder is looked at soon: of a journal that is new. */
void keeper_add(struct keeper *keeper, struct book *book);

/* The quota has changed: it is kept at once. */
void keeper_changed(struct keeper *keeper, struct book *book);

/* Mounts have changed: what was begun elsewhere may belong where it can be written now. */
void keeper_mounts_changed(struct keeper *keeper);

/* A file of it was sealed, and the batch is done: the quota is kept at once. */
void keeper_sealed(struct keeper *keeper, struct book *book);

/* It is about to end. */
void keeper_drop(struct keeper *keeper, struct book *book);
