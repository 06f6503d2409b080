/* Several journals read as one, in the order of time. */
#pragma once

#include "journal/joiner.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log_source {
    char *name;
    size_t index; /* the how manyth it was opened */
    struct journal_reader reader;
    struct journal_joiner joiner;
    struct journal_entry entry; /* the next one */
    uint64_t time_ns;           /* its time, or that of the last one that had any */
};

struct log_merge {
    struct log_source **heap; /* the source whose next entry is the oldest is the first */
    size_t count;             /* sources in the heap */
    struct log_source **all;
    size_t all_count;
    bool only_output; /* leave out what is no output of a service */
    bool taken;       /* the first source's entry was handed out */
};

/* Adds the journal of a service, as journal_reader_open_service(). Returns 0 or -errno. */
int log_merge_open(struct log_merge *merge, const char *logs, const char *runtime, const char *name,
                   const char *folder);

/* Stands so that the newest `most` entries follow. Returns 0 or -errno. */
int log_merge_begin(struct log_merge *merge, uint64_t most);

/* The next entry and its service's name, both good until the next call. Returns 1, 0 at the end,
 * or -errno. */
int log_merge_next(struct log_merge *merge, const char **ret_name,
                   const struct journal_entry **ret);

void log_merge_finish(struct log_merge *merge);
