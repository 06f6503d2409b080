/* Reads the service files in a child, so that a folder that hangs (a server that is gone) stops
 * nobody but that child. */
#include "service-launcher/reader.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/shortage.h"
#include "base/text.h"
#include "log/log.h"
#include "proc/pidref.h"
#include "proc/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_MS     1000             /* how often it is looked how far the child has come */
#define OWN_PROGRAM "/proc/self/exe" /* of the child, which is still us when it executes */

struct reader_child {
    struct launcher *launcher;
    int32_t pid;
    struct pidref process;
    struct loop_fd source;
    struct loop_timer timer;
    int sources_fd, notes_fd;
    struct scan_place *place; /* of the notes' memfd */
    uint64_t steps;           /* at the last look */
    uint64_t came_at_ns;      /* when that had become more */
    reader_done *on_done;     /* NULL: it hung and was given up */
};

/* ---- the child ------------------------------------------------------------------------------ */

struct reading_options reader_options(const struct launcher_options *options)
{
    return (struct reading_options){.config = options->config,
                                    .services = options->services,
                                    .service_count = options->service_count,
                                    .services_given = options->services_given,
                                    .switches = options->etc};
}

char **reader_arguments(const struct launcher_options *options, const char *option)
{
    size_t count = 0;
    char **arguments = calloc(2 * options->service_count + 7, sizeof *arguments);
    if (!arguments)
        return NULL;
    arguments[count++] = (char *)OWN_PROGRAM;
    arguments[count++] = (char *)option;
    if (options->config) {
        arguments[count++] = (char *)"--config";
        arguments[count++] = (char *)options->config;
    }
    arguments[count++] = (char *)"--etc";
    arguments[count++] = (char *)options->etc;
    for (size_t i = 0; options->services_given && i < options->service_count; i++) {
        arguments[count++] = (char *)"--services";
        arguments[count++] = (char *)options->services[i];
    }
    return arguments;
}

static struct scan_place *map_place(int notes_fd)
{
    void *mapped = mmap(NULL, READING_NOTES_AT, PROT_READ | PROT_WRITE, MAP_SHARED, notes_fd, 0);
    return mapped == MAP_FAILED ? NULL : mapped;
}

/* Standard output and error are where the notes go: what goes wrong here is to be seen all the
 * same, where the launcher's own words go. */
static int take_notes_fd(void)
{
    char path[64];
    int notes_fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    text_format(path, sizeof path, "/proc/%d/fd/2", (int)getppid());
    int error_fd = open(path, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (error_fd < 0)
        error_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (error_fd >= 0) {
        dup2(error_fd, STDOUT_FILENO);
        dup2(error_fd, STDERR_FILENO);
        close(error_fd);
    }
    return notes_fd;
}

void reader_child(const struct launcher_options *options)
{
    struct reading_options from = reader_options(options);
    struct reading found;
    prctl(PR_SET_NAME, "read-services");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int notes_fd = take_notes_fd();
    struct scan_place *place = notes_fd < 0 ? NULL : map_place(notes_fd);
    if (!place)
        _exit(errno);
    int failed = reading_read(&from, place, &found);
    /* What is in a folder that cannot be read just now is not gone. */
    if (!failed && (is_shortage(found.sources.unread) || found.sources.unread == -EIO))
        failed = found.sources.unread;
    if (!failed)
        failed = reading_write(&found, STDIN_FILENO, notes_fd);
    _exit(-failed); /* an errno, for the launcher's words */
}

/* ---- the launcher --------------------------------------------------------------------------- */

static struct loop *loop_of(const struct reader_child *child)
{
    return &child->launcher->loop;
}

static void destroy(struct reader_child *child)
{
    loop_clear_timer(loop_of(child), &child->timer);
    loop_remove(loop_of(child), &child->source);
    pidref_close(&child->process);
    if (child->place)
        munmap(child->place, READING_NOTES_AT);
    if (child->sources_fd >= 0)
        close(child->sources_fd);
    if (child->notes_fd >= 0)
        close(child->notes_fd);
    free(child);
}

/* Copied, for the child may be writing it. */
static const char *look_where(const struct reader_child *child)
{
    struct reader *reader = child->launcher->reader;
    memcpy(reader->where, child->place->path, sizeof reader->where - 1);
    return reader->where;
}

const char *reader_where(const struct reader *reader)
{
    return reader->child ? look_where(reader->child) : NULL;
}

static void end(struct reader_child *child, int code, int status)
{
    struct launcher *launcher = child->launcher;
    reader_done *on_done = child->on_done;
    struct reading found = {0};
    char why[PATH_MAX + 100] = "";
    int failed = -EBADMSG;

    if (code == CLD_EXITED && !status)
        failed = reading_take(child->sources_fd, child->notes_fd, &found);
    if (code != CLD_EXITED)
        text_format(why, sizeof why, "what reads the files was ended by signal %d, at %s", status,
                    look_where(child));
    else if (failed)
        text_format(why, sizeof why, "what reads the files failed: %s",
                    strerror(status ? status : -failed));
    launcher->reader->child = NULL;
    destroy(child);
    if (failed) {
        reading_finish(&found);
        on_done(launcher, NULL, why);
    } else {
        on_done(launcher, &found, NULL);
    }
}

static void on_ended(struct loop_fd *source, uint32_t events)
{
    struct reader_child *child = container_of(source, struct reader_child, source);
    int code, status;
    (void)events;

    if (pidref_peek(&child->process, &code, &status) < 0)
        return;
    pidref_reap(&child->process);
    if (child->on_done) {
        end(child, code, status);
        return;
    }
    child->launcher->reader->stuck--;
    destroy(child);
}

static void on_time(struct loop_timer *timer)
{
    struct reader_child *child = container_of(timer, struct reader_child, timer);
    struct launcher *launcher = child->launcher;
    uint64_t steps = __atomic_load_n(&child->place->steps, __ATOMIC_ACQUIRE);
    char why[PATH_MAX + 100];

    uint64_t now = clock_now_ns();
    if (steps != child->steps)
        child->came_at_ns = now;
    child->steps = steps;
    if (now - child->came_at_ns < READER_STALL_MS * NS_PER_MS) {
        loop_set_timer(loop_of(child), timer, now + LOOK_MS * NS_PER_MS, on_time);
        return;
    }
    reader_done *on_done = child->on_done;
    text_format(why, sizeof why, "reading %s hangs: nothing came for %d s", look_where(child),
                READER_STALL_MS / 1000);
    pidref_signal(&child->process, SIGKILL);
    child->on_done = NULL;
    launcher->reader->child = NULL;
    launcher->reader->stuck++;
    on_done(launcher, NULL, why);
}

static int make_memfds(struct reader_child *child)
{
    child->sources_fd = memfd_create("conit-definitions", MFD_CLOEXEC);
    child->notes_fd = memfd_create("conit-reading", MFD_CLOEXEC);
    if (child->sources_fd < 0 || child->notes_fd < 0 ||
        ftruncate(child->notes_fd, READING_NOTES_AT) < 0)
        return -errno;
    child->place = map_place(child->notes_fd);
    return child->place ? 0 : -errno;
}

static int start(struct reader_child *child)
{
    char folder[PATH_MAX];
    struct spawn_failure failure;
    AUTO_FREE char **arguments = reader_arguments(&child->launcher->options, "--read");
    if (!arguments)
        return -ENOMEM;
    struct spawn spawn_this = {
        .argv = arguments,
        .environment = environ,
        .stdin_fd = child->sources_fd,
        .output_fd = child->notes_fd,
        .tty_fd = -1,
        .cgroup_fd = -1,
        .dir = getcwd(folder, sizeof folder), /* folders of services may be relative to it */
        .umask = 022,
        .parent_tid = &child->pid,
    };
    int failed = spawn(&spawn_this, &child->process.fd, &failure);
    spawner_rest();
    if (failed)
        return failed;
    child->process.pid = child->pid;
    return loop_add(loop_of(child), &child->source, child->process.fd, EPOLLIN, on_ended);
}

int reader_begin(struct launcher *launcher, reader_done *on_done)
{
    if (launcher->reader->stuck >= READER_STUCK_MAX)
        return -EALREADY;
    struct reader_child *child = calloc(1, sizeof *child);
    if (!child)
        return -ENOMEM;
    *child = (struct reader_child){.launcher = launcher,
                                   .process = PIDREF_NONE,
                                   .source.fd = -1,
                                   .sources_fd = -1,
                                   .notes_fd = -1,
                                   .on_done = on_done};
    int failed = make_memfds(child);
    if (!failed)
        failed = start(child);
    if (failed) {
        if (pidref_is_set(&child->process))
            pidref_kill_child(&child->process);
        destroy(child);
        return failed;
    }
    launcher->reader->child = child;
    child->came_at_ns = clock_now_ns();
    loop_set_timer(loop_of(child), &child->timer, child->came_at_ns + LOOK_MS * NS_PER_MS, on_time);
    return 0;
}
