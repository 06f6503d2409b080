/* Words of the service file that more than its parser needs. */
#include "service/definition.h"

const char *const condition_names[WHEN_KINDS] = {
    [WHEN_EXISTS] = "exists",
    [WHEN_KERNEL_ARG] = "kernel-arg",
    [WHEN_EXECUTABLE] = "executable",
};

const char *const service_type_names[SERVICE_TYPES] = {
    [TYPE_DAEMON] = "daemon",
    [TYPE_TASK] = "task",
    [TYPE_FORKING] = "forking",
    [TYPE_TARGET] = "target",
};

const char *const restart_policy_names[RESTART_POLICIES] = {
    [RESTART_ALWAYS] = "always",
    [RESTART_ON_FAILURE] = "on-failure",
    [RESTART_NEVER] = "never",
};

const char *const kill_mode_names[KILL_MODES] = {
    [KILL_ALL] = "all",
    [KILL_GROUP] = "group",
    [KILL_MAIN] = "main",
};
