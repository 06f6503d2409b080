/* The service machine: const data, [state][event] → {next state, actions}. Pure: no system call,
 * no clock, no memory.
 *
 * One run of a service, in order:
 *
 *   WAITING → PREPARING (before-start) → STARTING (program runs, not ready) → SETTLING
 *   (after-start) → RUNNING ↔ RELOADING (its `reload`) → LEAVING (before-stop, stop.exec) →
 *   STOPPING (signal sent) → KILLING (time-out over) → ENDING (main process gone, its status not
 *   known yet) → SWEEPING (main process gone, what is left of it is being killed) → FINISHING
 *   (after-stop) → STOPPED, DONE, FAILED or BACKING_OFF.
 *
 * A step with nothing to do is passed through at once: the executor answers it with the event that
 * ends it. Whether a run's end means STOPPED, DONE, FAILED or another try is not in the table: the
 * manager decides (restart.h) and says so with one of the ENDED_… events. */
#pragma once

#include <stdbool.h>

enum service_state {
    STATE_BROKEN, /* its file does not load */
    STATE_STOPPED,
    STATE_WAITING, /* wanted; for what it needs, or for its turn */
    STATE_PREPARING,
    STATE_STARTING,
    STATE_SETTLING,
    STATE_RUNNING,
    STATE_RELOADING, /* it runs, and is being told to read its own files again */
    STATE_LEAVING,
    STATE_STOPPING,
    STATE_KILLING,
    STATE_ENDING,
    STATE_SWEEPING,
    STATE_FINISHING,
    STATE_BACKING_OFF,
    STATE_DONE,
    STATE_FAILED,
    STATE_SKIPPED,
    SERVICE_STATES
};

enum service_event {
    EVENT_NONE,         /* not an event: what an action answers when nothing follows at once */
    EVENT_LOADED,       /* a definition that loads */
    EVENT_BROKEN,       /* a definition that does not load, or is in a cycle */
    EVENT_WAIT,         /* wanted, something is to come first */
    EVENT_START,        /* wanted, and nothing stands in the way */
    EVENT_STOP,         /* to go down, and nothing that must go first is still up */
    EVENT_BLOCKED,      /* kept from starting by a need, a conflict */
    EVENT_SKIP,         /* a `when` is not met */
    EVENT_HOOKS_OK,     /* the hooks of this step have run */
    EVENT_HOOKS_FAILED, /* one of them failed */
    EVENT_SPAWNED,      /* the program is executing */
    EVENT_SPAWN_FAILED,
    EVENT_READY,
    EVENT_RELOAD, /* it is to read its own files again */
    EVENT_GONE,   /* the main process is gone, its status will be told */
    EVENT_EXITED, /* the main process has ended, and how is known */
    EVENT_EMPTY,  /* nothing of the service is left */
    EVENT_TIME_OUT,
    EVENT_ENDED_ASKED,  /* how a run's end is judged: it was asked to */
    EVENT_ENDED_DONE,   /* by itself, well, not to run again */
    EVENT_ENDED_FAILED, /* by itself, for good */
    EVENT_ENDED_AGAIN,  /* by itself, to be tried again */
    SERVICE_EVENTS
};

/* What the executor is to do on a transition; bits, carried out in this order (executor.c). */
enum service_action {
    ACTION_BEGIN_RUN = 1 << 0,    /* forget the last run, new invocation id, start-timeout begins */
    ACTION_STOP_TIMER = 1 << 1,   /* stop.timeout begins */
    ACTION_RELOAD_TIMER = 1 << 2, /* start-timeout begins, for a reload */
    ACTION_NO_TIMER = 1 << 3,     /* clear the timer */
    ACTION_KILL_HOOK = 1 << 4,    /* end a hook that still runs */
    ACTION_HOOKS = 1 << 5,        /* run the hooks of the new state */
    ACTION_SPAWN = 1 << 6,        /* execute the program */
    ACTION_SIGNAL = 1 << 7,       /* send the stop signal */
    ACTION_KILL = 1 << 8,         /* SIGKILL to all of it */
    ACTION_SWEEP = 1 << 9,        /* SIGKILL to what is left; tell when it is empty */
    ACTION_BACK_OFF = 1 << 10,    /* set the timer to the next try */
    ACTION_JUDGE = 1 << 11,       /* the manager's: how did this run end? */
    ACTION_FAILED_START =
        1 << 12,                /* the manager's: note that the start failed, whatever the status */
    ACTION_TIMED_OUT = 1 << 13, /* the manager's: note which time-out is over */
    ACTIONS_END = 1 << 14
};

struct machine_cell {
    unsigned char next;     /* enum service_state */
    unsigned char kind;     /* enum cell_kind */
    unsigned short actions; /* bits of enum service_action */
};

enum cell_kind {
    CELL_EMPTY,      /* a hole in the table: no cell has it, a test sees to that */
    CELL_MOVE,       /* goes to `next`, which may be the same state, and does `actions` */
    CELL_IGNORE,     /* may happen here, and means nothing */
    CELL_IMPOSSIBLE, /* cannot happen here: the manager reports a bug and stays */
};

/* What else there is to know of a state: the second table. */
struct machine_state {
    const char *name;  /* for the diagram and for reports of bugs */
    const char *shown; /* the public name, as control.md has it */
    bool idle;         /* nothing of it runs, and nothing is under way */
    bool up;           /* counts as started for those that come after it */
    bool going_up;     /* a start is under way */
    bool going_down;   /* an end is under way */
    bool has_main;     /* a main process may be there */
};

extern const struct machine_cell machine_cells[SERVICE_STATES][SERVICE_EVENTS];
extern const struct machine_state machine_states[SERVICE_STATES];
extern const char *const machine_event_names[SERVICE_EVENTS];
