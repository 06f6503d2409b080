/* The names in a journal's folder. One is the time as it stands in lines, without `-` and `:`,
 * which scp, tar and rsync would take for something else. */
#include "journal/folder.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "journal/format.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define STEM_BYTES 23 /* 20261122T135400.123456Z */
#define ROOM_FIRST 16

static const struct {
    enum journal_form form;
    const char *suffix;
} suffixes[] = {
    {JOURNAL_PLAIN, ".log"}, {JOURNAL_PACKED, ".log.zst"}, {JOURNAL_TORN, ".log.zst.tmp"}};

#define SUFFIXES (sizeof suffixes / sizeof suffixes[0])

static bool is_left_out(size_t at)
{
    return at == 4 || at == 7 || at == 13 || at == 16;
}

void journal_sealed_name(char name[static JOURNAL_SEALED_BYTES], uint64_t time_ns,
                         enum journal_form form)
{
    char time[CLOCK_RFC3339_BYTES];
    size_t used = 0;

    clock_format_rfc3339(time, time_ns);
    for (size_t i = 0; i < JOURNAL_TIME_BYTES; i++)
        if (!is_left_out(i))
            name[used++] = time[i];
    for (size_t i = 0; i < SUFFIXES; i++)
        if (suffixes[i].form == form)
            memcpy(name + used, suffixes[i].suffix, strlen(suffixes[i].suffix) + 1);
}

bool journal_sealed_parse(const char *name, uint64_t *ret_time_ns, enum journal_form *ret_form)
{
    static const char pattern[] = "    -  -  T  :  :  .      Z";
    char time[CLOCK_RFC3339_BYTES];
    size_t used = 0;

    if (strlen(name) < STEM_BYTES)
        return false;
    for (size_t i = 0; i < JOURNAL_TIME_BYTES; i++)
        time[i] = *(is_left_out(i) ? &pattern[i] : &name[used++]);
    if (!journal_parse_time(time, ret_time_ns))
        return false;
    for (size_t i = 0; i < SUFFIXES; i++) {
        if (strcmp(name + STEM_BYTES, suffixes[i].suffix) != 0)
            continue;
        *ret_form = suffixes[i].form;
        return true;
    }
    return false;
}

static int add(struct journal_list *list, size_t *room, uint64_t time_ns, enum journal_form form)
{
    if (list->count == *room) {
        size_t more = *room ? *room * 2 : ROOM_FIRST;
        void *grown = reallocarray(list->files, more, sizeof *list->files);
        if (!grown)
            return -ENOMEM;
        list->files = grown;
        *room = more;
    }
    list->files[list->count++] = (struct journal_sealed){time_ns, form};
    return 0;
}

static int compare(const void *a, const void *b)
{
    const struct journal_sealed *first = a, *second = b;
    return first->time_ns < second->time_ns ? -1 : first->time_ns > second->time_ns;
}

/* Makes one out of the forms of each. */
static void join(struct journal_list *list)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (kept && list->files[kept - 1].time_ns == list->files[i].time_ns)
            list->files[kept - 1].forms |= list->files[i].forms;
        else
            list->files[kept++] = list->files[i];
    }
    list->count = kept;
}

int journal_list_read(struct journal_list *list, int folder)
{
    size_t room = 0;
    int failed = 0;

    *list = (struct journal_list){0};
    int own = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (own < 0)
        return -errno;
    DIR *stream = fdopendir(own);
    if (!stream) {
        int error = errno;
        close(own);
        return -error;
    }
    while (!failed) {
        enum journal_form form;
        uint64_t time_ns;
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (!entry) {
            failed = -errno;
            break;
        }
        if (journal_sealed_parse(entry->d_name, &time_ns, &form))
            failed = add(list, &room, time_ns, form);
    }
    closedir(stream);
    if (failed) {
        journal_list_finish(list);
        return failed;
    }
    if (list->count)
        qsort(list->files, list->count, sizeof *list->files, compare);
    join(list);
    return 0;
}

void journal_list_finish(struct journal_list *list)
{
    free(list->files);
    *list = (struct journal_list){0};
}
