/* Regular expressions for reading journals: POSIX extended ones, matched against one line each, in
 * one pass over its bytes whatever the expression is. NUL and invalid UTF-8 are bytes as any other.
 *
 * `.` and a negated list stand for one character of UTF-8, or for a byte that is part of none.
 * What POSIX leaves open, so that C libraries differ in it, is refused. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define MATCHER_BYTES_MAX 1000
#define MATCHER_DEPTH_MAX 50 /* parentheses in each other */
#define MATCHER_WHY_BYTES 160

struct matcher;

struct matcher_error {
    size_t column; /* 1: the first character */
    char why[MATCHER_WHY_BYTES];
};

/* Returns 0, -EINVAL with *ret_error, or -ENOMEM. */
int matcher_create(struct matcher **ret, const char *expression, struct matcher_error *ret_error);

/* Accepts NULL. */
void matcher_destroy(struct matcher *matcher);

/* Whether there is a match in the line, which has no line end. Without memory for more states it
 * is slower, no more. */
bool matcher_matches(struct matcher *matcher, const char *text, size_t bytes);

/* A text that is in everything that matches, NULL: none is known. *ret_whole: and everything that
 * has it matches. */
const char *matcher_literal(const struct matcher *matcher, size_t *ret_bytes, bool *ret_whole);
