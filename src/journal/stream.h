/* A compressed file without a seek table, as bytes at places: decompressed from its beginning up to
 * what is read, of which the newest part is kept. Going back further begins again. Whoever wrote
 * the file, memory has bounds: JOURNAL_STREAM_BYTES of text and as much for the decompressor. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define JOURNAL_STREAM_BYTES     (16u << 20)
#define JOURNAL_STREAM_MOST      (256ull << 20) /* of text; what is behind it is left out */
#define JOURNAL_STREAM_MOST_TEXT "256 MiB"

/* Why some of a file cannot be read. */
enum journal_loss_kind {
    JOURNAL_LOSS_NONE,
    JOURNAL_LOSS_DAMAGED,
    JOURNAL_LOSS_TOO_MUCH,
    JOURNAL_LOSS_UNREADABLE /* by an error of the disk, or for want of permission */
};

struct journal_stream;

/* Reads all of it once: its length, and why that is not all there is. `fd` stays the caller's, and
 * outlives it. Returns 0, -ENOMEM or another -errno, never for what is in it. */
int journal_stream_create(struct journal_stream **ret, int fd);

/* Accepts NULL. */
void journal_stream_destroy(struct journal_stream *stream);

/* As pread(2), but that it may stop short. */
ssize_t journal_stream_read(struct journal_stream *stream, void *bytes, size_t count, uint64_t at);

uint64_t journal_stream_size(const struct journal_stream *stream);

/* What is behind its end. */
enum journal_loss_kind journal_stream_loss(const struct journal_stream *stream);
