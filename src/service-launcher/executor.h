/* The executor: carries out what the machine decides. All system calls about services are here. */
#pragma once

#include "loop/loop.h"
#include "service/manager.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

struct executor;
struct launcher;
struct watch_paths;

/* `nofile` is what services get back of RLIMIT_NOFILE. It
 * lives as long as the program. Returns 0 or -errno. */
int executor_create(struct launcher *launcher, const struct rlimit *nofile, struct executor **ret);

/* Makes the notify sockets again whose files somebody has removed. */
void executor_notify_restore(struct executor *executor);

/* What watches paths, for others beside it. */
struct watch_paths *executor_watch_paths(struct executor *executor);

/* The seam of the manager. */
enum service_event executor_act(void *context, struct service *service, unsigned actions);
int executor_conditions_met(void *context, const struct service *service, size_t *ret_index);

/* Before services are loaded: init keeps a pipe of this slot, which may be of one that is gone.
 * Then no other service is to get the slot. */
void executor_expect_pipe(struct executor *executor, uint32_t slot);

/* A descriptor that init kept for us from before. It is the executor's now. */
void executor_take_pipe(struct executor *executor, uint32_t slot, int fd);

/* The same of its notify socket, or the pipe of `ready: fd`. */
void executor_take_ready(struct executor *executor, uint32_t slot, int fd);

/* The folder of the services' cgroups; -1: none, and so are cgroups. The executor's now. */
void executor_set_cgroup_folder(struct executor *executor, int fd);

/* Its paths as cgroup_folder_paths() has them; -ENOENT where there is none. */
int executor_cgroup_path(const struct executor *executor, char *ret, size_t size_bytes);

/* The definition of a service is about to be another, which differs in `changed` (bits of
 * config/keys.h): what waits for what the one in force says is given up. */
void executor_definition_ends(struct executor *executor, struct service *service, uint64_t changed);

/* The other one is in force: what is under way goes on as that says, and what takes effect while a
 * service runs does so. */
void executor_definition_begins(struct executor *executor, struct service *service,
                                uint64_t changed);

/* Opens every process that the state knows: from here on none of their numbers can become another's
 * without our knowing. */
void executor_open_recorded(struct executor *executor);

/* Takes up every service of the state where a launcher that is gone left it. */
void executor_recover(struct executor *executor);

/* init has reaped a process that may be one of ours. */
void executor_on_ended(struct executor *executor, pid_t pid, int status);

/* Begins the next batch of spawns. Returns whether more are waiting and can be done at once. */
bool executor_spawn_batch(struct executor *executor);

/* There is room again in the socket to init. */
void executor_on_room(struct executor *executor);

/* That service's registration has gone to the journal. */
/* The journal's words on `ready: log`, of a run with this invocation id; a new journal. */
void executor_on_match_taken(struct executor *executor, uint32_t slot, const uint64_t run[2]);
void executor_on_matched(struct executor *executor, uint32_t slot, const uint64_t run[2]);
void executor_on_new_journal(struct executor *executor);

void executor_on_registered(struct executor *executor, uint32_t slot);

/* A descriptor of its output pipe, for reading and writing, the caller's; -ENOENT when it has no
 * pipe, or another -errno. */
int executor_open_pipe(struct executor *executor, uint32_t slot);

/* The service is idle, and not about to start again: what is held for it is given back in the next
 * executor_rest_all(), if it still is. */
void executor_rest(struct executor *executor, struct service *service);
void executor_rest_all(struct executor *executor);

/* The service is forgotten: its cgroup goes, and its journal's id is free. */
void executor_forget(struct executor *executor, struct service *service);

/* A number nobody has to be unable to guess. */
uint64_t executor_random_number(struct executor *executor);

/* The end: the folder of the services' cgroups goes, as far as they are empty. */
void executor_remove_cgroups(struct executor *executor);
