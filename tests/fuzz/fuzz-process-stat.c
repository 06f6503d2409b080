/* Any text as /proc/PID/stat, for both that read it; and a line as the kernel writes it around any
 * name a process gives itself: they take the same out of it, and what is in it. */
#include "base/text.h"
#include "demand.h"
#include "init/processes.h"

#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void check_any(const char *text)
{
    struct process process = {.pid = -7};
    int failed = process_parse_stat(text, &process);

    demand(failed == 0 || failed == -EINVAL, "it is one, or not");
    demand(failed ? process.pid == -7 : process.pid > 0, "a process has a number");
    demand(failed || strnlen(process.name, sizeof process.name) < sizeof process.name,
           "a name ends");
}

static void check_kernels(const char *name, unsigned pid, uint64_t start)
{
    char line[512], kept[PROCESS_NAME_BYTES];
    struct process process;

    text_format(line, sizeof line,
                "%u (%.200s) S 1 2 3 4 5 2097152 7 8 9 10 11 12 13 14 15 16 17 18 %llu 20 21\n",
                pid, name, (unsigned long long)start);
    text_format(kept, sizeof kept, "%.200s", name);
    demand(process_parse_stat(line, &process) == 0, "what the kernel writes is one");
    demand(process.pid == (pid_t)pid && process.state == 'S' && process.kernel_thread &&
               process.start_ticks == start,
           "what is read is what was written");
    demand(strcmp(process.name, kept) == 0, "so is the name, up to its bound");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    char *text = strndup((const char *)bytes, count);
    demand(text != NULL, "there is memory");
    check_any(text);
    uint64_t start = 0;
    memcpy(&start, bytes, count < 8 ? count : 8);
    check_kernels(text, 1 + (unsigned)(start & 0x3fffff), start);
    free(text);
    return 0;
}
