/* The list of steps. Its order is what makes it work: see docs/run-on-pid-ns.md. */
#include "run-on-pid-ns/plan.h"
#include "base/syscall.h"

#include <sched.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const who_words[] = {
    [WHO_OUTER] = "outer", [WHO_MAKER] = "maker", [WHO_INSIDE] = "process 1"};

static const struct {
    enum step_who who;
    const char *words;
} kinds[STEP_KINDS] = {
    [STEP_DIVIDE_CGROUP] = {WHO_OUTER, "make a cgroup below ours"},
    [STEP_ENTER_CGROUP] = {WHO_MAKER, "enter the cgroup"},
    [STEP_NEW_USER] = {WHO_MAKER, "make a user namespace"},
    [STEP_NEW_TIME] = {WHO_MAKER, "make a time namespace"},
    [STEP_NEW_PROCESS] = {WHO_MAKER, "make process 1 in namespaces"},
    [STEP_KEEP_MOUNTS] = {WHO_INSIDE, "keep mounts from leaking out"},
    [STEP_MOVE_ROOT] = {WHO_INSIDE, "move the root"},
    [STEP_BIND] = {WHO_INSIDE, "bind"},
    [STEP_MOUNT_PROC] = {WHO_INSIDE, "mount a new proc"},
    [STEP_MOUNT_SYS] = {WHO_INSIDE, "mount a new sysfs, read-only"},
    [STEP_MOUNT_CGROUP] = {WHO_INSIDE, "mount cgroup2"},
    [STEP_MOUNT_TMPFS] = {WHO_INSIDE, "mount a new tmpfs"},
    [STEP_MOUNT_PTS] = {WHO_INSIDE, "mount a new devpts"},
    [STEP_LINK] = {WHO_INSIDE, "make a link"},
    [STEP_DESCRIBE] = {WHO_INSIDE, "describe the container"},
    [STEP_DROP_OUTSIDE] = {WHO_INSIDE, "let go of the root outside"},
    [STEP_READ_ONLY] = {WHO_INSIDE, "make it read-only"},
    [STEP_HOSTNAME] = {WHO_INSIDE, "set the host name"},
    [STEP_LOOPBACK] = {WHO_INSIDE, "bring up the interface lo"},
    [STEP_NOTIFY] = {WHO_INSIDE, "make the notify socket"},
    [STEP_CONSOLE] = {WHO_INSIDE, "make the console"},
    [STEP_CLEAN_ENVIRONMENT] = {WHO_INSIDE, "prepare the environment"},
    [STEP_SET_ENVIRONMENT] = {WHO_INSIDE, "set or remove a variable"},
    [STEP_EXECUTE] = {WHO_INSIDE, "execute the command"},
};

enum step_who step_who(enum step_kind kind)
{
    return kinds[kind].who;
}

const char *step_words(enum step_kind kind)
{
    return kinds[kind].words;
}

/* ---- the list ------------------------------------------------------------------------------ */

static void add(struct plan *plan, struct step step)
{
    plan->steps[plan->count++] = step;
}

static void add_target(struct plan *plan, enum step_kind kind, const char *target)
{
    add(plan, (struct step){.kind = kind, .target = target});
}

static void add_bind(struct plan *plan, const char *source, const char *target, bool read_only)
{
    add(plan, (struct step){STEP_BIND, source, target, read_only ? BIND_READ_ONLY : BIND_WRITABLE});
}

static uint64_t namespaces(const struct options *options)
{
    uint64_t flags = CLONE_NEWPID | CLONE_NEWNS;
    flags |= options->uts ? CLONE_NEWUTS : 0;
    flags |= options->ipc ? CLONE_NEWIPC : 0;
    flags |= options->net ? CLONE_NEWNET : 0;
    flags |= options->cgroup ? CLONE_NEWCGROUP : 0;
    return flags;
}

/* What has to be there before process 1 is. */
static void add_before(struct plan *plan, const struct options *options)
{
    if (options->cgroup) {
        add_target(plan, STEP_DIVIDE_CGROUP, NULL);
        add_target(plan, STEP_ENTER_CGROUP, NULL);
    }
    if (options->user)
        add_target(plan, STEP_NEW_USER, NULL);
    if (options->time != TIME_SHARED)
        add(plan, (struct step){.kind = STEP_NEW_TIME, .number = options->uptime_ms});
    add(plan, (struct step){.kind = STEP_NEW_PROCESS, .number = namespaces(options)});
}

/* A sysfs shows the network namespace of who mounted it, who has to own that one: with --user the
 * outside's has to do where there is none of its own. The same one over itself cannot be mounted.
 */
static void add_sys(struct plan *plan, const struct options *options)
{
    if (options->net || (options->root && !options->user))
        add_target(plan, STEP_MOUNT_SYS, "/sys");
    else if (options->root)
        add_bind(plan, "/sys", "/sys", true);
    else if (options->cgroup)
        add_target(plan, STEP_READ_ONLY, "/sys");
    if (options->cgroup)
        add_target(plan, STEP_MOUNT_CGROUP, "/sys/fs/cgroup");
}

static void add_dev(struct plan *plan, const struct options *options)
{
    static const char *const nodes[] = {"/dev/null",   "/dev/zero",    "/dev/full",
                                        "/dev/random", "/dev/urandom", "/dev/tty"};
    static const struct {
        const char *at, *leads_to;
    } links[] = {{"/dev/fd", "/proc/self/fd"},
                 {"/dev/stdin", "/proc/self/fd/0"},
                 {"/dev/stdout", "/proc/self/fd/1"},
                 {"/dev/stderr", "/proc/self/fd/2"},
                 {"/dev/ptmx", "pts/ptmx"}};
    if (!options->dev) {
        if (options->root)
            add_bind(plan, "/dev", "/dev", false);
        return;
    }
    add(plan, (struct step){.kind = STEP_MOUNT_TMPFS, .target = "/dev", .number = 0755});
    for (size_t i = 0; i < COUNT(nodes); i++)
        add_bind(plan, nodes[i], nodes[i], false);
    for (size_t i = 0; i < COUNT(links); i++)
        add(plan, (struct step){STEP_LINK, links[i].leads_to, links[i].at, 0});
    add_target(plan, STEP_MOUNT_PTS, "/dev/pts");
    add(plan, (struct step){.kind = STEP_MOUNT_TMPFS, .target = "/dev/shm", .number = 01777});
}

static void add_run(struct plan *plan, const struct options *options)
{
    if (options->private_run) {
        add(plan, (struct step){.kind = STEP_MOUNT_TMPFS, .target = "/run", .number = 0755});
        add_target(plan, STEP_DESCRIBE, "/run/host");
    } else if (options->root) {
        add_bind(plan, "/run", "/run", false);
    }
}

/* The root is moved first, and the old one let go of, so that every path inside is followed inside:
 * what comes from outside is open by then. */
static void add_mounts(struct plan *plan, const struct options *options)
{
    add_target(plan, STEP_KEEP_MOUNTS, NULL);
    if (options->root) {
        add(plan, (struct step){.kind = STEP_MOVE_ROOT, .source = options->root});
        add_target(plan, STEP_DROP_OUTSIDE, NULL);
    }
    if (!options->keep_proc)
        add_target(plan, STEP_MOUNT_PROC, "/proc");
    else if (options->root)
        add_bind(plan, "/proc", "/proc", false);
    add_sys(plan, options);
    add_dev(plan, options);
    add_run(plan, options);
    for (size_t i = 0; i < options->bind_count; i++)
        add_bind(plan, options->binds[i].source, options->binds[i].target,
                 options->binds[i].read_only);
}

void plan_make(struct plan *plan, const struct options *options)
{
    plan->count = 0;
    add_before(plan, options);
    add_mounts(plan, options);
    if (options->hostname)
        add(plan, (struct step){.kind = STEP_HOSTNAME, .source = options->hostname});
    if (options->net)
        add_target(plan, STEP_LOOPBACK, NULL);
    if (options->notify)
        add_target(plan, STEP_NOTIFY, PLAN_NOTIFY_SOCKET);
    if (options->console)
        add_target(plan, STEP_CONSOLE, "/dev/console");
    for (size_t i = 0; i < options->read_only_count; i++)
        add_target(plan, STEP_READ_ONLY, options->read_only[i]);
    add_target(plan, STEP_CLEAN_ENVIRONMENT, NULL);
    for (size_t i = 0; i < options->environment_count; i++)
        add(plan, (struct step){.kind = STEP_SET_ENVIRONMENT, .source = options->environment[i]});
    add(plan, (struct step){.kind = STEP_EXECUTE, .source = options->command[0]});
}

/* ---- in words ------------------------------------------------------------------------------ */

static void add_namespaces(uint64_t flags, struct text *text)
{
    static const struct {
        uint64_t flag;
        const char *name;
    } names[] = {{CLONE_NEWPID, "pid"}, {CLONE_NEWNS, "mount"}, {CLONE_NEWUTS, "uts"},
                 {CLONE_NEWIPC, "ipc"}, {CLONE_NEWNET, "net"},  {CLONE_NEWCGROUP, "cgroup"}};
    text_add(text, ":");
    for (size_t i = 0; i < COUNT(names); i++)
        if (flags & names[i].flag)
            text_printf(text, " %s", names[i].name);
}

void step_format(const struct step *step, struct text *text)
{
    text_printf(text, "%-9s  %s", who_words[step_who(step->kind)], step_words(step->kind));
    if (step->kind == STEP_NEW_PROCESS)
        add_namespaces(step->number, text);
    if (step->kind == STEP_NEW_TIME)
        text_printf(text, ": uptime %llu ms", (unsigned long long)step->number);
    if (step->source)
        text_printf(text, ": %s", step->source);
    if (step->target)
        text_printf(text, "%s%s", step->source ? " at " : ": ", step->target);
    if (step->kind == STEP_MOUNT_TMPFS)
        text_printf(text, ", mode %o", (unsigned)step->number);
    if (step->kind == STEP_BIND && step->number == BIND_READ_ONLY)
        text_add(text, ", read-only");
}
