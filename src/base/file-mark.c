/* A mark of a file: see stat(2). */
#include "base/file-mark.h"
#include "base/clock.h"
#include "base/shortage.h"

#include <errno.h>
#include <sys/stat.h>

int file_mark_look(const char *path, struct file_mark *ret)
{
    struct stat stat_;
    if (stat(path, &stat_) < 0) {
        if (errno == EIO || is_shortage(-errno))
            return -errno;
        *ret = (struct file_mark){0};
        return 0;
    }
    *ret = (struct file_mark){
        .inode = (uint64_t)stat_.st_ino,
        .changed_ns = (uint64_t)stat_.st_ctim.tv_sec * NS_PER_SEC + (uint64_t)stat_.st_ctim.tv_nsec,
    };
    return 0;
}

struct file_mark file_mark(const char *path)
{
    struct file_mark mark = {0};
    file_mark_look(path, &mark);
    return mark;
}
