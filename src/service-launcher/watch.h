/* `watch: yes` in the system file: service files are loaded by themselves once they change.
 *
 * A child of the launcher, its own program with the option --watch, looks with inotify(7): finding
 * the folders can hang as reading them can. The two speak over a SOCK_SEQPACKET pair, which is the
 * child's standard input, in messages of one byte and words:
 *
 *   child → launcher   c        something has changed, or the child has just begun
 *                      w WORDS  a warning
 *   launcher → child   k        it is read, and in force: the next c may come
 *
 * The child ends when the pair does. */
#pragma once

#include "proc/pidref.h"
#include "service-launcher/launcher.h"

#define WATCH_CHANGED 'c'
#define WATCH_WARNING 'w'
#define WATCH_GO_ON   'k'

#define WATCH_MESSAGE_BYTES 1024

struct watch {
    struct launcher *launcher;
    struct loop_fd socket;      /* .fd -1: nobody watches */
    struct loop_fd process_end; /* of a child that is to end, or has */
    struct pidref process;
    int32_t pid;
    struct loop_timer timer;
    uint32_t again_ms;
    bool reloading;
    struct request_record *kept; /* what the next launcher would do of it; NULL: nothing */
    char *said, *said_wrong; /* the last reload's warnings; its errors, or why it failed: each is
                                said once */
};

void watch_init(struct watch *watch, struct launcher *launcher);

/* Watches or does not, as the system file in force says. To be called when that may have changed.
 * Everything is read once when watching begins: what changed while nobody looked is found. */
void watch_update(struct launcher *launcher);

/* In the child. */
_Noreturn void watch_child(const struct launcher_options *options);
