/* cgroup v2, used to follow a service: what belongs to it, when it is empty, how to kill all of it
 * at once; to confine it see cgroup-limits.h. See the kernel's
 * Documentation/admin-guide/cgroup-v2.rst.
 *
 * The services' cgroups live in one folder with a random name below the launcher's own cgroup. The
 * folder is locked with flock(2) through a descriptor that outlives the launcher; an unlocked
 * folder is a leftover, and is removed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Makes and locks the folder, and removes leftovers. Returns its descriptor (O_DIRECTORY,
 * close-on-exec, the caller's); -ENOENT when no cgroup v2 is mounted, -EROFS or -EACCES when it is
 * not writable, or -errno. */
int cgroup_create_folder(void);

/* Opens the folder of our own cgroup, on the first mount that shows it. Returns a descriptor
 * (close-on-exec, the caller's); -ENOENT when no cgroup v2 is mounted, or -errno. */
int cgroup_open_own(void);

/* Writes the value into one of its files, which may be that of one below. Returns 0 or -errno. */
int cgroup_write(int cgroup_fd, const char *file, const char *value);

/* Removes all cgroups below, deepest first, and then itself: what is empty, and no launcher's
 * folder. */
void cgroup_remove_tree(int parent_fd, const char *name);

/* The same for each cgroup below with such a name, and which nobody holds locked with flock(2): who
 * made it was killed. */
void cgroup_remove_leftovers(int own_fd, bool (*is_ours)(const char *name));

/* The folder's path as /proc/PID/cgroup of our own children has it, a line end, and its path as a
 * file. -ENOENT: no mount shows it; -ENAMETOOLONG, or another -errno. */
int cgroup_folder_paths(int folder_fd, char *ret, size_t size_bytes);

/* Takes a line of /proc/self/mountinfo apart in place ("ID PARENT DEV ROOT POINT OPTIONS … - TYPE
 * SOURCE SUPER", proc_pid_mountinfo(5)). Returns whether it is a cgroup v2 mount; root and point
 * then are parts of `line`. Pure. */
bool cgroup_parse_mount(char *line, char **ret_root, char **ret_point);

/* The path, as a file, of the cgroup with this id, by any descriptor (no O_PATH) of its file
 * system. Returns 0; -ESTALE when it is gone, -EPERM when we may not ask, or another -errno. */
int cgroup_path_of_id(int folder_fd, uint64_t id, char *ret, size_t size_bytes);

/* What a service's cgroup in the folder is called: CGROUP_SERVICE_PREFIX and the service's name. */
#define CGROUP_SERVICE_PREFIX "service-" /* a service may be called "cgroup.procs" */

/* Opens the cgroup of a service in the folder, and makes it where it is missing. Returns a
 * descriptor (close-on-exec, the caller's) or -errno. */
int cgroup_open(int folder_fd, const char *service);

/* Whether a process is in it, or below it: 1 or 0, or -errno. */
int cgroup_is_populated(int cgroup_fd);

/* Whether there are cgroups below it, which somebody in it has made. */
bool cgroup_is_divided(int cgroup_fd);

/* Has what is in it run again, where somebody has frozen it (cgroup.freeze). Returns 0, or -EBUSY
 * when it stays frozen, or the folder is: nothing can be executed in it then, and who waits for
 * that hangs. */
int cgroup_thaw(int folder_fd, int cgroup_fd);

/* SIGKILL to all that is in it, and below it. Returns 0 or -errno. What is put into it by
 * CLONE_INTO_CGROUP afterwards may be killed at birth, by a bug of kernels (seen with 6.18: the
 * child's count of kills is the parent's cgroup's, and is compared with its new one's). So a cgroup
 * that was killed is to be renewed before it is used again. */
int cgroup_kill(int cgroup_fd);

/* Removes the empty cgroup of a service with all below it, and makes it again. Returns a descriptor
 * (close-on-exec, the caller's) or -errno. */
int cgroup_renew(int folder_fd, const char *service);

/* A signal to every process in it and below it, one by one. Returns how many got it, or -errno. */
int cgroup_signal(int cgroup_fd, int signal);

/* The pids in it and below it: at most `room` are stored. Returns how many there are, or -errno. */
int cgroup_processes(int cgroup_fd, int32_t *pids, size_t room);

/* Whether the process, a zombie too, is in it or below it. Not known counts as no. */
bool cgroup_contains(int cgroup_fd, int32_t pid);

/* Its memory use in bytes (0 where the controller is not enabled: -ENOENT). */
int64_t cgroup_memory_bytes(int cgroup_fd);

/* Opens cgroup.events, which becomes ready (EPOLLPRI) when populated changes. The caller's. */
int cgroup_open_events(int cgroup_fd);

/* Removes the cgroup of a service, when it is empty. Returns 0 or -errno. */
int cgroup_remove(int folder_fd, const char *service);

/* Removes the folder of cgroup_create_folder(), and all in it that is empty. */
void cgroup_remove_folder(int folder_fd);
