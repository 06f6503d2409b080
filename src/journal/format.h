/* One line of a journal, as docs/journal-format.md has it: `TIME LEVEL TEXT`. Pure. */
#pragma once

#include "base/clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOURNAL_LINE_BYTES   65536 /* TEXT of one line; what is longer is cut */
#define JOURNAL_TIME_BYTES   (CLOCK_RFC3339_BYTES - 1)
#define JOURNAL_PREFIX_BYTES 40 /* room for "TIME -warning " */

enum journal_level {
    JOURNAL_EMERG,
    JOURNAL_ALERT,
    JOURNAL_CRIT,
    JOURNAL_ERR,
    JOURNAL_WARNING,
    JOURNAL_NOTICE,
    JOURNAL_INFO,
    JOURNAL_DEBUG,
    JOURNAL_LEVELS
};

/* What stands in front of LEVEL. */
enum journal_mark { JOURNAL_OUTPUT, JOURNAL_EVENT_MARK, JOURNAL_CONTINUED };

struct journal_entry {
    uint64_t time_ns; /* CLOCK_REALTIME; 0: the line has no valid beginning */
    enum journal_level level;
    enum journal_mark mark;
    const char *text; /* without the line end; not NUL-terminated; not owned */
    size_t bytes;
};

/* Writes "TIME LEVEL " and returns its length. `time` has JOURNAL_TIME_BYTES bytes. */
size_t journal_format_prefix(char out[static JOURNAL_PREFIX_BYTES], const char *time,
                             enum journal_mark mark, enum journal_level level);

/* Reads one line, given without its line end. Returns true for a valid one; else the entry has no
 * time, level info, and the whole line as its text. */
bool journal_parse_line(const char *line, size_t bytes, struct journal_entry *ret);

/* The second of a line: those that follow mostly have the same. A zeroed one is none. */
struct journal_second {
    char text[20]; /* up to the '.' */
    uint64_t ns;
};

/* The same as journal_parse_line(), quicker for lines that come one after the other. */
bool journal_parse_next_line(struct journal_second *second, const char *line, size_t bytes,
                             struct journal_entry *ret);

/* Reads the 27 bytes of a time. Returns false, and leaves *ret_ns alone, for anything else. */
bool journal_parse_time(const char *text, uint64_t *ret_ns);

/* "emerg" … "debug". */
const char *journal_level_name(enum journal_level level);
