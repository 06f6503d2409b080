/* Showing entries. They are gathered, and written when a piece is full or nothing more is there. */
#include "slc/log-show.h"

#include "journal/show.h"
#include "slc/render.h"

#include <errno.h>
#include <string.h>

#define PIECE_BYTES 65536

static const char *colour_of(enum journal_level level)
{
    static const char *const colours[JOURNAL_LEVELS] = {[JOURNAL_EMERG] = "\033[1;31m",
                                                        [JOURNAL_ALERT] = "\033[1;31m",
                                                        [JOURNAL_CRIT] = "\033[1;31m",
                                                        [JOURNAL_ERR] = "\033[31m",
                                                        [JOURNAL_WARNING] = "\033[33m",
                                                        [JOURNAL_NOTICE] = "\033[1m",
                                                        [JOURNAL_INFO] = "",
                                                        [JOURNAL_DEBUG] = "\033[2m"};
    return colours[level];
}

/* Cuts the line that begins there, of which the line end is the last byte, at the edge. */
static int cut(struct buffer *out, size_t begin, unsigned width)
{
    const char *line = buffer_bytes(out) + begin;
    size_t bytes = buffer_used(out) - begin, at = 0;
    unsigned columns = 0;

    for (; at < bytes; at++)
        if (((unsigned char)line[at] & 0xc0) != 0x80 && ++columns >= width)
            break;
    if (at + 1 >= bytes || line[at] == '\n')
        return 0;
    out->end -= bytes - at;
    return buffer_append(out, "…\n", strlen("…\n"));
}

static int show_short(struct log_show *show, const char *name, const struct journal_entry *entry)
{
    const char *colour = show->colour ? colour_of(entry->level) : "";
    size_t begin;
    int failed = buffer_append(&show->out, colour, strlen(colour));

    begin = buffer_used(&show->out);
    if (!failed)
        failed = journal_show_short(&show->out, show->named ? name : NULL, entry);
    if (!failed && show->width)
        failed = cut(&show->out, begin, show->width);
    if (failed || !*colour)
        return failed;
    show->out.end--; /* the line end comes behind the colour */
    return buffer_append(&show->out, "\033[0m\n", strlen("\033[0m\n"));
}

static int show_cat(struct log_show *show, const struct journal_entry *entry)
{
    int failed = show->terminal ? journal_show_escaped(&show->out, entry->text, entry->bytes)
                                : buffer_append(&show->out, entry->text, entry->bytes);
    return failed ? failed : buffer_append(&show->out, "\n", 1);
}

int log_show_entry(struct log_show *show, const char *name, const struct journal_entry *entry)
{
    int failed = show->form == LOG_SHORT ? show_short(show, name, entry)
                 : show->form == LOG_CAT ? show_cat(show, entry)
                                         : journal_show_json(&show->out, name, entry);
    if (failed || buffer_used(&show->out) < PIECE_BYTES)
        return failed;
    return log_show_flush(show);
}

int log_show_flush(struct log_show *show)
{
    size_t count = buffer_used(&show->out);

    if (count && fwrite(buffer_bytes(&show->out), 1, count, stdout) < count)
        return -EPIPE;
    show->out.begin = show->out.end = 0; /* its memory stays */
    return fflush(stdout) ? -EPIPE : 0;
}

void log_show_finish(struct log_show *show)
{
    buffer_finish(&show->out);
}
