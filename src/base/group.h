/* Groups, from /etc/group itself: the programs are static, so there are no NSS modules. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/* Looks `name` up in the file `path` (normally GROUP_FILE). Returns 0, -ENOENT when there is no
 * such group, or -errno. *ret untouched on failure. Format: group(5). */
#define GROUP_FILE "/etc/group"
int group_find(const char *path, const char *name, gid_t *ret);
