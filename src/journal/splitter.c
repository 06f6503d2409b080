/* Bytes into lines. The inner loop does a memchr and two copies a line; everything that is rare
 * (levels, cuts, bytes held back) is behind one comparison each. */
#include "journal/splitter.h"

#include <string.h>

#define LEVEL_MARK_BYTES 3 /* "<N>" */

/* How many of the first bytes look like a level: 3 for a whole one, 1 or 2 when all there are
 * may be the beginning of one, 0 when it is none. */
static size_t match_level(const char *bytes, size_t count)
{
    if (count == 0 || bytes[0] != '<')
        return 0;
    if (count == 1)
        return 1;
    if (bytes[1] < '0' || bytes[1] > '7')
        return 0;
    if (count == 2)
        return 2;
    return bytes[2] == '>' ? LEVEL_MARK_BYTES : 0;
}

static size_t put_beginning(struct journal_splitter *splitter, const char *time,
                            enum journal_mark mark, char *out)
{
    splitter->state = LINE_OPEN;
    splitter->line_bytes = 0;
    if (splitter->level < splitter->worst)
        splitter->worst = splitter->level;
    return journal_format_prefix(out, time, mark, splitter->level);
}

/* Begins a line of which there are `*count` > 0 bytes. Returns bytes put out; 0 when they are held
 * back. */
static size_t begin_line(struct journal_splitter *splitter, const char *time, const char **in,
                         size_t *count, char *out)
{
    char first[LEVEL_MARK_BYTES];
    size_t held = splitter->held_bytes, known = held;

    memcpy(first, splitter->held, held);
    for (; known < sizeof first && known - held < *count; known++)
        first[known] = (*in)[known - held];

    size_t matched = match_level(first, known);
    if (matched && matched < LEVEL_MARK_BYTES) { /* known < 3: all of the input is looked at */
        memcpy(splitter->held, first, known);
        splitter->held_bytes = (uint8_t)known;
        *in += known - held;
        *count -= known - held;
        return 0;
    }
    splitter->held_bytes = 0;
    splitter->level = splitter->default_level;
    if (matched) {
        splitter->level = (uint8_t)(first[1] - '0');
        *in += matched - held;
        *count -= matched - held;
        return put_beginning(splitter, time, JOURNAL_OUTPUT, out);
    }
    size_t used = put_beginning(splitter, time, JOURNAL_OUTPUT, out);
    memcpy(out + used, first, held);
    splitter->line_bytes = (uint32_t)held;
    return used + held;
}

/* Copies of an open line what there is and fits, with its end. */
static size_t copy_line(struct journal_splitter *splitter, const char **in, size_t *count,
                        char *out, size_t room)
{
    size_t most = JOURNAL_LINE_BYTES - splitter->line_bytes, take;
    if (most > *count)
        most = *count;
    const char *end = most < *count ? memchr(*in, '\n', most + 1) : memchr(*in, '\n', most);

    take = end ? (size_t)(end - *in) : most;
    if (take >= room) { /* `room` includes the line end */
        take = room - 1;
        end = NULL;
    }
    memcpy(out, *in, take);
    splitter->line_bytes += (uint32_t)take;
    *in += take;
    *count -= take;
    if (end) {
        out[take++] = '\n';
        ++*in;
        --*count;
        splitter->state = LINE_NONE;
    }
    return take;
}

size_t journal_splitter_feed(struct journal_splitter *splitter, const char *time, const char **in,
                             size_t *count, char *out, size_t room)
{
    size_t used = 0;

    while (*count && room - used > JOURNAL_SPLITTER_ROOM) {
        if (splitter->state == LINE_NONE) {
            if (**in == '<' || splitter->held_bytes) {
                used += begin_line(splitter, time, in, count, out + used);
                continue; /* nothing may be left, or the line is open now */
            }
            splitter->level = splitter->default_level;
            used += put_beginning(splitter, time, JOURNAL_OUTPUT, out + used);
        } else if (splitter->state == LINE_RESUMED) {
            used += put_beginning(splitter, time, JOURNAL_CONTINUED, out + used);
        }
        used += copy_line(splitter, in, count, out + used, room - used);
        /* As long as a line may be, and it goes on. */
        if (splitter->state == LINE_OPEN && splitter->line_bytes == JOURNAL_LINE_BYTES && *count &&
            used < room)
            used += journal_splitter_cut(splitter, out + used);
    }
    return used;
}

size_t journal_splitter_cut(struct journal_splitter *splitter, char *out)
{
    if (splitter->state != LINE_OPEN)
        return 0;
    splitter->state = LINE_RESUMED;
    out[0] = '\n';
    return 1;
}

size_t journal_splitter_end(struct journal_splitter *splitter, const char *time, char *out)
{
    size_t used = 0;
    if (splitter->state == LINE_NONE && splitter->held_bytes) {
        splitter->level = splitter->default_level;
        used = put_beginning(splitter, time, JOURNAL_OUTPUT, out);
        memcpy(out + used, splitter->held, splitter->held_bytes);
        used += splitter->held_bytes;
        splitter->held_bytes = 0;
    }
    if (splitter->state == LINE_OPEN)
        out[used++] = '\n';
    splitter->state = LINE_NONE;
    return used;
}
