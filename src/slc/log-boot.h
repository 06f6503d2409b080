/* When the machine was booted, by the journal `conit`: service-journal marks each boot there. */
#pragma once

#include <stdint.h>

/* The boot `back` before the newest: from *ret_since_ns on, up to *ret_until_ns, where the next one
 * began (UINT64_MAX: none has). `logs` and `runtime` are as for the journals; `runtime` may be
 * NULL. Returns 0; -ENOENT when there are not so many, of which *ret_count are marked; or another
 * -errno. */
int log_boot_find(const char *logs, const char *runtime, uint64_t back, uint64_t *ret_since_ns,
                  uint64_t *ret_until_ns, uint64_t *ret_count);
