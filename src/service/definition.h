/* A service's definition: what its file says, with every default filled in. Plain data.
 *
 * Made by config/, read by the launcher. One definition and all it points to is one arena: it is
 * freed as a whole by definition_destroy() (config/definition-parse.h) and never changed after it
 * was made. Names are not resolved here: whether `needs` names something is the graph's business.
 */
#pragma once

#include "service/quota.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SERVICE_NAME_MAX_BYTES 200

/* The PATH of a service whose file gives none. */
#define SERVICE_DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

enum service_type { TYPE_DAEMON, TYPE_TASK, TYPE_FORKING, TYPE_TARGET, SERVICE_TYPES };
extern const char *const service_type_names[SERVICE_TYPES]; /* as in the file, as those below */

/* A program and its arguments: NULL-terminated; NULL when there is none. argv[0] without a slash
 * is looked up on the service's PATH. */
typedef char **argv_t;

/* A list of commands: NULL-terminated array of argv; NULL when there is none. */
typedef argv_t *commands_t;

/* Names: NULL-terminated; NULL when there is none. */
typedef char **names_t;

#define TIME_NEVER_MS UINT32_MAX

enum condition_kind { WHEN_EXISTS, WHEN_KERNEL_ARG, WHEN_EXECUTABLE, WHEN_KINDS };

/* How each is written in a service file. */
extern const char *const condition_names[WHEN_KINDS];

struct condition {
    enum condition_kind kind;
    bool negated;     /* `not: …` */
    const char *word; /* the path or the kernel argument */
};

enum ready_kind {
    READY_EXEC, /* the program was executed; for a task its exit with 0 */
    READY_NOTIFY,
    READY_FD,
    READY_PID_FILE,
    READY_FILE,
    READY_TCP,
    READY_UNIX,
    READY_LOG,
    READY_COMMAND,
    READY_KINDS
};

/* How the launcher knows that a service has started. */
struct ready {
    enum ready_kind kind;
    int fd;           /* FD: its number in the service */
    const char *word; /* PID_FILE, FILE, UNIX: a path; TCP: HOST:PORT; LOG: an expression */
    argv_t command;   /* COMMAND */
};

/* Which process of a service that forks is the main one. */
struct forks {
    const char *pid_file; /* NULL: none */
    const char *main;     /* NULL: the oldest; else the oldest whose program has this name */
};

enum restart_policy { RESTART_ALWAYS, RESTART_ON_FAILURE, RESTART_NEVER, RESTART_POLICIES };
extern const char *const restart_policy_names[RESTART_POLICIES];

enum kill_mode { KILL_ALL, KILL_GROUP, KILL_MAIN, KILL_MODES };
extern const char *const kill_mode_names[KILL_MODES];

#define RESTART_NO_LIMIT UINT32_MAX

struct restart {
    enum restart_policy policy;
    uint32_t delay_ms, max_ms, reset_after_ms;
    uint32_t factor_percent; /* 200: twice as long each time */
    uint32_t jitter_percent;
    uint32_t limit; /* restarts in a row; RESTART_NO_LIMIT */
};

struct stop {
    int signal;
    uint32_t timeout_ms; /* TIME_NEVER_MS: no SIGKILL */
    argv_t exec;
    enum kill_mode kill;
};

struct limit {
    int resource;        /* RLIMIT_… */
    uint64_t soft, hard; /* UINT64_MAX: unlimited */
};

/* Limits of its cgroup; 0: not given. */
struct resources {
    uint64_t memory_bytes, memory_high_bytes;
    uint64_t tasks;
    uint32_t cpu_percent; /* of one CPU: 250 are two and a half */
    uint32_t io_weight;   /* 1 … 10000 */
};

#define CPUS_MAX        1024
#define IO_NOT_GIVEN    (-1)
#define SCHED_NOT_GIVEN (-1)

/* How the kernel treats its processes. */
struct priorities {
    bool nice_set, oom_score_adj_set;
    int nice, oom_score_adj;
    uint64_t *cpus;     /* CPUS_MAX bits; NULL: all */
    int io;             /* as ioprio_set(2) takes it, or IO_NOT_GIVEN */
    int sched_policy;   /* SCHED_…, or SCHED_NOT_GIVEN */
    int sched_priority; /* 1 … 99 of SCHED_FIFO and SCHED_RR, else 0 */
};

/* Who a service runs as, looked up when the definition was made. */
struct identity {
    bool set; /* false: as the launcher, root */
    uid_t uid;
    gid_t gid;
    gid_t *groups; /* supplementary ones */
    size_t group_count;
    const char *user_name, *home, *shell; /* NULL when there is no such entry in passwd */
};

/* By hand, beside its file; it outranks `enabled`. */
enum switched { SWITCHED_NOT, SWITCHED_ON, SWITCHED_OFF };

struct definition {
    const char *name;
    const char *path;        /* the file it is from */
    const char *description; /* NULL: none */
    const char *logs;        /* folder of its own for its journal, NULL: LOGS/NAME */
    uint64_t keys_given;     /* bit N: key row N (config/keys.h) stands in the file */

    argv_t argv;        /* exec and args, or the shell that runs `script`; NULL for a target */
    size_t args_count;  /* so many words at the end of argv are those of `args` */
    const char *script; /* as written, for showing; argv runs it */
    commands_t before_start, after_start, before_stop, after_stop;
    argv_t reload_command;
    int reload_signal; /* 0: none */

    names_t needs, wants, after, before, conflicts, provides;
    struct condition *when;
    size_t when_count;

    enum service_type type;
    struct ready ready;
    struct forks forks;
    uint32_t start_timeout_ms; /* TIME_NEVER_MS */
    uint32_t watchdog_ms;      /* 0: none, until the service asks for it */
    struct stop stop;
    struct restart restart;
    bool enabled, essential, console;

    struct identity identity;
    const char *user, *group; /* as written */
    names_t groups;
    const char *dir, *root; /* NULL: "/" and no chroot */
    mode_t umask;
    names_t env;            /* "KEY=value", in the order of the file */
    const char *env_file;   /* NULL: none */
    bool env_file_optional; /* it need not be there */
    const char *tty;        /* NULL: none */
    const char *stdin_path; /* NULL: /dev/null */
    struct limit *limits;
    size_t limit_count;
    struct priorities priorities;
    struct resources resources;
    struct quota quota;
};
