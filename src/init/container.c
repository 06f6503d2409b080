/* Machine or container: asked before anything is touched, and never wrong towards the machine. */
#include "init/container.h"
#include "base/cleanup.h"

#include <fcntl.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/syscall.h>

/* The kernel's PROC_PID_INIT_INO: fixed since namespaces have inodes. */
#define INITIAL_PID_NAMESPACE "pid:[4026531836]"

/* Of linux/mount.h, which a C library's headers need not have. */
#define FSOPEN_CLOSE_ON_EXEC  1u
#define FSMOUNT_CLOSE_ON_EXEC 1u
#define FSCONFIG_CREATE       6u
#define ATTRIBUTES            (0x2u | 0x4u | 0x8u) /* nosuid, nodev, noexec */

static int mount_detached_proc(void)
{
    AUTO_CLOSE int context = (int)syscall(SYS_fsopen, "proc", FSOPEN_CLOSE_ON_EXEC);
    if (context < 0 || syscall(SYS_fsconfig, context, FSCONFIG_CREATE, NULL, NULL, 0) < 0)
        return -errno;
    long mounted = syscall(SYS_fsmount, context, FSMOUNT_CLOSE_ON_EXEC, ATTRIBUTES);
    return mounted < 0 ? -errno : (int)mounted;
}

int container_open_proc(void)
{
    char self[8];
    int proc = mount_detached_proc();
    if (proc >= 0)
        return proc;
    /* A proc of another namespace shows us under another number. */
    ssize_t length = readlink("/proc/self", self, sizeof self);
    if (length != 1 || self[0] != '1')
        return proc;
    int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

bool container_is_initial_namespace(const char *link)
{
    return strcmp(link, INITIAL_PID_NAMESPACE) == 0;
}

bool container_detect(int proc_fd)
{
    char link[64];
    ssize_t length = proc_fd >= 0 ? readlinkat(proc_fd, "self/ns/pid", link, sizeof link - 1)
                                  : readlink("/proc/self/ns/pid", link, sizeof link - 1);
    if (length < 0)
        return true;
    link[length] = 0;
    /* Only in this order: the second question already changes something on a machine. */
    return !container_is_initial_namespace(link) || reboot(RB_DISABLE_CAD) < 0;
}
