/* Pattern matching without recursion: on a mismatch only the last * takes one character more,
 * which is enough, because an earlier one could take nothing that the last could not. */
#include "protocol/pattern.h"

#include <stddef.h>
#include <string.h>

bool pattern_is_one(const char *text)
{
    return strpbrk(text, "*?[") != NULL;
}

/* The end of a set that begins at `set` (behind its [), or NULL when it has none. */
static const char *set_end(const char *set)
{
    if (*set == '!' || *set == '^')
        set++;
    if (*set == ']')
        set++;
    return strchr(set, ']');
}

static bool set_holds(const char *set, const char *end, char c)
{
    bool negated = *set == '!' || *set == '^', found = false;

    for (set += negated; set < end; set++) {
        if (set + 2 < end && set[1] == '-') {
            found |= c >= set[0] && c <= set[2];
            set += 2;
        } else {
            found |= c == *set;
        }
    }
    return found != negated;
}

/* Whether one element of the pattern takes `c`; *ret_next is behind it then. */
static bool takes(const char *pattern, char c, const char **ret_next)
{
    const char *end;

    if (*pattern == '[' && (end = set_end(pattern + 1))) {
        *ret_next = end + 1;
        return set_holds(pattern + 1, end, c);
    }
    *ret_next = pattern + 1;
    return *pattern == '?' || *pattern == c;
}

bool pattern_matches(const char *pattern, const char *name)
{
    const char *star = NULL, *star_name = NULL, *next;

    while (*name) {
        if (*pattern == '*') {
            star = ++pattern;
            star_name = name;
        } else if (*pattern && takes(pattern, *name, &next)) {
            pattern = next;
            name++;
        } else if (star) {
            pattern = star;
            name = ++star_name;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}
