/* Lets single calls of the C library fail, one after the other: for programs that are linked with
 * faults.c, in which each call of ours, and of libraries that are linked statically, goes through
 * here.
 *
 *   static void attempt(void)
 *   {
 *       make_what_is_needed();
 *       faults_begin();
 *       int result = the_function();
 *       faults_end();
 *       CHECK(result == 0 || (fault_happened() && result == -EIO));
 *   }
 *   TEST(…) { CHECK(fault_each(FAULT_CALLS, EIO, attempt) > 5); }
 *
 * Only calls of the thread that began count. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum fault_kind {
    FAULT_MEMORY = 1,   /* allocations: always ENOMEM */
    FAULT_CALLS = 2,    /* system calls */
    FAULT_FOR_GOOD = 4, /* all later ones fail, too; else only that one */
};

/* Runs `attempt` without a fault, and then once for each call that it makes between faults_begin()
 * and faults_end(), in which that one fails with `error` (0, for read, pread64, write and
 * writev alone: as at the end of a file, or of the room). Each attempt has to leave as many
 * descriptors open as there were. Returns how many calls have failed in turn. */
size_t fault_each(unsigned kind, int error, void (*attempt)(void));

/* The same for calls of that name alone, as the linker knows it ("openat64"). */
size_t fault_each_of(const char *call, unsigned kind, int error, void (*attempt)(void));

void faults_begin(void);
void faults_end(void);

/* Has somebody else do something in between: runs `meddle` before each of `times` calls of that
 * name, but for the first `skip`, of those until faults_end(). */
void faults_meddle(const char *call, size_t skip, size_t times, void (*meddle)(void));

/* Whether the call has failed in this attempt; its name, else NULL. */
bool fault_happened(void);
const char *fault_call(void);
