/* A pattern and a name, a line each: whether it fits is what a plain matcher says that tries all,
 * where the pattern is short enough for that. */
#include "demand.h"
#include "protocol/pattern.h"

#include <fnmatch.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

/* Where fnmatch(3) reads a pattern as we do: lists are the same but for classes, for a backslash,
 * and for what is none of ASCII. */
static bool is_plain(const char *text)
{
    for (; *text; text++)
        if ((signed char)*text < ' ' || strchr("[]\\", *text))
            return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    char *pattern = strndup((const char *)bytes, count);
    demand(pattern != NULL, "there is memory");
    char *name = strchr(pattern, '\n');
    if (name) {
        *name++ = 0;
        bool fits = pattern_matches(pattern, name);
        if (!pattern_is_one(pattern))
            demand(fits == !strcmp(pattern, name), "without a special character it is the name");
        if (strlen(pattern) + strlen(name) < 60 && is_plain(pattern) && is_plain(name))
            demand(fits == !fnmatch(pattern, name, FNM_NOESCAPE), "it is what fnmatch says");
    }
    demand(pattern_matches("*", pattern), "a star fits everything");
    free(pattern);
    return 0;
}
