/* A growable byte buffer on the heap. */
#include "base/buffer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE_BYTES 256
#define KEEP_SIZE_BYTES  65536 /* an empty buffer larger than this is freed */

int buffer_reserve(struct buffer *buffer, size_t count)
{
    size_t used = buffer_used(buffer), wanted, size;

    if (buffer->size - buffer->end >= count)
        return 0;
    if (__builtin_add_overflow(used, count, &wanted) || wanted > (size_t)-1 / 2)
        return -ENOMEM;
    if (wanted <= buffer->size && buffer->begin >= buffer->size / 2) {
        memmove(buffer->data, buffer_bytes(buffer), used);
    } else {
        for (size = buffer->size ? buffer->size : FIRST_SIZE_BYTES; size < wanted;)
            size *= 2;
        char *data = malloc(size);
        if (!data)
            return -ENOMEM;
        if (used)
            memcpy(data, buffer_bytes(buffer), used);
        free(buffer->data);
        buffer->data = data;
        buffer->size = size;
    }
    buffer->begin = 0;
    buffer->end = used;
    return 0;
}

int buffer_append(struct buffer *buffer, const void *bytes, size_t count)
{
    int failed = buffer_reserve(buffer, count);
    if (failed)
        return failed;
    if (count)
        memcpy(buffer->data + buffer->end, bytes, count);
    buffer->end += count;
    return 0;
}

void buffer_consume(struct buffer *buffer, size_t count)
{
    buffer->begin += count;
    if (buffer->begin < buffer->end)
        return;
    buffer->begin = buffer->end = 0;
    if (buffer->size > KEEP_SIZE_BYTES)
        buffer_finish(buffer);
}

void buffer_finish(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){0};
}
