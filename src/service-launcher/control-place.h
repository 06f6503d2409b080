/* Where the control socket is found. */
#pragma once

#include "loop/loop.h"
#include "loop/watch-path.h"

#include <stdbool.h>

struct launcher;

/* Zeroed before control_place_open(); lives as long as the launcher. */
struct control_place {
    struct launcher *launcher;
    struct loop_timer again;
    struct watch_path watch;
    bool missing;    /* and it was said */
    int unserved_fd; /* a socket that could not be served yet; 0: none */
};

/* Serves the control socket that init has held (-1: none), or makes one. Where none can be made it
 * is tried again, and it is made again whenever its file has gone. */
void control_place_open(struct control_place *place, struct launcher *launcher, int held_fd);
