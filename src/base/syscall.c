/* System calls for which a C library we build with has no wrapper.
 *
 * clone3 with a new stack cannot go through syscall(): the child would return into a frame that
 * is not on its stack. So the call, and the jump into the child's function, are a few lines of
 * assembly for each machine. */
#include "base/syscall.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_open_tree
#define SYS_open_tree 428
#endif
#ifndef SYS_move_mount
#define SYS_move_mount 429
#endif
#ifndef SYS_fsopen
#define SYS_fsopen 430
#endif
#ifndef SYS_fsconfig
#define SYS_fsconfig 431
#endif
#ifndef SYS_fsmount
#define SYS_fsmount 432
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#define MOVE_FROM_DESCRIPTOR 4u    /* MOVE_MOUNT_F_EMPTY_PATH */
#define MOVE_TO_LINKS        0x10u /* MOVE_MOUNT_T_SYMLINKS */
#define CLOSE_ON_EXEC        1u    /* FSOPEN_CLOEXEC, FSMOUNT_CLOEXEC */
#define SET_STRING           1u    /* FSCONFIG_SET_STRING */
#define CREATE               6u    /* FSCONFIG_CMD_CREATE */

pid_t syscall_clone3(const struct clone3_arguments *arguments, void (*function)(void *),
                     void *argument)
{
#if defined(__x86_64__)
    long result = SYS_clone3;
    __asm__ volatile("syscall\n\t"
                     "testq %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xorl %%ebp, %%ebp\n\t"
                     "andq $-16, %%rsp\n\t"
                     "movq %[argument], %%rdi\n\t"
                     "callq *%[function]\n\t"
                     "hlt\n"
                     "1:\n\t"
                     : "+a"(result)
                     : "D"(arguments),
                       "S"(sizeof *arguments), [function] "r"(function), [argument] "r"(argument)
                     : "rcx", "r11", "memory");
    return (pid_t)result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = SYS_clone3;
    register long x0 __asm__("x0") = (long)arguments;
    register long x1 __asm__("x1") = sizeof *arguments;
    __asm__ volatile("svc #0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x29, #0\n\t"
                     "mov x0, %[argument]\n\t"
                     "blr %[function]\n\t"
                     "brk #1\n"
                     "1:\n\t"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), [function] "r"(function), [argument] "r"(argument)
                     : "memory");
    return (pid_t)x0;
#elif defined(__riscv) && __riscv_xlen == 64
    register long a7 __asm__("a7") = SYS_clone3;
    register long a0 __asm__("a0") = (long)arguments;
    register long a1 __asm__("a1") = sizeof *arguments;
    __asm__ volatile("ecall\n\t"
                     "bnez a0, 1f\n\t"
                     "mv a0, %[argument]\n\t"
                     "jalr %[function]\n\t"
                     "ebreak\n"
                     "1:\n\t"
                     : "+r"(a0)
                     : "r"(a7), "r"(a1), [function] "r"(function), [argument] "r"(argument)
                     : "memory");
    return (pid_t)a0;
#else
#error "clone3 with a stack is written for x86_64, aarch64 and riscv64: add this machine's lines"
#endif
}

static int or_errno(long result)
{
    return result < 0 ? -errno : (int)result;
}

int syscall_pidfd_open(pid_t pid, unsigned flags)
{
    return or_errno(syscall(SYS_pidfd_open, pid, flags));
}

int syscall_pidfd_send_signal(int pidfd, int signal)
{
    return or_errno(syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0));
}

int syscall_close_range(unsigned first, unsigned last, unsigned flags)
{
    return or_errno(syscall(SYS_close_range, first, last, flags));
}

int syscall_open_tree(int folder_fd, const char *path, unsigned flags)
{
    return or_errno(syscall(SYS_open_tree, folder_fd, path, flags));
}

int syscall_move_mount(int tree_fd, const char *path)
{
    return or_errno(
        syscall(SYS_move_mount, tree_fd, "", AT_FDCWD, path, MOVE_FROM_DESCRIPTOR | MOVE_TO_LINKS));
}

int syscall_mount_new(const char *type, uint64_t attributes)
{
    AUTO_CLOSE int context = or_errno(syscall(SYS_fsopen, type, CLOSE_ON_EXEC));
    if (context < 0)
        return context;
    if (syscall(SYS_fsconfig, context, SET_STRING, "source", type, 0) < 0 ||
        syscall(SYS_fsconfig, context, CREATE, NULL, NULL, 0) < 0)
        return -errno;
    return or_errno(syscall(SYS_fsmount, context, CLOSE_ON_EXEC, attributes));
}

int syscall_mount_set(int fd, const char *path, unsigned flags, uint64_t attributes)
{
    /* struct mount_attr of linux/mount.h */
    const uint64_t attribute[4] = {[0] = attributes};
    return or_errno(syscall(SYS_mount_setattr, fd, path, flags, attribute, sizeof attribute));
}
