/* Reading a whole small file that anybody may have put there. */
#include "config/read-file.h"
#include "base/cleanup.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define PROBLEM_BYTES 160

/* The reason in words, in the arena; returns `result`, or -ENOMEM. */
__attribute__((format(printf, 4, 5))) static int problem(struct arena *arena, int result,
                                                         const char **ret, const char *format, ...)
{
    char storage[PROBLEM_BYTES];
    struct text text;
    va_list arguments;

    text_init(&text, storage, sizeof storage);
    va_start(arguments, format);
    text_vprintf(&text, format, arguments);
    va_end(arguments);
    const char *copy = arena_copy(arena, text.data, text.used_bytes);
    if (!copy)
        return -ENOMEM;
    *ret = copy;
    return result;
}

static const char *kind_name(mode_t mode)
{
    return S_ISDIR(mode)    ? "a folder"
           : S_ISFIFO(mode) ? "a named pipe"
           : S_ISSOCK(mode) ? "a socket"
           : S_ISREG(mode)  ? "a regular file"
                            : "a device";
}

static int check_kind(const struct stat *status, struct arena *arena, const char **ret_problem)
{
    if (S_ISREG(status->st_mode))
        return 0;
    return problem(arena, -EINVAL, ret_problem, "is %s: put a regular file in its place",
                   kind_name(status->st_mode));
}

static int failed_call(struct arena *arena, const char **ret_problem, int error)
{
    if (error == EACCES || error == EPERM)
        return problem(arena, -error, ret_problem, "cannot be read: no permission");
    if (error == ELOOP || error == ENOENT)
        return problem(arena, -error, ret_problem, "cannot be read: there is no such file%s",
                       error == ELOOP ? " (its symbolic links lead in a circle)" : "");
    return problem(arena, -error, ret_problem, "cannot be read: %s", strerror(error));
}

/* `size` bytes, or fewer when the file has become shorter meanwhile. */
static int read_all(int fd, size_t size, struct arena *arena, char **ret_text, size_t *ret_size)
{
    size_t used = 0;
    char *text = arena_take_bytes(arena, size + 1);
    if (!text)
        return -ENOMEM;
    while (used < size) {
        ssize_t count = read(fd, text + used, size - used);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -errno;
        if (count == 0)
            break;
        used += (size_t)count;
    }
    text[used] = 0;
    arena_trim(arena, text + used + 1);
    *ret_text = text;
    *ret_size = used;
    return 0;
}

int read_file_at(int folder, const char *name, bool known_regular, size_t max_bytes,
                 struct arena *arena, char **ret_text, size_t *ret_size, const char **ret_problem)
{
    struct stat status;
    int failed;

    /* Opening a device can do things (rewind a tape, raise a line), so it is not tried. */
    if (!known_regular) {
        if (fstatat(folder, name, &status, 0) < 0)
            return failed_call(arena, ret_problem, errno);
        failed = check_kind(&status, arena, ret_problem);
        if (failed)
            return failed;
    }
    AUTO_CLOSE int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &status) < 0)
        return failed_call(arena, ret_problem, errno);
    failed = check_kind(&status, arena, ret_problem);
    if (failed)
        return failed;
    if ((uint64_t)status.st_size > max_bytes)
        return problem(arena, -EFBIG, ret_problem, "has %lld bytes; at most %zu are read",
                       (long long)status.st_size, max_bytes);
    failed = read_all(fd, (size_t)status.st_size, arena, ret_text, ret_size);
    if (failed && failed != -ENOMEM)
        return failed_call(arena, ret_problem, -failed);
    return failed;
}
