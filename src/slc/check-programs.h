/* Whether the programs that services execute are there. */
#pragma once

#include "config/check-names.h"

/* Adds a warning where the program of `exec` is not there or no program, as far as that can be
 * known here: not below another root, nor where only the service's env-file says where to look.
 * Returns 0 or -ENOMEM. */
int programs_check(const struct checked *service, struct error_list *warnings);
