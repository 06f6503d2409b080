/* The processes of our PID namespace. The folder is read by getdents64(2), because readdir(3)
 * takes memory from the heap. */
#include "init/processes.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>

#define KERNEL_THREAD 0x00200000 /* PF_KTHREAD in the kernel's flags */
#define FOLDER_BYTES  8192

static int proc = -1;

/* As getdents64(2) fills it. */
struct folder_entry {
    uint64_t inode;
    int64_t offset;
    uint16_t bytes;
    uint8_t type;
    char name[];
};

void processes_use(int proc_fd)
{
    proc = proc_fd;
}

/* The beginning of the field that stands `count` fields behind `at`; blanks part them. */
static const char *skip_fields(const char *at, int count)
{
    for (; count > 0 && *at; count--) {
        while (*at && *at != ' ')
            at++;
        while (*at == ' ')
            at++;
    }
    return at;
}

int process_parse_stat(const char *text, struct process *ret)
{
    char *rest;
    struct process process = {0};
    const char *open = strchr(text, '('), *close = strrchr(text, ')');
    if (!open || !close || close < open || close[1] != ' ' || !close[2])
        return -EINVAL;
    process.pid = (pid_t)strtol(text, &rest, 10);
    size_t length = (size_t)(close - open - 1);
    if (length >= sizeof process.name)
        length = sizeof process.name - 1;
    memcpy(process.name, open + 1, length);
    process.state = close[2];
    /* The state is field 3, the flags are field 9, the start is field 22. */
    const char *flags = skip_fields(close + 2, 6);
    const char *start = skip_fields(flags, 13);
    if (process.pid <= 0 || !*flags || !*start)
        return -EINVAL;
    process.kernel_thread = (strtoul(flags, &rest, 10) & KERNEL_THREAD) != 0;
    process.start_ticks = strtoull(start, &rest, 10);
    *ret = process;
    return 0;
}

static bool read_process(const char *name, struct process *ret)
{
    char path[40], text[1024];
    uint64_t pid;
    if (text_parse_unsigned(name, &pid) < 0 || pid <= 1)
        return false;
    text_format(path, sizeof path, "%s/stat", name);
    return file_read(proc, path, text, sizeof text) > 0 && process_parse_stat(text, ret) == 0 &&
           !ret->kernel_thread && ret->state != 'Z' && ret->state != 'X';
}

int processes_walk(void (*visit)(const struct process *process, void *context), void *context)
{
    static char entries[FOLDER_BYTES] __attribute__((aligned(8)));
    struct process process;
    int count = 0;

    AUTO_CLOSE int folder = openat(proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return -errno;
    for (;;) {
        long got = syscall(SYS_getdents64, folder, entries, sizeof entries);
        if (got < 0)
            return -errno;
        if (got == 0)
            return count;
        for (long at = 0; at < got;) {
            const struct folder_entry *entry = (const void *)(entries + at);
            at += entry->bytes;
            if (!read_process(entry->name, &process))
                continue;
            count++;
            visit(&process, context);
        }
    }
}

void process_where(pid_t pid, char where[static PROCESS_WHERE_BYTES])
{
    char path[40];
    text_format(path, sizeof path, "%d/wchan", (int)pid);
    ssize_t got = file_read(proc, path, where, PROCESS_WHERE_BYTES);
    if (got <= 0 || strcmp(where, "0") == 0)
        memcpy(where, "?", 2);
}
