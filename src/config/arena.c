/* Memory that is taken bit by bit and given back as a whole. */
#include "config/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CHUNK_BYTES 4096
#define MAX_CHUNK_BYTES   (1u << 20)
#ifndef CHUNK_BYTES /* of the next one; in tests that let each piece fail: of that piece alone */
#define CHUNK_BYTES(arena) ((arena)->chunk_bytes ? (arena)->chunk_bytes : FIRST_CHUNK_BYTES)
#endif

struct arena_chunk {
    struct arena_chunk *previous;
    alignas(max_align_t) char bytes[];
};

/* A new chunk with room for `size` bytes, which is aligned for any type. */
static int add_chunk(struct arena *arena, size_t size)
{
    size_t bytes = CHUNK_BYTES(arena);
    if (size > SIZE_MAX / 2)
        return -1;
    if (bytes < size)
        bytes = size;
    struct arena_chunk *chunk = malloc(sizeof *chunk + bytes);
    if (!chunk)
        return -1;
    chunk->previous = arena->chunks;
    arena->chunks = chunk;
    arena->next = chunk->bytes;
    arena->end = chunk->bytes + bytes;
    arena->chunk_bytes = bytes < MAX_CHUNK_BYTES / 2 ? bytes * 2 : MAX_CHUNK_BYTES;
    return 0;
}

char *arena_take_bytes(struct arena *arena, size_t size)
{
    if ((size_t)(arena->end - arena->next) < size || !arena->next)
        if (add_chunk(arena, size) < 0)
            return NULL;
    char *taken = arena->next;
    arena->next += size;
    return taken;
}

void *arena_take(struct arena *arena, size_t size)
{
    size_t over = (uintptr_t)arena->next % alignof(max_align_t);
    size_t gap = over ? alignof(max_align_t) - over : 0;
    if (!arena->next || (size_t)(arena->end - arena->next) < gap ||
        (size_t)(arena->end - arena->next) - gap < size) {
        if (add_chunk(arena, size) < 0)
            return NULL;
        gap = 0;
    }
    arena->next += gap;
    return arena_take_bytes(arena, size);
}

void arena_trim(struct arena *arena, char *from)
{
    arena->next = from;
}

char *arena_copy(struct arena *arena, const void *bytes, size_t length)
{
    char *copy = arena_take_bytes(arena, length + 1);
    if (!copy)
        return NULL;
    if (length)
        memcpy(copy, bytes, length);
    copy[length] = 0;
    return copy;
}

void arena_finish(struct arena *arena)
{
    while (arena->chunks) {
        struct arena_chunk *chunk = arena->chunks;
        arena->chunks = chunk->previous;
        free(chunk);
    }
    *arena = (struct arena){0};
}
