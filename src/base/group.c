/* Groups, from /etc/group itself. The file is read through a small buffer on the stack: only the
 * first fields of a line matter, and a line of any length is passed over. */
#include "base/group.h"
#include "base/cleanup.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

/* NAME:PASSWORD:GID:MEMBERS, one byte after the other. */
struct match {
    const char *name;
    size_t at;
    unsigned field;
    bool same;
    uint64_t gid;
    unsigned digits;
};

static void begin_line(struct match *match)
{
    match->at = 0;
    match->field = 0;
    match->same = true;
    match->gid = 0;
    match->digits = 0;
}

/* Returns true when the line that has just ended, or its third field, is the answer. */
static bool take(struct match *match, char c)
{
    bool found = false;
    if (c == ':' || c == '\n') {
        if (match->field == 0)
            match->same = match->same && !match->name[match->at];
        found = match->field == 2 && match->same && match->digits && match->gid < UINT32_MAX;
        match->field++;
    } else if (match->field == 0) {
        match->same = match->same && c && match->name[match->at] == c;
        match->at += match->same;
    } else if (match->field == 2) {
        match->same = match->same && c >= '0' && c <= '9' && match->digits < 10;
        match->gid = match->gid * 10 + (uint64_t)(c - '0');
        match->digits++;
    }
    if (c == '\n' && !found)
        begin_line(match);
    return found;
}

int group_find(const char *path, const char *name, gid_t *ret)
{
    struct match match = {.name = name};
    char buffer[4096];
    ssize_t count;

    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;
    begin_line(&match);
    while ((count = read(fd, buffer, sizeof buffer)) > 0) {
        for (ssize_t i = 0; i < count; i++) {
            if (take(&match, buffer[i])) {
                *ret = (gid_t)match.gid;
                return 0;
            }
        }
    }
    if (count < 0)
        return -errno;
    if (take(&match, '\n')) { /* a last line without its end */
        *ret = (gid_t)match.gid;
        return 0;
    }
    return -ENOENT;
}
