/* Damage to a file, as the rest of a fuzz target's input has it: where (u32, taken by the size of
 * the file), how many bytes (u8), and these. */
#pragma once

#include "demand.h"

#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A place of 0xffffffff: the file ends where the next place says. */
static inline void patch_file(int fd, const uint8_t *bytes, size_t count)
{
    struct stat stat;
    demand(fstat(fd, &stat) == 0, "the file is there");
    while (count >= 5 && stat.st_size) {
        uint32_t at;
        memcpy(&at, bytes, sizeof at);
        size_t length = bytes[4];
        bytes += 5;
        count -= 5;
        if (at == UINT32_MAX) {
            stat.st_size = stat.st_size * (off_t)length / 256;
            demand(ftruncate(fd, stat.st_size) == 0, "a memfd can be cut");
            continue;
        }
        length = length < count ? length : count;
        off_t place = (off_t)(at % (uint64_t)stat.st_size);
        if (place + (off_t)length > stat.st_size)
            length = (size_t)(stat.st_size - place);
        demand(pwrite(fd, bytes, length, place) == (ssize_t)length, "there is memory");
        bytes += length;
        count -= length;
    }
}
