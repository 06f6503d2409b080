/* What programs write to /dev/log: a socket that init holds, so that nobody notices when a journal
 * is killed. */
#pragma once

#include "loop/loop.h"
#include "service-journal/feed.h"
#include "service-journal/sender.h"

struct dev_log {
    struct feeds *feeds;
    struct loop *loop;
    struct loop_fd source; /* fd -1: there is no socket */
    struct loop_timer again;
    struct sender_cgroups cgroups;
    char host[65];
};

void dev_log_init(struct dev_log *dev_log, struct feeds *feeds, struct loop *loop);

/* Where services' cgroups are, as the SYSTEM message has it; `path` outlives it. */
void dev_log_set_cgroups(struct dev_log *dev_log, const char *path);

/* Goes on with a socket that another journal has made; `fd` is taken. */
void dev_log_restore(struct dev_log *dev_log, int fd);

/* Makes the socket at `path`, unless somebody listens there; an old one of ours is left first.
 * On a machine, its limit of messages that wait is raised first.
 * Returns 0; -EADDRINUSE when somebody else listens, -EEXIST where something is that is no socket,
 * or another -errno. */
int dev_log_open(struct dev_log *dev_log, const char *path, bool container);

/* Stops; what is in the socket is still taken, and `path` is removed. */
void dev_log_close(struct dev_log *dev_log, const char *path);

/* Takes what is there now. */
void dev_log_drain(struct dev_log *dev_log);
