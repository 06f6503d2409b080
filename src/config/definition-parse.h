/* From the text of a service file to its definition (service/definition.h).
 *
 * The text is read with libyaml's event API, from memory, so that each error has its line and
 * column. All errors of a file are collected, up to ERRORS_PER_FILE. What docs/service-file.md
 * describes and is not built yet is refused by name. */
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

/* How many bytes of memory the definition takes, all of it. */
size_t definition_size(const struct definition *definition);

/* Frees the definition and all it points to. NULL is allowed. */
void definition_destroy(struct definition *definition);
