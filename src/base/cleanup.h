/* The one cleanup-attribute kit: what a scope owns is given back when the scope ends.
 *
 *   AUTO_CLOSE int fd = open(…);      closed, unless it is negative
 *   AUTO_FREE char *text = strdup(…); freed
 *
 * take_fd() and take_pointer() hand the thing on to another owner. */
#pragma once

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define AUTO(function) __attribute__((cleanup(function)))

static inline void cleanup_close(int *fd)
{
    if (*fd >= 0) {
        int saved = errno;
        close(*fd);
        errno = saved;
    }
}

static inline void cleanup_free(void *pointer)
{
    free(*(void **)pointer);
}

#define AUTO_CLOSE AUTO(cleanup_close)
#define AUTO_FREE  AUTO(cleanup_free)

/* The descriptor, which the variable no longer owns. */
static inline int take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

#define take_pointer(p)                                                                            \
    ({                                                                                             \
        __auto_type taken_ = (p);                                                                  \
        (p) = NULL;                                                                                \
        taken_;                                                                                    \
    })
