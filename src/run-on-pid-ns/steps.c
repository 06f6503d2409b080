/* The table of what is done at each kind of step, and of what to do when it cannot be. */
#include "run-on-pid-ns/steps.h"
#include "log/log.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define HINTS_MAX 3

static const char needs_privileges[] = "run it as root, or with --user";
static const char needs_kernel[] = "this needs Linux 5.12 or newer";
static const char has_no_privileges[] =
    "users may make a user namespace here, but nothing in it (as AppArmor does it)";

struct hint {
    int error;
    const char *words;
};

static const struct row {
    step_function *open; /* NULL: nothing is to be opened outside */
    step_function *carry_out;
    struct hint hints[HINTS_MAX];
} rows[STEP_KINDS] = {
    [STEP_DIVIDE_CGROUP] = {NULL,
                            step_divide_cgroup,
                            {{ENOENT, "no cgroup v2 is mounted: leave --cgroup out"},
                             {EACCES, "our cgroup is another user's: chown it to this one, or "
                                      "leave --cgroup out"},
                             {EROFS, "it is mounted read-only: leave --cgroup out"}}},
    [STEP_ENTER_CGROUP] = {NULL,
                           step_enter_cgroup,
                           {{EACCES, "our cgroup is another user's: chown it to this one, or leave "
                                     "--cgroup out"}}},
    [STEP_NEW_USER] =
        {NULL,
         step_new_user,
         {{EPERM, "users may not make one here, or not in a chroot: run it as root without --user"},
          {ENOSPC, "there are as many as /proc/sys/user/max_user_namespaces lets "
                   "there be"},
          {EINVAL, "the kernel has none: run it as root without --user"}}},
    [STEP_NEW_TIME] = {NULL,
                       step_new_time,
                       {{EPERM, needs_privileges},
                        {ERANGE, "the uptime is out of range: --uptime has to be shorter"},
                        {EINVAL, "the kernel has none: --time new goes on without"}}},
    [STEP_NEW_PROCESS] = {NULL,
                          NULL,
                          {{EPERM, needs_privileges},
                           {ENOSPC, "there are as many as /proc/sys/user/max_*_namespaces let "
                                    "there be, or too many in each other"},
                           {EINVAL, "the kernel lacks one of them"}}},
    [STEP_KEEP_MOUNTS] = {step_keep_mounts,
                          NULL,
                          {{EPERM, needs_privileges},
                           {EINVAL,
                            "the root outside is no mount point, as in a chroot: bind it on "
                            "itself first"}}},
    [STEP_MOVE_ROOT] = {NULL,
                        step_move_root,
                        {{ENOENT, "there is no such folder"},
                         {ENOTDIR, "it is no folder"},
                         {EACCES, "this user may not enter it"}}},
    [STEP_BIND] = {step_open_source,
                   step_bind,
                   {{ENOENT, "there is no such path outside"},
                    {ENOTDIR, "one of the two is a folder, the other one is not"},
                    {ENOSYS, needs_kernel}}},
    [STEP_MOUNT_PROC] = {step_open_proc,
                         step_mount_proc,
                         {{EPERM, "a part of /proc is hidden or read-only here, as in a container: "
                                  "--keep-proc leaves /proc as it is"}}},
    [STEP_MOUNT_SYS] = {step_open_sys, step_mount_sys, {{0}}},
    [STEP_MOUNT_CGROUP] = {NULL, step_mount_cgroup, {{ENODEV, "the kernel has no cgroup v2"}}},
    [STEP_MOUNT_TMPFS] = {NULL, step_mount_tmpfs, {{0}}},
    [STEP_MOUNT_PTS] = {NULL, step_mount_pts, {{0}}},
    [STEP_LINK] = {NULL, step_link, {{0}}},
    [STEP_DESCRIBE] = {step_open_description, step_describe, {{0}}},
    [STEP_DROP_OUTSIDE] = {NULL, step_drop_outside, {{0}}},
    [STEP_READ_ONLY] = {NULL,
                        step_read_only,
                        {{ENOENT, "there is no such path inside"}, {ENOSYS, needs_kernel}}},
    [STEP_HOSTNAME] = {NULL, step_hostname, {{0}}},
    [STEP_LOOPBACK] = {NULL, step_loopback, {{0}}},
    [STEP_NOTIFY] = {NULL, step_notify, {{0}}},
    [STEP_CONSOLE] = {NULL,
                      step_console,
                      {{ENOSPC, "there are as many as /proc/sys/kernel/pty/max lets there be"}}},
    [STEP_CLEAN_ENVIRONMENT] = {NULL, step_clean_environment, {{0}}},
    [STEP_SET_ENVIRONMENT] = {NULL, step_set_environment, {{0}}},
    [STEP_EXECUTE] = {NULL,
                      NULL,
                      {{ENOENT, "inside there is no such program, or not the loader or interpreter "
                                "that it names"},
                       {EACCES, "it is a folder, or not executable for this user"},
                       {ENOEXEC, "it is no program of this machine, and has no #! line"}}},
};

void run_init(struct run *run, const struct options *options, const struct plan *plan,
              struct cgroup_place *cgroup)
{
    *run = (struct run){.options = options, .plan = plan, .cgroup = cgroup, .outer_fd = -1};
    for (size_t i = 0; i < PLAN_STEPS_MAX; i++)
        run->fds[i] = -1;
}

static const char *hint_for(const struct run *run, const struct step *step, int error)
{
    const struct row *row = &rows[step->kind];
    if (run->hint)
        return run->hint;
    for (size_t i = 0; i < HINTS_MAX; i++)
        if (row->hints[i].words && row->hints[i].error == error) {
            bool is_user = row->hints[i].words == needs_privileges && run->options->user;
            return is_user ? has_no_privileges : row->hints[i].words;
        }
    return NULL;
}

void step_failed(const struct run *run, const struct step *step, int error)
{
    char storage[LOG_LINE_BYTES];
    struct text text;
    struct log_field fields[5];
    size_t count = 0;
    const char *hint = hint_for(run, step, error);

    text_init(&text, storage, sizeof storage);
    text_printf(&text, "Could not %s", step_words(step->kind));
    fields[count++] = TEXT("error", strerror(error));
    if (step->source)
        fields[count++] = TEXT("source", step->source);
    if (step->target)
        fields[count++] = TEXT("target", step->target);
    if (hint)
        fields[count++] = TEXT("hint", hint);
    log_write(LOG_ERROR, storage, fields, count);
}

int steps_run(struct run *run, enum step_who who)
{
    for (int carry_out = 0; carry_out < 2; carry_out++) {
        for (size_t i = 0; i < run->plan->count; i++) {
            const struct step *step = &run->plan->steps[i];
            const struct row *row = &rows[step->kind];
            step_function *function = carry_out ? row->carry_out : row->open;
            if (step_who(step->kind) != who || !function)
                continue;
            run->hint = NULL;
            int failed = function(run, step, &run->fds[i]);
            if (failed) {
                step_failed(run, step, -failed);
                return failed;
            }
        }
    }
    return 0;
}

int hand_out(const struct run *run, enum handed what, int fd)
{
    char kind = (char)what;
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof fd)];
    } control = {0};
    struct iovec part = {.iov_base = &kind, .iov_len = 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof control.room};
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    return sendmsg(run->outer_fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}
