/* The two children of init: how they are started, and started again. */
#pragma once

#include "init/kept.h"
#include "loop/loop.h"

#include <stddef.h>
#include <sys/types.h>

struct init;

struct child {
    struct init *init;
    struct kept_child *kept; /* what of it survives init */
    const char *program;     /* file name, and what it is called in messages */
    uint32_t owner;          /* the bit of enum hand_over_owner */
    struct loop_fd link;     /* kept->link_fd in the loop; fd -1: it is not, or none is open */
    struct loop_timer restart;
    struct loop_timer late;  /* until kept->ready_until_ns */
    struct loop_timer again; /* what the link is to be told or asked */
};

/* In a new record: there are none. */
void children_forget(struct kept *kept);

/* Fills in both from the record; starts nothing. */
void children_init(struct init *init);

/* After init was executed anew: one whose start or READY was waited for is waited for again, one
 * that is not there is started. */
void child_resume(struct child *child);

/* Starts one now; on failure it is tried again later. */
void child_start(struct child *child);

/* Its process `pid` has ended with `status` (waitpid(2)) and was reaped, kept->pid is 0 already,
 * and all it sent has been read. Starts the next one, now or later. */
void child_ended(struct child *child, pid_t pid, int status);

/* It has said READY: the next failure is the first again. */
void child_is_ready(struct child *child);

/* Whether it should have been ready by now, and runs all the same. */
bool child_is_late(const struct child *child);

/* No start of it is waited for any longer. */
void child_start_no_more(struct child *child);

/* In a child process: the limit of descriptors as init found it. */
void children_limit_files(const struct init *init);

/* A new one is started beside `old`, to be tried; its failure is noted in the upgrade. */
void child_start_trial(struct child *trial, const struct child *old);

/* What is tried is what `old` is. */
void child_of_trial(struct child *trial, const struct child *old);

/* There is none any more. Closes nothing. */
void child_forget_trial(struct child *trial);

/* And closes what is open of it, which nobody has taken over. */
void child_drop_trial(struct child *trial);

/* Why one that is tried has ended, in words. */
void child_why_ended(const struct child *child, int status, char *why, size_t size_bytes);

/* Closes our end of its pair. */
void child_close_link(struct child *child);

/* The rescue shell has ended. */
void rescue_ended(struct init *init);
