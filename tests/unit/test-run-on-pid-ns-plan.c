/* The plan of run-on-pid-ns: which steps the options become, and in what order. */
#include "run-on-pid-ns/plan.h"
#include "test.h"

#include <errno.h>

static char *command[] = {(char *)"/sbin/init", NULL};
static struct options options;
static struct plan plan;

/* A step as --steps shows it; NULL behind the last one. */
static const char *line(size_t i)
{
    static char storage[512];
    struct text text;
    if (i >= plan.count)
        return NULL;
    text_init(&text, storage, sizeof storage);
    step_format(&plan.steps[i], &text);
    return storage;
}

static void check_lines(const char *const *expected, size_t count)
{
    CHECK_NUMBER(plan.count, count);
    for (size_t i = 0; i < count && i < plan.count; i++)
        CHECK_TEXT(line(i), expected[i]);
}

#define CHECK_LINES(...)                                                                           \
    check_lines((const char *const[]){__VA_ARGS__},                                                \
                sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void make(void)
{
    options.command = command;
    plan_make(&plan, &options);
    options = (struct options){.time = TIME_NEW};
}

/* Everything that is given once, in a root. */
static struct options all_in_root(void)
{
    return (struct options){.root = "/r",
                            .uts = true,
                            .ipc = true,
                            .net = true,
                            .cgroup = true,
                            .user = true,
                            .dev = true,
                            .private_run = true,
                            .console = true,
                            .notify = true,
                            .hostname = "h"};
}

static bool has(const char *words)
{
    for (size_t i = 0; i < plan.count; i++)
        if (strcmp(line(i), words) == 0)
            return true;
    return false;
}

TEST(the_defaults_are_five_steps_inside)
{
    make();
    CHECK_LINES("maker      make a time namespace: uptime 0 ms",
                "maker      make process 1 in namespaces: pid mount",
                "process 1  keep mounts from leaking out", "process 1  mount a new proc: /proc",
                "process 1  prepare the environment", "process 1  execute the command: /sbin/init");
}

TEST(a_system_in_a_root_has_all_steps_in_order)
{
    options = all_in_root();
    options.uptime_ms = 1500;
    options.bind_count = options.read_only_count = options.environment_count = 1;
    options.binds[0] = (struct options_bind){"/a", "/b", true};
    options.read_only[0] = "/c";
    options.environment[0] = "E=f";
    make();
    CHECK_LINES(
        "outer      make a cgroup below ours", "maker      enter the cgroup",
        "maker      make a user namespace", "maker      make a time namespace: uptime 1500 ms",
        "maker      make process 1 in namespaces: pid mount uts ipc net cgroup",
        "process 1  keep mounts from leaking out", "process 1  move the root: /r",
        "process 1  let go of the root outside", "process 1  mount a new proc: /proc",
        "process 1  mount a new sysfs, read-only: /sys", "process 1  mount cgroup2: /sys/fs/cgroup",
        "process 1  mount a new tmpfs: /dev, mode 755", "process 1  bind: /dev/null at /dev/null",
        "process 1  bind: /dev/zero at /dev/zero", "process 1  bind: /dev/full at /dev/full",
        "process 1  bind: /dev/random at /dev/random",
        "process 1  bind: /dev/urandom at /dev/urandom", "process 1  bind: /dev/tty at /dev/tty",
        "process 1  make a link: /proc/self/fd at /dev/fd",
        "process 1  make a link: /proc/self/fd/0 at /dev/stdin",
        "process 1  make a link: /proc/self/fd/1 at /dev/stdout",
        "process 1  make a link: /proc/self/fd/2 at /dev/stderr",
        "process 1  make a link: pts/ptmx at /dev/ptmx", "process 1  mount a new devpts: /dev/pts",
        "process 1  mount a new tmpfs: /dev/shm, mode 1777",
        "process 1  mount a new tmpfs: /run, mode 755",
        "process 1  describe the container: /run/host", "process 1  bind: /a at /b, read-only",
        "process 1  set the host name: h", "process 1  bring up the interface lo",
        "process 1  make the notify socket: /run/host/notify",
        "process 1  make the console: /dev/console", "process 1  make it read-only: /c",
        "process 1  prepare the environment", "process 1  set or remove a variable: E=f",
        "process 1  execute the command: /sbin/init");
}

TEST(a_root_has_what_is_not_its_own_from_the_outside)
{
    options.root = "/r";
    options.keep_proc = true;
    make();
    CHECK(has("process 1  bind: /proc at /proc") && has("process 1  bind: /dev at /dev"));
    CHECK(has("process 1  bind: /run at /run"));
    CHECK(has("process 1  mount a new sysfs, read-only: /sys"));
    CHECK(!has("process 1  mount a new proc: /proc"));
    options.root = "/r";
    options.user = true;
    make();
    CHECK(has("process 1  bind: /sys at /sys, read-only"));
    CHECK(!has("process 1  mount a new sysfs, read-only: /sys"));
}

TEST(without_a_root_sys_is_made_anew_only_for_another_network)
{
    options.net = options.user = true;
    make();
    CHECK(has("process 1  mount a new sysfs, read-only: /sys"));
    options.cgroup = true;
    make();
    CHECK(has("process 1  make it read-only: /sys"));
    CHECK(has("process 1  mount cgroup2: /sys/fs/cgroup"));
    options.keep_proc = true;
    make();
    CHECK(!has("process 1  mount a new proc: /proc") && !has("process 1  bind: /proc at /proc"));
}

TEST(a_shared_time_is_no_step)
{
    options.time = TIME_SHARED;
    make();
    CHECK_TEXT(line(0), "maker      make process 1 in namespaces: pid mount");
}

TEST(there_is_room_for_all_that_can_be_given)
{
    options = all_in_root();
    options.bind_count = OPTIONS_BINDS_MAX;
    options.read_only_count = OPTIONS_READ_ONLY_MAX;
    options.environment_count = OPTIONS_ENVIRONMENT_MAX;
    for (size_t i = 0; i < 64; i++) {
        options.binds[i] = (struct options_bind){"/a", "/b", false};
        options.read_only[i] = options.environment[i] = "/c";
    }
    make();
    CHECK(plan.count > 192 && plan.count <= PLAN_STEPS_MAX);
    CHECK(plan.steps[plan.count - 1].kind == STEP_EXECUTE);
}

TEST(every_kind_has_words_and_somebody_who_carries_it_out)
{
    for (int kind = 0; kind < STEP_KINDS; kind++) {
        CHECK(step_words((enum step_kind)kind)[0] != 0);
        CHECK(step_who((enum step_kind)kind) <= WHO_INSIDE);
    }
}
