/* The table of mounts, read again only when the kernel says that it has changed: proc(5). */
#include "proc/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES 16384

/* File systems of this machine's own kernel and disks. Of what is not listed the worst is believed:
 * then programs start a little slower, and nothing else. autofs waits for its daemon. */
static const char *const own_types[] = {
    "ext4",     "tmpfs",     "proc",        "sysfs",    "cgroup2", "cgroup",     "devtmpfs",
    "devpts",   "overlay",   "xfs",         "btrfs",    "ext3",    "ext2",       "f2fs",
    "bcachefs", "zfs",       "jfs",         "reiserfs", "nilfs2",  "vfat",       "msdos",
    "exfat",    "ntfs3",     "hfsplus",     "iso9660",  "udf",     "squashfs",   "erofs",
    "cramfs",   "romfs",     "minix",       "ubifs",    "jffs2",   "ramfs",      "rootfs",
    "mqueue",   "hugetlbfs", "debugfs",     "tracefs",  "bpf",     "securityfs", "pstore",
    "configfs", "fusectl",   "binfmt_misc", "efivarfs", "nsfs",    "selinuxfs",  "rpc_pipefs",
    "nfsd",     "resctrl",   "smackfs",
};

static bool is_own(const char *type, size_t length)
{
    for (size_t i = 0; i < sizeof own_types / sizeof *own_types; i++)
        if (strlen(own_types[i]) == length && !memcmp(own_types[i], type, length))
            return true;
    return false;
}

/* The type stands behind the first field that is a single dash. */
static bool line_may_hang(const char *line, size_t length)
{
    const char *end = line + length;
    for (const char *at = line; at + 3 < end; at++)
        if (!memcmp(at, " - ", 3)) {
            const char *type = at + 3, *behind = memchr(type, ' ', (size_t)(end - type));
            return !is_own(type, (size_t)((behind ? behind : end) - type));
        }
    return false;
}

bool mounts_text_may_hang(const char *text)
{
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        if (!line[length])
            return false;
        if (line_may_hang(line, length))
            return true;
        line += length + 1;
    }
    return false;
}

/* In pieces; a line that is cut goes on with the next one. A line longer than all the room is one
 * that nobody knows. */
static bool read_table(int fd)
{
    char text[READ_BYTES + 1];
    size_t used = 0;
    off_t at = 0;

    for (;;) {
        ssize_t got = pread(fd, text + used, READ_BYTES - used, at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 || used == READ_BYTES)
            return true;
        if (got == 0)
            return false;
        at += got;
        used += (size_t)got;
        text[used] = 0;
        if (mounts_text_may_hang(text))
            return true;
        char *last = memrchr(text, '\n', used);
        size_t whole = last ? (size_t)(last - text) + 1 : 0;
        memmove(text, text + whole, used - whole);
        used -= whole;
    }
}

void mounts_open(struct mounts *mounts)
{
    *mounts = (struct mounts){.fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC)};
}

bool mounts_may_hang(struct mounts *mounts)
{
    struct pollfd changed = {.fd = mounts->fd, .events = POLLPRI};
    if (mounts->fd < 0)
        return true;
    if (mounts->known && poll(&changed, 1, 0) == 0)
        return mounts->may_hang;
    (void)poll(&changed, 1, 0); /* what comes from here on is a change */
    mounts->may_hang = read_table(mounts->fd);
    mounts->known = true;
    return mounts->may_hang;
}

void mounts_close(struct mounts *mounts)
{
    if (mounts->fd >= 0)
        close(mounts->fd);
    mounts->fd = -1;
}
