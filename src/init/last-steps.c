/* The last steps. Each that can hang runs in a child with a time-out, so that a file system that
 * is gone holds up the end of the machine only for a while. */
#include "init/last-steps.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "init/crash.h"
#include "init/held.h"
#include "init/init.h"
#include "init/stage1-mount.h"
#include "init/steps.h"
#include "log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/swap.h>
#include <sys/wait.h>

#define TABLE_BYTES  (256 * 1024) /* of mountinfo; of a longer one the end, which comes first */
#define READ_TRIES   3            /* of such a table */
#define MOUNTS_MAX   1024         /* in one pass */
#define PASSES_MAX   8            /* a mount below another one is gone with the pass before */
#define SWAPOFF_MS   30000
#define UNMOUNT_MS   10000
#define SYNC_MS      60000
#define REBOOT_KEXEC 0x45584543 /* LINUX_REBOOT_CMD_KEXEC */

/* File systems that keep nothing. They are left where they are, being in use until the end. */
static const char *const kept_types[] = {
    "proc",      "sysfs",   "devtmpfs", "devpts", "cgroup",      "cgroup2",  "securityfs",
    "debugfs",   "tracefs", "configfs", "bpf",    "pstore",      "efivarfs", "mqueue",
    "hugetlbfs", "rootfs",  "ramfs",    "autofs", "binfmt_misc", "fusectl",  "nsfs",
};

static const char *const kept_targets[] = {"/", "/proc", "/sys", "/dev", "/run"};

static char table[TABLE_BYTES];
static struct step steps[MOUNTS_MAX];
static int proc = -1;

static bool is_among(const char *word, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(word, words[i]) == 0)
            return true;
    return false;
}

#define IS_AMONG(word, words) is_among(word, words, sizeof(words) / sizeof(words)[0])

/* ---- tables of the kernel ------------------------------------------------------------------ */

/* Reads a file of /proc into `table`: all of it, or its end. Returns 0 or -errno; its first whole
 * line is *ret_first in every case. */
static int read_table_once(const char *path, char **ret_first)
{
    size_t used = 0;
    bool cut = false;
    ssize_t got;
    AUTO_CLOSE int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    do {
        if (used == sizeof table - 1) {
            memmove(table, table + sizeof table / 2, used - sizeof table / 2);
            used -= sizeof table / 2;
            cut = true;
        }
        got = fd < 0 ? -1 : read(fd, table + used, sizeof table - 1 - used);
        used += got > 0 ? (size_t)got : 0;
    } while (got > 0);
    int failed = got < 0 ? -errno : 0;
    table[used] = 0;
    char *newline = cut ? strchr(table, '\n') : NULL;
    *ret_first = newline ? newline + 1 : table;
    return failed;
}

/* What the kernel lacks the memory for it may have a moment later; after that the part that was
 * read has to do. A kernel without swap has no table of it. */
static char *read_table(const char *path)
{
    char *first;
    int failed = read_table_once(path, &first);
    for (int i = 1; i < READ_TRIES && failed && failed != -ENOENT; i++)
        failed = read_table_once(path, &first);
    if (failed && failed != -ENOENT)
        LOG(WARNING, "Cannot read what is still in use", TEXT("file", path),
            TEXT("error", strerror(-failed)));
    return first;
}

/* Takes the next line off *at, NULL at the end. */
static char *next_line(char **at)
{
    char *line = *at;
    if (!*line)
        return NULL;
    char *end = strchr(line, '\n');
    *at = end ? end + 1 : line + strlen(line);
    if (end)
        *end = 0;
    return line;
}

int last_steps_parse_mount(char *line, char **ret_target, char **ret_type)
{
    char *target = line, *options, *type;
    for (int i = 0; i < 4 && target; i++) {
        target = strchr(target, ' ');
        target = target ? target + 1 : NULL;
    }
    options = target ? strchr(target, ' ') : NULL;
    type = options ? strstr(options + 1, " - ") : NULL;
    if (!type)
        return -EINVAL;
    type += 3;
    size_t type_length = strcspn(type, " ");
    size_t target_length = strcspn(target, " ");
    if (!type_length || !target_length)
        return -EINVAL;
    type[type_length] = 0;
    target[target_length] = 0;
    text_unescape(target);
    *ret_target = target;
    *ret_type = type;
    return 0;
}

/* ---- the steps, in the child --------------------------------------------------------------- */

static int turn_swap_off(const struct step *step)
{
    return swapoff(step->object) < 0 ? -errno : 0;
}

static int unmount(const struct step *step)
{
    return umount2(step->object, UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
}

static int remount_read_only(const struct step *step)
{
    return mount(NULL, step->object, NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0 ? -errno : 0;
}

static int sync_all(const struct step *step)
{
    (void)step;
    sync();
    return 0;
}

static void report(size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (steps[i].result && steps[i].result != -ETIMEDOUT)
            LOG(WARNING, "A last step failed", TEXT("step", steps[i].verb),
                TEXT("object", steps[i].object), TEXT("error", strerror(-steps[i].result)));
}

/* ---- their order --------------------------------------------------------------------------- */

static void all_swap_off(void)
{
    size_t count = 0;
    char *at = read_table("swaps");
    next_line(&at); /* the heading */
    for (char *line; count < MOUNTS_MAX && (line = next_line(&at));) {
        line[strcspn(line, " \t")] = 0;
        text_unescape(line);
        steps[count++] = (struct step){"swap off", line, turn_swap_off, NULL, SWAPOFF_MS, 0};
    }
    steps_run(steps, count);
    report(count);
}

/* Below a file system that the kernel makes up nothing is worth the wait. */
static bool is_kept(const char *target, const char *type)
{
    return IS_AMONG(type, kept_types) || IS_AMONG(target, kept_targets) ||
           text_starts_with(target, "/proc/", NULL) || text_starts_with(target, "/sys/", NULL) ||
           text_starts_with(target, "/dev/", NULL);
}

/* Makes steps for the mounts, the latest first. */
static size_t list_mounts(bool root_too, const char *verb, int (*run)(const struct step *),
                          unsigned timeout_ms)
{
    size_t count = 0;
    char *target, *type, *at = read_table("self/mountinfo");
    for (char *line; (line = next_line(&at));) {
        if (last_steps_parse_mount(line, &target, &type) < 0)
            continue;
        bool root = strcmp(target, "/") == 0 && !IS_AMONG(type, kept_types);
        if (!(root && root_too) && is_kept(target, type))
            continue;
        if (root_too && strcmp(type, "tmpfs") == 0)
            continue; /* read-only or not, it is gone */
        if (count == MOUNTS_MAX) {
            memmove(steps, steps + 1, (MOUNTS_MAX - 1) * sizeof steps[0]);
            count--;
        }
        steps[count++] = (struct step){verb, target, run, NULL, timeout_ms, 0};
    }
    for (size_t i = 0; i < count / 2; i++) {
        struct step swap = steps[i];
        steps[i] = steps[count - 1 - i];
        steps[count - 1 - i] = swap;
    }
    return count;
}

static void unmount_all(void)
{
    for (int pass = 1;; pass++) {
        size_t count = list_mounts(false, "unmount", unmount, UNMOUNT_MS), done = 0;
        steps_run(steps, count);
        for (size_t i = 0; i < count; i++)
            done += steps[i].result == 0;
        if (done == count || done == 0 || pass == PASSES_MAX) {
            report(count);
            break;
        }
    }
    size_t count = list_mounts(true, "remount read-only", remount_read_only, UNMOUNT_MS);
    steps_run(steps, count);
    report(count);
}

/* Nothing is left to be done, and reboot(2) has failed. PID 1 stays, and still reaps. */
static void __attribute__((noreturn)) stay(const sigset_t *signals)
{
    for (;;) {
        struct timespec second = {1, 0};
        sigtimedwait(signals, NULL, &second);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    }
}

static void __attribute__((noreturn)) end_machine(struct init *init)
{
    static const int commands[SHUT_DOWN_HOWS] = {
        [SHUT_DOWN_NONE] = RB_POWER_OFF,       [SHUT_DOWN_POWEROFF] = RB_POWER_OFF,
        [SHUT_DOWN_REBOOT] = RB_AUTOBOOT,      [SHUT_DOWN_HALT] = RB_HALT_SYSTEM,
        [SHUT_DOWN_KEXEC] = (int)REBOOT_KEXEC,
    };
    all_swap_off();
    unmount_all();
    steps[0] = (struct step){"sync", "all file systems", sync_all, NULL, SYNC_MS, 0};
    steps_run(steps, 1);
    LOG(INFO, "The machine ends now", TEXT("how", shut_down_name(init->ending->how)));
    int failed = reboot(commands[init->ending->how]);
    if (failed < 0 && init->ending->how == SHUT_DOWN_KEXEC) {
        LOG(WARNING, "No kernel is loaded for kexec: rebooting instead",
            TEXT("error", strerror(errno)));
        failed = reboot(RB_AUTOBOOT);
    }
    if (failed < 0)
        LOG(FATAL, "The kernel refuses to end the machine: it can be switched off",
            TEXT("error", strerror(errno)));
    stay(&init->signals);
}

static void __attribute__((noreturn)) end_container(struct init *init)
{
    stage1_unmount_own();
    if (init->ending->how == SHUT_DOWN_REBOOT || init->ending->how == SHUT_DOWN_KEXEC) {
        reboot(RB_AUTOBOOT); /* inside a PID namespace this ends the namespace only */
        _exit(0);            /* it is not permitted here */
    }
    _exit(init->ending->exit_status & 0xff);
}

void last_steps(struct init *init)
{
    CRASH_POINT("last-steps");
    proc = init->proc_fd;
    for (int i = 0; i < CHILDREN; i++)
        child_close_link(&init->children[i]);
    held_close();
    if (getpid() == 1)
        kill(-1, SIGKILL); /* whom /proc did not show, and the journal if it still is there */
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    if (init->own->container)
        end_container(init);
    end_machine(init);
}
