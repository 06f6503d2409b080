/* Any text as a line of mountinfo. What init takes out of it lies in the line; where a cgroup mount
 * is seen in it init sees the same; and a mount point is what it was before the kernel escaped it.
 */
#include "base/text.h"
#include "demand.h"
#include "init/last-steps.h"
#include "proc/cgroup.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static char *copy(const uint8_t *bytes, size_t count)
{
    char *text = strndup((const char *)bytes, count);
    demand(text != NULL, "there is memory");
    return text;
}

static bool lies_in(const char *part, const char *line, size_t length)
{
    return part >= line && part + strlen(part) <= line + length;
}

static void check_line(const uint8_t *bytes, size_t count)
{
    char *line = copy(bytes, count), *same = copy(bytes, count);
    char *target = NULL, *type = NULL, *root = NULL, *point = NULL;
    size_t length = strlen(line);

    int failed = last_steps_parse_mount(line, &target, &type);
    demand(failed == 0 || failed == -EINVAL, "it is a mount, or not");
    if (!failed) {
        demand(lies_in(target, line, length) && lies_in(type, line, length), "it lies in the line");
        demand(*type && !strchr(type, ' '), "a type is one word");
    }
    if (cgroup_parse_mount(same, &root, &point)) {
        demand(lies_in(root, same, length) && lies_in(point, same, length), "it lies in the line");
        demand(!failed && strcmp(type, "cgroup2") == 0, "both see a cgroup mount");
        demand(strcmp(target, point) == 0, "at the same place");
    }
    free(line);
    free(same);
}

/* As the kernel's mangle(): blank, tab, line end, backslash and # in octal. */
static void check_escapes(const uint8_t *bytes, size_t count)
{
    char *plain = copy(bytes, count), *escaped = malloc(strlen(plain) * 4 + 1);
    struct text text;

    demand(escaped != NULL, "there is memory");
    text_init(&text, escaped, strlen(plain) * 4 + 1);
    for (const char *at = plain; *at; at++) {
        if (strchr(" \t\n\\#", *at))
            text_printf(&text, "\\%03o", *at);
        else
            text_add_char(&text, *at);
    }
    demand(!text.cut, "there is room");
    text_unescape(escaped);
    demand(strcmp(plain, escaped) == 0, "a name is what it was before it was escaped");
    free(plain);
    free(escaped);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    check_line(bytes, count);
    check_escapes(bytes, count);
    return 0;
}
