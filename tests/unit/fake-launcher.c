/* A launcher that is made up, around the real control socket. */
#include "fake-launcher.h"

#include "service-launcher/request-store.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- what the launcher would offer ---------------------------------------------------------- */

struct fake fake;
struct launcher launcher;
static struct manager_ops operations;
enum shut_down asked_how;
bool asked_force, reply_was_sent;
int watched_client = -1;

bool has_data(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

void launcher_shut_down(struct launcher *l, enum shut_down how, bool force)
{
    asked_how = how;
    asked_force = force;
    reply_was_sent = has_data(watched_client);
}

bool reload_dry, reload_start;
static struct reload_request *reload_asked;
static struct loop_timer reload_timer;

static void on_reload_time(struct loop_timer *timer)
{
    struct reload_entry entries[] = {
        {.change = RELOAD_CHANGED, .name = "a", .keys = 5, .needs_restart = true},
        {.change = RELOAD_BROKEN, .name = "b", .errors = "b.yml:1: x\nb.yml:2: y"}};
    struct reload_report report = {.entries = entries, .count = 2, .warnings = (char *)"c: odd"};
    if (reload_asked->on_done)
        reload_asked->on_done(reload_asked, &report, NULL);
    free(reload_asked);
    reload_asked = NULL;
}

struct reload_request *launcher_reload(struct launcher *l, bool dry_run, bool start,
                                       reload_done *on_done, void *context)
{
    reload_dry = dry_run;
    reload_start = start;
    reload_asked = malloc(sizeof *reload_asked);
    if (!reload_asked)
        return NULL;
    *reload_asked = (struct reload_request){.on_done = on_done, .context = context};
    loop_set_timer(&l->loop, &reload_timer, 1, on_reload_time);
    return reload_asked;
}

int upgrade_result;
char upgrade_asked_id[64];

int launcher_upgrade(struct launcher *l, const char *id, uint32_t uid)
{
    text_format(upgrade_asked_id, sizeof upgrade_asked_id, "%s", id);
    return upgrade_result;
}

bool switches_read_again;
size_t finished_entries;

struct reload_request *launcher_read_switches(struct launcher *l, reload_done *on_done,
                                              void *context)
{
    switches_read_again = true;
    return launcher_reload(l, false, false, on_done, context);
}

void launcher_finish_reload(struct launcher *l, const struct reload_report *report, bool start)
{
    finished_entries = report->count;
}

void launcher_reload_leave(struct reload_request *request)
{
    request->on_done = NULL;
}

const char *launcher_reload_where(const struct launcher *l)
{
    return "/here";
}

int launcher_make_instance(struct launcher *l, const char *name)
{
    return 0;
}

int launcher_resolve(struct launcher *l)
{
    return 0;
}

bool launcher_is_instance(const struct launcher *l, const char *name)
{
    return !strcmp(name, "tty@9");
}

const char *launcher_why_missing(const struct launcher *l, const char *name)
{
    return strchr(name, '/') ? "has a '/'" : NULL;
}

size_t executor_processes(struct executor *executor, uint32_t slot, int32_t *pids, size_t room)
{
    for (size_t i = 0; i < 3 && i < room; i++)
        pids[i] = (int32_t)(100 + i);
    return 3;
}

int64_t executor_memory_bytes(struct executor *executor, uint32_t slot)
{
    return 4096;
}

int sent_signal, sent_to_all;

int executor_signal(struct executor *executor, uint32_t slot, int signal, bool all)
{
    sent_signal = signal;
    sent_to_all = all;
    return fake.services[slot].runs ? 0 : -ESRCH;
}

int32_t executor_main_pid(struct executor *executor, uint32_t slot)
{
    return fake.services[slot].runs ? (int32_t)(100 + slot) : 0;
}

static void on_changed(void *context, struct service *service, enum service_state before)
{
    if (launcher.control)
        control_service_changed(launcher.control, service, before);
}

/* ---- a launcher and its clients ------------------------------------------------------------- */

static char socket_path[64];
static struct request_store requests;
#define TRIES 2
/* What a launcher that was killed has left with init, for each that tries to take it up. */
static struct {
    int requests, listener;
} held[TRIES];
static size_t tried;

/* Both the fake kernel and the launcher have the manager inside them: it moves. */
static void move_manager(struct manager *to, struct manager *from)
{
    *to = *from;
    list_init(&to->requests);
    for (struct list *link; (link = list_take(&from->requests));)
        list_append(&to->requests, link);
}

static int make_listener(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    text_format(socket_path, sizeof socket_path, "/tmp/test-control-%d", getpid());
    unlink(socket_path);
    text_format(address.sun_path, sizeof address.sun_path, "%s", socket_path);
    CHECK_NUMBER(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_NUMBER(chmod(socket_path, 0666), 0);
    CHECK_NUMBER(listen(fd, 4096), 0);
    return fd;
}

void kill_launcher(void)
{
    held[0].requests = fcntl(requests.fd, F_DUPFD_CLOEXEC, 3);
    control_destroy(launcher.control);
    launcher.control = NULL;
    request_store_finish(&requests);
    held[0].listener = make_listener();
    for (size_t i = 1; i < TRIES; i++) {
        held[i].requests = fcntl(held[0].requests, F_DUPFD_CLOEXEC, 3);
        held[i].listener = fcntl(held[0].listener, F_DUPFD_CLOEXEC, 3);
    }
    tried = 0;
}

int take_up(void)
{
    bool moved;
    int failed = request_store_open(&requests, held[tried].requests, &moved);
    CHECK(failed || !moved);
    if (failed)
        close(held[tried].listener);
    else
        failed = control_create(&launcher, held[tried].listener, &launcher.control);
    if (failed)
        request_store_finish(&requests);
    tried++;
    for (; !failed && tried < TRIES; tried++) {
        close(held[tried].requests);
        close(held[tried].listener);
    }
    return failed;
}

void begin_again(void)
{
    kill_launcher();
    CHECK_NUMBER(take_up(), 0);
}

void begin(void)
{
    fake_init(&fake);
    fake_add(&fake, "web", TYPE_DAEMON);
    fake_add(&fake, "b", TYPE_DAEMON);
    fake_add(&fake, "a", TYPE_DAEMON);
    fake_tie(&fake, "b", NEEDS, "a");
    fake_load(&fake);
    operations = *fake.manager.ops;
    operations.changed = on_changed;
    fake.manager.ops = &operations;
    launcher = (struct launcher){.options = {.runtime = "/run/x", .logs = "/var/log/x"}};
    move_manager(&launcher.manager, &fake.manager);
    CHECK_NUMBER(loop_init(&launcher.loop), 0);
    CHECK_NUMBER(request_store_create(&requests), 0);
    launcher.requests = &requests;
    CHECK_NUMBER(control_create(&launcher, make_listener(), &launcher.control), 0);
}

void end(void)
{
    control_destroy(launcher.control);
    request_store_finish(&requests);
    loop_finish(&launcher.loop);
    move_manager(&fake.manager, &launcher.manager);
    fake_finish(&fake);
    unlink(socket_path);
}

void run_services(void)
{
    move_manager(&fake.manager, &launcher.manager);
    fake_run(&fake);
    move_manager(&launcher.manager, &fake.manager);
}

void fail_service(const char *name)
{
    move_manager(&fake.manager, &launcher.manager);
    fake_exit(&fake, name, EXIT_CODE, 3);
    move_manager(&launcher.manager, &fake.manager);
}

int dial(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    text_format(address.sun_path, sizeof address.sun_path, "%s", socket_path);
    CHECK_NUMBER(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

void turns(int count)
{
    while (count--)
        loop_turn(&launcher.loop, false);
}

void put(int fd, const char *text)
{
    size_t count = strlen(text) + 1;
    CHECK_NUMBER(send(fd, text, count, MSG_NOSIGNAL), count);
}

#define MESSAGE_BYTES 200000
static char message[MESSAGE_BYTES];

const char *get(int fd)
{
    for (size_t at = 0; at < sizeof message;) {
        ssize_t got = recv(fd, message + at, 1, MSG_DONTWAIT);
        if (got == 1 && !message[at])
            return message;
        if (got == 1)
            at++;
        else if (got == 0 || errno == ECONNRESET)
            return "EOF";
        else
            turns(1);
    }
    return "too long";
}

const char *ask(int fd, const char *call)
{
    put(fd, call);
    return get(fd);
}

const char *call_of(const char *method, const char *parameters, const char *flags)
{
    static char call[2000];
    text_format(call, sizeof call, "{\"method\":\"%s\"%s%s%s}", method,
                *parameters ? ",\"parameters\":" : "", parameters, flags);
    return call;
}

const char *value_at(const char *reply, const char *path)
{
    static char words[2000];
    json_t *root = json_loads(reply, 0, NULL), *at = root;
    char steps[200], *rest = steps, *step;

    text_format(steps, sizeof steps, "%s", path);
    while (at && (step = strsep(&rest, "/")))
        at = json_is_array(at) ? json_array_get(at, (size_t)(step[0] - '0'))
                               : json_object_get(at, step);
    if (json_is_string(at)) {
        text_format(words, sizeof words, "%s", json_string_value(at));
    } else {
        char *dumped = at ? json_dumps(at, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
        text_format(words, sizeof words, "%s", dumped ? dumped : "absent");
        free(dumped);
    }
    json_decref(root);
    return words;
}

const char *list_call(void)
{
    return call_of(INTERFACE "List", "", "");
}

void check_served(void)
{
    AUTO_CLOSE int fd = dial();
    CHECK_VALUE(ask(fd, list_call()), "parameters/services/0/name", "a");
}
