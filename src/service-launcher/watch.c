/* The launcher's side of watching: it has the child, reloads when that says so, and says what came
 * of it. */
#include "service-launcher/watch.h"
#include "service-launcher/reader.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "config/keys.h"
#include "config/system-file.h"
#include "log/log.h"
#include "proc/spawn.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define AGAIN_FIRST_MS 500 /* after the child has ended by itself; twice as long each time */
#define AGAIN_MAX_MS   60000
#define LINES_MAX      20 /* about one reload; more help nobody */

/* ---- what a reload found -------------------------------------------------------------------- */

static void add_keys(struct text *text, uint64_t bits)
{
    for (unsigned row = 0; row < KEY_COUNT; row++)
        if (bits & KEY_BIT(row))
            text_printf(text, "%s%s", text->used_bytes ? "," : "", keys[row].name);
}

static void log_changed(const struct reload_entry *entry)
{
    char words[400];
    struct text text;
    text_init(&text, words, sizeof words);
    add_keys(&text, entry->keys);
    LOG(INFO,
        entry->needs_restart ? "A service file has changed: partly in force once it is restarted"
                             : "A service file has changed, and is in force",
        TEXT("keys", words), TEXT("service", entry->name));
}

static bool has_changed(const struct reload_entry *entry)
{
    return entry->dropped || (!entry->known && entry->change != RELOAD_UNCHANGED);
}

static bool is_news(const struct reload_entry *entry)
{
    return has_changed(entry) || entry->warnings || (entry->cycle && !entry->cycle_known);
}

/* Returns whether there was something to say. */
static bool log_entry(const struct reload_entry *entry)
{
    if (!is_news(entry))
        return false;
    if (entry->warnings)
        LOG(WARNING, "Odd, but not wrong", TEXT("what", entry->warnings),
            TEXT("service", entry->name));
    if (entry->cycle && !entry->cycle_known)
        LOG(ERROR, "Service files make a cycle", TEXT("what", entry->cycle),
            TEXT("service", entry->name));
    if (!has_changed(entry))
        return true;
    if (entry->dropped)
        LOG(INFO, "An instance is named no more: it disappears once it does not run",
            TEXT("service", entry->name));
    else if (entry->change == RELOAD_CHANGED)
        log_changed(entry);
    else if (entry->change == RELOAD_NEW)
        LOG(INFO, entry->reason ? "A new instance is made" : "A new service file is in force",
            TEXT("service", entry->name));
    else if (entry->change == RELOAD_GONE)
        LOG(INFO, "A service file is gone: the service disappears once it does not run",
            TEXT("service", entry->name));
    else
        LOG(ERROR, "A service file does not load: what was in force stays",
            TEXT("error", entry->errors ? entry->errors : "no memory"),
            TEXT("service", entry->name));
    return true;
}

/* The words of each reload once, and not again until they are others. */
static void log_once(char **said, const char *words)
{
    if (words && (!*said || strcmp(words, *said) != 0))
        LOG(WARNING, "Watching the service files", TEXT("what", words));
    free(*said);
    *said = words ? strdup(words) : NULL;
}

static void log_entries(const struct reload_report *report)
{
    size_t lines = 0, more = 0;
    for (size_t i = 0; i < report->count; i++) {
        const struct reload_entry *entry = &report->entries[i];
        if (lines < LINES_MAX)
            lines += log_entry(entry);
        else
            more += is_news(entry);
    }
    if (more)
        LOG(INFO, "More service files have changed: slc list shows all", NUMBER("count", more));
}

static void end_reload(struct watch *watch, const struct reload_report *report, const char *why)
{
    const char go_on = WATCH_GO_ON;
    watch->reloading = false;
    log_once(&watch->said_wrong, report ? report->errors : why);
    log_once(&watch->said, report ? report->warnings : NULL);
    if (report)
        log_entries(report);
    if (watch->socket.fd >= 0)
        (void)!send(watch->socket.fd, &go_on, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void on_decided(struct reload_request *request, const struct reload_report *report,
                       uint64_t number)
{
    struct watch *watch = request->context;
    watch->kept = control_keep_reload(watch->launcher, report, number);
}

static void on_reloaded(struct reload_request *request, const struct reload_report *report,
                        const char *why)
{
    struct watch *watch = request->context;
    control_forget_reload(watch->launcher, watch->kept);
    watch->kept = NULL;
    end_reload(watch, report, why);
}

/* ---- the child ------------------------------------------------------------------------------ */

static void on_time(struct loop_timer *timer)
{
    watch_update(container_of(timer, struct watch, timer)->launcher);
}

static void try_again_later(struct watch *watch)
{
    watch->again_ms = watch->again_ms ? watch->again_ms * 2 : AGAIN_FIRST_MS;
    if (watch->again_ms > AGAIN_MAX_MS)
        watch->again_ms = AGAIN_MAX_MS;
    loop_set_timer(&watch->launcher->loop, &watch->timer,
                   clock_now_ns() + watch->again_ms * NS_PER_MS, on_time);
}

static void close_socket(struct watch *watch)
{
    int fd = watch->socket.fd;
    if (fd < 0)
        return;
    loop_remove(&watch->launcher->loop, &watch->socket);
    close(fd);
}

/* Its socket's end tells it to go; one that hangs in the kernel goes when it can. */
static void on_ended(struct loop_fd *source, uint32_t events)
{
    struct watch *watch = container_of(source, struct watch, process_end);
    struct loop *loop = &watch->launcher->loop;
    int code, status;
    (void)events;
    if (pidref_peek(&watch->process, &code, &status) < 0)
        return;
    pidref_reap(&watch->process);
    loop_remove(loop, source);
    pidref_close(&watch->process);
    close_socket(watch);
    if (watch->launcher->manager.shutting_down || !watch->launcher->system_file->watch)
        return;
    LOG(WARNING, "What watches the service files has ended, and is started again",
        NUMBER(code == CLD_EXITED ? "exit" : "signal", status));
    try_again_later(watch);
}

static void take(struct watch *watch, const char *message, ssize_t count)
{
    if (message[0] == WATCH_WARNING && count > 1)
        LOG(WARNING, "Watching the service files", TEXT("what", message + 1));
    if (message[0] != WATCH_CHANGED || watch->reloading)
        return;
    watch->again_ms = 0;
    struct reload_request *request =
        launcher_reload(watch->launcher, false, true, on_reloaded, watch);
    watch->reloading = request != NULL;
    if (!request) {
        end_reload(watch, NULL, "no memory to load what has changed: slc reload");
        return;
    }
    request->quiet = true; /* only what is new is said, here */
    request->on_decided = on_decided;
}

static void on_message(struct loop_fd *source, uint32_t events)
{
    struct watch *watch = container_of(source, struct watch, socket);
    char message[WATCH_MESSAGE_BYTES + 1];
    ssize_t count = recv(source->fd, message, sizeof message - 1, MSG_DONTWAIT);
    (void)events;
    if (count > 0) {
        message[count] = 0;
        take(watch, message, count);
    } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
        close_socket(watch);
    }
}

static int spawn_child(struct watch *watch, int socket)
{
    char folder[PATH_MAX];
    struct spawn_failure failure;
    AUTO_FREE char **arguments = reader_arguments(&watch->launcher->options, "--watch");
    if (!arguments)
        return -ENOMEM;
    struct spawn spawn_this = {
        .argv = arguments,
        .environment = environ,
        .stdin_fd = socket,
        .output_fd = STDERR_FILENO,
        .tty_fd = -1,
        .cgroup_fd = -1,
        .dir = getcwd(folder, sizeof folder),
        .umask = 022,
        .parent_tid = &watch->pid,
    };
    int failed = spawn(&spawn_this, &watch->process.fd, &failure);
    spawner_rest();
    watch->process.pid = watch->pid;
    return failed;
}

static int begin(struct watch *watch)
{
    struct loop *loop = &watch->launcher->loop;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    int failed = spawn_child(watch, pair[1]);
    close(pair[1]);
    if (!failed)
        failed = loop_add(loop, &watch->process_end, watch->process.fd, EPOLLIN, on_ended);
    if (!failed)
        failed = loop_add(loop, &watch->socket, pair[0], EPOLLIN, on_message);
    if (failed)
        close(pair[0]);
    return failed;
}

void watch_init(struct watch *watch, struct launcher *launcher)
{
    *watch = (struct watch){
        .launcher = launcher, .socket.fd = -1, .process_end.fd = -1, .process = PIDREF_NONE};
}

void watch_update(struct launcher *launcher)
{
    struct watch *watch = launcher->watch;
    bool wanted = launcher->system_file->watch && !launcher->manager.shutting_down;
    if (!wanted) {
        loop_clear_timer(&launcher->loop, &watch->timer);
        if (watch->socket.fd >= 0)
            LOG(INFO, "The service files are not watched any more");
        close_socket(watch);
        return;
    }
    if (watch->socket.fd >= 0)
        return;
    if (pidref_is_set(&watch->process)) { /* the former one has still to go */
        try_again_later(watch);
        return;
    }
    int failed = begin(watch);
    if (!failed) {
        LOG(INFO, "Watching the service files");
        return;
    }
    LOG(ERROR, "Cannot watch the service files", TEXT("error", strerror(-failed)));
    try_again_later(watch);
}
