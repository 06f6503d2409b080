/* Executing init anew. `init --resume RECORD WORD…` is what every version understands; the number
 * is taken out of the command line again, so that nobody sees a difference. */
#include "init/execute.h"
#include "base/text.h"
#include "init/options.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RESUME   "--resume"
#define FD_LEAST 16 /* children get theirs at the low numbers */

extern char **environ;

static struct {
    const struct kept *kept;
    char number[12];
    const char *words[WORDS_KEPT_MAX + 3];
} prepared;

/* ---- before -------------------------------------------------------------------------------- */

/* As the kernel was told to execute it: that may be a link, or relative. */
static const char *started_as(void)
{
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): that is how the kernel tells it */
    const char *path = (const char *)(uintptr_t)getauxval(AT_EXECFN);
    return path ? path : "";
}

/* Where our own file is; "" when that cannot be told. */
static void find_path(char *path, size_t size_bytes, int proc_fd)
{
    static const char deleted[] = " (deleted)";
    ssize_t length = proc_fd >= 0 ? readlinkat(proc_fd, "self/exe", path, size_bytes - 1)
                                  : readlink("/proc/self/exe", path, size_bytes - 1);
    if (length <= 0 && *started_as() == '/' && text_format(path, size_bytes, "%s", started_as()))
        length = (ssize_t)strlen(path);
    size_t used = length > 0 ? (size_t)length : 0;
    if (used > sizeof deleted &&
        memcmp(path + used - (sizeof deleted - 1), deleted, sizeof deleted - 1) == 0)
        used -= sizeof deleted - 1;
    path[used] = 0;
}

void execute_note_self(struct kept *kept, int proc_fd)
{
    find_path(kept->own.path, sizeof kept->own.path, proc_fd);
    prctl(PR_GET_NAME, kept->own.name);
    int fd = proc_fd >= 0 ? openat(proc_fd, "self/exe", O_PATH | O_CLOEXEC)
                          : open("/proc/self/exe", O_PATH | O_CLOEXEC);
    if (fd < 0)
        fd = open(started_as(), O_PATH | O_CLOEXEC);
    kept->own.exe_fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD, FD_LEAST);
    if (fd >= 0)
        close(fd);
}

void execute_use_words(int argc, char **argv)
{
    for (int i = 0; i < argc && i < WORDS_KEPT_MAX + 2; i++)
        prepared.words[i] = argv[i];
}

void execute_prepare(const struct kept *kept)
{
    static const char *words[WORDS_KEPT_MAX + 1];
    int count = options_kept(&kept->words, words);
    text_format(prepared.number, sizeof prepared.number, "%d", (int)kept->own.record_fd);
    prepared.words[0] = count ? words[0] : "init";
    prepared.words[1] = RESUME;
    prepared.words[2] = prepared.number;
    for (int i = 1; i <= count; i++)
        prepared.words[2 + i] = words[i];
    prepared.kept = kept;
}

/* ---- the call ------------------------------------------------------------------------------ */

static void block(uint64_t set, uint64_t *former)
{
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &set, former, sizeof set);
}

static int execute(int fd, const char *const *words)
{
    static char *none[] = {NULL};
    uint64_t former = 0;
    block(~0ull, &former);
    syscall(SYS_execveat, fd, "", words, environ, AT_EMPTY_PATH);
    int failed = -errno;
    if (failed == -EFAULT) /* the fault may have been in what the environment is made of */
        syscall(SYS_execveat, fd, "", words, none, AT_EMPTY_PATH);
    block(former, NULL);
    return failed;
}

int execute_anew(int fd)
{
    if (!prepared.kept || prepared.kept->own.record_fd < 0)
        return -ENOENT;
    return execute(fd, prepared.words);
}

int execute_with(int fd, int record_fd)
{
    char number[sizeof prepared.number];
    const char *words[sizeof prepared.words / sizeof prepared.words[0]];
    text_format(number, sizeof number, "%d", record_fd);
    memcpy(words, prepared.words, sizeof words);
    words[2] = number;
    return execute(fd, words);
}

int execute_self(void)
{
    if (!prepared.kept)
        return -ENOENT;
    const char *const paths[] = {prepared.kept->own.path, CONIT_LIBEXEC "/init"};
    int failed = execute_anew(prepared.kept->own.exe_fd);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        int fd = open(paths[i], O_PATH | O_CLOEXEC);
        if (fd >= 0)
            execute_anew(fd);
        close(fd);
    }
    return failed;
}

/* ---- afterwards ---------------------------------------------------------------------------- */

int execute_find_record(int argc, char **argv)
{
    uint64_t fd;
    if (argc < 3 || strcmp(argv[1], RESUME) != 0 || text_parse_unsigned(argv[2], &fd) < 0 ||
        fd > INT32_MAX)
        return -1;
    return (int)fd;
}

void execute_take_name_back(const struct kept *kept, int argc, char **argv)
{
    char *end = argv[argc - 1] + strlen(argv[argc - 1]) + 1, *rest = argv[2] + strlen(argv[2]) + 1;
    size_t bytes = (size_t)(end - rest);
    prctl(PR_SET_NAME, kept->own.name[0] ? kept->own.name : "init");
    memmove(argv[1], rest, bytes);
    memset(argv[1] + bytes, 0, (size_t)(end - (argv[1] + bytes)));
    /* Else empty words stay behind; the kernel lets only the privileged say where it ends. */
    prctl(PR_SET_MM, PR_SET_MM_ARG_END, (unsigned long)(uintptr_t)(argv[1] + bytes), 0, 0);
}
