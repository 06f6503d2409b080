/* What the executor's own files share. Nobody else includes this. */
#pragma once

#include "service-launcher/executor.h"
#include "service-launcher/init-link.h"
#include "service-launcher/launcher.h"
#include "service-launcher/look-apart.h"

#include "base/list.h"
#include "config/arena.h"
#include "loop/watch-path.h"
#include "proc/cgroup.h"
#include "proc/mounts.h"
#include "proc/pidref.h"
#include "proc/spawn.h"

#include <sys/resource.h>

/* What is watched for one service that is not at rest. On the heap, for the loop keeps pointers
 * into it. */
struct process {
    struct executor *executor;
    uint32_t slot;
    struct pidref main, hook, follower;
    struct loop_fd main_source, hook_source, follower_source;
    struct loop_fd events_source;         /* of what follows it (tracker.c); owns its fd */
    struct loop_timer again_timer;        /* where that could not be looked at, or watched */
    unsigned doubts;                      /* how often in a row it could not */
    struct loop_timer timer, watch_timer; /* watch: for what could not be watched */
    struct looking *looking;              /* for its main process; NULL: not */
    struct list spawn_link;               /* in executor->spawn_queue */
    struct list rest_link;                /* in executor->rest_queue */
    uint64_t rest_sequence;               /* what the journal has to know before that */
    int output_fd;                        /* the writing end of its pipe; -1: none yet */
    int pipe_fd; /* recovered: the O_RDWR description that init held, till it is used */
    int cgroup_fd;
    bool cgroup_killed;  /* to be made anew before anything starts in it */
    bool spawn_hook;     /* what is queued is a hook, not the main process */
    bool hook_cancelled; /* it was killed: its end means nothing */
    bool sweeping;       /* EVENT_EMPTY is owed */
    bool limited;        /* its cgroup has its limits */
    bool limits_told;    /* that they are not all in force, in this run */
    bool registering;    /* the journal has not got its pipe yet */

    struct ready_wait *ready;    /* NULL: nothing is waited for */
    bool ready_later;            /* it is to be waited for, and could not be yet */
    int ready_fd;                /* its notify socket, or the reading end of `ready: fd`; -1 */
    int ready_give_fd;           /* the writing end until the program has it; -1 */
    bool ready_stored;           /* init holds ready_fd */
    uint64_t match_run[2];       /* the run whose MATCH was sent last */
    bool matching;               /* the journal has not taken it yet: its program waits */
    bool matched_early;          /* its line was there before its program: it is a hook's child's */
    bool notify_warned;          /* of a message that was refused */
    bool emptying;               /* its notify socket is being read to its end */
    unsigned main_pid_doubts;    /* bits of why a MAINPID was not believed, said in this run */
    unsigned main_pid_changes;   /* told in this run */
    struct loop_fd ready_source; /* of ready_fd, which it does not own */

    struct loop_fd report_source;  /* of a program that is executed apart; owns its fd */
    bool apart_hook, apart_failed; /* it is a hook; it has said why it is not executed */
    bool end_held; /* its main process has ended: whether another is that now is looked for apart */
    enum exit_kind held_kind;
    int held_value;
    struct reason apart_reason;
};

/* A service that forks: its first process has ended, the main one is looked for. On the heap. */
struct looking {
    struct process *process;
    struct watch_path pid_file;
    struct loop_timer timer; /* for what no event tells: a program that executes another */
    unsigned warned;         /* bits of what was said already */
};

/* A child of ours that was a main process and is not any more: only to be reaped. */
struct former {
    struct executor *executor;
    struct list link; /* in executor->formers: one a process */
    struct pidref process;
    struct loop_fd source;
};

/* The pipe of a service that is forgotten: what it printed last may be in it. */
struct last_words {
    struct list node;
    uint32_t slot;
    uint64_t sequence; /* what the journal has to know before it goes */
};

struct executor {
    struct launcher *launcher;
    struct process **processes; /* [slots]; NULL: at rest */
    uint32_t slots;
    struct list spawn_queue, rest_queue, formers;
    struct list last_words; /* struct last_words: pipes of what is forgotten */
    struct rlimit nofile;   /* what services get */
    struct follow_entry
        *follow_entries; /* [STATE_SLOTS_MAX], mapped; NULL: there are no followers */
    int follow_fd, bell_fd;
    struct loop_fd bell_source;
    struct watch_paths paths;
    struct mounts mounts;
    struct looks looks;
    bool apart; /* this turn's programs are executed apart: something is mounted that can hang */
    int cgroup_folder;
    bool controllers; /* some are enabled in the folder: each cgroup has limits to be set */
    uint64_t random_state;
    bool no_room; /* init's socket is full: nothing is spawned until it is not */
};

struct service *process_service(const struct process *process);
struct service_record *process_record(const struct process *process);

static inline struct manager *manager_of(const struct process *process)
{
    return &process->executor->launcher->manager;
}
struct process *executor_process(const struct executor *executor, uint32_t slot);
struct process *executor_need_process(struct executor *executor, uint32_t slot);

/* executor.c: begins to watch the main process or the hook, which is opened by its recorded number
 * where it is not yet; nothing where there is none. Returns 0, -ESRCH when it is gone, or -errno:
 * then it is tried again by itself. */
int executor_watch(struct process *process, bool hook);

/* Looks after its processes anew, in a turn of its own: what is gone is told then. */
void executor_watch_again(struct process *process);
void executor_check_empty(struct process *process);

/* executor-ends.c. An adopted process is gone, and init has still not said how after this long: it
 * never will. */
#define STATUS_WAIT_MS 10000

/* A pipe that nobody has but init and the journal: it goes once the journal has heard all that was
 * said. Until then the slot is no other service's, whose pipe would take its place. */
void executor_keep_last_words(struct executor *executor, uint32_t slot);

/* Watches a process no more. */
void executor_forget_pid(struct process *process, struct pidref *which, struct loop_fd *source);

/* Takes note of how the run ended; and the end of the main process, with the event that follows. */
void executor_note_exit(struct process *process, enum exit_kind kind, int value);
void executor_end_main(struct process *process, enum exit_kind kind, int value);

/* An adopted main process is gone. Where somebody can say at once how it ended, that is what
 * happens next; else its pid stays in the record until init or its follower says it. */
void executor_main_gone(struct process *process);

/* The main process has ended, and how is known. */
void executor_main_ended(struct process *process, enum exit_kind kind, int value);

/* A run that never got a main process, nor ever will. */
void executor_main_lost(struct process *process);

/* Takes note that there is no main process, and its zombie away. */
void executor_release_main(struct process *process);

/* executor-forks.c: what is different where a service forks. */

/* The end of the process in main_pid is not the end of the run: the first process has done its
 * part, or another one takes over. */
bool executor_forks_goes_on(struct process *process, enum exit_kind kind, int value);

/* The first process has ended, the main one is not known, and something is left of it. */
bool executor_is_leaderless(const struct process *process);

/* Looks for the main process, if that is what is to be done now. */
void executor_look_for_main(struct process *process);
void executor_stop_looking(struct process *process);

/* Makes that process the main one, if it is the service's. Returns 0, -ESRCH when it has ended,
 * -EPERM when it is not the service's, or -errno. */
int executor_adopt_main(struct process *process, pid_t pid, enum fork_stage stage);

/* Before its program runs: what the pid file is now is stale. Returns 0 or -EINPROGRESS. */
int executor_forks_prepare(struct process *process);

/* What was looked for apart is answered. */
void executor_forks_looked(struct process *process);

/* Whether main_pid is the main process's: at once, but where a service forks. */
bool executor_main_is_known(const struct process *process);

/* executor.c: sets the timer to a deadline that the record has already, or to a new one; 0: none.
 */
void executor_resume_timer(struct process *process, uint64_t at_ns);
void executor_set_deadline(struct process *process, uint64_t at_ns);
void executor_set_time_out(struct process *process, uint32_t time_out_ms); /* or TIME_NEVER_MS */

/* executor-spawn.c: queues the main process, or the hook at body->hook, for the next batch. */
void executor_queue_spawn(struct process *process);

/* executor-hooks.c: queues the hook of the present state at body->hook. Returns EVENT_HOOKS_OK when
 * there is none left, else EVENT_NONE. */
enum service_event executor_next_hook(struct process *process);

/* Whether it was sent the signal of its `reload`, and may say RELOADING=1 and READY=1 of that. */
bool executor_awaits_notice(const struct process *process);

/* Its program is to be executed now: the run is one of the type that its file says by now. Returns
 * false for a target, which has none. */
bool executor_begin_program(struct process *process);

/* executor-spawn.c: it cannot be executed. `spawn_hook` says what. */
void executor_fail_start(struct process *process, struct reason reason);
struct reason executor_reason_of(const struct spawn_failure *failure);

/* executor-apart.c: executes it by a process apart, which is not waited for. Returns as spawn(). */
int executor_spawn_apart(struct process *process, struct spawn *spawn, int *ret_pidfd,
                         struct spawn_failure *failure);

/* Such a process has not said yet that it has executed the program, or why not. */
bool executor_is_apart(const struct process *process);
void executor_forget_apart(struct process *process);

/* The main process or the hook has ended: whether that is one that could not execute the program.
 * Then that is to be made the failure of its start: returns false where nobody waits for it any
 * more, and its end is one like any other. */
bool executor_apart_failed(struct process *process, bool hook);
bool executor_fail_apart(struct process *process, bool hook);

/* A hook has ended: the next one, or the event that ends the step. */
void executor_hook_ended(struct process *process, enum exit_kind kind, int value);

/* Its number is nobody's any more, and its zombie, if it has one, goes. */
void executor_release_hook(struct process *process);

/* executor-limits.c: gives its cgroup the limits of its definition, unless it has them; and at once
 * when they are others now. */
void executor_limit(struct process *process);
void executor_limits_changed(struct process *process);

/* executor-env-file.c: the entries of the service's env-file, which lie in the arena; NULL when it
 * names none, or one that may be missing is. Returns 0, or -errno with the reason of a start that
 * fails. */
int executor_read_env_file(const struct definition *definition, struct arena *arena,
                           names_t *ret_entries, struct reason *ret_reason);

/* The command of the hook at body->hook in the present state; NULL: none left. */
argv_t executor_hook_command(const struct process *process);

/* ---- readiness: executor-ready*.c ----------------------------------------------------------- */

/* What is watched while a service is waited for to get ready; on the heap, in process->ready. */
struct ready_wait {
    struct process *process;
    struct loop_fd source;   /* a connection that is being made; owns its fd */
    struct loop_timer timer; /* of the next try */
    struct watch_path path;
    unsigned attempt;
    unsigned doubted; /* bits of what was warned of already */
};

/* One kind of `ready`. Any may be NULL. */
struct ready_way {
    /* Before the program is executed. Returns 0, -EINPROGRESS (a path is looked at apart: once more
     * when it is answered) or -errno. */
    int (*prepare)(struct process *process);
    /* The program runs: looks and watches. `again`: under the next launcher. */
    void (*begin)(struct process *process, bool again);
    void (*end)(struct process *process); /* what process->ready does not own */
};
extern const struct ready_way ready_file, ready_pid_file, ready_tcp, ready_unix, ready_fd,
    ready_command, ready_notify, ready_log;

/* executor.c: the service has reported: its watchdog's time begins again. */
void executor_feed_watchdog(struct process *process);

/* Whether its notify socket is wanted. */
bool executor_notifies(const struct process *process);

/* Before anything of it is executed: makes what has to be there, and has to survive us
 * (process->ready_fd). Returns 0, -EINPROGRESS or -errno. */
int executor_ready_prepare(struct process *process);

/* executor-look.c: what was asked for that slot is answered, or is late: whoever waits asks again.
 */
void executor_looked(struct executor *executor, uint32_t slot);

/* Whether the program of a service that is STARTING has been executed. */
bool executor_has_begun(const struct process *process);

/* Says what is waited for, as the reason of the state. */
void executor_ready_awaited(struct process *process);

/* The program runs, or was taken up in STARTING: EVENT_READY follows, perhaps at once. */
void executor_ready_begin(struct process *process, bool again);
void executor_ready_late(struct process *process); /* where it could not begin, or not all of it */

/* What `ready` asks for is there: the one place through which all kinds pass. EVENT_READY follows
 * when the main process is known too. */
void executor_ready_met(struct process *process);

/* To be called when the main process has become known. */
void executor_ready_settle(struct process *process);

/* Nothing is waited for any more. */
void executor_ready_end(struct process *process);

/* Whether a process belongs to the service. */
bool executor_owns(const struct process *process, pid_t pid);

/* executor-ready-command.c: the command has ended. */
void executor_ready_command_ended(struct process *process, bool good);

/* executor-ready-log.c: asks for the line once more, if it is waited for. */
void executor_ready_log_ask(struct process *process);

/* Gives back process->ready_fd, here and with init. */
void executor_ready_give_back(struct process *process);

/* A warning to the log and to the service's journal. */
/* What could not be watched or waited for yet is tried again soon. */
void executor_watch_later(struct process *process);
void executor_ready_warn(struct process *process, const char *what, const char *why);

/* executor-notify.c: makes the socket where it is missing; watches it; its entries of the
 * environment, at most 3, valid until the next call (*ret_pid_text: where the pid belongs); unlinks
 * its file. */
int executor_notify_open(struct process *process);
int executor_notify_watch(struct process *process);
void executor_notify_watch_on(struct process *process); /* of what runs: later where it fails now */

/* The main process has ended: what was sent before that counts first. Returns whether another one
 * is the main process by now. */
bool executor_notify_hands_over(struct process *process);
size_t executor_notify_environment(const struct process *process, char **entries,
                                   char **ret_pid_text);
void executor_notify_close(struct process *process);
