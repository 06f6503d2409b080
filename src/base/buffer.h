/* A growable byte buffer on the heap: append at the end, consume at the front.
 *
 * Invariants: `begin` <= `end` <= `size`; the content is data[begin..end). A zeroed struct is an
 * empty buffer that owns nothing. */
#pragma once

#include <stddef.h>

struct buffer {
    char *data;
    size_t begin, end, size;
};

static inline size_t buffer_used(const struct buffer *buffer)
{
    return buffer->end - buffer->begin;
}

static inline char *buffer_bytes(const struct buffer *buffer)
{
    return buffer->data + buffer->begin;
}

/* Makes room for `count` more bytes at data + end. Returns 0 or -ENOMEM (nothing changed). */
int buffer_reserve(struct buffer *buffer, size_t count);

/* Returns 0 or -ENOMEM (nothing changed). */
int buffer_append(struct buffer *buffer, const void *bytes, size_t count);

/* Forgets the first `count` bytes; an empty buffer that has grown past 64 KiB gives its memory
 * back. */
void buffer_consume(struct buffer *buffer, size_t count);

/* Frees the storage; the buffer is empty and may be used again. */
void buffer_finish(struct buffer *buffer);
