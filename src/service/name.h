/* The rules for a service's name: letters, digits, `-` `_` `.` `@` `:`, 1 to 200 bytes, neither
 * "." nor "..", and not `conit`, the name of our own journal. A name that keeps them is safe as a
 * file's name.
 *
 * What is behind the first `@` is the instance of a template, and not empty; "agetty@" itself is
 * the name of a template's file and of no service.
 *
 * No service file may be called `syslog` or `kernel` either: journals have these names. But a
 * service may provide them, so that others can need them. */
#pragma once

#include "service/definition.h"

#include <stdbool.h>
#include <stddef.h>

#define SERVICE_NAME_RESERVED "conit"

/* How many instances in a row may name a further one that is made by it. */
#define SERVICE_INSTANCE_CHAIN_MAX 16

/* Whether a journal has this name that is no service's: conit, syslog, kernel. */
bool service_name_is_journal(const char *name);

/* Why `length` bytes at `name` are no name for a service, as half a sentence that says what is
 * allowed ("holds '/'; …" has its byte in *ret_at, which may be NULL: where the trouble begins).
 * NULL: it is a good one. The result is constant text. */
const char *service_name_problem(const char *name, size_t length, size_t *ret_at);

/* The same for the name of a service file, which may be a template's. */
const char *service_name_file_problem(const char *name, size_t length);

/* Whether it is the name of a template: its first '@' is its last byte, and not its first. */
bool service_name_is_template(const char *name, size_t length);

/* What is behind the first '@' ("tty1" of "agetty@tty1"), in the name itself; NULL: a name without
 * an instance. */
const char *service_name_instance(const char *name);

/* Writes the name of the template that this would be an instance of ("agetty@" of "agetty@tty1").
 * Returns false when it has no instance. */
bool service_name_template(const char *name, char storage[static SERVICE_NAME_MAX_BYTES + 1]);
