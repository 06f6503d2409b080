/* Regular expressions from files: POSIX extended ones, for one line of text each, which cost little
 * whatever the line is. What POSIX leaves open, so that C libraries differ in it, is refused. */
#pragma once

#include <regex.h>
#include <stddef.h>

#define EXPRESSION_BYTES_MAX 1000
#define EXPRESSION_SIZE_MAX  2000 /* characters, its repeats {…} written out */
#define EXPRESSION_DEPTH_MAX 50   /* parentheses in each other */
#define EXPRESSION_WHY_BYTES 160

/* Compiles with REG_EXTENDED and REG_NOSUB. Returns 0, and `ret` is to be given to regfree(); or
 * -EINVAL, and `why` says what to write instead; or -ENOMEM. */
int expression_compile(regex_t *ret, const char *expression, char why[static EXPRESSION_WHY_BYTES]);
