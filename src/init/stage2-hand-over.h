/* The second stage, which lasts as long as the machine runs: messages to and from the children. */
#pragma once

#include "init/children.h"

struct init;

/* A child was started, or is taken for one that was: replays what is held for it, and listens. */
void hand_over_begin(struct child *child);

/* A new one that was tried has become the child, READY. */
void hand_over_take_over(struct child *child);

/* Sends what there is to send, as far as the socket takes it. */
void hand_over_send_pending(struct child *child);

/* Listens on the link again, in a loop that was made anew. */
void hand_over_watch(struct child *child);

/* Takes what a child has sent, without the loop. */
void hand_over_poll(struct child *child);

/* Takes all that a child has sent that is dead now. */
void hand_over_take_rest(struct child *child);

/* After init was executed anew: takes the message that was being dealt with, at most once more. */
void hand_over_take_again(struct init *init);

/* After init was executed anew: goes on with a child that runs. */
void hand_over_resume(struct child *child);
