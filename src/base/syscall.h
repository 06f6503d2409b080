/* System calls for which a C library we build with (musl 1.2.3, glibc 2.36) has no wrapper.
 * All return 0 or more, or -errno. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif
#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND 0x100000000ULL
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif
#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE 2u
#endif

/* struct clone_args of linux/sched.h (CLONE_ARGS_SIZE_VER2), see clone3(2). */
struct clone3_arguments {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
        set_tid_size, cgroup;
} __attribute__((aligned(8)));

/* clone3(2) with a stack of the child's own, on which function(argument) runs and then must not
 * return: it executes another program or calls _exit. Returns the child's pid or -errno. */
pid_t syscall_clone3(const struct clone3_arguments *arguments, void (*function)(void *),
                     void *argument);

int syscall_pidfd_open(pid_t pid, unsigned flags);
int syscall_pidfd_send_signal(int pidfd, int signal);

/* open_tree(2), move_mount(2) from a descriptor to an absolute path, mount_setattr(2). Their flags
 * are those of linux/mount.h, here too for C libraries that do not have them. */
#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1u
#endif
#define SYSCALL_AT_RECURSIVE      0x8000u
#define SYSCALL_MOUNT_ATTR_RDONLY 1u
#define SYSCALL_MOUNT_ATTR_NOSUID 2u
#define SYSCALL_MOUNT_ATTR_NODEV  4u
#define SYSCALL_MOUNT_ATTR_NOEXEC 8u
int syscall_open_tree(int folder_fd, const char *path, unsigned flags);
int syscall_move_mount(int tree_fd, const char *path);

/* A new file system of that type, with those attributes, which is nowhere yet: fsopen(2),
 * fsmount(2). Returns a descriptor for syscall_move_mount(). */
int syscall_mount_new(const char *type, uint64_t attributes);

/* Sets attributes of the mount, and with SYSCALL_AT_RECURSIVE of those below it. */
int syscall_mount_set(int fd, const char *path, unsigned flags, uint64_t attributes);

int syscall_close_range(unsigned first, unsigned last, unsigned flags);
