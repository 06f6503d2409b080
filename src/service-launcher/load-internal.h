/* What the files that load and reload share. Nobody else includes this. */
#pragma once

#include "service-launcher/launcher.h"

#include "config/reading.h"
#include "config/sources.h"

/* Keeps these sources in force, with init. Returns 0 or -errno. */
int load_store_sources(struct launcher *launcher, const struct source *list, size_t count);

/* The same in two steps. Writes them into a new memfd: returns it, with its number, or -errno. */
int load_write_sources(const struct source *list, size_t count, uint64_t *ret_number);
/* Gives it to init, which then forgets the old one; `fd` is taken. Returns 0 or -errno. */
int load_hold_sources(struct launcher *launcher, int fd);

/* Parses one source into a definition, or into the words of its errors (from malloc). Returns 0,
 * -EINVAL with *ret_errors, or -ENOMEM. */
int load_parse(const struct source *source, struct definition **ret, char **ret_errors);

/* The same for an instance of a template; and for a template that has none, with the definition of
 * an example of one. */
int load_parse_instance(const struct source *template, const char *name, struct definition **ret,
                        char **ret_errors);
int load_parse_template(const struct source *template, struct definition **ret, char **ret_errors);

/* The service that has this name of its own, or NULL; and one made for it where there is none. */
struct service *load_own_service(const struct launcher *launcher, const char *name);
struct service *load_service_for(struct launcher *launcher, const char *name);

/* Gives a service its definition, or its errors; both are the service's afterwards. What of it runs
 * goes on as the new definition says. Returns the former one, which is the caller's then and into
 * which names and edges point until load_resolve(); NULL: there was none. */
struct definition *load_put_in_force(struct launcher *launcher, struct service *service,
                                     struct definition *definition);
void load_put_broken(struct launcher *launcher, struct service *service, char *errors);

void load_set_errors(struct service *service, char *errors);

/* Takes what was switched by hand from among these sources. */
void load_set_switches(struct launcher *launcher, const struct source *list, size_t count);

/* Forgets a service that is idle, with all that the launcher has of it; load_resolve() has to
 * follow. */
void load_forget(struct launcher *launcher, struct service *service);

/* Makes the instances that are named; then names and edges, after services have changed. What is
 * odd is told at the boot and by a reload, not here. Returns 0 or -ENOMEM. */
int load_resolve(struct launcher *launcher);
