/* Lines that no pipe of a service brings: what programs write to /dev/log, and the kernel to
 * /dev/kmsg. Whether they are read is said by the launcher, and remembered. */
#pragma once

#include "service-journal/dev-kmsg.h"
#include "service-journal/dev-log.h"
#include "service-journal/feed.h"

struct intake {
    struct journal *journal;
    bool container;
    struct intake_state *state; /* NULL: without memory for it nothing is taken in */
    struct feeds feeds;
    struct dev_log dev_log;
    struct dev_kmsg dev_kmsg;
    struct held_feed {
        uint32_t id;
        int fd;
    } * held; /* until intake_restore() */
    size_t held_count;
    int socket; /* likewise; -1: none */
};

void intake_init(struct intake *intake, struct journal *journal, bool container);

/* What init has held for a journal before this one. Returns 1 when it was the intake's, 0 when it
 * was not, or -errno: it was, and cannot be used (-EPROTO: it is none of ours). Unless 0 `fd` is
 * taken. */
int intake_take_held(struct intake *intake, uint32_t key, int fd);

/* Takes the pipes back that another journal had: once the services are known, and before the first
 * pipe is read. */
void intake_restore(struct intake *intake);

/* Goes on where another journal was. */
void intake_begin(struct intake *intake);

/* What the launcher says of all journals. */
void intake_system(struct intake *intake, const struct journal_link_message *message);

/* Brings what was written to /dev/log and /dev/kmsg by now into the pipes. */
void intake_drain(struct intake *intake);

/* The journal of that id is being forgotten. */
void intake_forget(struct intake *intake, uint32_t id);
