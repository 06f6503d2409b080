/* One frame of a compressed file is decompressed by a thread of its own, while the one before it is
 * read: half of what reading a whole journal takes is that. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct journal_source;
struct journal_ahead;

/* Begins a thread that decompresses frames of the source, which outlives it. NULL where there can
 * be none: then it goes without. */
struct journal_ahead *journal_ahead_create(const struct journal_source *source);

/* Waits for what is under way. Accepts NULL. */
void journal_ahead_destroy(struct journal_ahead *ahead);

/* Has it decompress this frame; what it had before is forgotten. */
void journal_ahead_want(struct journal_ahead *ahead, size_t number);

/* Gives out the frame, if it is that one: *text, which has room for one as the source's has, and
 * which it takes in exchange, and whether it is damaged. Returns whether it was. */
bool journal_ahead_take(struct journal_ahead *ahead, size_t number, char **text, bool *ret_damaged);
