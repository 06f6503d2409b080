/* Which entries of journals are wanted. */
#pragma once

#include "journal/format.h"
#include "journal/matcher.h"

struct log_filter {
    uint64_t since_ns, until_ns; /* both included */
    enum journal_level least;    /* this one and worse */
    struct matcher *matcher;     /* NULL: any text */
    bool only_output;            /* nothing that is no output of a service */
};

#define LOG_FILTER_NONE ((struct log_filter){.until_ns = UINT64_MAX, .least = JOURNAL_DEBUG})

/* `time_ns` is the entry's, or that of the last one that had any. */
bool log_filter_takes(const struct log_filter *filter, const struct journal_entry *entry,
                      uint64_t time_ns);

/* "err", or "3": true, with the level in *ret. */
bool log_filter_parse_level(const char *text, enum journal_level *ret);
