/* The cgroups below ours: `inside`, the root of what process 1 sees, and `outside` with the outer
 * process in it, for a cgroup that gives controllers to those below has no process itself. See the
 * kernel's Documentation/admin-guide/cgroup-v2.rst. */
#pragma once

#include <stdbool.h>

#define CGROUP_PLACE_NAME_BYTES 32

struct cgroup_place {
    int own_fd;    /* the cgroup that the outer process was started in; -1: none of this is there */
    int inside_fd; /* locked as long as it is in use: what is not is a leftover, and is removed */
    char inside[CGROUP_PLACE_NAME_BYTES];
    bool divided; /* the outer process is in `outside`, and controllers are handed on */
};

#define CGROUP_PLACE_NONE ((struct cgroup_place){.own_fd = -1, .inside_fd = -1})

/* Removes what is left in `inside`, deepest first, and goes back to where we were started. Waits up
 * to a second for processes to be gone for good. Nothing to do where nothing is there. */
void cgroup_place_finish(struct cgroup_place *place);
