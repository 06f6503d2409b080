/* The console as a log sink that never blocks.
 *
 * A terminal stopped with Ctrl-S, a full pipe, a reader that hangs: none of them may stop PID 1 or
 * the launcher. A terminal that somebody else is writing to at this moment refuses us too, and is
 * free again at once: for that there are a few milliseconds, and none any more once they were of no
 * use. The descriptor's own flags stay as they are, because the open file description is
 * shared with the shell or the programs outside. */
#include "log/console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* The lowest number our own descriptor gets: the launcher puts what its children need at the low
 * ones, over whatever is open there. */
#define OWN_FD_LEAST 16

#define WAIT_MS    20
#define WAITS_MOST 3 /* for one line */

enum way { WAY_NONE, WAY_NONBLOCKING, WAY_SOCKET, WAY_POLL };

static struct {
    int fd;
    enum way way;
    bool own, colour, kmsg;
    _Atomic bool stuck; /* waiting was of no use, and nothing was taken since; any thread writes */
} console = {.fd = -1};

static const char *const colours[LOG_LEVELS] = {
    [LOG_FATAL] = "\033[1;31m", [LOG_ERROR] = "\033[31m", [LOG_WARNING] = "\033[33m",
    [LOG_INFO] = "\033[32m",    [LOG_DEBUG] = "\033[34m",
};

void console_init(int fd, bool colour)
{
    struct stat stat;
    char path[32];

    if (console.own)
        close(console.fd);
    console.fd = fd;
    console.way = WAY_NONE;
    console.own = false;
    console.colour = colour && isatty(fd);
    if (fd < 0 || fstat(fd, &stat) < 0)
        return;
    console.way = S_ISSOCK(stat.st_mode) ? WAY_SOCKET : WAY_POLL;
    if (!S_ISCHR(stat.st_mode) && !S_ISFIFO(stat.st_mode))
        return;
    text_format(path, sizeof path, "/proc/self/fd/%d", fd);
    int low = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (low < 0)
        return;
    int own = fcntl(low, F_DUPFD_CLOEXEC, OWN_FD_LEAST);
    close(low);
    if (own < 0)
        return;
    console.fd = own;
    console.own = true;
    console.way = WAY_NONBLOCKING;
}

void console_allow_kmsg(void)
{
    console.kmsg = true;
}

/* As write(2); 0 for what would have to wait. */
static ssize_t write_now(const char *bytes, size_t count)
{
    struct pollfd ready = {.fd = console.fd, .events = POLLOUT};

    switch (console.way) {
    case WAY_NONE:
        break;
    case WAY_SOCKET:
        return send(console.fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    case WAY_POLL:
        if (poll(&ready, 1, 0) != 1 || !(ready.revents & POLLOUT))
            break;
        /* A pipe that is ready takes PIPE_BUF bytes at once. */
        return write(console.fd, bytes, count < 4096 ? count : 4096);
    case WAY_NONBLOCKING:
        return write(console.fd, bytes, count);
    }
    return 0;
}

static bool wait_for_room(void)
{
    struct pollfd room = {.fd = console.fd, .events = POLLOUT};
    return console.way == WAY_NONBLOCKING && !console.stuck && poll(&room, 1, WAIT_MS) == 1 &&
           (room.revents & POLLOUT);
}

size_t console_write(const char *bytes, size_t count)
{
    size_t written = 0;
    for (int waits = 0; written < count; waits++) {
        ssize_t done = write_now(bytes + written, count - written);
        if (done > 0)
            written += (size_t)done;
        if (written < count && (waits == WAITS_MOST || !wait_for_room()))
            break;
    }
    console.stuck = written < count;
    return written;
}

/* The kernel's own log takes what the console did not. It drops what it has no room for. */
static void write_kmsg(enum log_level level, const char *line, size_t bytes)
{
    char storage[LOG_LINE_BYTES + 32];
    struct text text;

    int fd = open("/dev/kmsg", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return;
    text_init(&text, storage, sizeof storage);
    text_printf(&text, "<%u>conit: ", 8 * 3 + log_syslog_level(level)); /* facility daemon */
    text_add_bytes(&text, line, bytes);
    if (write(fd, text.data, text.used_bytes) < 0) { /* nowhere left to say it */
    }
    close(fd);
}

void console_sink(void *context, enum log_level level, const char *line, size_t bytes)
{
    char storage[LOG_LINE_BYTES + 32];
    struct text text;
    (void)context;

    text_init(&text, storage, sizeof storage);
    if (console.colour && bytes > 4 && line[0] != '{') {
        text_add(&text, colours[level]);
        text_add_bytes(&text, line, 4);
        text_add(&text, "\033[0m");
        text_add_bytes(&text, line + 4, bytes - 4);
    } else {
        text_add_bytes(&text, line, bytes);
    }
    size_t done = console_write(text.data, text.used_bytes);
    if (done < text.used_bytes && console.kmsg)
        write_kmsg(level, line, bytes);
}
