/* The outer process: what goes on outside while the command runs inside. */
#pragma once

#include "run-on-pid-ns/options.h"

/* Starts the command, passes signals in, and returns the exit status when it has ended. */
int outside_run(const struct options *options);
