/* Bad service files and what is said of each. For programs that are linked with faults.c. */
#pragma once

#include <stddef.h>

struct bad {
    const char *text;
    size_t size;
    const char *messages; /* "LINE:COLUMN: MESSAGE", one a line */
};

#define FILE_OF(text)   text, sizeof(text) - 1
#define CHECK_ALL(list) bad_check(list, sizeof(list) / sizeof((list)[0]))

/* Each has these messages and no others, on a machine where nobody is in passwd and group; and
 * whichever allocation fails on the way to them, there is no memory, and neither half of them nor
 * anything else is left. */
void bad_check(const struct bad *list, size_t count);
