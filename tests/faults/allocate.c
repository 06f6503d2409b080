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
#include <sys/uio.h>
#include <unistd.h>

#include "chain.h"

extern const char __executable_start[], __etext[];                // NOLINT: the linker's
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

static bool fails(void)
{
    static uint64_t words[2048];
    if (!faults)
        return false;
    const struct text text = {(const unsigned char *)__executable_start, 0,
                              (uint64_t)(__etext - __executable_start)};
    while (atomic_flag_test_and_set(&busy)) {
    }
    ssize_t got = -1;
    int before = errno;
    for (size_t size = sizeof words; size >= 512 && got < 0; size /= 2) {
        struct iovec into = {words, size}, from = {__builtin_frame_address(0), size};
        got = process_vm_readv(getpid(), &into, 1, &from, 1, 0);
    }
    errno = before;
    uint64_t chain[FAULTS_DEPTH];
    find_chain(&text, words, got < 0 ? 0 : (size_t)got / sizeof words[0],
               (uint64_t)(uintptr_t)__executable_start, chain);
    struct faults_site *site = find_site(faults, program, FAULTS_ALLOCATION, chain);
    int error = site ? judge_site(faults, site, "") : 0;
    atomic_flag_clear(&busy);
    if (error)
        errno = error;
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
