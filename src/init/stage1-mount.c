/* The first stage. What is mounted already is left as it is; what fails is said and gone on from.
 * All that touches a file runs in a child with a time-out: the root may be on a network. */
#include "init/stage1-mount.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "init/held.h"
#include "init/init.h"
#include "init/steps.h"
#include "log/console.h"
#include "log/log.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#define STEP_TIMEOUT_MS 10000
/* Our own limit, where it may be raised: KEY_MAX descriptors and some. A limit of the machine
 * (fs.nr_open) may be lower. */
#define FILES_WANTED   FD_MOST
#define FILES_LEAST    1024 /* where nobody says: what the kernel begins with */
#define FILES_RESERVED 64   /* kept free of held descriptors, for starting children and messages */
#define HOSTNAME_BYTES 64   /* the kernel's limit */

enum where { ANYWHERE, MACHINE, CONTAINER };

struct row {
    const char *target, *type, *data;
    unsigned long flags;
    enum where where;
    bool below_own; /* its folder is made only in a file system that we mounted, or on a machine */
    bool needed;    /* in a container too; of others the outside decides, and may have none */
};

#define PLAIN (MS_NOSUID | MS_NODEV | MS_NOEXEC)

/* A container gets a /dev of its own: devtmpfs is the outside's. */
static const struct row rows[] = {
    {"/proc", "proc", NULL, PLAIN, ANYWHERE, false, true},
    {"/sys", "sysfs", NULL, PLAIN, ANYWHERE, false, false},
    {"/dev", "devtmpfs", "mode=0755", MS_NOSUID, MACHINE, false, true},
    {"/dev", "tmpfs", "mode=0755", MS_NOSUID, CONTAINER, false, true},
    {"/dev/pts", "devpts", "gid=5,mode=0620,ptmxmode=0666", MS_NOSUID | MS_NOEXEC, ANYWHERE, true,
     false},
    {"/dev/shm", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV, ANYWHERE, true, false},
    {"/run", "tmpfs", "mode=0755", MS_NOSUID | MS_NODEV, ANYWHERE, false, true},
    {"/sys/fs/cgroup", "cgroup2", "nsdelegate,memory_recursiveprot", PLAIN, ANYWHERE, true, false},
};

#define ROWS (sizeof rows / sizeof rows[0])

_Static_assert(ROWS <= MOUNTS_OWN_MAX, "the record has no room for so many");

static bool in_container;
static struct kept *kept;
static int proc = -1;

void stage1_use(const struct init *init)
{
    in_container = init->own->container;
    kept = init->kept;
    proc = init->proc_fd;
}

/* What the record says of a file system that we mounted there, else NULL. */
static struct kept_mount *own_mount(const char *target)
{
    for (size_t i = 0; i < MOUNTS_OWN_MAX; i++)
        if (kept->mounts[i].id && strcmp(kept->mounts[i].target, target) == 0)
            return &kept->mounts[i];
    return NULL;
}

static void note_mount(const char *target, uint64_t id)
{
    struct kept_mount *mount = own_mount(target);
    for (size_t i = 0; i < MOUNTS_OWN_MAX && !mount; i++)
        if (!kept->mounts[i].id)
            mount = &kept->mounts[i];
    if (!mount)
        return;
    text_format(mount->target, sizeof mount->target, "%s", target);
    kept_settle();
    mount->id = id;
}

/* ---- what is there ------------------------------------------------------------------------- */

/* struct statx of linux/stat.h, as far as it is used. */
struct stat_extended {
    uint32_t mask, block_size;
    uint64_t attributes;
    uint32_t links, uid, gid;
    uint16_t mode, spare;
    uint64_t inode, size, blocks, attributes_mask;
    char times[64];
    uint32_t device_numbers[4];
    uint64_t mount_id;
    char rest[104];
};

_Static_assert(sizeof(struct stat_extended) == 256, "the kernel's statx has another size");

#define STATX_WANT_MOUNT_ID 0x1000u
#define ATTRIBUTE_MOUNT     0x2000u /* STATX_ATTR_MOUNT_ROOT */
#define NO_AUTOMOUNT        0x800

/* The id of the mount whose root `path` is, or 0 when it is no mount's root. */
static uint64_t mount_at(const char *path)
{
    struct stat_extended stat;
    if (syscall(SYS_statx, AT_FDCWD, path, NO_AUTOMOUNT, STATX_WANT_MOUNT_ID, &stat) < 0)
        return 0;
    if (!(stat.attributes & ATTRIBUTE_MOUNT))
        return 0;
    return stat.mask & STATX_WANT_MOUNT_ID ? stat.mount_id : UINT64_MAX;
}

static bool has_node(const char *folder, const char *name)
{
    char path[64];
    text_format(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

/* In a container something may be there without being mounted. */
static bool is_there(const struct row *row)
{
    return mount_at(row->target) ||
           (in_container && strcmp(row->target, "/dev") == 0 && has_node("/dev", "null")) ||
           (in_container && strcmp(row->target, "/sys/fs/cgroup") == 0 &&
            has_node(row->target, "cgroup.procs"));
}

/* Mounting cgroup2 in the initial cgroup namespace sets its options for the whole machine. */
static bool shares_cgroups(void)
{
    char link[64];
    ssize_t length = readlinkat(proc, "self/ns/cgroup", link, sizeof link - 1);
    if (length < 0)
        return true;
    link[length] = 0;
    return strcmp(link, "cgroup:[4026531835]") == 0;
}

/* ---- mounting, in the child ---------------------------------------------------------------- */

static bool parent_is_own(const struct row *row)
{
    const char *slash = strrchr(row->target, '/');
    size_t length = (size_t)(slash - row->target);
    for (size_t i = 0; i < ROWS; i++)
        if (strncmp(rows[i].target, row->target, length) == 0 && !rows[i].target[length] &&
            own_mount(rows[i].target))
            return true;
    return false;
}

/* What a program expects in /dev, and no kernel makes. What is there already is left. */
static int make_links(const struct step *step)
{
    static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"},
                                           {"/proc/self/fd/0", "/dev/stdin"},
                                           {"/proc/self/fd/1", "/dev/stdout"},
                                           {"/proc/self/fd/2", "/dev/stderr"}};
    int failed = 0;
    (void)step;
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
        if (symlink(links[i][0], links[i][1]) < 0 && errno != EEXIST)
            failed = -errno;
    return failed;
}

static int make_nodes(void)
{
    static const struct {
        const char *path;
        unsigned minor;
    } nodes[] = {{"/dev/null", 3},
                 {"/dev/zero", 5},
                 {"/dev/full", 7},
                 {"/dev/random", 8},
                 {"/dev/urandom", 9}};
    int failed = 0;
    mode_t before = umask(0);
    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++)
        if (mknod(nodes[i].path, S_IFCHR | 0666, makedev(1, nodes[i].minor)) < 0)
            failed = -errno;
    if (mknod("/dev/tty", S_IFCHR | 0666, makedev(5, 0)) < 0)
        failed = -errno;
    umask(before);
    if (symlink("pts/ptmx", "/dev/ptmx") < 0)
        failed = -errno;
    int links = make_links(NULL);
    return failed ? failed : links;
}

/* Returns 0 when it was mounted, -EALREADY when there is nothing to do, else what failed. */
static int mount_row(const struct step *step)
{
    const struct row *row = step->argument;
    if (row->where == (in_container ? MACHINE : CONTAINER) || is_there(row))
        return -EALREADY;
    if (in_container && strcmp(row->type, "cgroup2") == 0 && shares_cgroups())
        return -EALREADY;
    if (!in_container || !row->below_own || parent_is_own(row))
        mkdir(row->target, 0755);
    if (access(row->target, F_OK) < 0)
        return -errno;
    if (mount(row->type, row->target, row->type, row->flags, row->data) < 0 &&
        (errno != EINVAL || mount(row->type, row->target, row->type, row->flags, NULL) < 0))
        return -errno;
    note_mount(row->target, UINT64_MAX); /* in the child's own copy: for parent_is_own */
    return row->where == CONTAINER ? make_nodes() : 0;
}

static int unmount_row(const struct step *step)
{
    const struct row *row = step->argument;
    uint64_t id = mount_at(row->target);
    const struct kept_mount *own = own_mount(row->target);
    if (!id || !own || id != own->id)
        return -EALREADY; /* somebody mounted over it: that one is not ours */
    return umount2(row->target, MNT_DETACH) < 0 ? -errno : 0;
}

static size_t make_steps(struct step *steps, const char *verb, int (*run)(const struct step *))
{
    for (size_t i = 0; i < ROWS; i++)
        steps[i] = (struct step){verb, rows[i].target, run, &rows[i], STEP_TIMEOUT_MS, 0};
    return ROWS;
}

static void say_failed(const struct row *row, int error)
{
    if (in_container && !row->needed)
        LOG(DEBUG, "Not mounted", TEXT("path", row->target), TEXT("error", strerror(error)));
    else
        LOG(WARNING, "Could not mount", TEXT("path", row->target), TEXT("type", row->type),
            TEXT("error", strerror(error)));
}

void stage1_mount(void)
{
    struct step steps[ROWS];
    steps_run(steps, make_steps(steps, "mount", mount_row));
    for (size_t i = 0; i < ROWS; i++) {
        if (steps[i].result == 0)
            note_mount(rows[i].target, mount_at(rows[i].target));
        else if (steps[i].result != -EALREADY && steps[i].result != -ETIMEDOUT)
            say_failed(&rows[i], -steps[i].result);
    }
    struct step links = {"make links in", "/dev", make_links, NULL, STEP_TIMEOUT_MS, 0};
    if (in_container)
        return; /* where /dev is not ours, nor is what stands in it */
    steps_run(&links, 1);
    if (links.result && links.result != -ETIMEDOUT)
        LOG(WARNING, "Could not make /dev/stdout and the like",
            TEXT("error", strerror(-links.result)));
}

void stage1_unmount_own(void)
{
    struct step steps[ROWS], reversed[ROWS];
    size_t count = 0;
    make_steps(steps, "unmount", unmount_row);
    for (size_t i = ROWS; i-- > 0;)
        if (own_mount(rows[i].target)) /* what is another's may hang, and is not looked at */
            reversed[count++] = steps[i];
    steps_run(reversed, count);
    for (size_t i = 0; i < count; i++)
        if (reversed[i].result && reversed[i].result != -EALREADY)
            LOG(WARNING, "Could not unmount", TEXT("path", reversed[i].object),
                TEXT("error", strerror(-reversed[i].result)));
}

/* ---- console, name, limits ----------------------------------------------------------------- */

void stage1_open_standard(void)
{
    for (int fd = 0; fd < 3; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            continue;
        int opened = open("/dev/null", O_RDWR | O_NOCTTY);
        if (opened < 0)
            opened = open("/", O_RDONLY | O_DIRECTORY); /* nothing can be read or written there */
        if (opened >= 0 && opened != fd) {
            dup2(opened, fd);
            close(opened);
        }
    }
}

static bool is_quiet(void)
{
    static char words[4096];
    ssize_t got = file_read(proc, "cmdline", words + 1, sizeof words - 2);
    if (got <= 0)
        return false;
    words[0] = ' ';
    if (words[got] == '\n')
        words[got] = ' ';
    words[got + 1] = ' ';
    words[got + 2] = 0;
    return strstr(words, " quiet ") != NULL;
}

void stage1_console(struct init *init)
{
    bool usable = true;
    if (!init->own->container) {
        console_allow_kmsg();
        int console = open("/dev/console", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
        usable = console >= 0;
        if (usable) {
            fcntl(console, F_SETFL, O_RDWR);
            for (int fd = 0; fd < 3; fd++)
                dup2(console, fd);
            close(console);
        }
        init->own->quiet = is_quiet() && !init->options.level_given;
    }
    console_init(usable ? 2 : -1, true);
    stage1_quiet(init);
}

void stage1_quiet(struct init *init)
{
    if (init->own->quiet) {
        init->options.level = LOG_WARNING;
        options_hand_on(&init->options, "--log-level");
        options_hand_on(&init->options, "warn");
    }
    log_set_level(console_sink, init->options.level);
}

int stage1_parse_hostname(char *text, char *name, size_t size_bytes)
{
    while (*text) {
        size_t length = strcspn(text, "\n");
        char *line = text, *end = text + length;
        text = *end ? end + 1 : end;
        while (line < end && (*line == ' ' || *line == '\t'))
            line++;
        while (end > line && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
            end--;
        if (line == end || *line == '#')
            continue;
        *end = 0;
        if (strpbrk(line, " \t/") || (size_t)(end - line) >= size_bytes)
            return -EINVAL;
        memcpy(name, line, (size_t)(end - line) + 1);
        return 0;
    }
    return -ENOENT;
}

static int set_hostname(const struct step *step)
{
    char text[1024], name[HOSTNAME_BYTES + 1];
    AUTO_CLOSE int fd = open(step->object, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t got = fd < 0 ? -errno : read(fd, text, sizeof text - 1);
    if (got < 0)
        return fd < 0 ? (int)got : -errno;
    text[got] = 0;
    int failed = stage1_parse_hostname(text, name, sizeof name);
    if (failed)
        return failed;
    return sethostname(name, strlen(name)) < 0 ? -errno : 0;
}

void stage1_hostname(struct init *init)
{
    struct step step = {"host name", "/etc/hostname", set_hostname, NULL, STEP_TIMEOUT_MS, 0};
    if (init->own->container)
        return;
    steps_run(&step, 1);
    if (step.result == -ENOENT)
        LOG(DEBUG, "No host name in /etc/hostname");
    else if (step.result == -EINVAL)
        LOG(WARNING, "The first line of /etc/hostname is no host name: it should be one word");
    else if (step.result && step.result != -ETIMEDOUT)
        LOG(WARNING, "Could not set the host name", TEXT("error", strerror(-step.result)));
}

void stage1_limits(struct init *init)
{
    struct rlimit files = {FILES_LEAST, FILES_LEAST};
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        LOG(ERROR, "Could not see how many descriptors there may be", NUMBER("taken", FILES_LEAST),
            TEXT("error", strerror(errno)));
    init->own->child_files_soft = files.rlim_cur;
    init->own->child_files_hard = files.rlim_max;
    if (!init->own->container && files.rlim_max < FILES_WANTED) {
        struct rlimit higher = {FILES_WANTED, FILES_WANTED};
        if (setrlimit(RLIMIT_NOFILE, &higher) == 0)
            init->own->child_files_hard = files.rlim_max = FILES_WANTED;
    }
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) < 0)
        files.rlim_cur = init->own->child_files_soft;
    if (files.rlim_cur > FILES_RESERVED && files.rlim_cur < INT32_MAX)
        held_set_limit((int)files.rlim_cur - FILES_RESERVED);
}
