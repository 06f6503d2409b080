/* Looking at a path. Where nothing is mounted below it that can hang, that is done at once. Else a
 * child does it, and the answer comes later: whoever wants it asks again then. */
#pragma once

#include "base/file-mark.h"
#include "base/list.h"
#include "loop/loop.h"
#include "proc/pidref.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct executor;

enum look_at {
    LOOK_AT_EXISTS, /* conditions */
    LOOK_AT_EXECUTABLE,
    LOOK_AT_STALE_FILE, /* marks, before the program runs */
    LOOK_AT_READY_MARK,
    LOOK_AT_READY_FILE,
    LOOK_AT_READY_SOCKET,
    LOOK_AT_MAIN, /* the pid file that says which process is the main one */
    LOOK_KINDS
};

struct look_answer {
    int error;             /* 0, or a -errno: no, or it cannot be told */
    struct file_mark mark; /* of files */
    int pid_error;         /* of pid files: as pid_file_read() */
    pid_t pid;
};

/* Those that are under way or answered, of one executor. */
struct looks {
    struct list all;
    unsigned children; /* that have not ended, those included that nobody waits for any more */
    bool said_blind;   /* that the table of mounts cannot be read */
};

void looks_init(struct looks *looks);

/* Whether a path cannot be looked at without waiting, perhaps for ever. */
bool look_may_hang(struct executor *executor, const char *path);

/* Whether any path cannot. */
bool look_any_may_hang(struct executor *executor);

/* Looks for the service in that slot (SLOT_NONE: for nobody's). Returns 0 with the answer;
 * -EINPROGRESS, and executor_looked() is called when there is one; or -ETIMEDOUT when there was
 * none in time. An answer is kept until look_done(). */
int look_at(struct executor *executor, uint32_t slot, enum look_at what, const char *path,
            struct look_answer *ret);

/* Whether any is under way for that slot. */
bool look_is_awaited(const struct executor *executor, uint32_t slot);

/* What was answered has been used: the next one is looked for anew. */
void look_done(struct executor *executor, uint32_t slot);

/* Nobody waits for any: children are killed, and reaped when they end. */
void look_forget(struct executor *executor, uint32_t slot);
