/* What can be said of a set of definitions only once all of them are known: which instances of
 * templates they make, which of the names they use are none, and which cycles they are in. For
 * `slc check`, and for a reload's report. */
#pragma once

#include "config/error-list.h"
#include "config/sources.h"
#include "config/switches.h"
#include "config/system-file.h"
#include "service/definition.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum checked_kind {
    CHECKED_SERVICE,
    CHECKED_TEMPLATE,
    CHECKED_INSTANCE, /* of a template, without a file of its own */
    CHECKED_MASKED,   /* no service has that name, nor does a template make one of it */
};

/* Who names an instance, where it is no service. */
#define NAMED_BY_NOBODY     UINT32_MAX
#define NAMED_BY_ORDER      (UINT32_MAX - 1) /* the system file */
#define NAMED_BY_SWITCH     (UINT32_MAX - 2) /* it was switched on by hand */
#define NAMED_BY_NO_SERVICE NAMED_BY_SWITCH  /* this or one above it */

struct checked {
    const char *name;                    /* its own */
    const struct source *source;         /* the caller's */
    const struct definition *definition; /* NULL when it does not load */
    struct definition *owned;            /* the same where it is freed with the names */
    void *subject;                       /* the caller's; NULL of what was made here */
    enum checked_kind kind;
    uint32_t template; /* of an instance made here: its template's index; else UINT32_MAX */
    uint32_t named_by; /* of an instance: the index of one that names it, or NAMED_BY_…;
                        * what only those name that nobody names counts as not named */
    bool told;         /* what is wrong with it is to be said */
    bool stands;       /* an instance that is there though nobody names it */
    bool reached;
    bool in_cycle;
};

/* A name, its own or a provided one, and whose. */
struct checked_name {
    const char *name;
    uint32_t index;
};

/* What was found: errors[first] … errors[first + count - 1], of the service `index`. */
struct finding {
    enum finding_kind {
        FINDING_INSTANCE, /* it does not load, or cannot be made */
        FINDING_NAME,     /* it uses a name that no service has */
        FINDING_CYCLE,    /* the path of the cycle it is in; once for each set */
        FINDING_ORDER,    /* the system file has such a name; the index says nothing */
    } kind;
    uint32_t index;
    size_t first, count;
};

/* A zeroed one is empty; the caller may fill in what stands first. */
struct names {
    const struct system_file *order;
    const struct switches *switches; /* they outrank `enabled`; those that are on are named */
    bool in_force; /* templates are no services: only what there is, and is made, is looked at */
    /* Whether a name that is none is to be said (`service` NULL: one of the system file's); NULL:
     * where `told` says so. */
    bool (*is_news)(const void *context, const struct checked *service, const char *name);
    const void *context;
    size_t most; /* so many such names are said; 0: all */

    struct checked *list;
    size_t count, room;
    struct checked_name *sorted;
    size_t sorted_count;
    struct finding *findings; /* in no order */
    size_t finding_count, finding_room;
    size_t missing; /* names that are none, also those not said any more */
};

/* Adds a service, as far as known. What is needed of the texts lives as long as *names. Returns 0
 * or -ENOMEM. */
int names_add(struct names *names, const struct checked *service);

/* Makes the instances of templates that are named, and adds an error for each name that is none,
 * with its place in the file, and for each cycle with its whole path. Returns 0 or -ENOMEM. */
int names_check(struct names *names, struct error_list *errors);

void names_finish(struct names *names);

/* Where the `index`th word of a key stands in the file: 0, 0 when that cannot be told. */
void names_place(const struct source *source, const char *key, size_t index, unsigned *ret_line,
                 unsigned *ret_column);
