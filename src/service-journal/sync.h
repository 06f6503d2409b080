/* Bringing what was written to the disk: lines of level err and worse within a second, others
 * within five (or what is set). A thread of its own does it, made when there is something to sync
 * for the first time: fdatasync(2) takes as long as the disk takes for all that was written since,
 * and the writer goes on meanwhile. Nothing wakes up while nothing is unsynced. */
#pragma once

#include "loop/loop.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct writer;
struct book;

#define SYNC_AT_ONCE    32 /* files */
#define SYNC_DEFAULT_MS 5000

struct sync {
    struct loop_timer timer; /* the writer's */
    bool due;
    bool has_thread;
    int error; /* the last that was said */
    _Atomic uint32_t interval_ms;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t given;
    struct sync_fd {
        int fd;
        bool is_folder;
    } fds[2 * SYNC_AT_ONCE]; /* files and new files' folders */
    size_t count;            /* given, not taken yet */
    bool busy;
    int failed; /* -errno of one */
};

void sync_init(struct sync *sync);

/* Something was written to the book's file. */
void sync_written(struct writer *writer, struct book *book, bool urgent);

/* What another journal has written and not synced is due. */
void sync_restored(struct writer *writer);

/* Begins with what is due, if nothing is under way; once a turn. */
void sync_turn(struct writer *writer);

/* All of it, now; with `whole` by device, which is quicker and takes others' data along. */
void sync_all(struct writer *writer, bool whole);
