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
 * load. `told`: what is wrong with it is to be said. */
struct checked {
    const struct source *source;
    struct definition *definition;
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

/* Adds an error for each name that is none, with its place in the file, and for each cycle with its
 * whole path. Returns 0 or -ENOMEM. */
int names_check(struct names *names, const struct system_file *order, struct error_list *errors);

void names_finish(struct names *names);
