/* The errors found in files that a person has to mend. */
#include "config/error-list.h"

#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 4

/* The list's own copy of a path. Errors of one file come together, so the last one is looked at. */
static const char *keep_path(struct error_list *errors, const char *file)
{
    if (errors->count) {
        const char *last = errors->list[errors->count - 1].file;
        if (last && strcmp(last, file) == 0)
            return last;
    }
    return arena_copy(&errors->files, file, strlen(file));
}

static int make_room(struct error_list *errors)
{
    if (errors->count < errors->room)
        return 0;
    size_t room = errors->room ? errors->room * 2 : FIRST_ROOM;
    struct error *list = reallocarray(errors->list, room, sizeof *list);
    if (!list)
        return -ENOMEM;
    errors->list = list;
    errors->room = room;
    return 0;
}

/* Messages quote what stands in files: a character that was cut in two or a line's end in one must
 * not get into a terminal, a log line or JSON. */
static void clean(char *message)
{
    unsigned char *at = (unsigned char *)message;
    while (*at) {
        size_t length = *at < 0x80 ? 1 : *at < 0xe0 ? 2 : *at < 0xf0 ? 3 : 4, whole = 1;
        while (whole < length && (at[whole] & 0xc0) == 0x80)
            whole++;
        if (whole < length || (*at & 0xc0) == 0x80)
            memset(at, '?', whole);
        else if (*at < 0x20 || *at == 0x7f)
            *at = ' ';
        at += whole;
    }
}

int error_list_add_v(struct error_list *errors, const char *file, unsigned line, unsigned column,
                     const char *format, va_list arguments)
{
    const char *kept = NULL;
    struct text text;

    if (make_room(errors) < 0 || (file && !(kept = keep_path(errors, file)))) {
        errors->no_memory = true;
        return -ENOMEM;
    }
    struct error *error = &errors->list[errors->count++];
    *error = (struct error){.file = kept, .line = line, .column = column};
    text_init(&text, error->message, sizeof error->message);
    text_vprintf(&text, format, arguments);
    clean(error->message);
    return 0;
}

int error_list_add(struct error_list *errors, const char *file, unsigned line, unsigned column,
                   const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int failed = error_list_add_v(errors, file, line, column, format, arguments);
    va_end(arguments);
    return failed;
}

void error_list_finish(struct error_list *errors)
{
    free(errors->list);
    arena_finish(&errors->files);
    *errors = (struct error_list){0};
}
