/* Makes allocations fail: linked into the programs of the test build with -Wl,--wrap=malloc and so
 * on.
 *
 * Does nothing unless CONIT_FAULTS names the file of faults.h. Then it writes into it where
 * allocations are made, and lets one fail where the rule says so. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <unwind.h>

#include "chain.h"

extern const char __executable_start[];                           // NOLINT: the linker's
void *__real_malloc(size_t bytes);                                // NOLINT
void *__real_calloc(size_t count, size_t bytes);                  // NOLINT
void *__real_realloc(void *old, size_t bytes);                    // NOLINT
void *__real_reallocarray(void *old, size_t count, size_t bytes); // NOLINT
char *__real_strdup(const char *text);                            // NOLINT
char *__real_strndup(const char *text, size_t bytes);             // NOLINT
void *__wrap_malloc(size_t bytes);                                // NOLINT
void *__wrap_calloc(size_t count, size_t bytes);                  // NOLINT
void *__wrap_realloc(void *old, size_t bytes);                    // NOLINT
void *__wrap_reallocarray(void *old, size_t count, size_t bytes); // NOLINT
char *__wrap_strdup(const char *text);                            // NOLINT
char *__wrap_strndup(const char *text, size_t bytes);             // NOLINT

static struct faults *faults;
static uint32_t program = FAULTS_PROGRAMS;
static atomic_flag busy = ATOMIC_FLAG_INIT;

static void __attribute__((constructor)) begin(void)
{
    char path[256];
    const char *name = getenv("CONIT_FAULTS");
    ssize_t length = name ? readlink("/proc/self/exe", path, sizeof path - 1) : -1;
    int fd = length > 0 ? open(name, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    path[length] = '\0';
    for (uint32_t i = 0; i < FAULTS_PROGRAMS; i++) {
        const char *base = strrchr(path, '/');
        if (base && strcmp(base + 1, faults_programs[i]) == 0)
            program = i;
    }
    void *mapped = mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped != MAP_FAILED && program < FAULTS_PROGRAMS)
        faults = mapped;
}

static _Unwind_Reason_Code add_frame(struct _Unwind_Context *context, void *into)
{
    struct faults_way *way = into;
    const Elf64_Ehdr *head = (const void *)__executable_start;
    uint64_t base = head->e_type == ET_EXEC ? 0 : (uint64_t)(uintptr_t)__executable_start;
    way_add(way, (uint64_t)_Unwind_GetIP(context) - base);
    return way->depth < FAULTS_WAY ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static bool __attribute__((noinline)) fails(void)
{
    static _Thread_local bool inside; /* the unwinder allocates, the first time */
    if (!faults || inside)
        return false;
    int before = errno;
    struct faults_way way = {.depth = 0};
    inside = true;
    _Unwind_Backtrace(add_frame, &way);
    inside = false;
    /* Without this function and the wrapper. */
    way.depth = way.depth > 2 ? way.depth - 2 : 0;
    memmove(way.at, way.at + 2, (size_t)way.depth * sizeof way.at[0]);
    while (atomic_flag_test_and_set(&busy)) {
    }
    struct faults_site *site = find_site(faults, program, FAULTS_ALLOCATION, &way);
    int error = site ? judge_site(faults, site, &way, "") : 0;
    atomic_flag_clear(&busy);
    errno = error ? error : before;
    return error != 0;
}

void *__wrap_malloc(size_t bytes) // NOLINT
{
    return fails() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes) // NOLINT
{
    return fails() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes) // NOLINT
{
    return fails() ? NULL : __real_realloc(old, bytes);
}

void *__wrap_reallocarray(void *old, size_t count, size_t bytes) // NOLINT
{
    return fails() ? NULL : __real_reallocarray(old, count, bytes);
}

char *__wrap_strdup(const char *text) // NOLINT
{
    return fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t bytes) // NOLINT
{
    return fails() ? NULL : __real_strndup(text, bytes);
}
