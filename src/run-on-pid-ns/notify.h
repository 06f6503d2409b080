/* sd_notify(3) on both sides: to who has started us (NOTIFY_SOCKET), and from the inside, which
 * finds a socket in /run/host/notify (--notify). Nothing here waits, but for the last words. */
#pragma once

#include "loop/loop.h"
#include "proc/pidref.h"

#include <stdbool.h>
#include <stdint.h>

#define NOTIFY_STATUS_BYTES 256

struct notify {
    struct loop *loop;
    /* The inside has asked for more time (EXTEND_TIMEOUT_USEC). */
    void (*on_extend)(struct notify *notify, uint64_t usec);

    const char *address; /* of who has started us; NULL: nobody wants to know */
    int out_fd;
    struct loop_timer again_timer; /* its queue was full */

    /* what it is to be told */
    bool ready, reloading, stopping, watchdog, status_changed;
    uint64_t extend_usec; /* 0: nothing */
    char said[NOTIFY_STATUS_BYTES];
    unsigned reboots;

    int in_fd; /* -1: nobody is heard */
    struct loop_fd in_source;
    bool warned;
    bool stop_counts; /* its STOPPING=1 means that we end, too */
};

void notify_init(struct notify *notify, struct loop *loop);

/* Hears what the inside sends to the bound socket, which becomes ours; -1: nothing. Returns 0 or
 * -errno. Descriptors that come along are closed by foreign_close(). */
int notify_hear(struct notify *notify, int fd);

/* Takes what the inside has sent last, and hears no more. */
void notify_unhear(struct notify *notify);

/* The command is executed, or says so itself. */
void notify_ready(struct notify *notify);

/* How often it was started again: stands before whatever the inside says. */
void notify_rebooted(struct notify *notify, unsigned reboots);

/* The last words, NULL: those of the inside; waits for a second at most. */
void notify_finish(struct notify *notify, const char *said);
