/* The third stage: the end of the machine, or of the container. */
#pragma once

#include "protocol/hand-over.h"

#include <sys/types.h>

struct init;

/* A signal asks for the end: the launcher is told, and has 10 s from one PROGRESS to the next. */
void shut_down_ask(struct init *init, int signal, pid_t sender);

/* The launcher has become ready: its time begins anew. */
void shut_down_launcher_works(struct init *init);

/* The launcher waits for something. */
void shut_down_progress(struct init *init, const char *text);

/* Ends everything, `how`; a container's init ends with `status`. */
void shut_down_begin(struct init *init, enum shut_down how, int status);

/* The journal has written all it has. */
void shut_down_drained(struct init *init);

/* Looks whether the phase is over. Call after reaping. */
void shut_down_check(struct init *init);

/* After init was executed anew: goes on where the end was. */
void shut_down_resume(struct init *init);
