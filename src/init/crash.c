/* Faults on demand, real ones. Empty in a release build. */
#include "init/crash.h"

#ifdef CONIT_CRASH_POINTS
#include "base/text.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

/* The sanitizers would rather report than crash. */
#define AS_IT_IS __attribute__((noinline, no_sanitize("address", "undefined")))

static const struct kept *kept;

void crash_use(const struct kept *kept_)
{
    kept = kept_;
}

AS_IT_IS static void crash_segv(void)
{
    *(volatile int *)8 = 1;
}

AS_IT_IS static void crash_bus(void)
{
    int fd = memfd_create("empty", MFD_CLOEXEC);
    volatile char *beyond = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    (void)beyond[0];
}

AS_IT_IS static void crash_abrt(void)
{
    abort();
}

AS_IT_IS static void crash_ill(void)
{
#if defined(__x86_64__)
    __asm__ volatile("ud2");
#elif defined(__aarch64__)
    __asm__ volatile(".inst 0");
#else
    __asm__ volatile(".word 0");
#endif
}

AS_IT_IS static void crash_fpe(void)
{
#if defined(__x86_64__)
    __asm__ volatile("xorl %%ecx, %%ecx\n\tdivl %%ecx" ::: "eax", "ecx", "edx");
#else
    raise(SIGFPE); /* this machine's division has no fault */
#endif
}

AS_IT_IS static int crash_stack(int depth)
{
    volatile char page[4096];
    page[0] = (char)depth;
    return depth < 0 ? 0 : crash_stack(depth + 1) + page[0];
}

AS_IT_IS static void crash_by_stack(void)
{
    crash_stack(0);
}

static void crash(const char *how, size_t length)
{
    static const struct {
        const char *name;
        void (*crash)(void);
    } rows[] = {{"SEGV", crash_segv}, {"BUS", crash_bus}, {"ABRT", crash_abrt},
                {"ILL", crash_ill},   {"FPE", crash_fpe}, {"STACK", crash_by_stack}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strlen(rows[i].name) == length && memcmp(rows[i].name, how, length) == 0)
            rows[i].crash();
}

void crash_at(const char *point)
{
    const char *plan = getenv("CONIT_CRASH"), *rest;
    if (!plan)
        return;
    for (uint32_t i = 0; i < kept->faults.number && plan; i++) {
        plan = strchr(plan, ',');
        plan = plan ? plan + 1 : NULL;
    }
    if (plan && text_starts_with(plan, point, &rest) && *rest == ':')
        crash(rest + 1, strcspn(rest + 1, ","));
}
#endif
