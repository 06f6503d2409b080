/* An error a user has to mend: where it is, what is wrong, and what to write instead. */
#pragma once

#include <stddef.h>

#define ERROR_MESSAGE_BYTES 400

struct error {
    const char *file; /* path as the user would write it; not owned; NULL: none */
    unsigned line;    /* from 1; 0: no place inside the file */
    unsigned column;  /* from 1; 0: none */
    char message[ERROR_MESSAGE_BYTES];
};

/* Fills *error (which may be NULL) and returns `result`, so that a parser can
 * `return error_set(error, -EINVAL, …)`. */
int error_set(struct error *error, int result, const char *file, unsigned line, unsigned column,
              const char *format, ...) __attribute__((format(printf, 6, 7)));

/* "FILE:LINE:COLUMN: MESSAGE", without the parts that are not known. Always ends in NUL. */
void error_format(const struct error *error, char *text, size_t size_bytes);
