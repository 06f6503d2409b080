/* What the executor's own files share. Nobody else includes this. */
#pragma once

#include "service-launcher/executor.h"
#include "service-launcher/init-link.h"
#include "service-launcher/launcher.h"

#include "base/list.h"
#include "config/arena.h"
#include "loop/watch-path.h"
#include "proc/cgroup.h"
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
    struct loop_timer timer, watch_timer; /* watch: for what could not be watched */
    struct looking *looking;              /* for its main process; NULL: not */
    struct list spawn_link;               /* in executor->spawn_queue */
    struct list rest_link;                /* in executor->rest_queue */
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
    struct pidref process;
    struct loop_fd source;
};

struct executor {
    struct launcher *launcher;
    struct process **processes; /* [slots]; NULL: at rest */
    uint32_t slots;
    struct list spawn_queue, rest_queue;
    struct rlimit nofile; /* what services get */
    struct follow_entry
        *follow_entries; /* [STATE_SLOTS_MAX], mapped; NULL: there are no followers */
    int follow_fd, bell_fd;
    struct loop_fd bell_source;
    struct watch_paths paths;
    int cgroup_folder;
    bool controllers; /* some are enabled in the folder: each cgroup has limits to be set */
    uint64_t random_state;
    bool no_room; /* init's socket is full: nothing is spawned until it is not */
};

struct service *process_service(const struct process *process);
struct service_record *process_record(const struct process *process);
struct process *executor_process(const struct executor *executor, uint32_t slot);
struct process *executor_need_process(struct executor *executor, uint32_t slot);

/* executor.c: begins to watch the main process or the hook, which is opened by its recorded number
 * where it is not yet; nothing where there is none. Returns 0, -ESRCH when it is gone, or -errno:
 * then it is tried again by itself. */
int executor_watch(struct process *process, bool hook);
void executor_check_empty(struct process *process);

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

/* The service begins: what the pid file is now is stale. */
struct file_mark executor_stale_mark(const struct definition *definition);

/* Whether main_pid is the main process's: at once, but where a service forks. */
bool executor_main_is_known(const struct process *process);

/* Whether a start is not over yet: the main process is to be found first, or `ready` says more. */
bool executor_forks_holds_ready(const struct process *process);

/* executor.c: sets the timer to a deadline that the record has already, or to a new one; 0: none.
 */
void executor_resume_timer(struct process *process, uint64_t at_ns);
void executor_set_deadline(struct process *process, uint64_t at_ns);

/* executor-spawn.c: queues the main process, or the hook at body->hook, for the next batch. */
void executor_queue_spawn(struct process *process);

/* executor-hooks.c: queues the hook of the present state at body->hook. Returns EVENT_HOOKS_OK when
 * there is none left, else EVENT_NONE. */
enum service_event executor_next_hook(struct process *process);

/* A hook has ended: the next one, or the event that ends the step. */
void executor_hook_ended(struct process *process, enum exit_kind kind, int value);

/* executor-limits.c: gives its cgroup the limits of its definition, unless it has them. */
void executor_limit(struct process *process);

/* executor-env-file.c: the entries of the service's env-file, which lie in the arena; NULL when it
 * names none, or one that may be missing is. Returns 0, or -errno with the reason of a start that
 * fails. */
int executor_read_env_file(const struct definition *definition, struct arena *arena,
                           names_t *ret_entries, struct reason *ret_reason);

/* The command of the hook at body->hook in the present state; NULL: none left. */
argv_t executor_hook_command(const struct process *process);
