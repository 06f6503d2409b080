/* Line ends in blocks of bytes: 32 at a time where the processor has SSE2, as each with 64 bits of
 * this family has. */
#include "journal/lines.h"

#include <stdbool.h>
#include <string.h>

#ifdef __SSE2__

#include <emmintrin.h>

#define PART  sizeof(__m128i)
#define STEPS 255 /* of counting, until a byte is full */

static __m128i load(const char *bytes)
{
    return _mm_loadu_si128((const __m128i *)bytes);
}

/* A bit for each byte that is a line end. */
static unsigned ends_in(__m128i part)
{
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(part, _mm_set1_epi8('\n')));
}

/* Copies whole pairs of parts. Returns how many bytes; the last is the first line end if there was
 * one. */
static size_t copy_parts(char *to, const char *from, size_t most)
{
    size_t at = 0;
    for (; most - at >= 2 * PART; at += 2 * PART) {
        __m128i first = load(from + at), second = load(from + at + PART);
        _mm_storeu_si128((__m128i *)(to + at), first);
        _mm_storeu_si128((__m128i *)(to + at + PART), second);
        unsigned ends = ends_in(first) | ends_in(second) << PART;
        if (ends)
            return at + (size_t)__builtin_ctz(ends) + 1;
    }
    return at;
}

/* Counts in whole parts. Returns how many bytes were looked at. */
static size_t count_parts(const char *bytes, size_t count, uint64_t *lines)
{
    const __m128i end = _mm_set1_epi8('\n'), zero = _mm_setzero_si128();
    size_t at = 0;
    while (count - at >= PART) {
        __m128i each = zero;
        for (int i = 0; i < STEPS && count - at >= PART; i++, at += PART)
            each = _mm_sub_epi8(each, _mm_cmpeq_epi8(load(bytes + at), end));
        uint64_t sums[2];
        _mm_storeu_si128((__m128i *)sums, _mm_sad_epu8(each, zero));
        *lines += sums[0] + sums[1];
    }
    return at;
}

#else

#define WORD      sizeof(uint64_t)
#define EACH_BYTE 0x0101010101010101ull

static size_t copy_parts(char *to, const char *from, size_t most)
{
    const char *end = memchr(from, '\n', most);
    size_t count = end ? (size_t)(end - from) + 1 : most;
    memcpy(to, from, count);
    return count;
}

static size_t count_parts(const char *bytes, size_t count, uint64_t *lines)
{
    size_t at = 0;
    for (uint64_t word; count - at >= WORD; at += WORD) {
        memcpy(&word, bytes + at, WORD);
        word ^= EACH_BYTE * '\n';
        /* The high bit of each byte that is 0, exactly: without a carry from one to the next. */
        word = ~(((word & ~(EACH_BYTE << 7)) + ~(EACH_BYTE << 7)) | word | ~(EACH_BYTE << 7));
        *lines += (word >> 7) * EACH_BYTE >> 56;
    }
    return at;
}

#endif

size_t lines_copy_one(char *to, const char *from, size_t most)
{
    size_t at = copy_parts(to, from, most);
    if (at && to[at - 1] == '\n')
        return at;
    while (at < most && (to[at] = from[at]) != '\n')
        at++;
    return at < most ? at + 1 : at;
}

uint64_t lines_count(const char *bytes, size_t count)
{
    uint64_t lines = 0;
    for (size_t at = count_parts(bytes, count, &lines); at < count; at++)
        lines += bytes[at] == '\n';
    return lines;
}
