/* What was lost is a place in a file; who reads wants to know when that was written. */
#include "slc/log-loss.h"

#include "base/text.h"
#include "slc/slc.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>

static bool is_wanted(const struct log_source *source, const struct journal_loss *loss)
{
    const struct journal_place until = {loss->file, loss->until + (loss->until == loss->from)};
    return journal_place_is_before(source->from, until);
}

static void tell(const struct log_source *source, const struct journal_loss *loss, const char *name,
                 uint64_t from_ns, uint64_t until_ns)
{
    static const char *const words[] = {
        [JOURNAL_LOSS_DAMAGED] = "is damaged",
        [JOURNAL_LOSS_TOO_MUCH] =
            "has no seek table and more than " JOURNAL_STREAM_MOST_TEXT " of text",
        [JOURNAL_LOSS_UNREADABLE] = "cannot be read: ",
    };
    char storage[300], time[CLOCK_LOCAL_BYTES];
    struct text text;

    text_init(&text, storage, sizeof storage);
    if (from_ns) {
        clock_format_local(time, from_ns);
        text_printf(&text, " from %s", time);
    }
    if (until_ns != UINT64_MAX) {
        clock_format_local(time, until_ns);
        text_printf(&text, " up to %s", time);
    }
    slc_complain(source->name, "%s/%s %s%s%s: %s printed%s is missing%s", source->folder, name,
                 words[loss->kind],
                 loss->kind == JOURNAL_LOSS_UNREADABLE ? strerror(-loss->error) : "",
                 loss->is_rest ? " in more places" : "",
                 loss->is_rest ? "some of what was" : "what was", *storage ? storage : " there",
                 loss->kind == JOURNAL_LOSS_TOO_MUCH ? "; zstdcat shows it" : "");
}

bool log_loss_tell_of(const struct log_merge *merge, struct log_source *source)
{
    char name[JOURNAL_SEALED_BYTES];
    size_t count = source->is_open ? source->reader.loss_count : 0;
    uint64_t from_ns, until_ns;
    bool any = false;

    for (; source->losses_told < count; source->losses_told++) {
        const struct journal_loss loss = source->reader.losses[source->losses_told];
        if (!is_wanted(source, &loss))
            continue;
        journal_reader_describe_loss(&source->reader, &loss, name, &from_ns, &until_ns);
        if (until_ns < merge->filter.since_ns || from_ns > merge->filter.until_ns)
            continue;
        tell(source, &loss, name, from_ns, until_ns);
        any = true;
    }
    return any;
}

bool log_loss_tell(struct log_merge *merge)
{
    bool any = false;

    for (size_t i = 0; i < merge->all_count; i++)
        any |= log_loss_tell_of(merge, merge->all[i]);
    return any;
}

void log_loss_tell_odd(const struct log_source *source, const char *runtime)
{
    char path[PATH_MAX], meanwhile[PATH_MAX + 64] = "";
    struct stat found;

    if (source->is_stopgap ||
        !text_format(path, sizeof path, "%s/" JOURNAL_FILE_CURRENT, source->folder) ||
        lstat(path, &found) < 0 || S_ISREG(found.st_mode))
        return;
    if (runtime)
        text_format(meanwhile, sizeof meanwhile, ": what is printed is in %s/log/%s meanwhile",
                    runtime, source->name);
    slc_complain(source->name, "%s is %s, and neither written nor read%s; remove it", path,
                 S_ISLNK(found.st_mode)   ? "a symbolic link"
                 : S_ISDIR(found.st_mode) ? "a folder"
                                          : "no plain file",
                 meanwhile);
}
