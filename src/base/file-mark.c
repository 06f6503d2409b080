/* A mark of a file: see stat(2). */
#include "base/file-mark.h"
#include "base/clock.h"

#include <sys/stat.h>

struct file_mark file_mark(const char *path)
{
    struct stat stat_;
    if (stat(path, &stat_) < 0)
        return (struct file_mark){0};
    return (struct file_mark){
        .inode = (uint64_t)stat_.st_ino,
        .changed_ns = (uint64_t)stat_.st_ctim.tv_sec * NS_PER_SEC + (uint64_t)stat_.st_ctim.tv_nsec,
    };
}
