/* The table of mounts, read again only when the kernel says that it has changed: proc(5). */
#include "proc/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES 16384
#define LINKS_MAX  40 /* as the kernel has it */

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

static bool is_octal(const char *text)
{
    for (int i = 0; i < 3; i++)
        if (text[i] < '0' || text[i] > '7')
            return false;
    return true;
}

/* Keeps where it is mounted, the fifth field, in which blanks and the like are \OOO. */
static void keep_point(struct mounts *mounts, const char *line, const char *end)
{
    const char *at = line;
    for (int blanks = 0; at < end && blanks < 4; at++)
        blanks += *at == ' ';
    while (at < end && *at != ' ') {
        bool escaped = *at == '\\' && end - at > 3 && is_octal(at + 1);
        if (mounts->points_bytes + 2 > sizeof mounts->points) {
            mounts->unknown = true;
            return;
        }
        char byte = *at;
        if (escaped)
            byte = (char)((at[1] - '0') << 6 | (at[2] - '0') << 3 | (at[3] - '0'));
        mounts->points[mounts->points_bytes++] = byte;
        at += escaped ? 4 : 1;
    }
    mounts->points[mounts->points_bytes++] = 0;
}

void mounts_take_text(struct mounts *mounts, const char *text)
{
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        if (!line[length])
            return;
        if (line_may_hang(line, length)) {
            mounts->may_hang = true;
            keep_point(mounts, line, line + length);
        }
        line += length + 1;
    }
}

/* In pieces; a line that is cut goes on with the next one. A line longer than all the room is one
 * that nobody knows. 0 or -errno: then the worst is believed of it. */
static int read_table(struct mounts *mounts)
{
    char text[READ_BYTES + 1];
    size_t used = 0;
    off_t at = 0;

    mounts->may_hang = mounts->unknown = false;
    mounts->points_bytes = 0;
    for (;;) {
        ssize_t got = pread(mounts->fd, text + used, READ_BYTES - used, at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 || used == READ_BYTES)
            mounts->may_hang = mounts->unknown = true;
        if (got <= 0)
            return got < 0 ? -errno : 0;
        at += got;
        used += (size_t)got;
        text[used] = 0;
        mounts_take_text(mounts, text);
        char *last = memrchr(text, '\n', used);
        size_t whole = last ? (size_t)(last - text) + 1 : 0;
        memmove(text, text + whole, used - whole);
        used -= whole;
    }
}

void mounts_open(struct mounts *mounts)
{
    *mounts = (struct mounts){.fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC)};
    if (mounts->fd < 0)
        mounts->failed = -errno;
}

bool mounts_may_hang(struct mounts *mounts)
{
    if (mounts->fd < 0)
        mounts_open(mounts); /* there may be a descriptor for it now */
    if (mounts->fd < 0)
        return true;
    struct pollfd changed = {.fd = mounts->fd, .events = POLLPRI};
    if (mounts->known && poll(&changed, 1, 0) == 0)
        return mounts->may_hang;
    (void)poll(&changed, 1, 0); /* what comes from here on is a change */
    mounts->failed = read_table(mounts);
    mounts->known = !mounts->failed;
    return mounts->may_hang;
}

/* ---- a path -------------------------------------------------------------------------------- */

static bool is_point(const struct mounts *mounts, const char *path)
{
    for (size_t at = 0; at < mounts->points_bytes; at += strlen(mounts->points + at) + 1)
        if (!strcmp(mounts->points + at, path))
            return true;
    return false;
}

/* What has been walked of a path, without a slash at its end, and what is still to be. */
struct walk {
    char done[PATH_MAX], rest[PATH_MAX];
    size_t done_bytes;
    int links;
};

/* Takes the next name over. Returns false where there is none, or no room for it. */
static bool step(struct walk *walk)
{
    const char *name = walk->rest + strspn(walk->rest, "/");
    size_t bytes = strcspn(name, "/");
    if (!bytes || walk->done_bytes + bytes + 2 > sizeof walk->done)
        return false;
    if (bytes == 2 && !memcmp(name, "..", 2)) {
        while (walk->done_bytes && walk->done[--walk->done_bytes] != '/') {
        }
    } else if (bytes != 1 || name[0] != '.') {
        walk->done[walk->done_bytes++] = '/';
        memcpy(walk->done + walk->done_bytes, name, bytes);
        walk->done_bytes += bytes;
    }
    walk->done[walk->done_bytes] = 0;
    memmove(walk->rest, name + bytes, strlen(name + bytes) + 1);
    return true;
}

/* Puts what a link holds in front of the rest. Returns false where there is no room. */
static bool follow_link(struct walk *walk, const char *target)
{
    size_t bytes = strlen(target), rest = strlen(walk->rest);
    if (bytes + rest + 1 > sizeof walk->rest)
        return false;
    memmove(walk->rest + bytes, walk->rest, rest + 1);
    memcpy(walk->rest, target, bytes);
    if (target[0] == '/')
        walk->done_bytes = 0;
    while (walk->done_bytes && walk->done[--walk->done_bytes] != '/') {
    }
    walk->done[walk->done_bytes] = 0;
    return true;
}

bool mounts_path_may_hang(struct mounts *mounts, const char *path)
{
    struct walk walk = {.links = 0};
    char target[PATH_MAX];
    if (!mounts_may_hang(mounts))
        return false;
    if (mounts->fd < 0 || mounts->unknown || path[0] != '/' || strlen(path) >= PATH_MAX)
        return true;
    memcpy(walk.rest, path, strlen(path) + 1);
    while (step(&walk)) {
        if (is_point(mounts, walk.done))
            return true;
        ssize_t bytes = readlink(walk.done, target, sizeof target - 1);
        if (bytes < 0)
            continue;
        target[bytes] = 0;
        /* Where a link of /proc leads is not what it says. */
        if (!strncmp(walk.done, "/proc/", 6) || ++walk.links > LINKS_MAX ||
            !follow_link(&walk, target))
            return true;
    }
    return walk.rest[strspn(walk.rest, "/")];
}

void mounts_close(struct mounts *mounts)
{
    if (mounts->fd >= 0)
        close(mounts->fd);
    mounts->fd = -1;
}
