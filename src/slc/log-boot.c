/* Looking for the marks of boots, from the newest back. */
#include "slc/log-boot.h"

#include "base/text.h"
#include "service/name.h"
#include "slc/log-merge.h"

#include <errno.h>
#include <limits.h>

#define MARK "^boot id="

static int add(struct log_merge *merge, const char *top, const char *middle, bool is_stopgap)
{
    char path[PATH_MAX];
    int r;

    if (!text_format(path, sizeof path, "%s%s/%s", top, middle, SERVICE_NAME_RESERVED))
        return -ENAMETOOLONG;
    r = log_merge_add(merge, SERVICE_NAME_RESERVED, path, is_stopgap);
    if (r == 0)
        r = log_merge_open(merge, merge->all[merge->all_count - 1]);
    return r == -ENOENT || r == -EEXIST ? 0 : r;
}

int log_boot_find(const char *logs, const char *runtime, uint64_t back, uint64_t *ret_since_ns,
                  uint64_t *ret_until_ns, uint64_t *ret_count)
{
    struct log_merge merge = {.filter = LOG_FILTER_NONE};
    const struct journal_entry *entry;
    struct matcher_error error;
    uint64_t since_ns = 0, until_ns = UINT64_MAX, count = 0;
    const char *name;
    int r = matcher_create(&merge.filter.matcher, MARK, &error);

    if (r == 0)
        r = add(&merge, logs, "", false);
    if (r == 0 && runtime)
        r = add(&merge, runtime, "/log", true);
    if (r == 0)
        r = log_merge_begin(&merge, back + 1);
    while (r >= 0 && (r = log_merge_next(&merge, &name, &entry)) > 0) {
        if (count == 0)
            since_ns = entry->time_ns;
        else if (count == 1)
            until_ns = entry->time_ns - 1;
        count++;
    }
    matcher_destroy(merge.filter.matcher);
    log_merge_finish(&merge);
    if (r < 0)
        return r;
    *ret_count = count;
    if (count <= back)
        return -ENOENT;
    *ret_since_ns = since_ns;
    *ret_until_ns = until_ns;
    return 0;
}
