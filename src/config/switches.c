/* Services switched on or off by hand, by empty files in two folders. */
#include "config/switches.h"

#include "base/text.h"
#include "service/name.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 16

static const struct {
    const char *folder, *word;
} rows[] = {
    [SWITCHED_ON] = {"enabled", "on"},
    [SWITCHED_OFF] = {"disabled", "off"},
};

static int add(struct switches *switches, const char *name, size_t length, enum switched which)
{
    /* Room for 16, 32, 64 … : a count that is one of these is full. */
    size_t count = switches->count;
    if (count == 0 || (count >= FIRST_ROOM && (count & (count - 1)) == 0)) {
        size_t room = count ? count * 2 : FIRST_ROOM;
        struct switch_entry *list = reallocarray(switches->list, room, sizeof *list);
        if (!list)
            return -ENOMEM;
        switches->list = list;
    }
    char *copy = arena_copy(&switches->arena, name, length);
    if (!copy)
        return -ENOMEM;
    switches->list[switches->count++] = (struct switch_entry){copy, which};
    return 0;
}

static int compare(const void *a, const void *b)
{
    const struct switch_entry *one = a, *other = b;
    int order = strcmp(one->name, other->name);
    return order ? order : (int)one->which - (int)other->which;
}

/* Sorts, and of a name that stands twice keeps the last: off comes after on. */
static int sort(struct switches *switches, const char *folder, struct error_list *warnings)
{
    size_t kept = 0;
    int failed = 0;
    if (switches->count)
        qsort(switches->list, switches->count, sizeof *switches->list, compare);
    for (size_t i = 0; i < switches->count && !failed; i++) {
        bool twice =
            i + 1 < switches->count && !strcmp(switches->list[i].name, switches->list[i + 1].name);
        if (!twice)
            switches->list[kept++] = switches->list[i];
        else if (warnings)
            failed = error_list_add(warnings, folder, 0, 0,
                                    "'%s' is in enabled and in disabled: disabled counts",
                                    switches->list[i].name);
    }
    switches->count = kept;
    return failed;
}

static int take_entry(struct switches *switches, const char *path, const struct dirent *entry,
                      enum switched which, struct error_list *warnings)
{
    const char *problem;
    if (entry->d_name[0] == '.')
        return 0;
    problem = service_name_problem(entry->d_name, strlen(entry->d_name), NULL);
    if (!problem)
        return add(switches, entry->d_name, strlen(entry->d_name), which);
    return error_list_add(warnings, path, 0, 0, "'%s' is no name of a service: it %s",
                          entry->d_name, problem);
}

static int read_folder(const char *folder, enum switched which, struct scan_place *place,
                       struct switches *switches, struct error_list *errors,
                       struct error_list *warnings)
{
    char path[PATH_MAX];
    const struct dirent *entry;
    int failed = 0;

    if (!text_format(path, sizeof path, "%s/%s", folder, rows[which].folder))
        return error_list_add(errors, folder, 0, 0, "the path is too long");
    scan_note(place, path, NULL);
    DIR *list = opendir(path);
    if (!list && errno == ENOENT)
        return 0;
    if (!list)
        return error_list_add(errors, path, 0, 0, "the folder cannot be read: %s", strerror(errno));
    while (!failed && (errno = 0, entry = readdir(list)))
        failed = take_entry(switches, path, entry, which, warnings);
    if (!failed && errno)
        failed =
            error_list_add(errors, path, 0, 0, "the folder cannot be read: %s", strerror(errno));
    closedir(list);
    return failed;
}

int switches_read(const char *folder, struct scan_place *place, struct switches *ret,
                  struct error_list *errors, struct error_list *warnings)
{
    *ret = (struct switches){0};
    int failed = read_folder(folder, SWITCHED_ON, place, ret, errors, warnings);
    if (!failed)
        failed = read_folder(folder, SWITCHED_OFF, place, ret, errors, warnings);
    return failed ? failed : sort(ret, folder, warnings);
}

const char *switches_text(const struct switches *switches, struct arena *arena, size_t *ret_size)
{
    size_t size = 1;
    for (size_t i = 0; i < switches->count; i++)
        size += strlen(switches->list[i].name) + 5;
    char *storage = arena_take_bytes(arena, size);
    struct text text;
    if (!storage)
        return NULL;
    text_init(&text, storage, size);
    for (size_t i = 0; i < switches->count; i++)
        text_printf(&text, "%s %s\n", rows[switches->list[i].which].word, switches->list[i].name);
    *ret_size = text.used_bytes;
    return storage;
}

int switches_parse(const char *text, size_t size, struct switches *ret)
{
    *ret = (struct switches){0};
    int failed = 0;
    while (size && !failed) {
        const char *end = memchr(text, '\n', size);
        size_t length = end ? (size_t)(end - text) : size;
        for (enum switched which = SWITCHED_ON; which <= SWITCHED_OFF && !failed; which++) {
            size_t word = strlen(rows[which].word);
            if (length > word + 1 && !strncmp(text, rows[which].word, word) && text[word] == ' ')
                failed = add(ret, text + word + 1, length - word - 1, which);
        }
        size -= end ? length + 1 : length;
        text += end ? length + 1 : length;
    }
    if (failed)
        switches_finish(ret);
    return failed ? failed : sort(ret, "", NULL);
}

enum switched switches_find(const struct switches *switches, const char *name)
{
    size_t from = 0, to = switches->count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int order = strcmp(name, switches->list[middle].name);
        if (order == 0)
            return switches->list[middle].which;
        if (order < 0)
            to = middle;
        else
            from = middle + 1;
    }
    return SWITCHED_NOT;
}

void switches_finish(struct switches *switches)
{
    free(switches->list);
    arena_finish(&switches->arena);
    *switches = (struct switches){0};
}
