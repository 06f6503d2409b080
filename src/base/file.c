/* Small files of the kernel's own making: one read(2) gives all of it. */
#include "base/file.h"
#include "base/cleanup.h"

#include <fcntl.h>

ssize_t file_read(int folder_fd, const char *path, char *storage, size_t size_bytes)
{
    AUTO_CLOSE int fd = openat(folder_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;
    ssize_t bytes = read(fd, storage, size_bytes - 1);
    if (bytes < 0)
        return -errno;
    storage[bytes] = 0;
    return bytes;
}
