/* The state of every service, as it lives in the memfd that init holds: what a launcher that was
 * killed finds again. docs/state.md is the page on it.
 *
 * A record's changing part is there twice; `live` says which half counts. A change fills the other
 * half and then becomes valid by the one aligned store of `live`: what is half-written counts as
 * not written. The pids are outside, because the kernel itself writes them (CLONE_PARENT_SETTID)
 * before the child runs. Times are absolute CLOCK_BOOTTIME in nanoseconds. */
#pragma once

#include "base/file-mark.h"
#include "base/start-step.h"
#include "service/definition.h"

#include <stdint.h>
#include <sys/types.h>

#define STATE_MAGIC 0x74696e6f63ull /* "conit" */

/* What values mean. A field more, less or elsewhere needs no new version: the state tells its
 * layout itself. A program that knows less than STATE_LEAST_READER refuses the state. */
#ifdef CONIT_STATE_VARIANT /* the Meson option: more fields, and others elsewhere and longer */
#define STATE_VERSION 3
#else
#define STATE_VERSION 2
#endif
#define STATE_LEAST_READER 2

/* How a process ended. `kind` 0: not known or did not run. */
enum exit_kind {
    EXIT_NONE = 0,
    EXIT_CODE = 1,
    EXIT_SIGNAL = 2,
    EXIT_UNKNOWN = 3, /* it ended, and nobody can say how */
    EXIT_KINDS
};

/* Why a state is what it is: the words are in reason.c. `service` is a slot, or SLOT_NONE. */
enum reason_code {
    REASON_NONE,
    REASON_NEED_FAILED,    /* needs X, which failed */
    REASON_NEED_STOPPED,   /* needs X, which was stopped */
    REASON_NEED_DONE,      /* needs X, which has ended */
    REASON_NEED_BROKEN,    /* needs X, whose file does not load */
    REASON_NEED_RESTARTED, /* needs X, which is being restarted */
    REASON_NEED_BLOCKED,   /* needs X, which is going down itself */
    REASON_NEED_MISSING,   /* needs NAME, which no service is called: number = index of the need */
    REASON_CONFLICT,       /* conflicts with X, which runs or comes first */
    REASON_WAITS_FOR,      /* waits for X */
    REASON_WAITS_TO_END,   /* waits for X to stop first */
    REASON_STOPPED,        /* asked to stop */
    REASON_RESTARTING,     /* asked to restart */
    REASON_SHUT_DOWN,      /* the machine is going down */
    REASON_EXITED,         /* exited with N */
    REASON_EXIT_UNKNOWN,   /* it ended, and nobody can say how */
    REASON_SIGNALED,       /* ended by signal N */
    REASON_START_TIME_OUT, /* was not ready after N ms */
    REASON_STOP_TIME_OUT,  /* did not stop in N ms and was killed */
    REASON_STEP_FAILED,    /* start failed: step, errno */
    REASON_HOOK_FAILED,    /* before-start failed: exit */
    REASON_LIMIT,          /* restarted N times in a row */
    REASON_WHEN,           /* condition N is not met */
    REASON_BROKEN,         /* see its errors */
    REASON_CYCLE,          /* in a cycle */
    REASON_HOOK_STEP,      /* a before-start could not be run: step, errno */
    REASON_ENV_FILE, /* a bad line of its env-file: step = enum env_file_problem, number = line */
    REASON_RELOAD_EXITED, /* it runs, but its reload command exited with N */
    REASON_RELOAD_SIGNALED,
    REASON_RELOAD_STEP,      /* its reload command could not be run: step, errno */
    REASON_RELOAD_TIME_OUT,  /* its reload command was not done in N ms and was killed */
    REASON_NOTHING_LEFT,     /* forking: its first process ended and left nothing */
    REASON_NOT_READY,        /* waits until it is ready: what for is in its definition */
    REASON_READY_TIME_OUT,   /* its program ran, and was not ready after N ms */
    REASON_WATCHDOG,         /* did not report for N ms */
    REASON_RELOAD_NOT_READY, /* said RELOADING=1, and no READY=1 for N ms */
    REASON_TRIGGER,          /* has set off its watchdog itself */
    REASON_WHEN_ASKED,       /* whether condition N is met is being looked at */
    REASON_WHEN_TIME_OUT,    /* that could not be told in time */
    REASON_RELOAD_UNKNOWN,   /* it runs, but may have been sent the signal of its reload or not */
    REASON_CODES
};

#define SLOT_NONE UINT32_MAX

/* Which time-out of this run is over. */
enum timed_out {
    TIMED_OUT_NONE,
    TIMED_OUT_START, /* a hook of its start took too long */
    TIMED_OUT_STOP,
    TIMED_OUT_WATCHDOG,
    TIMED_OUT_READY, /* its program ran, and was not ready */
    TIMED_OUT_KINDS
};

/* What a service has said that it is doing: the fields of sd_notify(3). */
enum told { TOLD_NOTHING, TOLD_RELOADING, TOLD_STOPPING, TOLD_KINDS };

#define STATUS_BYTES 128 /* of STATUS=, its NUL included */

struct reason {
    uint16_t code;
    uint16_t step; /* enum start_step of REASON_STEP_FAILED */
    uint32_t service;
    int32_t number;
};

/* Whose number main_pid is, where a service forks. */
enum fork_stage {
    FORK_FIRST,   /* the first process, which is to end with 0 */
    FORK_LOOKING, /* nobody's: that has ended, and which is the main one is not known yet */
    FORK_FOUND,   /* the main process */
    FORK_GUESSED, /* the oldest of several that are equal: when it ends the next one is */
    FORK_STAGES
};

struct service_body {
#ifdef CONIT_STATE_VARIANT
    uint64_t news;
    uint8_t more_news[3];
#endif
    uint8_t state;         /* enum service_state */
    uint8_t wanted;        /* 1: to be up */
    uint8_t by_hand;       /* a person stopped it: stays down until a person starts it */
    uint8_t blocked;       /* kept or taken down by a need: comes back with it */
    uint8_t restarting;    /* goes down to come up again */
    uint8_t exit_kind;     /* how the last run ended */
    uint8_t failed_start;  /* this run's start failed or timed out */
    uint8_t timed_out;     /* enum timed_out */
    uint8_t gone;          /* its definition is gone: forgotten when it has stopped */
    uint8_t retry;         /* this run's failure is one that may pass (no memory, no pids) */
    uint8_t asked;         /* this run was told to stop: its end is no failure */
    uint8_t reload;        /* a reload of this run was asked for and has not begun */
    uint8_t forked;        /* enum fork_stage: of a service that forks, whom main_pid names */
    uint8_t by_mark;       /* its follower was killed: it is followed by its mark */
    uint8_t ready_met;     /* what `ready` asks for has been seen in this run */
    uint8_t told;          /* enum told */
    uint8_t extended;      /* 1 + the state whose deadline the service has put off; 0: none */
    uint8_t type;          /* enum service_type of this run, whatever its file says by now */
    uint8_t reload_failed; /* the last reload that has ended; why is the reason */
    int32_t exit_value;
    struct reason reason;   /* of the state, for people */
    struct reason cause;    /* why it is kept or taken down, while it is; of LIMIT: the last end */
    uint32_t restarts;      /* since a person last started it */
    uint32_t in_row;        /* restarts since it was last up for reset-after */
    uint32_t hook;          /* which hook of this step runs */
    int32_t hook_ended;     /* hook_pid of one whose end is noted: `hook` is beyond it already */
    uint32_t ended;         /* 1: this run's main process has ended: it has run, once */
    uint32_t reloads;       /* that have ended while it ran on */
    uint64_t since_ns;      /* the state began */
    uint64_t ready_ns;      /* this run got ready; 0: has not */
    uint64_t deadline_ns;   /* the state's timer; 0: none */
    uint64_t invocation[2]; /* this run's id */
    struct file_mark pid_file;   /* forks.pid-file when this run began: it is stale */
    struct file_mark ready_mark; /* the file of `ready` as it was before the program ran */
    uint64_t watchdog_ms;        /* how often this run has to report; 0: it need not */
    int32_t session;             /* of a main process that was named by MAINPID; 0: main_pid */
    uint64_t needs_from_ns; /* a need that has been down since before this is no reason to go */
    uint64_t begun_as;      /* what its process was made of, where a reload has changed that since:
                               definition_start_hash(); 0: it is as its file says */
    uint64_t down_from_ns;  /* since when it is to be down; 0: it is not */
};

struct service_record {
    char name[SERVICE_NAME_MAX_BYTES + 8]; /* "": the slot is free */
    uint32_t live;                         /* 0 or 1 */
    int32_t main_pid, hook_pid;            /* written by the kernel; 0: none */
    uint32_t spawning;    /* 1: main, 2: hook: set before clone3, cleared when it is settled */
    int32_t follower_pid; /* its follow-forks, written by the kernel; 0: none */
    uint32_t reserved;
    uint64_t asked; /* the newest request that named it: its number << 8 | enum request_verb */
#ifdef CONIT_STATE_VARIANT
    char status[STATUS_BYTES + 64];
    uint32_t news;
    struct service_body body[2];
#else
    struct service_body body[2];
    char status[STATUS_BYTES]; /* what it said last; its first byte is written last */
#endif
};

enum upgrade_stage {
    UPGRADE_NONE,
    UPGRADE_ASKING, /* init may not have heard of it */
    UPGRADE_ASKED,
    UPGRADE_ENDED, /* the answer is here */
    UPGRADE_STAGES
};

#define UPGRADE_ID_BYTES   64
#define UPGRADE_TEXT_BYTES 968

/* The first four stand where they have always stood; everything behind them is told by the layout
 * at STATE_LAYOUT_AT. */
struct state_header {
    uint64_t magic;
    uint32_t version, record_bytes;
    uint32_t slots; /* records that follow, free ones too */
#ifdef CONIT_STATE_VARIANT
    uint32_t news[5];
#endif
    uint32_t shut_down;  /* enum shut_down: the machine is on its way down */
    int32_t exit_status; /* of the essential service that caused it */
    uint32_t essential_slot;
    uint64_t link_sequence;      /* of journal-link.h */
    uint64_t generation;         /* how many launchers have had this state */
    uint32_t booted;             /* the boot's services were told to start */
    uint32_t next_serial;        /* the number of the newest request */
    uint64_t realtime_offset_ns; /* with which times are shown: CLOCK_REALTIME minus BOOTTIME */
    uint32_t reserved_too[2];
    /* The newest upgrade. */
    uint32_t upgrade_stage;                /* enum upgrade_stage; the others are valid by it */
    uint32_t upgrade_asked;                /* which parts; bits of enum hand_over_part */
    uint32_t upgrade_done;                 /* which are new now */
    uint32_t upgrade_failed;               /* and which are not */
    char upgrade_id[UPGRADE_ID_BYTES];     /* of the request; "": the client gave none */
    char upgrade_text[UPGRADE_TEXT_BYTES]; /* why they are not: lines "PART: why" */
    char upgrade_from[UPGRADE_ID_BYTES];   /* the launcher that was asked: its version and build */
    uint64_t upgrade_at_ns;                /* when it was asked for */
};

#define STATE_HEADER_BYTES 4096
#define STATE_LAYOUT_AT    2048 /* of base/layout.h, in the header's page */
