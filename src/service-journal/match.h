/* What of a service's output somebody waits for (JOURNAL_MATCH of protocol/journal-link.h): bytes
 * in, whole lines against an expression. */
#pragma once

#include "base/list.h"
#include "service-journal/state.h"

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct match {
    struct list node; /* in journal->matched, while MATCHED is to be said */
    uint32_t id;
    uint64_t run[2];
    uint64_t pipe_inode;
    bool matched;
    regex_t regex;
    const char *expression; /* owned */
    size_t regex_bytes;     /* looked at since it was compiled */
    struct journal_state_line line;
    bool changed; /* the line, since it was written to the state */
};

/* Returns NULL without memory, or when it is no expression: *ret_error says which, as -errno. */
struct match *match_create(uint32_t id, const struct journal_state_match *from, int *ret_error);

/* Accepts NULL. */
void match_destroy(struct match *match);

/* Looks at what was printed next. Returns true when the line is there that is waited for; the rest
 * is not looked at then. */
bool match_feed(struct match *match, const char *bytes, size_t count);

/* The line under way is over without a line end: it does not count. */
void match_end_line(struct match *match);
