/* Values as JSON, for showing a definition. Not for use outside config/. */
#pragma once

#include "base/text.h"

/* A string in quotes, or `null`. */
void show_string(struct text *text, const char *string);

/* A NULL-terminated array of strings, or the first `count` of it; NULL: `[]`. */
void show_strings(struct text *text, char *const *list);
void show_some_strings(struct text *text, char *const *list, size_t count);

/* `"KEY":`, with a comma in front unless it is the first of its object. */
void show_key(struct text *text, const char *key);
