/* Values as JSON (RFC 8259). Texts are UTF-8 already; only what must be is escaped. */
#include "config/show.h"

void show_string(struct text *text, const char *string)
{
    if (!string) {
        text_add(text, "null");
        return;
    }
    text_add_char(text, '"');
    for (; *string; string++) {
        if (*string == '"' || *string == '\\') {
            text_add_char(text, '\\');
            text_add_char(text, *string);
        } else if (*string == '\n') {
            text_add(text, "\\n");
        } else if (*string == '\t') {
            text_add(text, "\\t");
        } else if ((unsigned char)*string < 0x20) {
            text_printf(text, "\\u%04x", *string);
        } else {
            text_add_char(text, *string);
        }
    }
    text_add_char(text, '"');
}

void show_some_strings(struct text *text, char *const *list, size_t count)
{
    text_add_char(text, '[');
    for (size_t i = 0; i < count; i++) {
        if (i)
            text_add_char(text, ',');
        show_string(text, list[i]);
    }
    text_add_char(text, ']');
}

void show_strings(struct text *text, char *const *list)
{
    size_t count = 0;
    while (list && list[count])
        count++;
    show_some_strings(text, list, count);
}

void show_key(struct text *text, const char *key)
{
    if (text->used_bytes && text->data[text->used_bytes - 1] != '{')
        text_add_char(text, ',');
    show_string(text, key);
    text_add_char(text, ':');
}
