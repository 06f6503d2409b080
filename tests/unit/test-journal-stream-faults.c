/* Compressed files without a seek table, as other programs write them: in one frame that does not
 * say how much it has, and one that is still being written. */
#include "base/text.h"
#include "faults.h"
#include "journal-files.h"
#include "journal/stream.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#define BLOCK_BYTES (JOURNAL_STREAM_BYTES / 2) /* what comes out before it is put aside */
#define LINE_BYTES  1000

static char path[PATH_MAX];
static struct journal_reader reader;

/* Lines with numbers, all as long. */
static char *make_lines(size_t count)
{
    char *text = malloc(count * LINE_BYTES + 1);
    for (size_t i = 0; i < count; i++)
        snprintf(text + i * LINE_BYTES, LINE_BYTES + 1, PREFIX "%-*zu\n",
                 (int)(LINE_BYTES - sizeof PREFIX), i);
    return text;
}

/* One frame, of which the first line is a block by itself. `last`: whether it ends, or might go on
 * behind its last block. The caller frees it. */
static char *compress(const char *text, size_t bytes, ZSTD_EndDirective last, size_t *ret_bytes)
{
    size_t room = ZSTD_compressBound(bytes) + 1000;
    char *packed = malloc(room);
    ZSTD_CCtx *context = ZSTD_createCCtx();
    ZSTD_inBuffer in = {text, LINE_BYTES, 0};
    ZSTD_outBuffer out = {packed, room, 0};
    CHECK_NUMBER(ZSTD_compressStream2(context, &out, &in, ZSTD_e_flush), 0);
    in.size = bytes;
    CHECK_NUMBER(ZSTD_compressStream2(context, &out, &in, last), 0);
    ZSTD_freeCCtx(context);
    *ret_bytes = out.pos;
    return packed;
}

static int open_packed(int flags)
{
    text_format(path, sizeof path, "%s/web/" STEM ".log.zst", logs);
    return open(path, flags | O_CLOEXEC, 0600);
}

static void append(const char *bytes, size_t count)
{
    int fd = open_packed(O_WRONLY | O_CREAT | O_APPEND);
    CHECK_NUMBER(write(fd, bytes, count), count);
    close(fd);
}

static void make_journal(void)
{
    begin();
    mkdir(logs, 0755);
    text_format(path, sizeof path, "%s/web", logs);
    CHECK_NUMBER(mkdir(path, 0755), 0);
}

static int open_reader(void)
{
    text_format(path, sizeof path, "%s/web", logs);
    return journal_reader_open(&reader, path);
}

static void end(void)
{
    journal_reader_close(&reader);
    finish();
}

/* All of the file is read in when the first half of the memory is full, and still there is text. */
TEST(of_a_file_that_is_cut_off_behind_a_block_all_of_the_block_is_read)
{
    const size_t count = BLOCK_BYTES / LINE_BYTES + 1;
    char *text = make_lines(count);
    size_t bytes;
    char *cut = compress(text, count * LINE_BYTES, ZSTD_e_flush, &bytes);
    make_journal();
    append(cut, bytes);
    CHECK_NUMBER(open_reader(), 0);
    CHECK_NUMBER(read_numbers(&reader, 0), -EIO); /* and it is told that the end is missing */
    CHECK_NUMBER(read_until, count);
    CHECK_NUMBER(journal_source_size(&reader.source), count * LINE_BYTES);
    end();
    free(cut);
    free(text);
}

static char *packed;
static size_t packed_bytes;

static void read_stream(void)
{
    make_journal();
    append(packed, packed_bytes);
    CHECK_NUMBER(open_reader(), 0);
    faults_begin();
    int got = read_numbers(&reader, 0);
    faults_end();
    CHECK(got == 2000 || (fault_happened() && got == -ENOMEM));
    if (got < 0)
        CHECK_NUMBER(read_numbers(&reader, 0), 2000);
    end();
}

TEST(a_file_that_there_is_no_memory_for_is_not_damaged)
{
    char *text = make_lines(2000);
    packed = compress(text, (size_t)2000 * LINE_BYTES, ZSTD_e_end, &packed_bytes);
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, read_stream) >= 5);
    free(packed);
    free(text);
}

/* What is looked at is what there was when it was opened, though its beginning is decompressed
 * again when more of it is there. */
TEST(what_is_added_to_a_file_while_it_is_read_is_not_of_it)
{
    const size_t count = 3 * (JOURNAL_STREAM_BYTES / LINE_BYTES);
    struct journal_entry entry;
    char *text = make_lines(count);
    size_t bytes;
    char *whole = compress(text, count * LINE_BYTES, ZSTD_e_end, &bytes);
    make_journal();
    append(whole, bytes / 2);
    CHECK_NUMBER(open_reader(), 0);
    CHECK_NUMBER(read_numbers(&reader, 0), -EIO); /* the end is missing */
    CHECK_NUMBER(reader.loss_count, 1);
    int half = read_until;
    CHECK(half > 20000 && half < (int)count);
    off_t length = journal_source_size(&reader.source);
    append(whole + bytes / 2, bytes - bytes / 2);
    journal_reader_stand(&reader, JOURNAL_PLACE_BEGIN, JOURNAL_PLACE_NEVER);
    off_t total = 0;
    while (journal_reader_next(&reader, &entry) == 1)
        total += (off_t)entry.bytes + (entry.time_ns ? (off_t)sizeof PREFIX : 0);
    CHECK(total == length || total == length + 1); /* the last one has no line end */
    end();
    free(whole);
    free(text);
}
