/* Services that were switched on or off by hand: FOLDER/enabled/NAME and FOLDER/disabled/NAME,
 * whatever the files hold. They outrank the key `enabled`.
 *
 * What counts is kept among the sources in force (docs/definitions-record.md), as a text of lines
 * "on NAME" and "off NAME" in the order of the names; so a crash reads no file. */
#pragma once

#include "config/arena.h"
#include "config/sources.h"
#include "service/definition.h"

#define SWITCHES_FOLDER      "/etc/conit"
#define SWITCHES_SOURCE_NAME "/switched" /* no file has such a name */

struct switch_entry {
    const char *name;
    enum switched which;
};

/* Sorted by name, each once. Zeroed: nothing is switched. */
struct switches {
    struct switch_entry *list;
    size_t count;
    struct arena arena;
};

/* Looks into the two folders, which need not be there. What is no service's name, or is in both
 * (then `disabled` counts), adds to `warnings`; a folder that cannot be read to `errors`. `place`
 * is as for sources_scan_at(). Returns 0 or -ENOMEM. *ret is to be finished in every case. */
int switches_read(const char *folder, struct scan_place *place, struct switches *ret,
                  struct error_list *errors, struct error_list *warnings);

/* As the text of a source. NULL: no memory; else of the arena, *ret_size bytes. */
const char *switches_text(const struct switches *switches, struct arena *arena, size_t *ret_size);

/* What switches_text() made; a line that is none of its kind is passed over. Returns 0 or -ENOMEM.
 */
int switches_parse(const char *text, size_t size, struct switches *ret);

enum switched switches_find(const struct switches *switches, const char *name);

void switches_finish(struct switches *switches);
