/* What fake-machine.c, which holds the machine, and fake-machine-calls.c, which stands between init
 * and the C library, share. */
#pragma once

#include "fake-machine.h"

#include <setjmp.h>
#include <signal.h>

#define MACHINE_PROCESSES 64
#define MACHINE_MOUNTS    64
#define MACHINE_PATH      256

struct machine_process {
    pid_t pid;
    bool alive, zombie;
    int status;
    enum temper temper;
    int peer, pipe; /* the other ends of its pair and of its pipe; -1 */
};

struct machine_rule {
    char call[24], with[64];
    long answer;
    unsigned times;
};

/* In memory that is shared with the processes that init really makes. */
struct machine {
    bool on;
    uint64_t now_ns;
    int timer_fd, signals_fd, signals_end; /* the end that is written to */
    uint64_t timer_at_ns;
    int spare_peer, spare_pipe; /* of the pair and the pipe that were made last; -1 */
    bool hung;
    uint64_t soft, hard; /* the limit of descriptors; 0: that of this process */
    unsigned forks, become;
    bool is_child;
    char root[MACHINE_PATH];
    struct machine_process processes[MACHINE_PROCESSES];
    struct machine_rule rules[32];
    char mounts[MACHINE_MOUNTS][64];
    uint64_t mount_ids[MACHINE_MOUNTS], mount_id; /* the last one that was given */
    char did[1 << 17], console[1 << 17];
    size_t did_bytes, console_bytes;
    /* Faults: so many calls are left that work. */
    bool counting;
    size_t left;
    int error;
    char failed[24];
};

extern struct machine *machine;
extern jmp_buf machine_way_out;
extern const struct record *machine_record;

/* Whether there is an answer of the test's, or a fault. A negative one is in errno, too. */
bool machine_answers(const char *call, const char *with, long *ret);
void __attribute__((format(printf, 1, 2))) machine_note(const char *format, ...);
void machine_say(const char *bytes, size_t count);
const char *machine_path(const char *path, char storage[static MACHINE_PATH]);
const char *machine_name_of(int fd, char storage[static MACHINE_PATH]);
void __attribute__((noreturn)) machine_end(int how);

/* The place of a mount, or of none (""). */
char *machine_mounted(const char *target);

/* Time, until something comes or `until_ns`. False: that is over. */
bool machine_wait(uint64_t until_ns);

struct machine_process *machine_find(pid_t pid);
pid_t machine_add(const char *name, enum temper temper, int peer);
void machine_kill(pid_t pid, int signal);
/* One that has ended and is meant by `pid` (-1: any). */
struct machine_process *machine_ended(pid_t pid);
bool machine_has(pid_t pid);
