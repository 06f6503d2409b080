/* Limits of a service's cgroup, and the controllers they need. See the kernel's
 * Documentation/admin-guide/cgroup-v2.rst, "Controllers" and "No Internal Process Constraint".
 *
 * A controller has to be enabled in every cgroup above that of the service. That is done when the
 * first limit needs it: in the services' folder, in our own cgroup above it, and, but for a
 * container, which leaves alone what is not its own, further up. Our own cgroup may then hold no
 * process, unless it is the root: if all that are in it are ours, they go into a leaf below. */
#pragma once

#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>

/* 0: no limit. */
struct cgroup_limits {
    uint64_t memory_bytes, memory_high_bytes, tasks;
    uint32_t cpu_percent; /* of one CPU */
    uint32_t io_weight;   /* 1 … 10000; 100 is that of the others */
};

/* Whether a limit is given. */
bool cgroup_limits_any(const struct cgroup_limits *limits);

/* Whether a controller is enabled for the cgroups of the folder, so that limits may be set there.
 */
bool cgroup_has_controllers(int folder_fd);

/* Sets what is given, and takes away what is not. Where that cannot be done for one, why is added
 * to `problems`: "memory, memory-high: …; tasks: …". Memory in use above a new limit is not waited
 * for, where the kernel can do without (6.16). Returns whether all that is given is in force. */
bool cgroup_limit(int folder_fd, int cgroup_fd, const struct cgroup_limits *limits, bool container,
                  struct text *problems);

/* Takes our processes out of their leaf, if they are in one, so that the folder can be removed. */
void cgroup_leave_leaf(int folder_fd);
