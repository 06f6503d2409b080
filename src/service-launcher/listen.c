/* The control socket's file. The socket gets its name only when it listens, so that nobody finds
 * one that does not answer. */
#include "service-launcher/listen.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024

/* Makes a folder and those above it, as mkdir -p. */
static int make_folders(const char *path)
{
    char part[256];
    if (!text_format(part, sizeof part, "%s", path))
        return -ENAMETOOLONG;
    for (char *at = part + 1; *at; at++) {
        if (*at != '/')
            continue;
        *at = 0;
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return -errno;
        *at = '/';
    }
    return mkdir(part, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

int listen_control(const char *runtime)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char name[sizeof address.sun_path];

    if (!text_format(name, sizeof name, "%s/control", runtime) ||
        !text_format(address.sun_path, sizeof address.sun_path, "%s/control.new", runtime))
        return -ENAMETOOLONG;
    int failed = make_folders(runtime);
    if (failed)
        return failed;
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (unlink(address.sun_path) < 0 && errno != ENOENT)
        return -errno;
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 ||
        chmod(address.sun_path, 0666) < 0 || listen(fd, BACKLOG) < 0 ||
        rename(address.sun_path, name) < 0)
        return -errno;
    return take_fd(&fd);
}
