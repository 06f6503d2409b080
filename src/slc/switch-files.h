/* What enable and disable ask the launcher, found out without one: which services the files
 * describe, and where the folders of what was switched are. */
#pragma once

#include "slc/slc.h"

#include <jansson.h>
#include <limits.h>

struct switch_place {
    char etc[PATH_MAX]; /* the folder that has `enabled` and `disabled` in it */
    bool listed;        /* the system file lists what is started at boot */
};

/* Looks at the system whose root is `root`: the usual folders of service files and the usual places
 * of the system file below it. *ret_names is an array of the names that slc's words stand for, the
 * caller's. Returns SLC_DONE, or what to exit with after it has said why; then there is none.
 *
 * A name is a service's own, whether its file loads or not, or an instance's whose template is
 * there. Names that services provide are not looked up: which one answers is decided at the boot.
 */
int switch_files_find(const struct slc *slc, const char *root, struct switch_place *ret,
                      json_t **ret_names);
