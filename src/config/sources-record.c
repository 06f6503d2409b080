/* The set of sources as bytes, and back. The format is in docs/definitions-record.md. */
#include "base/cleanup.h"
#include "config/reading.h"
#include "config/sources.h"
#include "config/switches.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAGIC      "CONITDEF"
#define VERSION    1
#define RECORD_MAX (UINT64_C(1) << 32) /* nothing that large was ever written by us */
#define TEXTS      6

enum {
    FLAG_FOLDER = 1,
    FLAG_MASKED = 2,
    FLAG_TEXT = 4,
    FLAG_PROBLEM = 8,
    FLAG_EXEC = 16,
    FLAG_LOGS = 32,
    FLAG_GONE = 64,
    FLAGS_ALL = 127
};

struct header {
    char magic[8];
    uint32_t version, count;
    uint64_t size;
    uint32_t entry_bytes, zero;
};
_Static_assert(sizeof(struct header) == 32, "docs/definitions-record.md");

struct entry {
    uint32_t flags;
    uint32_t lengths[TEXTS]; /* name, path, text, problem, exec, logs */
    uint32_t zero;
};
_Static_assert(sizeof(struct entry) == 32, "docs/definitions-record.md");

/* The flag that says that a text is there; 0: it always is. */
static const uint32_t text_flags[TEXTS] = {0, 0, FLAG_TEXT, FLAG_PROBLEM, FLAG_EXEC, FLAG_LOGS};

/* --- Writing --- */

static void describe(const struct source *source, struct entry *entry, const char *texts[TEXTS])
{
    const char *all[TEXTS] = {source->name,    source->path, source->text,
                              source->problem, source->exec, source->logs};
    *entry = (struct entry){.flags = (source->folder ? FLAG_FOLDER : 0u) |
                                     (source->masked ? FLAG_MASKED : 0u) |
                                     (source->gone ? FLAG_GONE : 0u)};
    for (size_t i = 0; i < TEXTS; i++) {
        texts[i] = all[i];
        if (!all[i])
            continue;
        entry->flags |= text_flags[i];
        entry->lengths[i] = (uint32_t)(all[i] == source->text ? source->size : strlen(all[i]));
    }
}

static size_t entry_size(const struct entry *entry)
{
    size_t bytes = sizeof *entry;
    for (size_t i = 0; i < TEXTS; i++)
        if (!text_flags[i] || (entry->flags & text_flags[i]))
            bytes += (size_t)entry->lengths[i] + 1;
    return (bytes + 7) & ~(size_t)7;
}

static size_t record_size(const struct source *sources, size_t count)
{
    size_t size = sizeof(struct header);
    for (size_t i = 0; i < count; i++) {
        const char *texts[TEXTS];
        struct entry entry;
        describe(&sources[i], &entry, texts);
        size += entry_size(&entry);
    }
    return size;
}

/* Writes one entry at `at`, which is zeroed memory; returns the place of the next. */
static char *put_entry(char *at, const struct source *source)
{
    const char *texts[TEXTS];
    struct entry entry;
    describe(source, &entry, texts);
    memcpy(at, &entry, sizeof entry);
    char *to = at + sizeof entry;
    for (size_t i = 0; i < TEXTS; i++) {
        if (!texts[i])
            continue;
        memcpy(to, texts[i], entry.lengths[i]);
        to += (size_t)entry.lengths[i] + 1;
    }
    return at + entry_size(&entry);
}

static int write_at(int fd, const char *bytes, size_t count, off_t at)
{
    while (count) {
        ssize_t written = pwrite(fd, bytes, count, at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        bytes += written;
        count -= (size_t)written;
        at += written;
    }
    return 0;
}

int sources_write(int fd, const struct source *sources, size_t count)
{
    size_t size = record_size(sources, count);
    if (size > RECORD_MAX) /* before there are too many for the count */
        return -EFBIG;
    AUTO_FREE char *record = calloc(1, size);
    if (!record)
        return -ENOMEM;
    struct header header = {
        .version = VERSION, .count = (uint32_t)count, .entry_bytes = sizeof(struct entry)};
    memcpy(header.magic, MAGIC, sizeof header.magic);
    memcpy(record, &header, sizeof header);
    char *at = record + sizeof header;
    for (size_t i = 0; i < count; i++)
        at = put_entry(at, &sources[i]);
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): AUTO_FREE, not known to it, frees it */
    int failed = write_at(fd, record, size, 0);
    if (failed)
        return failed;
    uint64_t valid = size;
    return write_at(fd, (const char *)&valid, sizeof valid, offsetof(struct header, size));
}

/* --- Reading --- */

static int read_at(int fd, char *bytes, size_t count)
{
    size_t used = 0;
    while (used < count) {
        ssize_t got = pread(fd, bytes + used, count - used, (off_t)used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            return -EBADMSG;
        used += (size_t)got;
    }
    return 0;
}

static int check_header(const struct header *header, uint64_t file_size)
{
    if (memcmp(header->magic, MAGIC, sizeof header->magic) != 0 || header->version != VERSION ||
        header->size != file_size || header->entry_bytes < sizeof(struct entry) ||
        header->entry_bytes % 8)
        return -EBADMSG;
    return header->count > file_size / header->entry_bytes ? -EBADMSG : 0;
}

/* The text of `length` bytes at *at, with its NUL, before `end`; NULL when there is none. */
static const char *take_text(const char **at, const char *end, uint32_t length, bool any_byte)
{
    const char *text = *at;
    if ((size_t)(end - text) < (size_t)length + 1 || text[length] != 0 ||
        (!any_byte && memchr(text, 0, length)))
        return NULL;
    *at = text + length + 1;
    return text;
}

/* One entry at *at, which moves behind it. */
static int take_entry(const char **at, const char *end, uint32_t entry_bytes, struct source *ret)
{
    struct entry entry;
    const char *texts[TEXTS] = {0}, *begin = *at;
    if ((size_t)(end - *at) < entry_bytes)
        return -EBADMSG;
    memcpy(&entry, *at, sizeof entry);
    *at += entry_bytes;
    if (entry.flags & ~(uint32_t)FLAGS_ALL)
        return -EBADMSG;
    for (size_t i = 0; i < TEXTS; i++) {
        if (text_flags[i] && !(entry.flags & text_flags[i]))
            continue;
        texts[i] = take_text(at, end, entry.lengths[i], text_flags[i] == FLAG_TEXT);
        if (!texts[i])
            return -EBADMSG;
    }
    size_t gap = (size_t) - (*at - begin) & 7;
    if ((size_t)(end - *at) < gap)
        return -EBADMSG;
    *at += gap;
    *ret = (struct source){.name = texts[0],
                           .path = texts[1],
                           .text = texts[2],
                           .problem = texts[3],
                           .exec = texts[4],
                           .logs = texts[5],
                           .size = texts[2] ? entry.lengths[2] : 0,
                           .folder = entry.flags & FLAG_FOLDER,
                           .masked = entry.flags & FLAG_MASKED,
                           .gone = entry.flags & FLAG_GONE};
    /* Just one of these says what the source is. */
    return (texts[2] != NULL) + (texts[3] != NULL) + ret->masked == 1 ? 0 : -EBADMSG;
}

static int take_entries(const struct header *header, const char *at, const char *end,
                        struct sources *sources)
{
    while (sources->count < header->count) {
        struct source *source = &sources->list[sources->count];
        int failed = take_entry(&at, end, header->entry_bytes, source);
        if (failed)
            return failed;
        if (sources->count && strcmp(source[-1].name, source->name) >= 0)
            return -EBADMSG;
        sources->count++;
    }
    return at == end ? 0 : -EBADMSG;
}

static int compare_names(const void *a, const void *b)
{
    const struct source *one = a, *other = b;
    return strcmp(one->name, other->name);
}

/* Records made before these two had names that no file can have are taken up by an upgrade. A file
 * with such a name is never read (`problem` is set, or it is masked), so a text tells them apart.
 */
static int rename_former(struct sources *sources)
{
    static const struct {
        const char *former, *name;
    } rows[] = {{" switched", SWITCHES_SOURCE_NAME}, {" system-file", SYSTEM_SOURCE_NAME}};
    bool renamed = false;

    for (size_t i = 0; i < sources->count; i++)
        for (size_t row = 0; row < sizeof rows / sizeof *rows; row++)
            if (sources->list[i].text && !strcmp(sources->list[i].name, rows[row].former)) {
                sources->list[i].name = rows[row].name;
                renamed = true;
            }
    if (!renamed)
        return 0;
    qsort(sources->list, sources->count, sizeof *sources->list, compare_names);
    for (size_t i = 1; i < sources->count; i++)
        if (strcmp(sources->list[i - 1].name, sources->list[i].name) == 0)
            return -EBADMSG;
    return 0;
}

int sources_read(int fd, struct sources *ret)
{
    struct stat status;
    struct sources sources = {0};
    if (fstat(fd, &status) < 0)
        return -errno;
    if (status.st_size < (off_t)sizeof(struct header) || (uint64_t)status.st_size > RECORD_MAX)
        return -EBADMSG;
    size_t size = (size_t)status.st_size;
    char *record = arena_take(&sources.arena, size);
    int failed = record ? read_at(fd, record, size) : -ENOMEM;
    const struct header *header = (const struct header *)record;
    if (!failed)
        failed = check_header(header, size);
    if (!failed) {
        sources.list = calloc((size_t)header->count + 1, sizeof *sources.list);
        failed = sources.list
                     ? take_entries(header, record + sizeof *header, record + size, &sources)
                     : -ENOMEM;
    }
    if (!failed)
        failed = rename_former(&sources);
    if (failed)
        sources_finish(&sources);
    else
        *ret = sources;
    return failed;
}
