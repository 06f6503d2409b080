/* An error a user has to mend: where it is, what is wrong, and what to write instead. */
#include "base/error.h"
#include "base/text.h"

int error_set(struct error *error, int result, const char *file, unsigned line, unsigned column,
              const char *format, ...)
{
    struct text text;
    va_list arguments;

    if (!error)
        return result;
    error->file = file;
    error->line = line;
    error->column = column;
    text_init(&text, error->message, sizeof error->message);
    va_start(arguments, format);
    text_vprintf(&text, format, arguments);
    va_end(arguments);
    return result;
}

void error_format(const struct error *error, char *storage, size_t size_bytes)
{
    struct text text;
    text_init(&text, storage, size_bytes);
    if (error->file)
        text_add(&text, error->file);
    if (error->line)
        text_printf(&text, ":%u", error->line);
    if (error->line && error->column)
        text_printf(&text, ":%u", error->column);
    if (text.used_bytes)
        text_add(&text, ": ");
    text_add(&text, error->message);
}
