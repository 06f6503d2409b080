/* What the launcher's files share: one `struct launcher`, and who may ask what of it. */
#pragma once

#include "base/list.h"
#include "loop/loop.h"
#include "protocol/hand-over.h"
#include "service/manager.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct control;
struct ending;
struct executor;
struct init_link;
struct journal_client;
struct reader;
struct reloads;
struct request_store;
struct sources;
struct state;
struct switches;
struct system_file;
struct upgrade;
struct watch;

struct launcher_options {
    const char **services; /* folders, later ones outrank; NULL-terminated */
    size_t service_count;
    bool services_given; /* else they are the default ones, which need not be there */
    const char *runtime, *logs, *config; /* config NULL: the default places */
    const char *etc;                     /* the folder of config/switches.h */
    bool container;
    bool read;  /* this is no launcher but its child that reads (reader.h) */
    bool watch; /* or the one that watches (watch.h) */
};

struct launcher {
    struct launcher_options options;
    struct loop loop;
    struct manager manager;
    struct executor *executor;
    struct init_link *init_link;
    struct journal_client *journal;
    struct control *control;         /* NULL until it listens */
    struct system_file *system_file; /* title, version, what to start */
    struct switches *switches;       /* what was switched on and off by hand */
    struct state *state;
    struct request_store *requests; /* those with an id; NULL: they are not kept */
    struct reader *reader;          /* reads the files */
    struct reloads *reloads;        /* puts in force what was read */
    struct watch *watch;            /* asks for that when files change */
    struct ending *ending;          /* of the machine */
    struct upgrade *upgrade;        /* of our own programs */
    int definitions_fd;             /* the memfd with the service files in force; -1: none yet */
    uint64_t definitions_number; /* of its inode: no other memfd has it while this one is there */
    uint64_t started_at_ns;
    struct sources *templates; /* those in force, and names that are masked: templates.h */
    bool started_said;         /* the line "Started" was logged */
    bool gone_services;        /* some may be waiting for launcher_forget_gone() */
    bool idle_instances;       /* some may be waiting for launcher_forget_instances() */
    bool reloading; /* a reload compares with what is in force: nobody else changes that */
};

/* ---- what control.c asks of the rest ------------------------------------------------------- */

/* One line of what a reload found. */
enum reload_change {
    RELOAD_NEW,
    RELOAD_CHANGED,
    RELOAD_GONE,
    RELOAD_BROKEN,
    RELOAD_UNCHANGED,
    RELOAD_CHANGES
};

struct reload_entry {
    enum reload_change change;
    const char *name;
    uint64_t keys;        /* CHANGED: bits of config/keys.h; none: another file, or it is back */
    bool needs_restart;   /* CHANGED: and it runs */
    bool known;           /* GONE, BROKEN: an earlier reload has said the same */
    const char *errors;   /* BROKEN: the reason, one error a line; NULL: no memory for it */
    bool dropped;         /* an instance that nothing names any more, whatever `change` is */
    const char *reason;   /* why an instance is new or dropped, or what else is news; or NULL */
    const char *warnings; /* names that no service has, with their places, one a line; or NULL */
    const char *cycle;    /* the cycle that it is in, with its place (a long path goes over several
                             lines); NULL: none, or another of its members has it */
    bool cycle_known;     /* it was in one before */
};

struct reload_report {
    struct reload_entry *entries; /* sorted by name */
    size_t count;
    char *warnings, *errors; /* of no service by itself, one a line, or NULL */
    char *settings; /* settings of the system file that have changed, one a line, or NULL */
};

/* `why` NULL: it is done, or said, and the report is good during this call. Else nothing was
 * changed, for that reason, and there is no report. The request is gone afterwards. */
struct reload_request;
typedef void reload_done(struct reload_request *request, const struct reload_report *report,
                         const char *why);

struct reload_request {
    struct list link;
    bool dry_run, start;
    bool quiet;           /* whoever asks says what came of it */
    bool only_switches;   /* what was switched by hand, and nothing else */
    reload_done *on_done; /* NULL: nobody waits */
    /* What it will bring is known, and is in force as soon as the definitions with this number are:
     * the next thing that happens. NULL: nobody notes it. */
    void (*on_decided)(struct reload_request *request, const struct reload_report *report,
                       uint64_t number);
    void *context;
};

/* Has the service files read again and put in force; with `dry_run` it is only said what would be.
 * With `start` new enabled services are started. on_done is called from the loop, never in here.
 * Returns NULL without memory. */
struct reload_request *launcher_reload(struct launcher *launcher, bool dry_run, bool start,
                                       reload_done *on_done, void *context);

/* Has only that read again which was switched on or off by hand. */
struct reload_request *launcher_read_switches(struct launcher *launcher, reload_done *on_done,
                                              void *context);

/* Does what is left of a reload whose texts are in force, and in the middle of which a former
 * launcher was killed: `change`, `name` and `needs_restart` of the entries count. */
void launcher_finish_reload(struct launcher *launcher, const struct reload_report *report,
                            bool start);

/* For a reload that no client has asked for, once it is decided: notes what it does, so that the
 * next launcher does what is left of it, if the definitions of that number are in force. NULL:
 * there is no memory for that. It is to be forgotten once the reload has ended. */
struct request_record *control_keep_reload(struct launcher *launcher,
                                           const struct reload_report *report, uint64_t number);
void control_forget_reload(struct launcher *launcher, struct request_record *record);

/* Nobody waits for it any more. What is asked for is done all the same, but for a dry run. */
void launcher_reload_leave(struct reload_request *request);

/* The path that is being read just now; NULL: none is. */
const char *launcher_reload_where(const struct launcher *launcher);

/* Begins to end the machine: services in order (none with `force`), then init does the rest. */
void launcher_shut_down(struct launcher *launcher, enum shut_down how, bool force);

/* Has init take the programs that are on the disk now for our own. `id` is the request's, "" for
 * none (less than UPGRADE_ID_BYTES). Returns 0: control_upgrade_ended() will be called; 1: that
 * request has its answer already; -EBUSY: there is another one. What came of it is in the state's
 * header. */
int launcher_upgrade(struct launcher *launcher, const char *id, uint32_t uid);

/* The processes of a service, by its cgroup, else its main process and hook: pids in `pids`;
 * returns how many there are, of which at most `room` were stored. */
size_t executor_processes(struct executor *executor, uint32_t slot, int32_t *pids, size_t room);

/* Memory of its cgroup in bytes, or of its main process; -errno when it cannot be known. */
int64_t executor_memory_bytes(struct executor *executor, uint32_t slot);

/* Sends a signal to the main process, or to `all` of the service's. Returns 0, -ESRCH when there is
 * nobody to get it, or -errno. */
int executor_signal(struct executor *executor, uint32_t slot, int signal, bool all);

/* The process id the record has, 0 for none. */
int32_t executor_main_pid(struct executor *executor, uint32_t slot);

/* ---- load.c -------------------------------------------------------------------------------- */

/* Reads the service files and puts them in force for the first time. Returns 0 or -errno. */
int launcher_load(struct launcher *launcher, bool anyway);

/* Puts the files in force again that the memfd holds: nothing is read but that. */
int launcher_load_again(struct launcher *launcher, int definitions_fd);

/* Gives services that run and whose text could not be read again something to be stopped by. */
void launcher_define_lost(struct launcher *launcher);

/* Wants up what the boot is to start. */
void launcher_boot(struct launcher *launcher);

/* Forgets services whose file is gone and that have come to rest. */
void launcher_forget_gone(struct launcher *launcher);

/* ---- templates.c --------------------------------------------------------------------------- */

/* Makes the service `name` where it is an instance of a template and is not there yet. Returns 1
 * when it was made (and may be broken), to be followed by launcher_resolve() once; 0 when it is
 * there or is no instance; -ENOMEM, or -EOVERFLOW: there is no room for another service. */
int launcher_make_instance(struct launcher *launcher, const char *name);

/* Names and edges, after instances were made. Returns 0 or -ENOMEM. */
int launcher_resolve(struct launcher *launcher);

/* Whether the name is no service's so far, but a template in force makes one of it. */
bool launcher_is_instance(const struct launcher *launcher, const char *name);

/* Why no service has that name, as half a sentence; NULL where there is no more to say. */
const char *launcher_why_missing(const struct launcher *launcher, const char *name);

/* Forgets instances that have come to rest and that nobody names. */
void launcher_forget_instances(struct launcher *launcher);

/* ---- what the rest asks of control.c ------------------------------------------------------- */

/* Listens on `listen_fd` (a SOCK_STREAM unix socket, non-blocking, owned by control from now on).
 * Returns 0 or -errno. */
int control_create(struct launcher *launcher, int listen_fd, struct control **ret);
void control_destroy(struct control *control);

/* Serves this listening socket in place of the former one, of which nobody knows the way any more.
 * It is the control socket's from here on, also on failure. Returns 0 or -errno. */
int control_listen(struct control *control, int listen_fd);

/* An upgrade has ended: for those who wait for it. */
void control_upgrade_ended(struct control *control);

/* A service's state has changed: for clients that follow events. Cheap when nobody does. */
void control_service_changed(struct control *control, struct service *service,
                             enum service_state before);
