/* The processes of our PID namespace, out of /proc, without the heap. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PROCESS_NAME_BYTES  64
#define PROCESS_WHERE_BYTES 64

struct process {
    pid_t pid;
    char state; /* as in proc_pid_stat(5) */
    bool kernel_thread;
    uint64_t start_ticks; /* after boot */
    char name[PROCESS_NAME_BYTES];
};

/* A folder of a proc file system of our own PID namespace; it stays the caller's. */
void processes_use(int proc_fd);

/* Calls `visit` for every process that is no zombie, no kernel thread, and not us. Returns how
 * many there were, or -errno where /proc cannot be read. */
int processes_walk(void (*visit)(const struct process *process, void *context), void *context);

/* The text of /proc/PID/stat. Pure. Returns 0 or -EINVAL. */
int process_parse_stat(const char *text, struct process *ret);

/* What it waits for inside the kernel (wchan), or "?". */
void process_where(pid_t pid, char where[static PROCESS_WHERE_BYTES]);
