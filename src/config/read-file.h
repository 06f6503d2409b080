/* Reading a whole small file that anybody may have put there: nothing but a regular file is read,
 * nothing is waited for, and never more than was asked for. */
#pragma once

#include "config/arena.h"

#include <stdbool.h>
#include <stddef.h>

/* The regular file `name` (a symbolic link to one is followed), looked up in `folder` as
 * openat(2) does, with a NUL behind it. `known_regular`: the folder's listing says so, which
 * saves a look before opening.
 * Returns 0; -ENOMEM; or another -errno with the reason in words in *ret_problem (constant text,
 * or in the arena). */
int read_file_at(int folder, const char *name, bool known_regular, size_t max_bytes,
                 struct arena *arena, char **ret_text, size_t *ret_size, const char **ret_problem);
