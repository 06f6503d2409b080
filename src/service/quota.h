/* How much of a journal is kept, and how much is taken. Travels to the journal as it is: no
 * padding, no pointer. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct quota {
    uint64_t max_size_bytes; /* of one file, before compression */
    uint32_t keep;           /* sealed files beside `current` */
    uint32_t max_age_s;      /* 0: no limit */
    uint32_t rate_lines;     /* in rate_interval_ms; 0: no limit */
    uint32_t rate_interval_ms;
};
_Static_assert(sizeof(struct quota) == 24, "no padding");

#define QUOTA_DEFAULT ((struct quota){.max_size_bytes = 16 << 20, .keep = 4})

static inline bool quota_equal(const struct quota *a, const struct quota *b)
{
    return a->max_size_bytes == b->max_size_bytes && a->keep == b->keep &&
           a->max_age_s == b->max_age_s && a->rate_lines == b->rate_lines &&
           a->rate_interval_ms == b->rate_interval_ms;
}
