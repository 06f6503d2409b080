/* The errors found in files that a person has to mend. The list owns all of it: an error's `file`
 * lives as long as the list, whatever it was copied from. A zeroed struct is an empty list. */
#pragma once

#include "base/error.h"
#include "config/arena.h"

#include <stdarg.h>
#include <stdbool.h>

/* What one file may add: more than a screen of errors helps nobody. */
#define ERRORS_PER_FILE 20

struct error_list {
    struct error *list;
    size_t count, room;
    bool no_memory; /* one could not be kept */
    struct arena files;
};

/* Adds an error. Returns 0, or -ENOMEM, which sets `no_memory` too. */
int error_list_add(struct error_list *errors, const char *file, unsigned line, unsigned column,
                   const char *format, ...) __attribute__((format(printf, 5, 6)));
int error_list_add_v(struct error_list *errors, const char *file, unsigned line, unsigned column,
                     const char *format, va_list arguments) __attribute__((format(printf, 5, 0)));

/* Frees what it holds; it is empty and may be used again. */
void error_list_finish(struct error_list *errors);
