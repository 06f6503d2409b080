/* What is demanded of the errors of a YAML file: one at least, not too many, each with a place that
 * lies in the file and with words. */
#pragma once

#include "config/error-list.h"
#include "demand.h"

#include <stdint.h>

static inline void demand_errors(const struct error_list *errors, const uint8_t *data, size_t size)
{
    unsigned lines = 1;
    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n' || data[i] == '\r' || data[i] >= 0x80; /* U+0085, U+2028 too */
    demand(errors->count >= 1 && errors->count <= ERRORS_PER_FILE,
           "there are errors, not too many");
    for (size_t i = 0; i < errors->count; i++) {
        const struct error *error = &errors->list[i];
        demand(error->message[0] && error->line >= 1 && error->column >= 1,
               "it says what and where");
        demand(error->line <= lines + 1 && error->column <= size + 2, "the place is in the file");
    }
}
