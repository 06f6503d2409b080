/* From the text of a service file to its definition (service/definition.h).
 *
 * The text is read with libyaml's event API, from memory, so that each error has its line and
 * column. All errors of a file are collected, up to ERRORS_PER_FILE. */
#pragma once

#include "config/error-list.h"
#include "config/sources.h"
#include "service/definition.h"

/* Makes the definition of one source, which may be freed afterwards. Users and groups are looked
 * up now (config/users.h).
 * Returns 0; -EINVAL when the file does not load, with at least one error added; -ENOMEM. A
 * masked source is -EINVAL too: look at `masked` first. */
int definition_parse(const struct source *source, struct definition **ret,
                     struct error_list *errors);

/* The same for an instance of a template: `template` is the source of "agetty@" and `name` is that
 * of the instance, "agetty@tty1". Errors are at places of the template's file. */
int definition_parse_instance(const struct source *template, const char *name,
                              struct definition **ret, struct error_list *errors);

/* The definition of an example of an instance, to know what is wrong with a template that has none.
 * Its name ends in DEFINITION_EXAMPLE_INSTANCE, as far as a name may be that long and the text
 * takes that for an instance. Returns as above. */
int definition_parse_template(const struct source *template, struct definition **ret,
                              struct error_list *errors);
#define DEFINITION_EXAMPLE_INSTANCE "INSTANCE"

/* How many bytes of memory the definition takes, all of it. */
size_t definition_size(const struct definition *definition);

/* Frees the definition and all it points to. NULL is allowed. */
void definition_destroy(struct definition *definition);
