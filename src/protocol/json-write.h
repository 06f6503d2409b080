/* Writes JSON straight into a buffer: a list of a thousand services costs no object each.
 *
 * Commas are put by the writer. A writer that failed (no memory) writes nothing more; who began
 * it looks at `failed` once, at the end. Text is copied as UTF-8; what is none becomes U+FFFD. */
#pragma once

#include "base/buffer.h"

#include <stdbool.h>
#include <stdint.h>

struct json_writer {
    struct buffer *out; /* the caller's */
    bool failed;
    bool follows; /* a value stands before, at this depth: a comma is due */
};

void json_writer_init(struct json_writer *writer, struct buffer *out);

/* Objects and arrays; `bracket` is one of { [ and } ]. */
void json_begin(struct json_writer *writer, char bracket);
void json_end(struct json_writer *writer, char bracket);

/* The key of the value written next. Keys are constants of ours: written as they are. */
void json_put_key(struct json_writer *writer, const char *key);

/* A NULL string is null. */
void json_put_string(struct json_writer *writer, const char *string);
void json_put_bytes(struct json_writer *writer, const char *bytes, size_t count);
void json_put_number(struct json_writer *writer, int64_t number);
void json_put_bool(struct json_writer *writer, bool value);
void json_put_null(struct json_writer *writer);

/* A key with its value. */
void json_add_string(struct json_writer *writer, const char *key, const char *string);
void json_add_number(struct json_writer *writer, const char *key, int64_t number);
void json_add_bool(struct json_writer *writer, const char *key, bool value);

/* NULL-terminated strings as an array; NULL is an empty one. */
void json_add_strings(struct json_writer *writer, const char *key, const char *const *strings);

/* The same of one text, one string a line; NULL is an empty array. */
void json_add_lines(struct json_writer *writer, const char *key, const char *lines);
