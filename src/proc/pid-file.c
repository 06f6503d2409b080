/* Pid files: read at once, for a FIFO in the place of one must not hold anybody up. */
#include "proc/pid-file.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_BYTES 64

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f';
}

int pid_file_parse(const char *text, size_t count, pid_t *ret)
{
    size_t at = 0;
    long number = 0;

    while (at < count && is_blank(text[at]))
        at++;
    if (at == count)
        return -ENODATA;
    size_t first = at;
    for (; at < count && text[at] >= '0' && text[at] <= '9'; at++) {
        number = number * 10 + (text[at] - '0');
        if (number > INT_MAX)
            return -EINVAL;
    }
    if (at == first)
        return -EINVAL;
    while (at < count && is_blank(text[at]) && text[at] != '\n')
        at++;
    if ((at < count && text[at] != '\n') || number < 2)
        return -EINVAL;
    *ret = (pid_t)number;
    return 0;
}

int pid_file_read(const char *path, pid_t *ret)
{
    char text[FILE_BYTES];
    struct stat stat_;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &stat_) < 0)
        return -errno;
    if (!S_ISREG(stat_.st_mode))
        return -EISDIR;
    ssize_t bytes = read(fd, text, sizeof text);
    return bytes < 0 ? -errno : pid_file_parse(text, (size_t)bytes, ret);
}
