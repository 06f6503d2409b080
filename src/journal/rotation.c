/* What goes into which file of a journal. A line never goes on in another file, so a file is sealed
 * between two lines: before the line that would make it longer than it may be. */
#include "journal/rotation.h"
#include "base/clock.h"

#include <string.h>

size_t rotation_total(const struct iovec *pieces, int count)
{
    size_t total = 0;
    for (int i = 0; i < count; i++)
        total += pieces[i].iov_len;
    return total;
}

size_t rotation_whole_lines(const struct iovec *pieces, int count, size_t done)
{
    size_t before = 0, whole = 0;
    for (int i = 0; i < count && before < done; i++) {
        size_t here = done - before < pieces[i].iov_len ? done - before : pieces[i].iov_len;
        const char *end = memrchr(pieces[i].iov_base, '\n', here);
        if (end)
            whole = before + (size_t)(end - (const char *)pieces[i].iov_base) + 1;
        before += here;
    }
    return whole;
}

/* Up to the first line end, or all. */
static size_t first_line(const struct iovec *pieces, int count)
{
    size_t before = 0;
    for (int i = 0; i < count; i++) {
        const char *end = memchr(pieces[i].iov_base, '\n', pieces[i].iov_len);
        if (end)
            return before + (size_t)(end - (const char *)pieces[i].iov_base) + 1;
        before += pieces[i].iov_len;
    }
    return before;
}

size_t rotation_fitting(uint64_t size_bytes, bool mid_line, uint64_t max_size_bytes,
                        const struct iovec *pieces, int count)
{
    const uint64_t room = size_bytes < max_size_bytes ? max_size_bytes - size_bytes : 0;
    size_t total = rotation_total(pieces, count);
    if (total <= room)
        return total;
    size_t fit = rotation_whole_lines(pieces, count, (size_t)room);
    if (!fit && size_bytes && !mid_line)
        return 0;
    return fit ? fit : first_line(pieces, count);
}

bool rotation_removes(const struct quota *quota, size_t whole, uint64_t written_s, uint64_t now_s)
{
    return whole > quota->keep || (quota->max_age_s && written_s + quota->max_age_s <= now_s);
}

bool rotation_is_old(const struct quota *quota, uint64_t first_ns, uint64_t now_ns)
{
    return quota->max_age_s && first_ns + quota->max_age_s * NS_PER_SEC <= now_ns;
}
