/* Where init runs: on a machine of its own, or in a container, which shares things with others. */
#pragma once

#include <stdbool.h>

/* A proc file system of our own PID namespace that is mounted nowhere, so that nothing is changed
 * by looking; else the one on /proc, if it is of our namespace. Returns a descriptor or -errno. */
int container_open_proc(void);

/* Whether this process, PID 1, is in a container. It is on a machine only when two signs say so:
 * its PID namespace is the initial one, and the kernel lets it take over Ctrl-Alt-Del, which no
 * other namespace may (pid_namespaces(7), reboot(2)). Whatever cannot be told counts as a
 * container, where less is touched. On a machine Ctrl-Alt-Del sends SIGINT afterwards. `proc_fd`
 * may be negative. */
bool container_detect(int proc_fd);

/* The first sign, told from the target of /proc/self/ns/pid. Pure. */
bool container_is_initial_namespace(const char *link);
