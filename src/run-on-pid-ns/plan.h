/* What has to be done to start the command, as a list of steps in their order. Pure: options in, a
 * list out, which the other files carry out (steps.h). */
#pragma once

#include "base/text.h"
#include "run-on-pid-ns/options.h"

#include <stddef.h>
#include <stdint.h>

/* Who carries it out: docs/run-on-pid-ns.md, "How it is done". */
enum step_who { WHO_OUTER, WHO_MAKER, WHO_INSIDE };

enum step_kind {
    STEP_DIVIDE_CGROUP,
    STEP_ENTER_CGROUP,
    STEP_NEW_USER,
    STEP_NEW_TIME,    /* number: the uptime in ms */
    STEP_NEW_PROCESS, /* number: CLONE_NEW… */
    STEP_KEEP_MOUNTS,
    STEP_MOVE_ROOT, /* source: the folder outside */
    STEP_BIND,      /* source: outside; number: enum step_bind */
    STEP_MOUNT_PROC,
    STEP_MOUNT_SYS,
    STEP_MOUNT_CGROUP,
    STEP_MOUNT_TMPFS, /* number: its mode */
    STEP_MOUNT_PTS,
    STEP_LINK, /* source: where it leads */
    STEP_DESCRIBE,
    STEP_DROP_OUTSIDE,
    STEP_READ_ONLY,
    STEP_HOSTNAME, /* source: the name */
    STEP_LOOPBACK,
    STEP_NOTIFY,
    STEP_CONSOLE,
    STEP_CLEAN_ENVIRONMENT,
    STEP_SET_ENVIRONMENT, /* source: NAME=VALUE, or NAME */
    STEP_EXECUTE,         /* source: the command */
    STEP_KINDS
};

/* Where the command finds its NOTIFY_SOCKET. */
#define PLAN_NOTIFY_SOCKET "/run/host/notify"

enum step_bind { BIND_WRITABLE, BIND_READ_ONLY };

/* Texts are not owned: constants, or of the options. `target` is a path inside, or NULL. */
struct step {
    enum step_kind kind;
    const char *source, *target;
    uint64_t number;
};

/* All that can be given several times, and the rest, of which there are fewer. */
#define PLAN_STEPS_MAX (OPTIONS_BINDS_MAX + OPTIONS_READ_ONLY_MAX + OPTIONS_ENVIRONMENT_MAX + 40)

struct plan {
    struct step steps[PLAN_STEPS_MAX];
    size_t count;
};

/* Fills the list: first the steps of the outer process, then the maker's, then those of process 1,
 * the last of which executes the command. */
void plan_make(struct plan *plan, const struct options *options);

enum step_who step_who(enum step_kind kind);

/* What the step does, to go behind "Could not". */
const char *step_words(enum step_kind kind);

/* "process 1  mount a new proc: /proc", without a line end. */
void step_format(const struct step *step, struct text *text);
