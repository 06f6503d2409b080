/* What the kernel writes to /dev/kmsg. */
#pragma once

#include "loop/loop.h"
#include "service-journal/feed.h"

struct dev_kmsg {
    struct feeds *feeds;
    struct loop *loop;
    struct loop_fd source; /* fd -1: it is not read */
    struct loop_timer again;
};

void dev_kmsg_init(struct dev_kmsg *dev_kmsg, struct feeds *feeds, struct loop *loop);

/* Begins where the last journal was, with the boot's first record when there was none. 0 or
 * -errno. */
int dev_kmsg_open(struct dev_kmsg *dev_kmsg);
void dev_kmsg_close(struct dev_kmsg *dev_kmsg);

/* Takes what is there now. */
void dev_kmsg_drain(struct dev_kmsg *dev_kmsg);
