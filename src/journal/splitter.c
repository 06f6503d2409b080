/* Bytes into lines. The inner loop copies the beginning, which is made once for all lines of a
 * block, and the line, of which each byte is looked at once; everything that is rare (levels, cuts,
 * bytes held back) is behind one comparison each. */
#include "journal/splitter.h"

#include "journal/lines.h"

#include <string.h>

#define LEVEL_MARK_BYTES 3 /* "<N>" */

/* How many of the first bytes, of which there is one, look like a level: 3 for a whole one, 1 or 2
 * when all there are may be the beginning of one, 0 when it is none. */
static size_t match_level(const char *bytes, size_t count)
{
    if (bytes[0] != '<')
        return 0;
    if (count == 1)
        return 1;
    if (bytes[1] < '0' || bytes[1] > '7')
        return 0;
    if (count == 2)
        return 2;
    return bytes[2] == '>' ? LEVEL_MARK_BYTES : 0;
}

static void begin_text(struct journal_splitter *splitter, uint8_t level)
{
    splitter->state = LINE_OPEN;
    splitter->line_bytes = 0;
    splitter->level = level;
    if (level < splitter->worst)
        splitter->worst = level;
}

static size_t put_beginning(struct journal_splitter *splitter, const char *time,
                            enum journal_mark mark, char *out)
{
    begin_text(splitter, splitter->level);
    return journal_format_prefix(out, time, mark, splitter->level);
}

/* Begins a line of which there are `*count` > 0 bytes. Returns bytes put out; 0 when they are held
 * back. */
static size_t begin_line(struct journal_splitter *splitter, const char *time, const char **in,
                         size_t *count, char *out)
{
    char first[LEVEL_MARK_BYTES] = {0};
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
    const size_t most = JOURNAL_LINE_BYTES - splitter->line_bytes; /* and a line end */
    size_t limit = most < *count ? most + 1 : *count;
    if (limit > room)
        limit = room;
    size_t took = lines_copy_one(out, *in, limit), text = took - 1;

    if (took && out[text] == '\n') {
        splitter->state = LINE_NONE;
    } else {
        text = took == room ? room - 1 : took; /* there has to be room for its end */
        if (text > most)
            text = most;
        took = text;
    }
    splitter->line_bytes += (uint32_t)text;
    *in += took;
    *count -= took;
    return took;
}

size_t journal_splitter_feed(struct journal_splitter *splitter, const char *time, const char **in,
                             size_t *count, char *out, size_t room)
{
    char beginning[JOURNAL_PREFIX_BYTES] = "";
    const size_t beginning_bytes =
        journal_format_prefix(beginning, time, JOURNAL_OUTPUT, splitter->default_level);
    size_t used = 0;

    while (*count && room - used > JOURNAL_SPLITTER_ROOM) {
        if (splitter->state == LINE_NONE) {
            if (**in == '<' || splitter->held_bytes) {
                used += begin_line(splitter, time, in, count, out + used);
                continue; /* nothing may be left, or the line is open now */
            }
            memcpy(out + used, beginning, sizeof beginning); /* of known size: what follows is
                                                                written over its end */
            used += beginning_bytes;
            begin_text(splitter, splitter->default_level);
        } else if (splitter->state == LINE_RESUMED) {
            used += put_beginning(splitter, time, JOURNAL_CONTINUED, out + used);
        }
        used += copy_line(splitter, in, count, out + used, room - used);
        /* As long as a line may be, and it goes on; there is room left for its end. */
        if (splitter->state == LINE_OPEN && splitter->line_bytes == JOURNAL_LINE_BYTES && *count)
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

void journal_splitter_mend(struct journal_splitter *splitter)
{
    if (splitter->state > LINE_RESUMED || splitter->line_bytes > JOURNAL_LINE_BYTES ||
        splitter->held_bytes > sizeof splitter->held ||
        (splitter->held_bytes && splitter->state != LINE_NONE))
        *splitter = (struct journal_splitter){.level = splitter->level,
                                              .default_level = splitter->default_level};
    if (splitter->level > JOURNAL_DEBUG)
        splitter->level = JOURNAL_INFO;
    if (splitter->default_level > JOURNAL_DEBUG)
        splitter->default_level = JOURNAL_INFO;
}
