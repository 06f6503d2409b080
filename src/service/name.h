/* The rules for a service's name: letters, digits, `-` `_` `.` `@` `:`, 1 to 200 bytes, neither
 * "." nor "..", and not `conit`, the name of our own journal. A name that keeps them is safe as a
 * file's name. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define SERVICE_NAME_RESERVED "conit"

/* Why `length` bytes at `name` are no name for a service, as half a sentence that says what is
 * allowed ("holds '/'; …" has its byte in *ret_at, which may be NULL: where the trouble begins).
 * NULL: it is a good one. The result is constant text. */
const char *service_name_problem(const char *name, size_t length, size_t *ret_at);
