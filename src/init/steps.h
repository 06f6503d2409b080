/* Things that can hang, done in a child process with a time-out each. */
#pragma once

#include <stddef.h>

struct step {
    const char *verb, *object;           /* for messages: "unmount", "/home" */
    int (*run)(const struct step *step); /* in the child; returns 0 or -errno */
    const void *argument;
    unsigned timeout_ms;
    int result; /* what run returned; -ETIMEDOUT, or -ECHILD when its process died */
};

/* Runs them in order, all in one process as long as none hangs. Says what it waits for when one
 * takes over 5 s, and that it was given up. Only what `run` does to the machine has an effect: what
 * it writes to memory is lost. */
void steps_run(struct step *steps, size_t count);
