/* What the supervisor (inject.c), the allocator (allocate.c) and the tests (faults.py) share: one
 * file, mapped by all. Python knows this layout by its offsets: FORMAT in faults.py. */
#pragma once
#include <stdint.h>

enum { FAULTS_DEPTH = 8, FAULTS_WAY = 48, FAULTS_SITES = 8192, FAULTS_TEXT = 72, FAULTS_PATH = 56 };
/* The number that stands for an allocation. */
enum { FAULTS_ALLOCATION = 0xffff };

/* The whole way to a call: return addresses in the program, as its file has them, innermost first.
 * The first FAULTS_DEPTH of them tell one place from another. */
struct faults_way {
    uint64_t at[FAULTS_WAY];
    int depth;
};

/* One place in one program that makes a system call: the number, and the way that led there. */
struct faults_site {
    uint64_t hash;
    uint32_t program, number;
    uint64_t count;
    uint64_t chain[FAULTS_DEPTH];
    char text[FAULTS_TEXT]; /* the path that the first one named, if it named one */
};

struct faults {
    /* The rule: of the calls that are meant the ones from skip+1 to skip+times fail; times 0: none.
     * Meant are those from the site `hash`; with 0 those of `number` in `program`, by way of what
     * lies between `low` and `high` (unless that is 0), with `path` in their path ("": any). */
    uint64_t hash, low, high;
    char path[FAULTS_PATH];
    uint32_t program, number;
    int32_t error;
    uint32_t skip, times;
    uint32_t hits;       /* calls that failed */
    uint32_t site_count; /* valid entries of `sites` */
    uint32_t lost;       /* sites that had no room */
    struct faults_site sites[FAULTS_SITES];
};
