/* A command line split into words as a shell splits it: blanks, 'single' and "double" quotes,
 * backslash. No shell runs: no variables, no globs, no operators. Pure. */
#pragma once

#include "config/arena.h"

struct words {
    char **list; /* NULL-terminated */
    size_t count;
};

/* What can be wrong with a command line. */
enum words_error { WORDS_OPEN_SINGLE_QUOTE, WORDS_OPEN_DOUBLE_QUOTE, WORDS_LAST_BACKSLASH };

/* Splits `text`. Returns 0, with what was made in the arena; -EINVAL with the byte where the
 * quote is opened or the backslash stands in *ret_at and the kind in *ret_error; -ENOMEM. */
int words_split(const char *text, struct arena *arena, struct words *ret, size_t *ret_at,
                enum words_error *ret_error);
