/* The last lines of a journal, straight from its files. */
#include "slc/log-lines.h"

#include "base/buffer.h"
#include "journal/reader.h"
#include "journal/show.h"
#include "slc/render.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Opens the journal so that its last `count` entries follow. Returns 0 or -errno. */
static int open_last(struct journal_reader *reader, const struct slc *slc, const char *name,
                     const char *folder, unsigned count)
{
    int r;

    *reader = (struct journal_reader){0};
    r = journal_reader_open_service(reader, slc->options.logs, slc->options.runtime, name,
                                    *folder ? folder : NULL);
    if (r == 0)
        r = journal_reader_seek_last(reader, count);
    return r;
}

void log_lines_print(const struct slc *slc, const char *name, const char *folder, unsigned count)
{
    struct journal_reader reader;
    struct journal_entry entry;
    struct buffer out = {0};
    int r = open_last(&reader, slc, name, folder, count);

    while (r >= 0 && (r = journal_reader_next(&reader, &entry)) > 0)
        if (journal_show_short(&out, NULL, &entry) < 0)
            break;
    if (buffer_used(&out)) {
        putchar('\n');
        fwrite(buffer_bytes(&out), 1, buffer_used(&out), stdout);
    }
    buffer_finish(&out);
    journal_reader_close(&reader);
}

json_t *log_lines_json(const struct slc *slc, const char *name, const char *folder, unsigned count)
{
    struct journal_reader reader;
    struct journal_entry entry;
    json_t *lines = json_array();
    struct buffer out = {0};
    int r = open_last(&reader, slc, name, folder, count);

    if (r < 0 && r != -ENOENT) {
        json_decref(lines);
        lines = NULL;
    }
    while (r >= 0 && (r = journal_reader_next(&reader, &entry)) > 0) {
        if (journal_show_json(&out, name, &entry) < 0)
            break;
        json_array_append_new(lines, json_loadb(buffer_bytes(&out), buffer_used(&out), 0, NULL));
        buffer_consume(&out, buffer_used(&out));
    }
    buffer_finish(&out);
    journal_reader_close(&reader);
    return lines;
}
