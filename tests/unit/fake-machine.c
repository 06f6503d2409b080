/* The machine: its files, its clock, its processes, and how it is run. */
#include "fake-machine.h"
#include "fake-machine-parts.h"
#include "init/record.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FIRST_PID    100
#define APART_MOST_S 120
#define TIME_MOST_NS (3600ull * 1000000000)
#define BEGIN_NS     (1000ull * 1000000000)
#define OWN_FD_FIRST 700 /* the machine's own descriptors, out of init's way */
#define TRIES_MOST   5000

struct machine *machine;
jmp_buf machine_way_out;
const struct record *machine_record;
bool (*machine_on_wait)(void);

static char root[MACHINE_PATH / 2]; /* "": there is none */
static size_t fault_at = SIZE_MAX;
static int fault_error;

pid_t __real_waitpid(pid_t pid, int *status, int flags); /* NOLINT: the linker's name */

void __attribute__((noreturn)) __real__exit(int status); /* NOLINT */

static int high(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, OWN_FD_FIRST);
    close(fd);
    return copy;
}

/* ---- answers and notes ---------------------------------------------------------------------- */

void machine_answer(const char *call, const char *with, long answer, unsigned times)
{
    for (size_t i = 0; i < sizeof machine->rules / sizeof machine->rules[0]; i++) {
        struct machine_rule *rule = &machine->rules[i];
        if (rule->times)
            continue;
        *rule = (struct machine_rule){.answer = answer, .times = times};
        snprintf(rule->call, sizeof rule->call, "%s", call);
        snprintf(rule->with, sizeof rule->with, "%s", with);
        return;
    }
    CHECK(!"there is room for an answer");
}

/* In a child: it is gone, and nobody is told before it is killed. */
static void machine_hang(void)
{
    CHECK(machine->is_child);
    machine->hung = true;
    __real__exit(1);
}

static bool has_fault(const char *call, long *ret)
{
    if (!machine->counting || machine->failed[0] || machine->left--)
        return false;
    snprintf(machine->failed, sizeof machine->failed, "%s", call);
    *ret = -machine->error;
    return true;
}

bool machine_answers(const char *call, const char *with, long *ret)
{
    bool found = has_fault(call, ret);
    for (size_t i = 0; i < sizeof machine->rules / sizeof machine->rules[0] && !found; i++) {
        struct machine_rule *rule = &machine->rules[i];
        if (!rule->times || strcmp(rule->call, call) != 0 || !strstr(with ? with : "", rule->with))
            continue;
        if (rule->times != FOR_GOOD)
            rule->times--;
        *ret = rule->answer;
        found = true;
    }
    if (found && *ret == MACHINE_HANGS)
        machine_hang();
    if (found && *ret == MACHINE_IS_SLOW)
        return machine_pass(6000), false;
    if (found && *ret == MACHINE_FAULTS)
        *(volatile int *)8 = 1; /* NOLINT: it is meant */
    if (found && *ret == MACHINE_IS_SENT)
        return raise(SIGBUS), false; /* by a process that is not the machine's first one */
    if (found && *ret < 0)
        errno = (int)-*ret;
    return found;
}

void machine_note(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int bytes = vsnprintf(machine->did + machine->did_bytes,
                          sizeof machine->did - machine->did_bytes, format, list);
    va_end(list);
    machine->did_bytes += (size_t)bytes;
    if (machine->did_bytes + 2 >= sizeof machine->did) {
        fprintf(stderr, "init does too much: %.400s\n", machine->did);
        abort();
    }
    machine->did[machine->did_bytes++] = '\n';
    machine->did[machine->did_bytes] = 0;
}

const char *machine_did(void)
{
    return machine->did;
}

int machine_times(const char *what)
{
    int count = 0;
    for (const char *at = machine->did; (at = strstr(at, what)); at++)
        count++;
    return count;
}

void machine_say(const char *bytes, size_t count)
{
    if (count >= sizeof machine->console - machine->console_bytes)
        machine->console_bytes = 0;
    for (size_t i = 0; i < count; i++) { /* columns are for people */
        bool again = machine->console_bytes && bytes[i] == ' ' &&
                     machine->console[machine->console_bytes - 1] == ' ';
        if (!again)
            machine->console[machine->console_bytes++] = bytes[i];
    }
    machine->console[machine->console_bytes] = 0;
}

const char *machine_console(void)
{
    return machine->console;
}

bool machine_said(const char *what)
{
    return strstr(machine->console, what) != NULL;
}

void machine_forget(void)
{
    machine->console_bytes = machine->did_bytes = 0;
    machine->console[0] = machine->did[0] = 0;
}

/* ---- files ---------------------------------------------------------------------------------- */

/* Where a file of the machine is. */
const char *machine_path(const char *path, char storage[static MACHINE_PATH])
{
    size_t bytes = strlen(machine->root);
    if (path[0] != '/' || strncmp(path, machine->root, bytes) == 0)
        return path;
    snprintf(storage, MACHINE_PATH, "%s%s", machine->root, path);
    return storage;
}

static void make_parents(const char *path)
{
    char folder[MACHINE_PATH];
    snprintf(folder, sizeof folder, "%s", path);
    for (char *at = folder + strlen(machine->root) + 1; (at = strchr(at, '/')); at++) {
        *at = 0;
        mkdir(folder, 0755);
        *at = '/';
    }
}

void machine_file(const char *path, const char *text)
{
    char storage[MACHINE_PATH];
    bool on = machine->on;
    machine->on = false;
    path = machine_path(path, storage);
    if (text) {
        FILE *file = fopen(path, "w");
        if (!file) {
            make_parents(path);
            file = fopen(path, "w");
        }
        CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
    } else {
        unlink(path);
    }
    machine->on = on;
}

void machine_link(const char *path, const char *to)
{
    char storage[MACHINE_PATH];
    bool on = machine->on;
    machine->on = false;
    path = machine_path(path, storage);
    make_parents(path);
    unlink(path);
    CHECK_NUMBER(symlink(to, path), 0);
    machine->on = on;
}

void machine_link_file(const char *path, const char *to)
{
    char storage[MACHINE_PATH];
    machine_link(path, machine_path(to, storage));
}

/* What a descriptor is of. */
const char *machine_name_of(int fd, char storage[static MACHINE_PATH])
{
    char path[40];
    bool on = machine->on;
    machine->on = false;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t bytes = readlink(path, storage, MACHINE_PATH - 1);
    storage[bytes > 0 ? bytes : 0] = 0;
    machine->on = on;
    return storage;
}

/* ---- processes ------------------------------------------------------------------------------ */

struct machine_process *machine_find(pid_t pid)
{
    for (size_t i = 0; i < MACHINE_PROCESSES; i++)
        if (machine->processes[i].pid == pid && pid > 0)
            return &machine->processes[i];
    return NULL;
}

pid_t machine_add(const char *name, enum temper temper, int peer)
{
    char path[64], text[200];
    pid_t pid = FIRST_PID;
    struct machine_process *process = machine->processes;
    for (size_t i = 0; i < MACHINE_PROCESSES; i++)
        if (machine->processes[i].pid >= pid)
            pid = machine->processes[i].pid + 1;
    while (process->alive || process->zombie)
        process++;
    *process = (struct machine_process){pid, true, false, 0, temper, peer, -1};
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    snprintf(text, sizeof text, "%d (%s) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 1 1",
             (int)pid, name);
    machine_file(path, text);
    snprintf(path, sizeof path, "/proc/%d/wchan", (int)pid);
    machine_file(path, "do_wait");
    return pid;
}

pid_t machine_process(const char *name, enum temper temper)
{
    return machine_add(name, temper, -1);
}

void machine_temper(pid_t pid, enum temper temper)
{
    machine_find(pid)->temper = temper;
}

int machine_pair(pid_t pid)
{
    int ends[2];
    CHECK_NUMBER(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends), 0);
    machine_find(pid)->peer = high(ends[1]);
    return ends[0];
}

bool machine_is_alive(pid_t pid)
{
    struct machine_process *process = machine_find(pid);
    return process && process->alive;
}

void machine_hang_up(pid_t pid)
{
    struct machine_process *process = machine_find(pid);
    bool on = machine->on;
    machine->on = false;
    if (process->peer >= 0)
        close(process->peer);
    if (process->pipe >= 0)
        close(process->pipe);
    process->peer = process->pipe = -1;
    machine->on = on;
}

/* What is read of one that has just gone. */
static void no_stat(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    machine_file(path, "");
}

void machine_ends(pid_t pid, int status)
{
    struct machine_process *process = machine_find(pid);
    if (!process || !process->alive)
        return;
    machine_hang_up(pid);
    process->alive = false;
    process->zombie = true;
    process->status = status;
    no_stat(pid);
    machine_signal(SIGCHLD, pid);
}

static void kill_one(struct machine_process *process, int signal)
{
    bool ends = signal == SIGKILL ? process->temper != TEMPER_IMMORTAL
                                  : signal == SIGTERM && process->temper == TEMPER_MILD;
    if (process->alive && ends)
        machine_ends(process->pid, signal);
}

void machine_kill(pid_t pid, int signal)
{
    for (size_t i = 0; i < MACHINE_PROCESSES; i++)
        if (machine->processes[i].pid && (pid == -1 || machine->processes[i].pid == pid))
            kill_one(&machine->processes[i], signal);
}

struct machine_process *machine_ended(pid_t pid)
{
    for (size_t i = 0; i < MACHINE_PROCESSES; i++)
        if (machine->processes[i].zombie && (pid == -1 || machine->processes[i].pid == pid))
            return &machine->processes[i];
    return NULL;
}

bool machine_has(pid_t pid)
{
    for (size_t i = 0; i < MACHINE_PROCESSES; i++)
        if ((machine->processes[i].alive || machine->processes[i].zombie) &&
            (pid == -1 || machine->processes[i].pid == pid))
            return true;
    return false;
}

void machine_become_child(unsigned count)
{
    machine->become = machine->forks + 1 + count;
}

void machine_signal(int signal, pid_t sender)
{
    struct signalfd_siginfo info = {.ssi_signo = (uint32_t)signal,
                                    .ssi_pid = (uint32_t)sender,
                                    .ssi_code = sender ? SI_USER : SI_KERNEL};
    bool on = machine->on;
    machine->on = false;
    CHECK_NUMBER(write(machine->signals_end, &info, sizeof info), sizeof info);
    machine->on = on;
}

struct kept *machine_kept(void)
{
    return machine_record ? machine_record->kept : NULL;
}

pid_t machine_child(enum child_id child)
{
    struct kept *kept = machine_kept();
    pid_t pid = kept ? kept->children[child].pid : 0;
    return machine_is_alive(pid) ? pid : 0;
}

/* ---- messages ------------------------------------------------------------------------------- */

int machine_send(pid_t pid, const struct hand_over_message *message, const int *fds, size_t count)
{
    struct hand_over_message copy = *message;
    bool on = machine->on;
    machine->on = false;
    int result = hand_over_send(machine_find(pid)->peer, &copy, fds, count);
    machine->on = on;
    return result;
}

void machine_say_type(enum child_id child, unsigned type, int argument)
{
    struct hand_over_message message = {.type = (uint16_t)type, .argument = argument};
    CHECK_NUMBER(machine_send(machine_child(child), &message, NULL, 0), 0);
}

int machine_receive(pid_t pid, struct hand_over_message *ret)
{
    int fds[HAND_OVER_KEYS_MAX];
    size_t count = 0;
    bool on = machine->on;
    machine->on = false;
    int result = hand_over_receive(machine_find(pid)->peer, ret, fds, &count);
    for (size_t i = 0; result == 1 && i < count; i++)
        close(fds[i]);
    machine->on = on;
    return result;
}

void machine_write(pid_t pid, const void *bytes, size_t count)
{
    bool on = machine->on;
    machine->on = false;
    CHECK_NUMBER(write(machine_find(pid)->pipe, bytes, count), count);
    machine->on = on;
}

bool machine_got(pid_t pid, unsigned type, struct hand_over_message *ret)
{
    struct hand_over_message message;
    bool found = false;
    while (machine_receive(pid, &message) == 1) {
        if (message.type != type)
            continue;
        found = true;
        if (ret)
            *ret = message;
    }
    return found;
}

/* ---- running -------------------------------------------------------------------------------- */

uint64_t machine_now_ns(void)
{
    return machine->now_ns;
}

void machine_pass(unsigned ms)
{
    machine->now_ns += ms * 1000000ull;
}

bool machine_wait(uint64_t until_ns)
{
    machine->on = false;
    bool done = machine_on_wait && machine_on_wait();
    machine->on = true;
    if (done)
        return true;
    if (until_ns == UINT64_MAX || until_ns > BEGIN_NS + TIME_MOST_NS)
        machine_end(MACHINE_STUCK);
    if (machine->now_ns < until_ns)
        machine->now_ns = until_ns;
    return false;
}

void machine_end(int how)
{
    machine->on = false;
    longjmp(machine_way_out, how + 1);
}

void machine_stop(void)
{
    machine_end(MACHINE_STOPPED);
}

int machine_run(void (*function)(void *), void *argument)
{
    int how = setjmp(machine_way_out);
    if (how)
        return how - 1;
    machine->on = true;
    function(argument);
    machine->on = false;
    return MACHINE_RETURNED;
}

static const struct machine_act *acts;
static size_t act_count, played;

static bool play(void)
{
    if (played == act_count || !machine_kept() || (acts[played].when && !acts[played].when()))
        return false;
    acts[played++].then();
    return true;
}

size_t machine_played(void)
{
    return played;
}

struct resumed {
    int count;
    char **words;
};

static void main_again(void *argument)
{
    struct resumed *resumed = argument;
    init_main(resumed->count, resumed->words);
}

int machine_boot(const char *const *words, bool (*on_wait)(void))
{
    static const char *const plain[] = {"init", "--log-level", "debug", NULL};
    struct resumed begun = {0, (char **)(words ? words : plain)};
    while (begun.words[begun.count])
        begun.count++;
    machine_on_wait = on_wait;
    return machine_run(main_again, &begun);
}

int machine_boot_with(int count, char **words)
{
    struct resumed begun = {count, words};
    return machine_run(main_again, &begun);
}

int machine_live(const char *const *words, const struct machine_act *acts_, size_t count)
{
    acts = acts_;
    act_count = count;
    played = 0;
    return machine_boot(words, play);
}

bool machine_both_run(void)
{
    return machine_child(CHILD_LAUNCHER) && machine_child(CHILD_JOURNAL);
}

void machine_both_ready(void)
{
    machine_say_type(CHILD_JOURNAL, HAND_OVER_READY, 0);
    machine_say_type(CHILD_LAUNCHER, HAND_OVER_READY, 0);
}

bool machine_both_heard(void)
{
    const struct kept_child *children = machine_kept()->children;
    return machine_both_run() && children[CHILD_LAUNCHER].ready && children[CHILD_JOURNAL].ready;
}

void machine_over(void)
{
    machine_stop();
}

int machine_resume(int record_fd)
{
    static char line[] = "init\0--resume\0              \0--log-level\0debug";
    static char *words[6];
    struct resumed resumed = {5, words};
    snprintf(line + sizeof "init" + sizeof "--resume" - 0, 15, "%014d", record_fd);
    words[0] = line;
    for (int i = 1; i < 5; i++)
        words[i] = words[i - 1] + strlen(words[i - 1]) + 1;
    for (int fd = 3; fd < OWN_FD_FIRST; fd++)
        if (fcntl(fd, F_GETFD) == FD_CLOEXEC)
            close(fd);
    return machine_run(main_again, &resumed);
}

int machine_descriptors(void)
{
    int count = 0;
    for (int fd = 3; fd < OWN_FD_FIRST; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void make_files(void)
{
    snprintf(root, sizeof root, "%s/machine.XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    CHECK(mkdtemp(root) != NULL);
    snprintf(machine->root, sizeof machine->root, "%s", root);
    machine_link("/proc/self", "1");
    machine_file("/sys/fs/file", "");
    machine_file("/proc/cmdline", "root=/dev/vda\n");
    machine_file("/proc/swaps", "Filename Type Size Used Priority\n");
    machine_file("/proc/1/mountinfo", "20 1 8:1 / / rw - ext4 /dev/vda rw\n");
    machine_link("/proc/1/ns/pid", "pid:[4026531836]");
    machine_link("/proc/1/ns/cgroup", "cgroup:[4026531835]");
    machine_link("/proc/1/exe", "/usr/lib/conit/init");
    machine_file("/usr/lib/conit/init", "ELF");
    machine_file("/dev/console", "");
    machine_file("/dev/null", "");
    machine_file("/etc/hostname", "box\n");
}

static void make(void)
{
    int ends[2];
    machine =
        mmap(NULL, sizeof *machine, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    machine->now_ns = BEGIN_NS;
    machine->spare_pipe = machine->spare_peer = machine->timer_fd = machine->signals_fd = -1;
    CHECK_NUMBER(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    machine->signals_fd = high(ends[0]);
    machine->signals_end = high(ends[1]);
    machine->counting = fault_at != SIZE_MAX;
    machine->left = fault_at;
    machine->error = fault_error;
    if (!root[0])
        make_files();
    snprintf(machine->root, sizeof machine->root, "%s", root);
}

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *place)
{
    (void)about, (void)kind, (void)place;
    return remove(path);
}

static void remove_files(void)
{
    nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    root[0] = 0;
}

/* Returns whether a call has failed in it. Its files stay. */
static bool run_apart(void (*body)(void))
{
    int status = 0;
    make();
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(APART_MOST_S);
        test_failures = 0;
        body();
        machine->on = false;
        fflush(NULL);
        _exit(test_failures != 0);
    }
    CHECK_NUMBER(__real_waitpid(pid, &status, 0), pid);
    bool had_fault = machine->failed[0] != 0;
    if (status) {
        CHECK_NUMBER(status, 0);
        fprintf(stderr, "  fault: %s\n", had_fault ? machine->failed : "none");
        fprintf(stderr, "---- did\n%s---- console\n%s----\n", machine->did, machine->console);
    }
    machine->on = false;
    for (size_t i = 0; i < MACHINE_PROCESSES; i++)
        if (machine->processes[i].alive)
            no_stat(machine->processes[i].pid);
    close(machine->signals_fd);
    close(machine->signals_end);
    munmap(machine, sizeof *machine);
    machine = NULL;
    return had_fault;
}

void machine_apart(void (*body)(void))
{
    run_apart(body);
    remove_files();
}

const char *machine_fault(void)
{
    return machine->failed[0] ? machine->failed : NULL;
}

void machine_faults_end(void)
{
    machine->counting = false;
}

size_t machine_fail_each(int error, void (*attempt)(void))
{
    return machine_fail_some(error, attempt, 0, 1);
}

size_t machine_fail_some(int error, void (*attempt)(void), size_t first, size_t of)
{
    size_t tried = 0;
    int failures = test_failures;
    fault_error = error;
    fault_at = SIZE_MAX;
    run_apart(attempt);
    for (fault_at = first; run_apart(attempt) && tried < TRIES_MOST; fault_at += of, tried++)
        if (test_failures > failures + 10)
            break;
    fault_at = SIZE_MAX;
    remove_files();
    return tried;
}
