/* The last lines of a journal, straight from its files. */
#include "slc/log-lines.h"

#include "base/text.h"
#include "journal/show.h"
#include "slc/log-loss.h"
#include "slc/log-merge.h"
#include "slc/log-show.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define COLUMNS_MOST 1000 /* of a line that goes elsewhere than to a terminal */

/* Opens the journal so that its last `count` entries follow. Returns 0 or -errno. */
static int open_last(struct log_merge *merge, const struct slc *slc, const char *name,
                     const char *folder, unsigned count)
{
    char path[PATH_MAX];
    int r = 0;

    *merge = (struct log_merge){.filter = LOG_FILTER_NONE};
    if (text_format(path, sizeof path, "%s/log/%s", slc->options.runtime, name))
        r = log_merge_add(merge, name, path, true);
    if (!*folder && text_format(path, sizeof path, "%s/%s", slc->options.logs, name))
        folder = path;
    if (r == 0)
        r = log_merge_add(merge, name, folder, false);
    for (size_t i = 0; i < merge->all_count && r == 0; i++) {
        r = log_merge_open(merge, merge->all[i]);
        log_loss_tell_odd(merge->all[i], slc->options.runtime);
        r = r == -ENOENT ? 0 : r;
    }
    return r < 0 ? r : log_merge_begin(merge, count);
}

void log_lines_print(const struct slc *slc, const struct render *render, const char *name,
                     const char *folder, unsigned count)
{
    struct log_show show = {.terminal = render->terminal,
                            .colour = render->colour,
                            .width = render->width ? render->width : COLUMNS_MOST};
    const struct journal_entry *entry;
    struct log_merge merge;
    int r = open_last(&merge, slc, name, folder, count);
    bool begun = false;

    while (r >= 0 && log_merge_next(&merge, &name, &entry) > 0) {
        if (!begun)
            putchar('\n');
        begun = true;
        r = log_show_entry(&show, name, entry);
    }
    log_show_flush(&show);
    if (r >= 0)
        log_loss_tell(&merge);
    log_show_finish(&show);
    log_merge_finish(&merge);
}

json_t *log_lines_json(const struct slc *slc, const char *name, const char *folder, unsigned count)
{
    const struct journal_entry *entry;
    json_t *lines = json_array();
    struct buffer out = {0};
    struct log_merge merge;
    int r = open_last(&merge, slc, name, folder, count);

    if (r < 0) {
        json_decref(lines);
        lines = NULL;
    }
    while (r >= 0 && (r = log_merge_next(&merge, &name, &entry)) > 0) {
        if (journal_show_json(&out, name, entry) < 0)
            break;
        json_array_append_new(lines, json_loadb(buffer_bytes(&out), buffer_used(&out), 0, NULL));
        buffer_consume(&out, buffer_used(&out));
    }
    if (r == 0)
        log_loss_tell(&merge);
    buffer_finish(&out);
    log_merge_finish(&merge);
    return lines;
}
