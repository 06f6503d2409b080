/* One file of a journal. Nothing that is in a compressed file is believed: every number of the
 * table is checked against the file, and each frame against the table. */
#include "journal/source.h"
#include "base/cleanup.h"
#include "journal/ahead.h"
#include "journal/seek-table.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <zstd.h>
#include <zstd_errors.h>

#define FRAME_MOST_BYTES                                                                           \
    (4u << 20) /* of text; with larger ones a file is read as one without a table */
#define FRAMES_MOST    (1u << 20) /* a table of more is none: it would be of no file of ours */
#define IN_ORDER_LEAST 3          /* frames read one after the other, and more will follow */

static ssize_t read_exactly(int fd, void *bytes, size_t count, uint64_t at)
{
    ssize_t got = pread(fd, bytes, count, (off_t)at);
    return got < 0 ? -errno : got == (ssize_t)count ? 0 : -EPROTO;
}

/* ---- the seek table ------------------------------------------------------------------------ */

/* Makes the frames out of the table's entries, which are `stride` apart. Returns 0, or -EPROTO when
 * they do not fit the `bytes` that all frames have. */
static int take_entries(struct journal_source *source, const char *entries, size_t stride,
                        uint64_t bytes)
{
    uint64_t at = 0, text_at = 0;
    uint32_t longest = 0, longest_text = 0;

    for (size_t i = 0; i < source->frame_count; i++) {
        struct seek_table_entry entry;
        memcpy(&entry, entries + i * stride, sizeof entry);
        uint32_t frame = le32toh(entry.bytes), text = le32toh(entry.text_bytes);
        source->frames[i] = (struct journal_frame){at, text_at};
        if (!frame || !text || text > FRAME_MOST_BYTES || frame > ZSTD_COMPRESSBOUND(text) + 64)
            return -EPROTO;
        at += frame;
        text_at += text;
        longest = frame > longest ? frame : longest;
        longest_text = text > longest_text ? text : longest_text;
    }
    source->frames[source->frame_count] = (struct journal_frame){at, text_at};
    source->text_room = longest_text;
    source->text_frame = source->frame_count;
    if (at != bytes)
        return -EPROTO;
    source->packed_room = longest;
    source->text = malloc(journal_source_room(source));
    return source->text ? 0 : -ENOMEM;
}

/* Returns 0, -EPROTO when the file has no table that can be right, -ENOMEM or another -errno. */
static int read_table(struct journal_source *source, uint64_t size)
{
    struct seek_table_head head;
    struct seek_table_end end;

    if (size < sizeof head + sizeof end)
        return -EPROTO;
    int failed = (int)read_exactly(source->fd, &end, sizeof end, size - sizeof end);
    if (failed)
        return failed;
    if (le32toh(end.magic) != SEEK_TABLE_MAGIC || (end.descriptor & ~SEEK_TABLE_CHECKSUMS))
        return -EPROTO;
    const uint64_t frames = le32toh(end.frames);
    const size_t stride = sizeof(struct seek_table_entry) + (end.descriptor ? sizeof(uint32_t) : 0);
    const uint64_t bytes = frames * stride;
    if (frames > FRAMES_MOST || sizeof head + bytes + sizeof end > size)
        return -EPROTO;
    const uint64_t at = size - sizeof end - bytes - sizeof head;
    failed = (int)read_exactly(source->fd, &head, sizeof head, at);
    if (failed)
        return failed;
    if (le32toh(head.magic) != SEEK_TABLE_HEAD_MAGIC || le32toh(head.bytes) != bytes + sizeof end)
        return -EPROTO;
    AUTO_FREE char *entries = malloc(bytes + 1);
    source->frames = calloc(frames + 1, sizeof *source->frames);
    if (!entries || !source->frames)
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): AUTO_FREE, not known to it, frees it */
        return -ENOMEM;
    source->frame_count = frames;
    failed = (int)read_exactly(source->fd, entries, bytes, at + sizeof head);
    return failed ? failed : take_entries(source, entries, stride, at);
}

/* ---- reading ------------------------------------------------------------------------------- */

static void drop_table(struct journal_source *source)
{
    journal_ahead_destroy(source->ahead);
    journal_stream_destroy(source->stream);
    free(source->frames);
    free(source->text);
    *source = (struct journal_source){.fd = source->fd, .borrowed = source->borrowed};
}

int journal_source_open(struct journal_source *source, int fd, bool packed)
{
    struct stat stat;
    *source = (struct journal_source){.fd = fd};
    if (!packed)
        return 0;
    int failed = fstat(fd, &stat) < 0 ? -errno : read_table(source, (uint64_t)stat.st_size);
    if (failed == -EPROTO) {
        drop_table(source);
        failed = journal_stream_create(&source->stream, fd);
    }
    if (failed)
        journal_source_close(source);
    return failed;
}

void journal_source_close(struct journal_source *source)
{
    drop_table(source);
    if (source->fd >= 0 && !source->borrowed)
        close(source->fd);
    source->fd = -1;
    source->borrowed = false;
}

ssize_t journal_source_decompress(const struct journal_source *source, size_t number, char *text,
                                  bool *ret_damaged)
{
    const struct journal_frame *frame = &source->frames[number];
    const size_t bytes = frame[1].at - frame->at, text_bytes = frame[1].text_at - frame->text_at;
    char *packed = text + source->text_room;

    ssize_t failed = read_exactly(source->fd, packed, bytes, frame->at);
    if (failed && failed != -EPROTO && failed != -EIO) /* a bad sector costs a frame */
        return failed;
    size_t out = failed ? 0 : ZSTD_decompress(text, text_bytes, packed, bytes);
    if (ZSTD_getErrorCode(out) == ZSTD_error_memory_allocation)
        return -ENOMEM;
    *ret_damaged = ZSTD_isError(out) || out != text_bytes;
    if (*ret_damaged)
        memset(text, '\n', text_bytes);
    return 0;
}

size_t journal_source_room(const struct journal_source *source)
{
    return source->text_room + source->packed_room + 1;
}

static ssize_t load_frame(struct journal_source *source, size_t number)
{
    bool in_order = source->text_frame < source->frame_count && number == source->text_frame + 1;
    ssize_t failed = 0;

    source->text_frame = source->frame_count;
    if (!source->ahead ||
        !journal_ahead_take(source->ahead, number, &source->text, &source->text_damaged))
        failed = journal_source_decompress(source, number, source->text, &source->text_damaged);
    if (failed)
        return failed;
    source->text_frame = number;
    source->in_order = in_order ? source->in_order + 1 : 0;
    if (source->in_order < IN_ORDER_LEAST || !source->reads_ahead ||
        number + 1 == source->frame_count)
        return 0;
    if (!source->ahead)
        source->ahead = journal_ahead_create(source);
    if (source->ahead)
        journal_ahead_want(source->ahead, number + 1);
    return 0;
}

/* The frame that has this place, which is in one. */
static size_t find_frame(const struct journal_source *source, uint64_t at)
{
    size_t low = 0, high = source->frame_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (source->frames[middle].text_at <= at)
            low = middle;
        else
            high = middle;
    }
    return low;
}

ssize_t journal_source_read(struct journal_source *source, void *bytes, size_t count, off_t at)
{
    if (source->fd < 0)
        return 0;
    source->loss = JOURNAL_LOSS_NONE;
    if (source->stream) {
        ssize_t got = journal_stream_read(source->stream, bytes, count, (uint64_t)at);
        if (got == 0)
            source->loss = journal_stream_loss(source->stream);
        return got;
    }
    if (!source->frames) {
        ssize_t got = pread(source->fd, bytes, count, at);
        return got < 0 ? -errno : got;
    }
    if ((uint64_t)at >= source->frames[source->frame_count].text_at)
        return 0;
    size_t number = find_frame(source, (uint64_t)at);
    ssize_t failed = number == source->text_frame ? 0 : load_frame(source, number);
    if (failed)
        return failed;
    const struct journal_frame *frame = &source->frames[number];
    size_t in_frame = (uint64_t)at - frame->text_at, left = frame[1].text_at - (uint64_t)at;
    if (count > left)
        count = left;
    if (source->text_damaged)
        source->loss = JOURNAL_LOSS_DAMAGED;
    memcpy(bytes, source->text + in_frame, count);
    return (ssize_t)count;
}

off_t journal_source_size(const struct journal_source *source)
{
    struct stat stat;
    if (source->frames)
        return (off_t)source->frames[source->frame_count].text_at;
    if (source->stream)
        return (off_t)journal_stream_size(source->stream);
    if (source->fd < 0)
        return 0;
    return fstat(source->fd, &stat) < 0 ? -errno : stat.st_size;
}
