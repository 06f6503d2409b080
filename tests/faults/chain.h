/* Where a call comes from: the return addresses on a stack that lie in the program itself,
 * innermost first. There are no frame pointers in a release; so what looks like a return address, a
 * value that points behind a call instruction, is taken for one. */
#pragma once
#include <elf.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "faults.h"

struct text {
    const unsigned char *bytes; /* of the executable segment */
    uint64_t address, size;     /* where it is, as the file has it */
};

static bool is_call_of_known_place(const struct text *text, uint64_t address,
                                   const unsigned char *at)
{
    int32_t distance;
    if (at[-5] != 0xe8)
        return false;
    memcpy(&distance, at - 4, sizeof distance);
    uint64_t to = address + (uint64_t)(int64_t)distance;
    return to >= text->address && to < text->address + text->size;
}

static bool is_call_of_pointer(const unsigned char *at)
{
    static const int lengths[] = {2, 3, 4, 6, 7};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        const unsigned char *op = at - lengths[i];
        int mode = op[1] >> 6, base = op[1] & 7;
        if (op[0] != 0xff || (op[1] & 0x38) != 0x10)
            continue;
        int length = 2 + (base == 4 && mode != 3);
        if (mode == 1)
            length += 1;
        else if (mode == 2 || (mode == 0 && base == 5))
            length += 4;
        if (length == lengths[i])
            return true;
    }
    return false;
}

/* Whether a call instruction ends at this address. */
static bool is_behind_call(const struct text *text, uint64_t address)
{
    if (address < text->address + 7 || address >= text->address + text->size)
        return false;
    const unsigned char *at = text->bytes + (address - text->address);
    return is_call_of_known_place(text, address, at) || is_call_of_pointer(at);
}

/* `words`: what is on the stack. `base`: what to take from an address to have it as in the file. */
static void find_chain(const struct text *text, const uint64_t *words, size_t count, uint64_t base,
                       uint64_t chain[FAULTS_DEPTH])
{
    int depth = 0;
    memset(chain, 0, FAULTS_DEPTH * sizeof chain[0]);
    for (size_t i = 0; i < count && depth < FAULTS_DEPTH; i++)
        if (is_behind_call(text, words[i] - base))
            chain[depth++] = words[i] - base;
}

/* The entry of that place, made when there is none. NULL: there is no room. */
static struct faults_site *find_site(struct faults *faults, uint32_t program, uint32_t number,
                                     const uint64_t chain[FAULTS_DEPTH])
{
    uint64_t hash = 14695981039346656037u;
    for (int i = 0; i < FAULTS_DEPTH; i++)
        hash = (hash ^ chain[i]) * 1099511628211u;
    hash ^= (uint64_t)number << 8 ^ program;
    for (uint32_t i = 0; i < faults->site_count; i++)
        if (faults->sites[i].hash == hash)
            return &faults->sites[i];
    if (faults->site_count == FAULTS_SITES) {
        faults->lost++;
        return NULL;
    }
    struct faults_site *site = &faults->sites[faults->site_count];
    *site = (struct faults_site){.hash = hash, .program = program, .number = number};
    memcpy(site->chain, chain, sizeof site->chain);
    faults->site_count++;
    return site;
}

static bool is_by_way_of(const struct faults *faults, const struct faults_site *site)
{
    for (int i = 0; faults->high && i < FAULTS_DEPTH; i++)
        if (site->chain[i] > faults->low && site->chain[i] <= faults->high)
            return true;
    return !faults->high;
}

static bool is_meant(const struct faults *faults, const struct faults_site *site, const char *path)
{
    if (faults->hash)
        return faults->hash == site->hash;
    return faults->program == site->program && faults->number == site->number &&
           is_by_way_of(faults, site) && (!faults->path[0] || strstr(path, faults->path));
}

/* The errno that this call is to fail with, or 0. `path`: what it names, or "". */
static int judge_site(struct faults *faults, struct faults_site *site, const char *path)
{
    site->count++;
    if (!faults->times || !is_meant(faults, site, path))
        return 0;
    if (faults->skip) {
        faults->skip--;
        return 0;
    }
    faults->times--;
    faults->hits++;
    return faults->error;
}

static const char *const faults_programs[] = {
    "init", "service-launcher", "service-journal", "compress-journal", "follow-forks", "slc",
};
enum { FAULTS_PROGRAMS = sizeof faults_programs / sizeof faults_programs[0] };
