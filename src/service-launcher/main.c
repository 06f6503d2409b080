/* service-launcher: loads service files, orders, starts, watches, restarts and stops services.
 *
 * A child of init, which holds what must survive it. main() reads as its life: options, the pair
 * with init, what a former launcher left, the boot, and then the loop. */
#include "service-launcher/control-place.h"
#include "service-launcher/control.h"
#include "service-launcher/executor.h"
#include "service-launcher/follow.h"
#include "service-launcher/init-link.h"
#include "service-launcher/journal-client.h"
#include "service-launcher/launcher.h"
#include "service-launcher/log-setup.h"
#include "service-launcher/look-apart.h"
#include "service-launcher/options.h"
#include "service-launcher/reader.h"
#include "service-launcher/reload.h"
#include "service-launcher/request-store.h"
#include "service-launcher/shut-down.h"
#include "service-launcher/state.h"
#include "service-launcher/upgrade.h"
#include "service-launcher/watch.h"

#include "base/clock.h"
#include "base/shortage.h"
#include "base/signals.h"
#include "base/text.h"
#include "config/switches.h"
#include "config/system-file.h"
#include "log/log.h"
#include "proc/cgroup.h"
#include "proc/spawn.h"
#include "protocol/journal-link.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* Descriptors, where nobody says how many there may be: what the kernel begins with. */
#define FILES_LEAST 1024
#define LOAD_TRIES  20 /* when something is lacking at the boot */

/* What init has given us of the time before; -1: nothing. */
static struct {
    int state, definitions, control, cgroup, follow, bell, requests, outbox;
    struct {
        uint32_t slot;
        int fd;
    } * pipes; /* from malloc; slots are counted on for what readiness needs */
    size_t pipe_count, pipe_room;
    bool done;
    bool beside; /* a former launcher stands by: until we are ready nothing is changed or stored */
} held = {.state = -1,
          .definitions = -1,
          .control = -1,
          .cgroup = -1,
          .follow = -1,
          .bell = -1,
          .requests = -1,
          .outbox = -1};

static struct launcher launcher = {.definitions_fd = -1};
static struct init_link init_link;
static struct control_place control_place;
static struct journal_client journal;
static struct outbox outbox;
static struct state state = {.fd = -1};
static bool state_is_new, requests_are_new; /* init has not got them yet */
static bool said_ready;
static struct request_store requests = {.fd = -1};
static struct system_file system_file;
static struct switches switches;
static struct reader reader;
static struct reloads reloads;
static struct watch watch;
static struct ending ending;
static struct upgrade upgrade;

/* Init starts the next one, or has the former one go on and says there why. */
static _Noreturn void fail_because(const char *what, const char *why)
{
    char text[512];
    LOG(FATAL, what, TEXT("error", why));
    text_format(text, sizeof text, "%s: %s", what, why);
    if (held.beside)
        init_link_failed(&init_link, text);
    _exit(1);
}

static _Noreturn void fail(const char *what, int failed)
{
    fail_because(what, strerror(-failed));
}

/* ---- from init ----------------------------------------------------------------------------- */

static void hold_pipe(uint32_t slot, int fd)
{
    if (held.pipe_count == held.pipe_room) {
        size_t room = held.pipe_room ? held.pipe_room * 2 : 64;
        void *grown = reallocarray(held.pipes, room, sizeof *held.pipes);
        if (!grown)
            fail("No memory for what init holds", -ENOMEM);
        held.pipes = grown;
        held.pipe_room = room;
    }
    held.pipes[held.pipe_count].slot = slot;
    held.pipes[held.pipe_count++].fd = fd;
}

static void on_held(void *context, uint32_t key, int fd)
{
    int *place = key == KEY_STATE            ? &held.state
                 : key == KEY_DEFINITIONS    ? &held.definitions
                 : key == KEY_CONTROL_SOCKET ? &held.control
                 : key == KEY_CGROUP         ? &held.cgroup
                 : key == KEY_OUTBOX         ? &held.outbox
                 : key == KEY_FOLLOW         ? &held.follow
                 : key == KEY_FOLLOW_BELL    ? &held.bell
                 : key == KEY_REQUESTS       ? &held.requests
                                             : NULL;
    (void)context;
    if (place)
        *place = fd;
    else if (key >= KEY_SERVICE_FIRST)
        hold_pipe(key - KEY_SERVICE_FIRST, fd);
    else
        close(fd);
}

static void on_held_done(void *context, bool beside)
{
    (void)context;
    held.done = true;
    held.beside = beside;
    loop_stop(&launcher.loop);
}

static void on_ended(void *context, pid_t pid, int status)
{
    (void)context;
    executor_on_ended(launcher.executor, pid, status);
}

static void on_signal(void *context, int signal, pid_t sender)
{
    enum shut_down how = shut_down_of_signal(signal);
    char name[32];
    struct text text;
    (void)context;
    text_init(&text, name, sizeof name);
    signals_format(signal, &text);
    LOG(INFO, "init was sent a signal", TEXT("signal", name), NUMBER("sender", sender));
    if (how == SHUT_DOWN_NONE)
        return;
    /* A container manager's SIGTERM means: end. */
    if (launcher.options.container && (signal == SIGTERM || signal == SIGINT || signal == SIGPWR))
        how = SHUT_DOWN_POWEROFF;
    launcher_shut_down(&launcher, how, false);
}

static void on_refused(void *context, const uint32_t *keys, size_t count)
{
    (void)context;
    LOG(ERROR, "init could not hold descriptors: a crash would lose them", NUMBER("count", count),
        NUMBER("key", count ? keys[0] : 0));
}

static void on_room(void *context)
{
    (void)context;
    executor_on_room(launcher.executor);
}

static void on_yield(void *context)
{
    (void)context;
    upgrade_yield(&upgrade);
}

static void on_resume(void *context)
{
    (void)context;
    upgrade_resume(&upgrade);
}

static void on_upgraded(void *context, uint32_t done, uint32_t failed, const char *text)
{
    (void)context;
    upgrade_ended(&upgrade, done, failed, text);
}

static void on_lost(void *context, int error)
{
    (void)context;
    fail("init is gone", error ? error : -EPIPE);
}

static const struct init_link_handlers handlers = {
    .on_held = on_held,
    .on_held_done = on_held_done,
    .on_ended = on_ended,
    .on_signal = on_signal,
    .on_refused = on_refused,
    .on_room = on_room,
    .on_yield = on_yield,
    .on_resume = on_resume,
    .on_upgraded = on_upgraded,
    .on_lost = on_lost,
};

/* ---- the manager's seam -------------------------------------------------------------------- */

static uint64_t now_ns(void *context)
{
    (void)context;
    return clock_now_ns();
}

static uint32_t random_below(void *context, uint32_t bound)
{
    (void)context;
    return (uint32_t)(executor_random_number(launcher.executor) % bound);
}

static void on_changed(void *context, struct service *service, enum service_state before)
{
    (void)context;
    log_change(&launcher, service, before);
    if (launcher.control)
        control_service_changed(launcher.control, service, before);
    enum service_state now = service_state(&launcher.manager, service);
    if (machine_states[now].idle && now != STATE_WAITING && now != STATE_BACKING_OFF) {
        look_forget(launcher.executor, service->slot);
        executor_rest(launcher.executor, service);
    }
    launcher.idle_instances |= service->from_template && machine_states[now].idle;
}

static void on_impossible(void *context, struct service *service, enum service_event event)
{
    (void)context;
    LOG(ERROR, "A bug: an event that cannot be",
        TEXT("service", service_name(&launcher.manager, service)),
        TEXT("state", machine_states[service_state(&launcher.manager, service)].name),
        TEXT("event", machine_event_names[event]));
}

static void on_essential_ended(void *context, struct service *service, int exit_status)
{
    (void)context;
    LOG(WARNING, "An essential service has ended: the system goes down",
        TEXT("service", service_name(&launcher.manager, service)), NUMBER("status", exit_status));
    state.header->exit_status = exit_status;
    state.header->essential_slot = service->slot;
    launcher_shut_down(&launcher, SHUT_DOWN_POWEROFF, false);
}

static const struct manager_ops ops = {
    .act = executor_act,
    .conditions_met = executor_conditions_met,
    .now_ns = now_ns,
    .random = random_below,
    .changed = on_changed,
    .impossible = on_impossible,
    .essential_ended = on_essential_ended,
};

/* ---- the turn ------------------------------------------------------------------------------ */

/* What only loading and the first starts needed goes back: the free heap, and the program's own
 * pages, of which the few that are used from here on come back from the page cache. That is a third
 * of our memory. */
static void give_back_memory(void)
{
    extern char __executable_start[], etext[];
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = (uintptr_t)__executable_start & ~(page - 1);
    malloc_trim(0);
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): a page is found by computing */
    madvise((void *)first, (uintptr_t)etext - first, MADV_DONTNEED);
}

/* After each batch of events: wishes are settled, programs spawned, what came to rest is freed. */
static bool on_turn(void *context)
{
    (void)context;
    manager_settle(&launcher.manager);
    bool more = executor_spawn_batch(launcher.executor);
    manager_settle(&launcher.manager);
    executor_rest_all(launcher.executor);
    if (launcher.gone_services)
        launcher_forget_gone(&launcher);
    if (launcher.idle_instances && !launcher.manager.shutting_down)
        launcher_forget_instances(&launcher);
    launcher_check_shut_down(&launcher);
    bool said = launcher.started_said;
    log_started(&launcher);
    if (launcher.started_said && !said)
        give_back_memory();
    journal_client_flush(&journal);
    more |= upgrade_turn(&upgrade);
    return more || launcher.manager.queue_count;
}

static void on_registered(void *context, uint32_t slot)
{
    (void)context;
    executor_on_registered(launcher.executor, slot);
}

static int open_pipe(void *context, uint32_t slot)
{
    (void)context;
    return executor_open_pipe(launcher.executor, slot);
}

static void on_match_taken(void *context, uint32_t slot, const uint64_t run[2])
{
    (void)context;
    executor_on_match_taken(launcher.executor, slot, run);
}

static void on_matched(void *context, uint32_t slot, const uint64_t run[2])
{
    (void)context;
    executor_on_matched(launcher.executor, slot, run);
}

static void on_new_journal(void *context)
{
    (void)context;
    executor_on_new_journal(launcher.executor);
}

static void on_note(void *context, uint32_t level, const char *text)
{
    (void)context;
    log_write(level <= 3 ? LOG_ERROR : LOG_WARNING, "service-journal says",
              (const struct log_field[]){TEXT("note", text)}, 1);
}

/* ---- starting ------------------------------------------------------------------------------ */

/* Our descriptors move up: the low ones are the spawner's. */
static int move_up(int fd)
{
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, SPAWN_FD_LAST + 1);
    if (moved < 0 && errno == EBADF) {
        fputs("service-launcher: started by hand: it is a child of init, which gives it its "
              "descriptors 3 and 4\n",
              stderr);
        exit(2);
    }
    if (moved < 0)
        fail("Cannot move a descriptor", -errno);
    return moved;
}

static void raise_descriptors(struct rlimit *ret_before)
{
    *ret_before = (struct rlimit){FILES_LEAST, FILES_LEAST};
    if (getrlimit(RLIMIT_NOFILE, ret_before) < 0)
        LOG(ERROR, "Cannot see how many descriptors there may be", NUMBER("taken", FILES_LEAST),
            TEXT("error", strerror(errno)));
    struct rlimit raised = {ret_before->rlim_max, ret_before->rlim_max};
    setrlimit(RLIMIT_NOFILE, &raised);
}

static void block_signals(void)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
}

/* Init's replay of what it holds: the loop runs for nothing else until it is over. */
static void receive_held(void)
{
    loop_run(&launcher.loop);
    if (!held.done)
        fail("init did not say what it holds", -EPROTO);
}

static void store(uint32_t key, int fd)
{
    int failed = init_link_store_queued(&init_link, OWNER_LAUNCHER, &key, &fd, 1);
    if (failed)
        LOG(ERROR, "init cannot hold a descriptor", NUMBER("key", key),
            TEXT("error", strerror(-failed)));
}

/* Returns whether a state was found. One that cannot be read is said: where there is nobody to go
 * on with it all begins anew. With a former launcher beside us we have a copy of our own. */
static bool open_state(void)
{
    char why[STATE_WHY_BYTES] = "init holds none";
    int failed = -ENOENT;
    if (held.state >= 0) {
        failed = state_open(&state, held.state, held.beside, &state_is_new, why);
        if (!failed)
            return true;
        if (!*why)
            text_format(why, sizeof why, "%s", strerror(-failed));
        /* What runs must not be forgotten because it cannot be read now: the next one tries again.
         */
        if (is_shortage(failed) || failed == -EAGAIN || failed == -EIO)
            fail_because("Cannot take up the state", why);
    }
    if (held.beside)
        fail_because("The state cannot be taken up", why);
    if (held.state >= 0)
        LOG(ERROR, "The state of the former launcher cannot be read: beginning anew",
            TEXT("error", why));
    failed = state_create(&state);
    if (failed)
        fail("Cannot make the state", failed);
    state_is_new = true;
    return false;
}

/* Without the state of which they speak, what a former launcher was asked is of no use. */
static void open_requests(bool found)
{
    int failed = found && held.requests >= 0
                     ? request_store_open(&requests, held.requests, &requests_are_new)
                     : -ENOENT;
    if (failed && held.requests >= 0 && held.beside)
        fail("What the launcher was asked cannot be taken up", failed);
    if (failed && held.requests >= 0)
        LOG(ERROR, "What the former launcher was asked cannot be read: clients have to ask again",
            TEXT("error", strerror(-failed)));
    if (failed) {
        failed = request_store_create(&requests);
        requests_are_new = !failed;
    }
    if (failed)
        LOG(ERROR, "Requests are not kept: a crash of the launcher would lose them",
            TEXT("error", strerror(-failed)));
    else
        launcher.requests = &requests;
}

static void open_outbox(void)
{
    int fd = held.outbox, failed = 0;
    if (fd < 0)
        fd = memfd_create("conit-outbox", MFD_CLOEXEC);
    if (fd < 0)
        failed = -errno;
    else if (held.outbox < 0)
        store(KEY_OUTBOX, fd);
    if (!failed)
        failed = outbox_open(&outbox, fd);
    if (!failed)
        failed = journal_client_keep(&journal, &outbox);
    if (failed)
        LOG(ERROR, "A crash of the launcher would lose events of services",
            TEXT("error", strerror(-failed)));
    if (fd >= 0)
        close(fd);
}

/* For want of something now no service is to do without for ever. */
static int create_cgroups(void)
{
    int fd = cgroup_create_folder();
    for (int i = 0; i < LOAD_TRIES && is_shortage(fd); i++) {
        if (i == 0)
            LOG(WARNING, "Cannot make cgroups yet", TEXT("error", strerror(-fd)));
        poll(NULL, 0, SHORTAGE_RETRY_MS);
        fd = cgroup_create_folder();
    }
    return fd;
}

static void open_cgroups(void)
{
    int fd = held.cgroup;
    if (fd < 0) {
        fd = create_cgroups();
        if (fd >= 0)
            store(KEY_CGROUP, fd);
        else
            LOG(INFO,
                "No writable cgroup v2: a service that forks is followed by follow-forks, any "
                "other by its process group",
                TEXT("why", strerror(-fd)));
    }
    executor_set_cgroup_folder(launcher.executor, fd < 0 ? -1 : fd);
    /* A former launcher that could make no cgroups has left followers. */
    bool follows = fd < 0 || held.follow >= 0;
    int failed = follows ? follow_begin(launcher.executor, held.follow, held.bell) : 0;
    if (failed)
        LOG(ERROR, "Services that fork can be followed by their process group only",
            TEXT("error", strerror(-failed)));
}

static void take_pipes(void)
{
    const uint32_t ready = KEY_READY_FIRST - KEY_SERVICE_FIRST;
    for (size_t i = 0; i < held.pipe_count; i++) {
        uint32_t slot = held.pipes[i].slot;
        if (slot >= ready)
            executor_take_ready(launcher.executor, slot - ready, held.pipes[i].fd);
        else
            executor_take_pipe(launcher.executor, slot, held.pipes[i].fd);
    }
    free(held.pipes);
    held.pipes = NULL;
    held.pipe_count = 0;
}

/* Nothing runs yet that could be kept waiting. */
static int load_files(void)
{
    int failed = launcher_load(&launcher, false);
    for (int i = 0; i < LOAD_TRIES && is_shortage(failed); i++) {
        if (i == 0)
            LOG(WARNING, "Cannot load services yet", TEXT("error", strerror(-failed)));
        poll(NULL, 0, SHORTAGE_RETRY_MS);
        failed = launcher_load(&launcher, i == LOAD_TRIES - 1);
    }
    return failed;
}

static void load(bool found)
{
    int failed = -ENOENT;
    for (size_t i = 0; found && i < held.pipe_count; i++)
        executor_expect_pipe(launcher.executor, held.pipes[i].slot);
    if (found && held.definitions >= 0) {
        failed = launcher_load_again(&launcher, held.definitions);
        if (failed && (held.beside || failed != -EBADMSG))
            fail("The definitions in force cannot be taken up", failed);
        if (failed)
            LOG(ERROR, "The definitions in force cannot be read: reading the files",
                TEXT("error", strerror(-failed)));
    }
    if (failed)
        failed = load_files();
    /* With no services there still is a control socket: a person can mend what is wrong. */
    if (failed)
        LOG(ERROR, "Cannot load services", TEXT("error", strerror(-failed)));
}

/* What runs and is described in words that this launcher does not understand would be out of
 * anybody's hands. */
static void check_definitions(void)
{
    char why[400];
    for (uint32_t slot = 0; held.beside && slot < launcher.manager.slots; slot++) {
        const struct service *service = &launcher.manager.services[slot];
        if (!service->in_use || service->definition || !service->errors ||
            machine_states[service_state(&launcher.manager, service)].idle)
            continue;
        text_format(why, sizeof why, "%.*s", (int)strcspn(service->errors, "\n"), service->errors);
        fail_because("A service that runs has a definition this launcher cannot read", why);
    }
}

static void go_on(void)
{
    state.header->generation++;
    launcher.gone_services = true; /* the former one may have had some to forget */
    launcher_define_lost(&launcher);
    launcher.gone_services = true; /* whether there are any is seen in the first turn */
    take_pipes();
    executor_recover(launcher.executor);
    upgrade_go_on(&upgrade);
    LOG(INFO, "Took up where the former launcher was",
        NUMBER("generation", state.header->generation), NUMBER("active", launcher.manager.active));
    if (state.header->shut_down)
        launcher_shut_down(&launcher, (enum shut_down)state.header->shut_down, false);
}

static void on_boot_again(struct loop_timer *timer);

/* Wants what is to run; for want of memory later. */
static void boot(void)
{
    static struct loop_timer again;
    if (state.header->booted)
        return;
    launcher_boot(&launcher);
    if (!state.header->booted)
        loop_set_timer(&launcher.loop, &again, clock_now_ns() + SHORTAGE_RETRY_MS * NS_PER_MS,
                       on_boot_again);
}

static void on_boot_again(struct loop_timer *timer)
{
    (void)timer;
    boot();
}

static void set_up_parts(void)
{
    launcher.init_link = &init_link;
    launcher.journal = &journal;
    launcher.state = &state;
    launcher.system_file = &system_file;
    launcher.switches = &switches;
    launcher.reader = &reader;
    reloads_init(&reloads, &launcher);
    launcher.reloads = &reloads;
    watch_init(&watch, &launcher);
    launcher.watch = &watch;
    ending_init(&ending, &launcher);
    launcher.ending = &ending;
    upgrade_init(&upgrade, &launcher);
    launcher.upgrade = &upgrade;
}

static int open_journal(int link_fd)
{
    int failed =
        journal_client_init(&journal, &launcher.loop, link_fd, &state.header->link_sequence);
    journal.on_registered = on_registered;
    journal.open_pipe = open_pipe;
    journal.on_match_taken = on_match_taken;
    journal.on_matched = on_matched;
    journal.on_new_journal = on_new_journal;
    journal.on_note = on_note;
    journal.batching = true;
    journal.paused = held.beside;
    log_to_journal(&launcher);
    return failed;
}

/* From here on what we do is in force, and a former launcher is ended. What is in init's hands
 * first is the state: whoever comes after us finds what we have done. */
static void take_over(void)
{
    if (held.beside)
        init_link_ready(&init_link);
    held.beside = journal.paused = false;
    if (state_is_new)
        store(KEY_STATE, state.fd);
    if (requests_are_new)
        store(KEY_REQUESTS, requests.fd);
}

static void set_up(void)
{
    struct rlimit nofile;
    raise_descriptors(&nofile);
    int init_fd = move_up(CHILD_FD_INIT), link_fd = move_up(CHILD_FD_LINK);
    int failed = spawner_init();
    if (!failed)
        failed = loop_init(&launcher.loop);
    if (!failed)
        failed = init_link_init(&init_link, &launcher.loop, init_fd, &handlers, NULL);
    if (failed)
        fail("Cannot begin", failed);
    set_up_parts();
    receive_held();

    bool found = open_state(), beside = held.beside;
    open_requests(found);
    if (!beside)
        take_over();
    failed = open_journal(link_fd);
    if (!failed)
        failed = executor_create(&launcher, &nofile, &launcher.executor);
    if (!failed)
        failed = manager_init(&launcher.manager, &ops, &launcher, state.header, state.records,
                              state.header->slots);
    if (failed)
        fail("Cannot begin", failed);
    if (!beside) {
        open_outbox();
        open_cgroups();
    }
    load(found);
    check_definitions();
    executor_open_recorded(launcher.executor);
    if (beside) {
        take_over();
        open_outbox();
        open_cgroups();
    }
    log_tell_settings(&launcher);
    if (found)
        go_on();
    boot();
    said_ready = beside;
}

int main(int argc, char **argv)
{
    options_parse(&launcher.options, argc, argv);
    if (launcher.options.read)
        reader_child(&launcher.options);
    if (launcher.options.watch)
        watch_child(&launcher.options);
    prctl(PR_SET_NAME, "service-launcher"); /* by a descriptor it is executed under a number */
    block_signals();
    launcher.started_at_ns = clock_now_ns();
    set_up();
    control_place_open(&control_place, &launcher, held.control);
    if (!said_ready)
        init_link_ready(&init_link);
    watch_update(&launcher);
    give_back_memory();

    launcher.loop.on_turn = on_turn;
    int failed = loop_run(&launcher.loop);
    fail("The loop has failed", failed);
}
