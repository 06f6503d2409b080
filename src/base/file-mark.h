/* A mark of a file, to know later whether it was made or changed since: its inode and the time of
 * its last change (ctime). No clock is asked, so one that is coarse or was set hurts nobody; only a
 * change within the same tick of the kernel's clock, of the same inode, is not seen by it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct file_mark {
    uint64_t inode, changed_ns; /* both 0: there is no such file */
};

/* Of the file that `path` leads to, through links. What cannot be looked at counts as not there. */
struct file_mark file_mark(const char *path);

/* The same, but a -errno where whether it is there cannot be told now. */
int file_mark_look(const char *path, struct file_mark *ret);

static inline bool file_mark_is_set(const struct file_mark *mark)
{
    return mark->inode || mark->changed_ns;
}

static inline bool file_mark_equal(const struct file_mark *a, const struct file_mark *b)
{
    return a->inode == b->inode && a->changed_ns == b->changed_ns;
}
