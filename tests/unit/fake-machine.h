/* A machine for the parts of init, in a unit test: they are process 1 of it. Its clock stands still
 * until somebody waits, its processes are numbers, its files are below a folder of the test, and
 * what would change a real machine or end this process is written down instead. For programs
 * that are linked with fake-machine*.c, in which each of init's calls goes through there.
 *
 *   MACHINE_TEST(a_swap_that_cannot_be_switched_off_is_said)
 *   {
 *       machine_file("/proc/swaps", "Filename Type\n/dev/sda2 partition\n");
 *       machine_answer("swapoff", "/dev/sda2", -EIO, 1);
 *       CHECK_NUMBER(machine_run(end, NULL), MACHINE_REBOOTED);
 *       CHECK(machine_said("A last step failed"));
 *   }
 *
 * Each such test is a process of its own, so what is static in init is as after a start. */
#pragma once

#include "init/kept.h"
#include "protocol/hand-over.h"
#include "test.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MACHINE_TEST(name)                                                                         \
    static void name##_on_machine(void);                                                           \
    TEST(name)                                                                                     \
    {                                                                                              \
        machine_apart(name##_on_machine);                                                          \
    }                                                                                              \
    static void name##_on_machine(void)

void machine_apart(void (*body)(void));

/* Init's main(). */
int init_main(int argc, char **argv);

/* ---- what it is asked for ------------------------------------------------------------------- */

/* The next `times` calls of that name, with this in their path or number ("": any), get this
 * answer: a number, or -errno. `call`: as the C library names it ("open", "mount"), or the
 * kernel where it is a syscall(2). */
void machine_answer(const char *call, const char *with, long answer, unsigned times);
#define FOR_GOOD        0xffffffffu
#define MACHINE_HANGS   (-100000) /* in one of init's steps: it does not come back */
#define MACHINE_IS_SLOW (-100003) /* it takes six seconds */
#define MACHINE_FAULTS  (-100001) /* a fault of init's own, in that call */
#define MACHINE_IS_SENT (-100002) /* it is sent SIGBUS meanwhile, and the call is made */

/* How many descriptors a process may have. */
void machine_limit(uint64_t soft, uint64_t hard);

/* What was done so far that would have changed something, one a line: "mount /proc", "kill 100 9".
 */
const char *machine_did(void);

/* Whether it was done; how often. */
int machine_times(const char *what);

/* Whether this was said on the console, where several blanks are one. */
bool machine_said(const char *what);

/* All that was done and said. */
void machine_forget(void);
const char *machine_console(void);

/* A file of the machine; NULL: it is gone. */
void machine_file(const char *path, const char *text);
void machine_link(const char *path, const char *to);
void machine_link_file(const char *path, const char *to); /* to one of the machine's */

/* A file system is mounted there, another one if there is one. */
void machine_mount(const char *target);

/* ---- running -------------------------------------------------------------------------------- */

enum {
    MACHINE_RETURNED = 1000, /* else the status with which the process ended */
    MACHINE_EXECUTED,        /* another program is in its place */
    MACHINE_REBOOTED,
    MACHINE_STOPPED, /* by the test: machine_stop() */
    MACHINE_STUCK,   /* it waits for what will not come */
};

/* Runs it until it ends, in one of these ways. */
int machine_run(void (*function)(void *), void *argument);
void __attribute__((noreturn)) machine_stop(void);

/* The next image of the same process: what is closed on execution is closed, and main() is called
 * with that record. */
int machine_resume(int record_fd);

/* Is called whenever init waits and there is nothing for it. True: something was done. Else time
 * passes until init's next timer. */
extern bool (*machine_on_wait)(void);

/* Boots with these words (NULL: with none that matter), until it ends. */
int machine_boot(const char *const *words, bool (*on_wait)(void));

int machine_boot_with(int count, char **words);

/* What happens, act by act: each when what it waits for is so (NULL: at once). */
struct machine_act {
    bool (*when)(void);
    void (*then)(void);
};

/* Boots, and plays them. */
int machine_live(const char *const *words, const struct machine_act *acts, size_t count);
#define LIVE(acts) machine_live(NULL, acts, sizeof(acts) / sizeof(acts)[0])

/* How many of them have been played. */
size_t machine_played(void);

/* Acts for it: launcher and journal run; both are and say that they are ready; both have been
 * heard; the test is over. */
bool machine_both_run(void);
void machine_both_ready(void);
bool machine_both_heard(void);
void machine_over(void);

/* The next process but `count` that init starts, but for its steps, is this one: what the child
 * does is seen. */
void machine_become_child(unsigned count);

uint64_t machine_now_ns(void);
void machine_pass(unsigned ms);

/* ---- its processes -------------------------------------------------------------------------- */

/* Init's record, and the process in it that is alive; 0: none is. */
struct kept *machine_kept(void);
pid_t machine_child(enum child_id child);
bool machine_is_alive(pid_t pid);

/* A pair with it, for a record; init's end stays open when it executes. */
int machine_pair(pid_t pid);

/* One that init did not make; it is in /proc. `stubborn`: only KILL ends it, or nothing does. */
enum temper { TEMPER_MILD, TEMPER_STUBBORN, TEMPER_IMMORTAL };
pid_t machine_process(const char *name, enum temper temper);
void machine_temper(pid_t pid, enum temper temper);

/* It ends, with this as waitpid(2) gives it. */
void machine_ends(pid_t pid, int status);

/* Somebody sends init a signal; 0: the kernel does. */
void machine_signal(int signal, pid_t sender);

/* The other end of what init made the pair for. */
int machine_send(pid_t pid, const struct hand_over_message *message, const int *fds, size_t count);
/* One without descriptors, of whom is alive. */
void machine_say_type(enum child_id child, unsigned type, int argument);
/* 1, -EAGAIN, 0: init has closed it. What comes with it is closed. */
int machine_receive(pid_t pid, struct hand_over_message *ret);
/* Whether one of this type has come; the last such is in *ret. Takes all. */
bool machine_got(pid_t pid, unsigned type, struct hand_over_message *ret);
void machine_hang_up(pid_t pid);
/* Into the pipe that was made for it. */
void machine_write(pid_t pid, const void *bytes, size_t count);

/* ---- faults --------------------------------------------------------------------------------- */

/* Runs `attempt` on a machine of its own without a fault, and then once for each call that init
 * makes in it, which fails with `error`. Returns how many failed in turn. */
size_t machine_fail_each(int error, void (*attempt)(void));

/* Of these every `of`-th call, from `first` on: a share of them. */
size_t machine_fail_some(int error, void (*attempt)(void), size_t first, size_t of);

/* The call that failed in this attempt, else NULL. */
const char *machine_fault(void);
void machine_faults_end(void);

/* How many descriptors are open that are not the machine's own. */
int machine_descriptors(void);
