/* One file of a journal as bytes at places, whether it is compressed or not.
 *
 * A compressed file that ends with a seek table is read frame by frame; any other as far as it
 * is read (stream.h). In place of a frame that cannot be decompressed are line ends. */
#pragma once

#include "journal/stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct journal_source {
    int fd;                       /* -1: closed */
    bool borrowed;                /* the owner's to set: it is not closed with the source */
    struct journal_frame *frames; /* frame_count, and the end; NULL: it has no table */
    size_t frame_count;
    char *text; /* one frame, decompressed; behind it room to read one */
    size_t text_room, packed_room;
    size_t text_frame; /* which one; frame_count: none */
    bool text_damaged; /* it cannot be decompressed: `text` is line ends */
    enum journal_loss_kind
        loss;        /* what was read last is in place of what cannot be; or behind it */
    size_t in_order; /* so many were read one after the other */
    struct journal_stream *stream; /* NULL: it is plain, or has a table */
    bool reads_ahead; /* the owner's to set: a thread may decompress the next one meanwhile */
    struct journal_ahead *ahead; /* NULL: none does. While it is there the source must not move */
};

/* Where a frame begins: in the file, and in what comes out. */
struct journal_frame {
    uint64_t at, text_at;
};

#define JOURNAL_SOURCE_NONE ((struct journal_source){.fd = -1})

/* `fd` is taken in every case. Returns 0, -ENOMEM or another -errno, never for what is in it. */
int journal_source_open(struct journal_source *source, int fd, bool packed);

/* Accepts one that is closed. */
void journal_source_close(struct journal_source *source);

/* As pread(2), but that it may stop short where a frame ends. 0: the end. Sets `loss`. */
ssize_t journal_source_read(struct journal_source *source, void *bytes, size_t count, off_t at);

/* How long it is now, or -errno. */
off_t journal_source_size(const struct journal_source *source);

/* For who decompresses ahead: a frame into `text`, which has journal_source_room() bytes. One that
 * is damaged is as many line ends. 0 or -errno. Changes nothing. */
ssize_t journal_source_decompress(const struct journal_source *source, size_t number, char *text,
                                  bool *ret_damaged);
size_t journal_source_room(const struct journal_source *source);
