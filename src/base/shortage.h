/* Errors that say that something is lacking now which may be there a moment later. What must not be
 * lost is tried again after SHORTAGE_RETRY_MS: no event tells the end of a shortage. */
#pragma once

#include <errno.h>
#include <stdbool.h>

#define SHORTAGE_RETRY_MS 100

/* `failed`: a -errno. */
static inline bool is_shortage(int failed)
{
    switch (-failed) {
    case ENOMEM:
    case ENOBUFS:
    case EMFILE:
    case ENFILE:
    case ENOSPC: /* of watches, and of a file in memory */
    case ETOOMANYREFS:
        return true;
    default:
        return false;
    }
}
