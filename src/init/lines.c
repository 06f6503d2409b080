/* Init's own log lines until the journal has them. An entry is: level, length in two bytes, text.
 */
#include "init/lines.h"

#include <stdint.h>
#include <string.h>

#define HEAD_BYTES 3

_Static_assert((LINES_RING_BYTES & (LINES_RING_BYTES - 1)) == 0,
               "positions wrap at a power of two");

static struct kept *kept;

void lines_use(struct kept *kept_)
{
    kept = kept_;
}

static unsigned char *at(uint32_t position)
{
    return &kept->lines_ring[position % LINES_RING_BYTES];
}

static size_t length_at(uint32_t position)
{
    return (size_t)*at(position + 1) << 8 | *at(position + 2);
}

/* A line counts when all of it is there. */
void lines_sink(void *context, enum log_level level, const char *line, size_t bytes)
{
    (void)context;
    if (bytes && line[bytes - 1] == '\n')
        bytes--;
    if (bytes > LOG_LINE_BYTES)
        bytes = LOG_LINE_BYTES;
    while (LINES_RING_BYTES - (kept->lines.end - kept->lines.begin) < bytes + HEAD_BYTES)
        lines_take();
    uint32_t end = kept->lines.end;
    *at(end++) = (unsigned char)level;
    *at(end++) = (unsigned char)(bytes >> 8);
    *at(end++) = (unsigned char)bytes;
    for (size_t i = 0; i < bytes; i++)
        *at(end++) = (unsigned char)line[i];
    kept_settle();
    kept->lines.end = end;
}

bool lines_peek(char *text, size_t size_bytes, size_t *ret_bytes, enum log_level *ret_level)
{
    uint32_t begin = kept->lines.begin;
    if (begin == kept->lines.end)
        return false;
    size_t length = length_at(begin);
    if (length > size_bytes)
        length = size_bytes;
    for (size_t i = 0; i < length; i++)
        text[i] = (char)*at(begin + HEAD_BYTES + (uint32_t)i);
    *ret_bytes = length;
    *ret_level = (enum log_level) * at(begin);
    return true;
}

uint32_t lines_number(void)
{
    return kept->lines.begin + HEAD_BYTES + (uint32_t)length_at(kept->lines.begin);
}

/* What stands there instead of a length may be anything after a fault of ours. */
void lines_take(void)
{
    uint32_t used = kept->lines.end - kept->lines.begin;
    uint32_t bytes = (uint32_t)(HEAD_BYTES + length_at(kept->lines.begin));
    kept->lines.begin += bytes < used ? bytes : used;
}
