/* The second stage, which lasts as long as the machine runs: messages, signals, reaping. */
#pragma once

#include "init/children.h"

struct init;

/* A child was started with the other end of `fd`, which is the child's link now: replays what is
 * held for it, and listens. */
void hand_over_begin(struct child *child, int fd);

/* Sends what there is to send, as far as the socket takes it. */
void hand_over_send_pending(struct child *child);

/* Listens on the link again, in a loop that was made anew. */
void hand_over_watch(struct child *child);

/* Takes what a child has sent, without the loop. */
void hand_over_poll(struct child *child);

/* Acts on one signal from `sender`. */
void hand_over_signal(struct init *init, int signal, pid_t sender);

/* Reaps what may be reaped now. Returns true when there may be more. */
bool hand_over_reap(struct init *init);
