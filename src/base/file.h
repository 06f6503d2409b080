/* Small files of the kernel's own making (/proc, cgroups): read whole, at once. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* Reads the beginning of the file, up to size_bytes - 1 bytes, and puts a NUL behind. `folder_fd`
 * and `path` are as in openat(2). Returns how many bytes there are, or -errno (nothing written). */
ssize_t file_read(int folder_fd, const char *path, char *storage, size_t size_bytes);
