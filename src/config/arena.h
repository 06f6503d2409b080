/* Memory that is taken bit by bit and given back as a whole.
 *
 * A zeroed struct is an empty arena. What was taken stays where it is until arena_finish(). */
#pragma once

#include <stddef.h>

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks;
    char *next, *end;
    size_t chunk_bytes; /* of the next chunk; 0: a small first one. Doubles up to 1 MiB */
};

/* `size` bytes aligned for any type, not cleared. NULL: no memory (nothing changed). */
void *arena_take(struct arena *arena, size_t size);

/* The same without alignment, for text. */
char *arena_take_bytes(struct arena *arena, size_t size);

/* Gives back the end of the last arena_take_bytes(): `from` lies in it. */
void arena_trim(struct arena *arena, char *from);

/* A copy of `length` bytes with a NUL behind them, or NULL. */
char *arena_copy(struct arena *arena, const void *bytes, size_t length);

void arena_finish(struct arena *arena);
