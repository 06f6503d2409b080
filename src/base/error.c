/* An error a user has to mend: where it is, what is wrong, and what to write instead. */
#include "base/error.h"
#include "base/text.h"

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
