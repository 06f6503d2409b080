/* Where a call comes from, and whether it is one that is to fail. Where the frames of the program
 * are known (frames.py) its stack is read as a debugger does. Where they are not, what looks like a
 * return address, a value that points behind a call instruction, is taken for one: a rule by
 * function finds its function then, but what is left on the stack from earlier calls makes many
 * places of one. */
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

/* From `address` on the caller's return address is `offset` bytes above what the stack pointer is;
 * -1: that is not known. Sorted. */
struct frame_row {
    uint64_t address;
    int64_t offset;
};
struct frames {
    const struct frame_row *rows;
    size_t count;
};

static int64_t frame_of(const struct frames *frames, uint64_t address)
{
    size_t low = 0, high = frames->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (frames->rows[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? frames->rows[low - 1].offset : -1;
}

static void way_add(struct faults_way *way, uint64_t address)
{
    if (way->depth < FAULTS_WAY)
        way->at[way->depth++] = address;
}

/* `words`: what is on the stack from the stack pointer on. `pc`: where the program is. Both it and
 * what is on the stack are `base` more than the file has it. */
static inline void find_way(const struct text *text, const struct frames *frames,
                            const uint64_t *words, size_t count, uint64_t pc, uint64_t base,
                            struct faults_way *way)
{
    size_t at = 0;
    int64_t frame = frame_of(frames, pc - base);
    way->depth = 0;
    while (at < count && way->depth < FAULTS_WAY) {
        if (frame >= 0) {
            at += (size_t)frame / sizeof words[0];
            if (at >= count || !is_behind_call(text, words[at] - base))
                return; /* the outermost */
        } else if (!is_behind_call(text, words[at] - base) ||
                   (frames->count && frame_of(frames, words[at] - base) < 0)) {
            at++;
            continue;
        }
        way_add(way, words[at] - base);
        frame = frame_of(frames, words[at] - base);
        at++;
    }
}

/* The entry of that place, made when there is none. NULL: there is no room. */
static struct faults_site *find_site(struct faults *faults, uint32_t program, uint32_t number,
                                     const struct faults_way *way)
{
    uint64_t chain[FAULTS_DEPTH] = {0};
    for (int i = 0; i < FAULTS_DEPTH && i < way->depth; i++)
        chain[i] = way->at[i];
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

static bool is_by_way_of(const struct faults *faults, const struct faults_way *way)
{
    for (int i = 0; faults->high && i < way->depth; i++)
        if (way->at[i] > faults->low && way->at[i] <= faults->high)
            return true;
    return !faults->high;
}

static bool is_meant(const struct faults *faults, const struct faults_site *site,
                     const struct faults_way *way, const char *path)
{
    if (faults->hash)
        return faults->hash == site->hash;
    return faults->program == site->program && faults->number == site->number &&
           is_by_way_of(faults, way) && (!faults->path[0] || strstr(path, faults->path));
}

/* The errno that this call is to fail with, or 0. `path`: what it names, or "". */
static int judge_site(struct faults *faults, struct faults_site *site, const struct faults_way *way,
                      const char *path)
{
    site->count++;
    if (!faults->times || !is_meant(faults, site, way, path))
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
