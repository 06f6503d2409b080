/* What load.c and reload.c share. Nobody else includes this. */
#pragma once

#include "service-launcher/launcher.h"

#include "config/sources.h"
#include "config/system-file.h"

#include <limits.h>

/* The system file among the sources in force: no service has such a name. */
#define SYSTEM_SOURCE_NAME " system-file"

/* What was read from the files: to be finished with load_reading_finish(), also after a failure. */
struct reading {
    struct sources sources, system_file; /* system_file: a set of one, or none */
    struct error_list errors, warnings;
    char system_path[PATH_MAX];
    bool system_broken; /* it is there and does not parse */
};

/* Reads the system file and all service files. Returns 0 (also with errors) or -ENOMEM. */
int load_read_all(struct launcher *launcher, struct reading *reading,
                  struct system_file *system_file);
void load_reading_finish(struct reading *reading);

/* Keeps these sources in force, with init. Returns 0 or -errno. */
int load_store_sources(struct launcher *launcher, const struct source *list, size_t count);

/* Parses one source into a definition, or into the words of its errors (from malloc). Returns 0,
 * -EINVAL with *ret_errors, or -ENOMEM. */
int load_parse(const struct source *source, struct definition **ret, char **ret_errors);

/* All errors, one a line, from malloc; NULL when there is no memory. */
char *load_errors_text(const struct error_list *errors);

/* The service that has this name of its own, or NULL; and one made for it where there is none. */
struct service *load_own_service(const struct launcher *launcher, const char *name);
struct service *load_service_for(struct launcher *launcher, const char *name);

/* Gives a service its definition, or its errors; both are the service's afterwards. */
void load_put_in_force(struct launcher *launcher, struct service *service,
                       struct definition *definition);
void load_put_broken(struct launcher *launcher, struct service *service, char *errors);
void load_set_errors(struct service *service, char *errors);

/* Names and edges, after services have changed. Returns 0 or -ENOMEM. */
int load_resolve(struct launcher *launcher);
