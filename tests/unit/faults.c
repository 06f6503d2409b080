/* What stands between a test program and the C library: --wrap=NAME for each row below. */
#include "faults.h"
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <regex.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define DESCRIPTORS_MOST 256
#define TRIES_MOST       100000
#define FAILURES_MOST    50 /* shown of one place */

static __thread bool counting;
static struct {
    const char *only; /* NULL: calls of any name */
    unsigned kind;
    int error;
    size_t left; /* calls that still work */
    const char *call;
} now;

static struct {
    const char *call; /* NULL: none */
    size_t skip, times;
    void (*run)(void);
} meddler;

static void meddle(const char *name)
{
    if (!counting || !meddler.call || strcmp(meddler.call, name) != 0)
        return;
    if (meddler.skip) {
        meddler.skip--;
        return;
    }
    if (--meddler.times == 0)
        meddler.call = NULL;
    counting = false;
    meddler.run();
    counting = true;
}

static bool fails(const char *name, unsigned kind)
{
    meddle(name);
    if (!counting || !(now.kind & kind) || (now.only && strcmp(now.only, name) != 0))
        return false;
    if (now.left) {
        now.left--;
        return false;
    }
    if (now.call && !(now.kind & FAULT_FOR_GOOD))
        return false;
    if (!now.call)
        now.call = name;
    errno = kind == FAULT_MEMORY ? ENOMEM : now.error;
    return true;
}

#define WRAP(kind, type, name, failed, parameters, arguments)                                      \
    type __real_##name parameters; /* NOLINT: the linker's names */                                \
    type __wrap_##name parameters; /* NOLINT */                                                    \
    type __wrap_##name parameters  /* NOLINT */                                                    \
    {                                                                                              \
        return fails(#name, kind) ? (failed) : __real_##name arguments;                            \
    }
#define MEMORY(name, parameters, arguments)                                                        \
    WRAP(FAULT_MEMORY, void *, name, NULL, parameters, arguments)
#define CALL(type, name, parameters, arguments)                                                    \
    WRAP(FAULT_CALLS, type, name, (type)-1, parameters, arguments)

/* Without an error: as at the end of a file, or where nothing more fits. */
#define READ(name, parameters, arguments)                                                          \
    WRAP(FAULT_CALLS, ssize_t, name, now.error ? -1 : 0, parameters, arguments)

/* Here nobody loses power, and a disk would take minutes. */
#define SYNC(name)                                                                                 \
    int __wrap_##name(int fd); /* NOLINT */                                                        \
    int __wrap_##name(int fd)  /* NOLINT */                                                        \
    {                                                                                              \
        return fails(#name, FAULT_CALLS) ? -1 : 0;                                                 \
    }

MEMORY(malloc, (size_t bytes), (bytes))
MEMORY(calloc, (size_t count, size_t bytes), (count, bytes))
MEMORY(realloc, (void *old, size_t bytes), (old, bytes))
MEMORY(reallocarray, (void *old, size_t count, size_t bytes), (old, count, bytes))
WRAP(FAULT_MEMORY, char *, strdup, NULL, (const char *text), (text))
WRAP(FAULT_MEMORY, char *, strndup, NULL, (const char *text, size_t bytes), (text, bytes))
WRAP(FAULT_MEMORY, int, regcomp, REG_ESPACE, (regex_t * to, const char *expression, int flags),
     (to, expression, flags))
READ(read, (int fd, void *bytes, size_t count), (fd, bytes, count))
READ(write, (int fd, const void *bytes, size_t count), (fd, bytes, count))
READ(pread64, (int fd, void *bytes, size_t count, off_t at), (fd, bytes, count, at))
CALL(ssize_t, pwrite64, (int fd, const void *bytes, size_t count, off_t at), (fd, bytes, count, at))
READ(writev, (int fd, const struct iovec *pieces, int count), (fd, pieces, count))
CALL(int, fstat64, (int fd, struct stat *about), (fd, about))
CALL(int, stat64, (const char *path, struct stat *about), (path, about))
CALL(int, lstat64, (const char *path, struct stat *about), (path, about))
CALL(int, fstatat64, (int folder, const char *path, struct stat *about, int flags),
     (folder, path, about, flags))
CALL(int, fallocate64, (int fd, int mode, off_t at, off_t bytes), (fd, mode, at, bytes))
CALL(int, ftruncate64, (int fd, off_t bytes), (fd, bytes))
CALL(off_t, lseek64, (int fd, off_t at, int from), (fd, at, from))
CALL(void *, mmap64, (void *at, size_t bytes, int rights, int flags, int fd, off_t begin),
     (at, bytes, rights, flags, fd, begin))
WRAP(FAULT_CALLS, DIR *, opendir, NULL, (const char *path), (path))
WRAP(FAULT_CALLS, DIR *, fdopendir, NULL, (int fd), (fd))
WRAP(FAULT_CALLS, struct dirent *, readdir64, NULL, (DIR * stream), (stream))
CALL(int, renameat, (int from, const char *old, int to, const char *new), (from, old, to, new))
CALL(int, unlinkat, (int folder, const char *path, int flags), (folder, path, flags))
CALL(int, mkdir, (const char *path, mode_t mode), (path, mode))
CALL(int, rmdir, (const char *path), (path))
SYNC(fsync)
SYNC(fdatasync)
SYNC(syncfs)
CALL(int, flock, (int fd, int how), (fd, how))
CALL(int, fchown, (int fd, uid_t user, gid_t group), (fd, user, group))
CALL(int, chown, (const char *path, uid_t user, gid_t group), (path, user, group))
CALL(int, fchmod, (int fd, mode_t mode), (fd, mode))
CALL(int, futimens, (int fd, const struct timespec times[2]), (fd, times))
CALL(int, access, (const char *path, int how), (path, how))
CALL(int, faccessat, (int folder, const char *path, int how, int flags), (folder, path, how, flags))
CALL(int, memfd_create, (const char *name, unsigned flags), (name, flags))
CALL(int, pipe, (int ends[2]), (ends))
CALL(int, pipe2, (int ends[2], int flags), (ends, flags))
CALL(int, socketpair, (int domain, int type, int protocol, int ends[2]),
     (domain, type, protocol, ends))
CALL(int, socket, (int domain, int type, int protocol), (domain, type, protocol))
CALL(int, connect, (int fd, const struct sockaddr *to, socklen_t bytes), (fd, to, bytes))
CALL(int, bind, (int fd, const struct sockaddr *to, socklen_t bytes), (fd, to, bytes))
CALL(int, listen, (int fd, int count), (fd, count))
CALL(int, accept4, (int fd, struct sockaddr *from, socklen_t *bytes, int flags),
     (fd, from, bytes, flags))
CALL(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t bytes),
     (fd, level, name, value, bytes))
CALL(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *bytes),
     (fd, level, name, value, bytes))
CALL(ssize_t, send, (int fd, const void *bytes, size_t count, int flags), (fd, bytes, count, flags))
CALL(ssize_t, recv, (int fd, void *bytes, size_t count, int flags), (fd, bytes, count, flags))
CALL(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
CALL(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))
CALL(int, poll, (struct pollfd * fds, nfds_t count, int timeout_ms), (fds, count, timeout_ms))
CALL(int, epoll_create1, (int flags), (flags))
CALL(int, epoll_ctl, (int epoll, int what, int fd, struct epoll_event *event),
     (epoll, what, fd, event))
CALL(int, inotify_init1, (int flags), (flags))
CALL(int, inotify_add_watch, (int fd, const char *path, uint32_t mask), (fd, path, mask))
CALL(int, getrlimit64, (int what, struct rlimit *limit), (what, limit))
CALL(int, setrlimit64, (int what, const struct rlimit *limit), (what, limit))
CALL(ssize_t, readlink, (const char *path, char *to, size_t bytes), (path, to, bytes))
CALL(ssize_t, readlinkat, (int folder, const char *path, char *to, size_t bytes),
     (folder, path, to, bytes))
WRAP(FAULT_CALLS, char *, getcwd, NULL, (char *to, size_t bytes), (to, bytes))
WRAP(FAULT_CALLS, int, pthread_create, errno,
     (pthread_t * thread, const pthread_attr_t *attributes, void *(*run)(void *), void *with),
     (thread, attributes, run, with))

#define VARIADIC(name, parameters, last, arguments)                                                \
    int __real_##name parameters; /* NOLINT */                                                     \
    int __wrap_##name parameters; /* NOLINT */                                                     \
    int __wrap_##name parameters  /* NOLINT */                                                     \
    {                                                                                              \
        va_list list;                                                                              \
        va_start(list, last);                                                                      \
        long value = va_arg(list, long);                                                           \
        va_end(list);                                                                              \
        return fails(#name, FAULT_CALLS) ? -1 : __real_##name arguments;                           \
    }
VARIADIC(open64, (const char *path, int flags, ...), flags, (path, flags, (mode_t)value))
VARIADIC(openat64, (int folder, const char *path, int flags, ...), flags,
         (folder, path, flags, (mode_t)value))
VARIADIC(fcntl64, (int fd, int what, ...), what, (fd, what, value))

void faults_begin(void)
{
    counting = true;
}

void faults_end(void)
{
    counting = false;
    meddler.call = NULL;
}

void faults_meddle(const char *call, size_t skip, size_t times, void (*run)(void))
{
    meddler.call = call;
    meddler.skip = skip;
    meddler.times = times;
    meddler.run = run;
}

bool fault_happened(void)
{
    return now.call != NULL;
}

const char *fault_call(void)
{
    return now.call;
}

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < DESCRIPTORS_MOST; fd++)
        count += __real_fcntl64(fd, F_GETFD) >= 0;
    return count;
}

static void try_with(size_t left, void (*attempt)(void))
{
    int failures = test_failures, descriptors = open_descriptors();
    now.left = left;
    now.call = NULL;
    attempt();
    counting = false;
    int left_open = open_descriptors() - descriptors;
    CHECK_NUMBER(left_open, 0);
    if (test_failures != failures)
        fprintf(stderr, "  with call %zu failing: %s: %s\n", left, now.call ? now.call : "none did",
                strerror(now.error));
}

size_t fault_each_of(const char *call, unsigned kind, int error, void (*attempt)(void))
{
    const int failures = test_failures;
    now.only = call;
    now.kind = kind;
    now.error = error;
    try_with(SIZE_MAX, attempt);
    size_t tried = 0;
    do
        try_with(tried, attempt);
    while (now.call && ++tried < TRIES_MOST && test_failures < failures + FAILURES_MOST);
    now.kind = 0;
    return tried;
}

size_t fault_each(unsigned kind, int error, void (*attempt)(void))
{
    return fault_each_of(NULL, kind, error, attempt);
}
