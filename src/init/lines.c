/* Init's own log lines until the journal has them. An entry is: level, length in two bytes, text.
 */
#include "init/lines.h"

#include <stdint.h>
#include <string.h>

#define RING_BYTES 16384 /* a power of two; some 150 lines: a boot that goes wrong */
#define HEAD_BYTES 3

_Static_assert((RING_BYTES & (RING_BYTES - 1)) == 0, "positions wrap at a power of two");

static unsigned char ring[RING_BYTES];
static uint32_t begin, end; /* they only grow, and wrap with their type */

static size_t length_at(uint32_t at)
{
    return (size_t)ring[(at + 1) % RING_BYTES] << 8 | ring[(at + 2) % RING_BYTES];
}

static void put(unsigned char byte)
{
    ring[end++ % RING_BYTES] = byte;
}

void lines_sink(void *context, enum log_level level, const char *line, size_t bytes)
{
    (void)context;
    if (bytes && line[bytes - 1] == '\n')
        bytes--;
    if (bytes > LOG_LINE_BYTES)
        bytes = LOG_LINE_BYTES;
    while (RING_BYTES - (end - begin) < bytes + HEAD_BYTES)
        lines_take();
    put((unsigned char)level);
    put((unsigned char)(bytes >> 8));
    put((unsigned char)bytes);
    for (size_t i = 0; i < bytes; i++)
        put((unsigned char)line[i]);
}

bool lines_peek(char *text, size_t size_bytes, size_t *ret_bytes, enum log_level *ret_level)
{
    if (begin == end)
        return false;
    size_t length = length_at(begin);
    if (length > size_bytes)
        length = size_bytes;
    for (size_t i = 0; i < length; i++)
        text[i] = (char)ring[(begin + HEAD_BYTES + i) % RING_BYTES];
    *ret_bytes = length;
    *ret_level = (enum log_level)ring[begin % RING_BYTES];
    return true;
}

void lines_take(void)
{
    if (begin != end)
        begin += (uint32_t)(HEAD_BYTES + length_at(begin));
}
