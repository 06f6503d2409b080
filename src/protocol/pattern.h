/* Patterns for names, as a shell has them: * ? [abc] [a-z] [!abc]. Time is bounded by the product
 * of both lengths, whatever the pattern: fnmatch(3) gives no such promise, and a pattern may come
 * from anybody. */
#pragma once

#include <stdbool.h>

/* Whether the whole name fits the pattern. A [ without its ] stands for itself. */
bool pattern_matches(const char *pattern, const char *name);

/* Whether it holds a character that makes it more than a name. */
bool pattern_is_one(const char *text);
