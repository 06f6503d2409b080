/* What goes into which file of a journal, and which of them go. Pure. */
#pragma once

#include "service/quota.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

size_t rotation_total(const struct iovec *pieces, int count);

/* How many of the first `done` bytes of the pieces are whole lines. */
size_t rotation_whole_lines(const struct iovec *pieces, int count, size_t done);

/* How much of the pieces a `current` of so many bytes may still get, which ends in the middle of a
 * line or not: whole lines, as far as they fit; or what ends a line that has begun, or is longer
 * than a file. 0: it has to be sealed first. */
size_t rotation_fitting(uint64_t size_bytes, bool mid_line, uint64_t max_size_bytes,
                        const struct iovec *pieces, int count);

/* Whether the oldest of `whole` sealed files goes. `written_s`: when it was written last, looked at
 * only where there is a max_age_s. */
bool rotation_removes(const struct quota *quota, size_t whole, uint64_t written_s, uint64_t now_s);

/* Whether a `current` whose first entry is of that time is to be sealed for its age. */
bool rotation_is_old(const struct quota *quota, uint64_t first_ns, uint64_t now_ns);
