/* What a check looks at once all files are parsed: the names they use, and cycles. */
#pragma once

#include "config/error-list.h"
#include "config/sources.h"
#include "config/system-file.h"
#include "service/definition.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One service: its file (the caller's) and its definition, which is owned; NULL when it does not
 * load. `told`: what is wrong with it is to be said. A template is there as an example of an
 * instance, so that what all its instances would have in common is looked at. */
struct checked {
    const struct source *source;
    struct definition *definition;
    uint32_t template; /* of an instance: its index; else UINT32_MAX */
    bool told;
};

/* A name, its own or a provided one, and whose. */
struct checked_name {
    const char *name;
    uint32_t index;
};

/* A zeroed one is empty. */
struct names {
    struct checked *list;
    size_t count, room;
    struct checked_name *sorted;
    size_t sorted_count;
};

/* Takes the definition. Returns 0 or -ENOMEM (then it is freed). */
int names_add(struct names *names, const struct source *source, struct definition *definition,
              bool told);

/* Makes the instances of templates that are named, and adds an error for each name that is none,
 * with its place in the file, and for each cycle with its whole path. Returns 0 or -ENOMEM. */
int names_check(struct names *names, const struct system_file *order, struct error_list *errors);

void names_finish(struct names *names);
