/* Service files that load, as texts, and what `slc show` has of them. */
#pragma once

#include "config/keys.h"

/* The service is called "web". Ends the program when the text does not load. */
struct definition *load(const char *text);

/* The value of a key; good until the next call. */
const char *show(const struct definition *definition, unsigned row);

void check_shown(const char *text, unsigned row, const char *expected);
