/* A compressed file without a seek table. Two blocks of text are kept, the one that is being filled
 * and the one before it, so that who reads backwards in small steps does not begin again at each.
 */
#include "journal/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>
#include <zstd_errors.h>

#define READ_BYTES  131072
#define BLOCK_BYTES (JOURNAL_STREAM_BYTES / 2)
#define WINDOW_LOG  23 /* 8 MiB, the most that zstd's levels up to 19 need */

struct journal_stream {
    int fd;
    ZSTD_DCtx *context;
    ZSTD_inBuffer in;
    size_t hint;       /* 0: between two frames */
    bool more;         /* there may be output without more input */
    char *last, *text; /* blocks: the full one before, and the one being filled */
    uint64_t text_at;  /* where that begins */
    size_t used;       /* of it */
    bool has_last;
    uint64_t bytes; /* of text */
    enum journal_loss_kind loss;
    char packed[READ_BYTES];
};

static int restart(struct journal_stream *stream)
{
    ZSTD_DCtx_reset(stream->context, ZSTD_reset_session_only);
    stream->in = (ZSTD_inBuffer){stream->packed, 0, 0};
    stream->hint = 0;
    stream->more = stream->has_last = false;
    stream->text_at = stream->used = 0;
    return lseek(stream->fd, 0, SEEK_SET) < 0 ? -errno : 0;
}

/* 1: there is input; 0: the end; or -errno, -EPROTO for an end in the middle. */
static int fill(struct journal_stream *stream)
{
    if (stream->in.pos < stream->in.size || stream->more)
        return 1;
    ssize_t got;
    do
        got = read(stream->fd, stream->packed, sizeof stream->packed);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        return got < 0 ? -errno : stream->hint ? -EPROTO : 0;
    stream->in = (ZSTD_inBuffer){stream->packed, (size_t)got, 0};
    return 1;
}

/* Decompresses some more. 1: there may be more; 0: the end; -EPROTO where it is damaged, or another
 * -errno. */
static int step(struct journal_stream *stream)
{
    int r = fill(stream);
    if (r <= 0)
        return r;
    if (stream->used == BLOCK_BYTES) {
        char *free = stream->last;
        stream->last = stream->text;
        stream->text = free;
        stream->text_at += BLOCK_BYTES;
        stream->used = 0;
        stream->has_last = true;
    }
    ZSTD_outBuffer out = {stream->text, BLOCK_BYTES, stream->used};
    stream->hint = ZSTD_decompressStream(stream->context, &out, &stream->in);
    if (ZSTD_isError(stream->hint))
        return ZSTD_getErrorCode(stream->hint) == ZSTD_error_memory_allocation ? -ENOMEM : -EPROTO;
    stream->used = out.pos;
    stream->more = out.pos == out.size && stream->hint; /* 0: all of the frame is out */
    return 1;
}

/* Finds out how long it is. */
static int measure(struct journal_stream *stream)
{
    int r = restart(stream);
    while (r >= 0 && stream->text_at + stream->used < JOURNAL_STREAM_MOST &&
           (r = step(stream)) > 0) {
    }
    stream->bytes = stream->text_at + stream->used;
    stream->loss = r > 0 ? JOURNAL_LOSS_TOO_MUCH
                   : r == -EPROTO || !stream->in.size
                       ? JOURNAL_LOSS_DAMAGED /* an empty file, too */
                       : JOURNAL_LOSS_NONE;
    return r == -EPROTO || r > 0 ? 0 : r;
}

int journal_stream_create(struct journal_stream **ret, int fd)
{
    struct journal_stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return -ENOMEM;
    stream->fd = fd;
    stream->context = ZSTD_createDCtx();
    stream->last = malloc(BLOCK_BYTES);
    stream->text = malloc(BLOCK_BYTES);
    int failed = -ENOMEM;
    if (stream->context && stream->last && stream->text) {
        ZSTD_DCtx_setParameter(stream->context, ZSTD_d_windowLogMax, WINDOW_LOG);
        failed = measure(stream);
    }
    if (failed)
        journal_stream_destroy(stream);
    else
        *ret = stream;
    return failed;
}

void journal_stream_destroy(struct journal_stream *stream)
{
    if (!stream)
        return;
    ZSTD_freeDCtx(stream->context);
    free(stream->last);
    free(stream->text);
    free(stream);
}

/* Has the byte at a place, which is one of the text, in a block. 0 or -errno. */
static int bring(struct journal_stream *stream, uint64_t at)
{
    int r = 1;
    if (at < stream->text_at - (stream->has_last ? BLOCK_BYTES : 0))
        r = restart(stream) ? -EIO : 1;
    while (r > 0 && at >= stream->text_at + stream->used)
        r = step(stream);
    return r > 0 ? 0 : r < 0 ? r : -EPROTO; /* it was exchanged since it was measured */
}

static ssize_t copy(const char *from, size_t bytes, size_t at, void *to, size_t count)
{
    if (count > bytes - at)
        count = bytes - at;
    memcpy(to, from + at, count);
    return (ssize_t)count;
}

ssize_t journal_stream_read(struct journal_stream *stream, void *bytes, size_t count, uint64_t at)
{
    if (at >= journal_stream_size(stream))
        return 0;
    int failed = bring(stream, at);
    if (failed == -EPROTO)
        return 0;
    if (failed)
        return failed;
    if (at < stream->text_at)
        return copy(stream->last, BLOCK_BYTES, (size_t)(at + BLOCK_BYTES - stream->text_at), bytes,
                    count);
    size_t used = stream->used;
    if (stream->text_at + used > stream->bytes)
        used = (size_t)(stream->bytes - stream->text_at);
    return copy(stream->text, used, (size_t)(at - stream->text_at), bytes, count);
}

uint64_t journal_stream_size(const struct journal_stream *stream)
{
    return stream->bytes;
}

enum journal_loss_kind journal_stream_loss(const struct journal_stream *stream)
{
    return stream->loss;
}
