/* Words of the service file that more than its parser needs. */
#include "service/definition.h"

const char *const condition_names[WHEN_KINDS] = {
    [WHEN_EXISTS] = "exists",
    [WHEN_KERNEL_ARG] = "kernel-arg",
    [WHEN_EXECUTABLE] = "executable",
};
