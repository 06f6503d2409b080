/* A command that is run inside, beside what runs there: in all namespaces and the root of process
 * 1. See setns(2). */
#pragma once

#include "proc/pidref.h"

/* Statuses of the child where the command was not executed, as a shell's; it has said why. */
#define ENTER_FAILED         125
#define ENTER_NOT_EXECUTABLE 126
#define ENTER_NOT_FOUND      127

/* Begins to run it, by a child of ours that ends with the command's status (128 + a signal), and
 * itself stays outside of the PID namespace. It is killed when we die. argv[0] is looked up on PATH
 * inside. Returns 0 or -errno. */
int enter_run(const struct pidref *process, char *const *argv, struct pidref *ret);
