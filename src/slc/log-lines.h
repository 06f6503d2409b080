/* The last lines of one service's journal, for `slc status`. */
#pragma once

#include "slc/render.h"
#include "slc/slc.h"

#include <jansson.h>

/* Prints them behind an empty line, each cut at the terminal's edge, elsewhere
 * at 1000 columns. Nothing where there are
 * none, or the user may not read them. */
void log_lines_print(const struct slc *slc, const struct render *render, const char *name,
                     const char *folder, unsigned count);

/* The same as an array of texts; NULL where they cannot be read. */
json_t *log_lines_json(const struct slc *slc, const char *name, const char *folder, unsigned count);
