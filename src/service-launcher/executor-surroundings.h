/* What a program finds. For the files that spawn. */
#pragma once

#include "service-launcher/executor-internal.h"
#include "service-launcher/follow.h"

struct surroundings {
    struct follow_command follow;
    char **environment;
    const char *path;
    char texts[6][SERVICE_NAME_MAX_BYTES + 32]; /* HOME= USER= … as far as they are short */
    size_t texts_used;
    char *pid_text;     /* where the program's pid belongs in the environment; NULL */
    struct arena arena; /* holds env_file */
    names_t env_file;
    char name_entry[SERVICE_NAME_MAX_BYTES + 32], instance_entry[SERVICE_NAME_MAX_BYTES + 32];
    char invocation_entry[64], main_entry[32];
    struct spawn_limit limits[RLIM_NLIMITS + 1];
};

/* Reads its env-file and builds its environment. Returns 0 or -errno with the reason. *s was
 * zeroed, and is to be finished in either case. */
int surroundings_read(struct surroundings *s, const struct process *process,
                      struct reason *ret_reason);

/* Puts into *spawn what was read, and what need not be read. *s has to stay until it is spawned. */
void surroundings_put(const struct surroundings *s, struct spawn *spawn);
void surroundings_put_limits(struct surroundings *s, const struct process *process,
                             struct spawn *spawn);

void surroundings_finish(struct surroundings *s);
