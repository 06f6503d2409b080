/* Makes system calls fail: inject FILE NAME,NAME…|all COMMAND…, or inject --list.
 *
 * COMMAND and all below it run with a seccomp filter that asks a supervisor, a process of this
 * program, about each of the named system calls (seccomp_unotify(2)). It writes into FILE
 * (faults.h) where in which of conit's programs the call is made, lets it pass, or answers that it
 * failed, as the rule in FILE says. A service's calls pass. It ends with the last process that has
 * the filter.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chain.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

#define CALL(name, path, ...)                                                                      \
    {                                                                                              \
#name, SYS_##name, path, {__VA_ARGS__ }, #__VA_ARGS__                                      \
    }

/* Every call that can fail and has a meaning when it does. Left out: what cannot fail (getpid),
 * what takes away (close: the descriptor would stay), waits (epoll_wait only fails by EINTR), and
 * futex. `path`: which argument is one, -1 none. */
static const struct call {
    const char *name;
    int number, path;
    int errors[4];
    const char *words;
} calls[] = {
#ifdef SYS_fork
    CALL(fork, -1, EAGAIN, ENOMEM),
    CALL(vfork, -1, EAGAIN, ENOMEM),
#endif
    CALL(clone, -1, EAGAIN, ENOMEM),
    CALL(clone3, -1, EAGAIN, ENOMEM, EBUSY),
    CALL(execve, 0, EAGAIN, ENOMEM, ENOENT),
    CALL(execveat, 1, EAGAIN, ENOMEM),
#ifdef SYS_open
    CALL(open, 0, EMFILE, ENFILE, EACCES, EIO),
    CALL(mkdir, 0, EROFS, ENOSPC),
    CALL(rmdir, 0, EBUSY),
    CALL(unlink, 0, EROFS, EIO),
    CALL(rename, 0, ENOSPC, EIO),
    CALL(symlink, 1, ENOSPC, EROFS),
    CALL(stat, 0, EIO, ENOMEM),
    CALL(lstat, 0, EIO, ENOMEM),
    CALL(access, 0, EIO, ENOMEM),
    CALL(chmod, 0, EROFS, EPERM),
    CALL(chown, 0, EROFS, EPERM),
    CALL(readlink, 0, EIO, ENOMEM),
    CALL(pipe, -1, EMFILE, ENFILE),
    CALL(dup2, -1, EMFILE),
    CALL(getdents, -1, EIO, ENOMEM),
#endif
    CALL(openat, 1, EMFILE, ENFILE, EACCES, EIO),
    CALL(openat2, 1, EMFILE, EACCES),
    CALL(mkdirat, 1, EROFS, ENOSPC, EAGAIN),
    CALL(unlinkat, 1, EROFS, EIO),
    CALL(renameat, 1, ENOSPC, EIO),
    CALL(renameat2, 1, ENOSPC, EIO),
    CALL(linkat, 1, ENOSPC, EIO),
    CALL(symlinkat, 2, ENOSPC, EROFS),
    CALL(readlinkat, 1, EIO, ENOMEM),
    CALL(newfstatat, 1, EIO, ENOMEM),
    CALL(statx, 1, EIO, ENOMEM),
    CALL(statfs, 0, EIO),
    CALL(fstatfs, -1, EIO),
    CALL(fstat, -1, EIO, ENOMEM),
    CALL(faccessat, 1, EIO),
    CALL(faccessat2, 1, EIO),
    CALL(fchmod, -1, EPERM, EROFS),
    CALL(fchmodat, 1, EPERM, EROFS),
    CALL(fchown, -1, EPERM, EROFS),
    CALL(fchownat, 1, EPERM, EROFS),
    CALL(utimensat, 1, EPERM),
    CALL(chdir, 0, EACCES, EIO),
    CALL(fchdir, -1, EACCES),
    CALL(chroot, 0, EPERM, EACCES),
    CALL(mount, 1, EPERM, ENOMEM),
    CALL(umount2, 0, EBUSY, EPERM),
    CALL(read, -1, EIO, ENOMEM),
    CALL(readv, -1, EIO, ENOMEM),
    CALL(pread64, -1, EIO),
    CALL(preadv, -1, EIO),
    CALL(write, -1, ENOSPC, EIO, EAGAIN),
    CALL(writev, -1, ENOSPC, EIO, EAGAIN),
    CALL(pwrite64, -1, ENOSPC, EIO),
    CALL(pwritev, -1, ENOSPC, EIO),
    CALL(copy_file_range, -1, ENOSPC, EIO),
    CALL(sendfile, -1, ENOSPC, EIO),
    CALL(getdents64, -1, EIO, ENOMEM),
    CALL(ftruncate, -1, ENOMEM, ENOSPC),
    CALL(fallocate, -1, ENOSPC, EIO),
    CALL(fsync, -1, EIO, ENOSPC),
    CALL(fdatasync, -1, EIO, ENOSPC),
    CALL(sync_file_range, -1, EIO),
    CALL(syncfs, -1, EIO),
    CALL(flock, -1, ENOLCK),
    CALL(fcntl, -1, EMFILE),
    CALL(ioctl, -1, EIO, ENOTTY),
    CALL(dup, -1, EMFILE),
    CALL(dup3, -1, EMFILE),
    CALL(pipe2, -1, EMFILE, ENFILE),
    CALL(splice, -1, ENOMEM, EIO),
    CALL(tee, -1, ENOMEM),
    CALL(vmsplice, -1, ENOMEM),
    CALL(socket, -1, EMFILE, ENOBUFS),
    CALL(socketpair, -1, EMFILE, ENFILE),
    CALL(bind, -1, ENOMEM, EACCES),
    CALL(listen, -1, EADDRINUSE),
    CALL(connect, -1, EAGAIN, ECONNREFUSED),
    CALL(accept4, -1, EMFILE, ENFILE, ENOMEM),
    CALL(getsockopt, -1, ENOBUFS),
    CALL(setsockopt, -1, ENOMEM),
    CALL(getsockname, -1, ENOBUFS),
    CALL(sendto, -1, ENOBUFS, ENOMEM, EAGAIN),
    CALL(recvfrom, -1, ENOMEM, EAGAIN),
    CALL(sendmsg, -1, ENOBUFS, ENOMEM, EAGAIN),
    CALL(recvmsg, -1, ENOBUFS, ENOMEM, EAGAIN),
    CALL(shutdown, -1, ENOTCONN),
    CALL(epoll_create1, -1, EMFILE, ENOMEM),
    CALL(epoll_ctl, -1, ENOSPC, ENOMEM),
    CALL(timerfd_create, -1, EMFILE, ENOMEM),
    CALL(signalfd4, -1, EMFILE, ENOMEM),
    CALL(eventfd2, -1, EMFILE, ENOMEM),
    CALL(inotify_init1, -1, EMFILE, ENOMEM),
    CALL(inotify_add_watch, 1, ENOSPC, ENOMEM),
    CALL(inotify_rm_watch, -1, EINVAL),
    CALL(pidfd_open, -1, EMFILE, ENOMEM),
    CALL(pidfd_send_signal, -1, ENOMEM),
    CALL(pidfd_getfd, -1, EMFILE),
    CALL(kill, -1, EPERM),
    CALL(mmap, -1, ENOMEM, EAGAIN),
    CALL(mremap, -1, ENOMEM),
    CALL(mprotect, -1, ENOMEM),
    CALL(brk, -1, ENOMEM),
    CALL(madvise, -1, EAGAIN),
    CALL(mlock, -1, ENOMEM),
    CALL(memfd_create, -1, EMFILE, ENOMEM),
    CALL(getrandom, -1, ENOSYS),
    CALL(prctl, -1, EINVAL),
    CALL(setsid, -1, EPERM),
    CALL(setpgid, -1, EPERM),
    CALL(setuid, -1, EAGAIN),
    CALL(setgid, -1, EPERM),
    CALL(setresuid, -1, EAGAIN),
    CALL(setresgid, -1, EPERM),
    CALL(setgroups, -1, ENOMEM),
    CALL(capset, -1, EPERM),
    CALL(capget, -1, EPERM),
    CALL(prlimit64, -1, EPERM),
    CALL(setpriority, -1, EACCES),
    CALL(ioprio_set, -1, EPERM),
    CALL(sched_setscheduler, -1, EPERM),
    CALL(sched_setattr, -1, EPERM),
    CALL(sched_setaffinity, -1, EINVAL),
    CALL(sigaltstack, -1, ENOMEM),
    CALL(rt_sigtimedwait, -1, EAGAIN),
    CALL(close_range, -1, EINVAL, ENOMEM),
    CALL(unshare, -1, ENOMEM),
    CALL(sethostname, -1, EPERM),
    CALL(reboot, -1, EPERM),
    CALL(swapoff, 0, ENOMEM),
};
enum { CALLS = sizeof calls / sizeof calls[0] };

static struct faults *faults;
static _Noreturn void die(const char *what)
{
    fprintf(stderr, "inject: %s: %s\n", what, strerror(errno));
    _exit(125);
}

/* Programs, as files. */

static struct text text_of(const char *path, uint64_t *ret_first)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat stat;
    if (fd < 0 || fstat(fd, &stat) < 0)
        return (struct text){0};
    const unsigned char *bytes = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (bytes == MAP_FAILED)
        return (struct text){0};
    const Elf64_Ehdr *head = (const void *)bytes;
    const Elf64_Phdr *segments = (const void *)(bytes + head->e_phoff);
    struct text text = {0};
    *ret_first = UINT64_MAX;
    for (int i = 0; i < head->e_phnum; i++) {
        if (segments[i].p_type != PT_LOAD)
            continue;
        if (segments[i].p_vaddr < *ret_first)
            *ret_first = segments[i].p_vaddr & ~(uint64_t)0xfff;
        if (segments[i].p_flags & PF_X)
            text = (struct text){bytes + segments[i].p_offset, segments[i].p_vaddr,
                                 segments[i].p_filesz};
    }
    return text;
}

/* The table of a program's frames, where CONIT_FRAMES names a folder that has it. */
static struct frames frames_of(const char *program)
{
    char path[512];
    const char *folder = getenv("CONIT_FRAMES");
    snprintf(path, sizeof path, "%s/%s", folder ? folder : "", program);
    int fd = folder ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    struct stat stat;
    if (fd < 0 || fstat(fd, &stat) < 0)
        return (struct frames){0};
    const void *rows = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (rows == MAP_FAILED)
        return (struct frames){0};
    return (struct frames){rows, (size_t)stat.st_size / sizeof(struct frame_row)};
}

/* The processes that made a call, by what is known of them. */

static struct process {
    int pid, program; /* program -1: none of ours */
    uint64_t base;    /* how far it lies above where its file says */
    char path[256];
} processes[256];
static struct text texts[FAULTS_PROGRAMS];
static uint64_t firsts[FAULTS_PROGRAMS];
static char text_paths[FAULTS_PROGRAMS][256];
static struct frames frames[FAULTS_PROGRAMS];

static uint64_t base_of(int pid, const char *path)
{
    char name[64], line[512];
    snprintf(name, sizeof name, "/proc/%d/maps", pid);
    FILE *maps = fopen(name, "re");
    uint64_t base = 0;
    while (maps && fgets(line, sizeof line, maps)) {
        if (strstr(line, path)) {
            base = strtoull(line, NULL, 16);
            break;
        }
    }
    if (maps)
        fclose(maps);
    return base;
}

static struct process *process_of(int pid)
{
    char name[64], path[256];
    snprintf(name, sizeof name, "/proc/%d/exe", pid);
    ssize_t length = readlink(name, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = '\0';
    struct process *process = &processes[pid % 256];
    if (process->pid == pid && strcmp(process->path, path) == 0)
        return process;
    *process = (struct process){.pid = pid, .program = -1};
    snprintf(process->path, sizeof process->path, "%s", path);
    const char *base = strrchr(path, '/');
    for (int i = 0; base && i < FAULTS_PROGRAMS; i++) {
        if (strcmp(base + 1, faults_programs[i]) != 0)
            continue;
        if (strcmp(text_paths[i], path) != 0) {
            texts[i] = text_of(path, &firsts[i]);
            frames[i] = frames_of(faults_programs[i]);
            snprintf(text_paths[i], sizeof text_paths[i], "%s", path);
        }
        process->program = i;
        process->base = base_of(pid, path) - firsts[i];
    }
    return process;
}

static int stack_of(int pid, uint64_t *ret)
{
    char name[64], line[256];
    snprintf(name, sizeof name, "/proc/%d/syscall", pid);
    for (int tries = 0; tries < 100; tries++) {
        int fd = open(name, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return -errno;
        ssize_t length = read(fd, line, sizeof line - 1);
        close(fd);
        line[length < 0 ? 0 : length] = '\0';
        unsigned long long sp;
        if (sscanf(line, "%*s %*s %*s %*s %*s %*s %*s %llx", &sp) == 1) {
            *ret = sp;
            return 0;
        }
    }
    return -EAGAIN;
}

static void read_way(const struct seccomp_notif *call, const struct process *process,
                     struct faults_way *way)
{
    static uint64_t words[8192];
    uint64_t sp = 0;
    ssize_t got = -1;
    if (texts[process->program].bytes && stack_of((int)call->pid, &sp) == 0) {
        for (size_t size = sizeof words; size >= 512 && got < 0; size /= 2) {
            struct iovec ours = {words, size}, theirs = {(void *)(uintptr_t)sp, size};
            got = process_vm_readv((int)call->pid, &ours, 1, &theirs, 1, 0);
        }
    }
    find_way(&texts[process->program], &frames[process->program], words,
             got < 0 ? 0 : (size_t)got / sizeof words[0], call->data.instruction_pointer,
             process->base, way);
}

static void read_text(const struct seccomp_notif *call, char text[FAULTS_TEXT])
{
    text[0] = '\0';
    for (int i = 0; i < CALLS; i++) {
        if (calls[i].number != call->data.nr || calls[i].path < 0)
            continue;
        struct iovec ours = {text, FAULTS_TEXT - 1};
        for (size_t size = FAULTS_TEXT - 1; size; size /= 2) {
            struct iovec theirs = {(void *)call->data.args[calls[i].path], size}; // NOLINT
            ours.iov_len = size;
            ssize_t got = process_vm_readv((int)call->pid, &ours, 1, &theirs, 1, 0);
            text[got < 0 ? 0 : got] = '\0';
            if (got > 0)
                return;
        }
    }
}

/* Whether it is one that can fail for want of something: an epoll_ctl that changes or removes, an
 * fcntl that reads or sets flags cannot. */
static bool can_fail(const struct seccomp_data *call)
{
    if (call->nr == SYS_epoll_ctl)
        return call->args[1] == EPOLL_CTL_ADD;
    if (call->nr == SYS_fcntl)
        return call->args[1] == F_DUPFD || call->args[1] == F_DUPFD_CLOEXEC ||
               call->args[1] == F_SETPIPE_SZ || call->args[1] == F_ADD_SEALS;
    return true;
}

/* The errno that this call is to fail with, or 0. */
static int judge(const struct seccomp_notif *call)
{
    struct process *process = process_of((int)call->pid);
    if (process->program < 0 || !can_fail(&call->data))
        return 0;
    struct faults_way way;
    read_way(call, process, &way);
    struct faults_site *site =
        find_site(faults, (uint32_t)process->program, (uint32_t)call->data.nr, &way);
    char path[FAULTS_TEXT];
    read_text(call, path);
    if (site && site->count == 0)
        memcpy(site->text, path, sizeof site->text);
    return site ? judge_site(faults, site, &way, path) : 0;
}

/* A brk(2) that fails returns the break as it is, no error; a C library has it at the end of a
 * page. */
static uint64_t end_of_heap(int pid)
{
    char name[64], line[512];
    snprintf(name, sizeof name, "/proc/%d/maps", pid);
    FILE *maps = fopen(name, "re");
    uint64_t end = 0;
    while (maps && fgets(line, sizeof line, maps)) {
        const char *dash = strchr(line, '-');
        if (dash && strstr(line, "[heap]"))
            end = strtoull(dash + 1, NULL, 16);
    }
    if (maps)
        fclose(maps);
    return end;
}

/* The listener's number goes over in memory: with the filter in force sendmsg would ask somebody
 * who does not answer yet. */
struct meeting {
    _Atomic int number, taken; /* 0: not yet */
};

static void set(_Atomic int *word, int value)
{
    *word = value;
    syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static int wait_for(_Atomic int *word)
{
    while (*word == 0)
        syscall(SYS_futex, word, FUTEX_WAIT, 0, NULL, NULL, 0);
    return *word;
}

static _Noreturn void supervise(struct meeting *meeting, int parent)
{
    int number = wait_for(&meeting->number);
    int listener = (int)syscall(SYS_pidfd_getfd, parent, number, 0);
    if (listener < 0)
        die("take the filter's descriptor");
    close(parent);
    set(&meeting->taken, 1);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    prctl(PR_SET_NAME, "inject");
    for (;;) {
        struct pollfd ready = {listener, POLLIN, 0};
        if (poll(&ready, 1, -1) < 0 && errno != EINTR)
            _exit(1);
        if (ready.revents & (POLLHUP | POLLERR))
            _exit(0);
        struct seccomp_notif call = {0};
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) < 0)
            continue; /* it was killed meanwhile */
        int error = judge(&call);
        struct seccomp_notif_resp answer = {.id = call.id};
        if (error && call.data.nr == SYS_brk)
            answer.val = (int64_t)end_of_heap((int)call.pid);
        else if (error)
            answer.error = -error;
        else
            answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
}

static int install_filter(const char *names)
{
    struct sock_filter filter[2 * CALLS + 3];
    unsigned short n = 0;
    filter[n++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    bool all = strcmp(names, "all") == 0;
    char padded[1024];
    snprintf(padded, sizeof padded, ",%s,", names);
    for (int i = 0; i < CALLS; i++) {
        char one[40];
        snprintf(one, sizeof one, ",%s,", calls[i].name);
        if (!all && !strstr(padded, one))
            continue;
        filter[n++] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i].number, 0, 1);
        filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    }
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {n, filter};
    /* Not interrupted by a signal while it is asked about: it would be asked about, and counted,
     * twice. */
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                        SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
                        &program);
}

static int list(void)
{
    for (int i = 0; i < FAULTS_PROGRAMS; i++)
        printf("program %d %s\n", i, faults_programs[i]);
    for (int i = 0; i < CALLS; i++) {
        printf("call %d %s", calls[i].number, calls[i].name);
        for (int j = 0; j < 4 && calls[i].errors[j]; j++)
            printf(" %d", calls[i].errors[j]);
        printf("\n");
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--list") == 0)
        return list();
    if (argc < 4) {
        fprintf(stderr, "usage: inject FILE NAME,NAME…|all COMMAND…\n");
        return 2;
    }
    int fd = open(argv[1], O_RDWR | O_CLOEXEC), own = (int)syscall(SYS_pidfd_open, getpid(), 0);
    if (fd < 0 || ftruncate(fd, sizeof *faults) < 0)
        die(argv[1]);
    faults = mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    struct meeting *meeting =
        mmap(NULL, sizeof *meeting, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (faults == MAP_FAILED || meeting == MAP_FAILED || own < 0)
        die("begin");
    pid_t child = fork();
    if (child < 0)
        die("fork");
    if (child == 0)
        supervise(meeting, own);
    close(own);
    int listener = install_filter(argv[2]);
    if (listener < 0)
        die("install a seccomp filter");
    set(&meeting->number, listener);
    wait_for(&meeting->taken);
    close(listener);
    execvp(argv[3], argv + 3);
    die(argv[3]);
}
