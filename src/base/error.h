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

/* "FILE:LINE:COLUMN: MESSAGE", without the parts that are not known. Always ends in NUL. */
void error_format(const struct error *error, char *text, size_t size_bytes);
