/* Line ends in blocks of bytes. All that all services print goes through here, and musl's memchr,
 * memcpy of a line and memchr again would be half of what that costs. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Copies `most` bytes, or up to and with the first line end among them. Returns how many. Of `to`,
 * as long as `most`, the rest may be written to, too. */
size_t lines_copy_one(char *to, const char *from, size_t most);

/* The lines that end in these bytes. */
uint64_t lines_count(const char *bytes, size_t count);
