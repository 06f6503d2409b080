/* Turns what a service prints into lines of a journal: bytes in, formatted bytes out. Pure; no
 * memory but the struct. However the bytes are cut into blocks, the lines are the same. */
#pragma once

#include "journal/format.h"

/* Least room for output: the cut of a line, a beginning, and what was held back. */
#define JOURNAL_SPLITTER_ROOM (JOURNAL_PREFIX_BYTES + 8)

enum journal_line_state {
    LINE_NONE,    /* the next byte begins a line */
    LINE_OPEN,    /* the last bytes put out are an unfinished line */
    LINE_RESUMED, /* the line was cut: its rest goes on behind a `-` */
};

/* A zeroed one with a default_level is ready. */
struct journal_splitter {
    uint32_t line_bytes; /* LINE_OPEN: TEXT bytes put out since the last beginning */
    uint8_t state;       /* enum journal_line_state */
    uint8_t level;       /* of the line under way */
    uint8_t default_level;
    uint8_t held_bytes; /* LINE_NONE: a `<` or `<N` that may become a level */
    uint8_t worst;      /* the owner's to set: gets the level of each line that is worse */
    char held[2];
};

/* Takes bytes from *in and *count, which move on, until all are taken or `out` has not
 * JOURNAL_SPLITTER_ROOM left. `room` is at least JOURNAL_SPLITTER_ROOM + 1. Returns how many bytes
 * it put out; call again while *count is not 0. `time` has JOURNAL_TIME_BYTES bytes. */
size_t journal_splitter_feed(struct journal_splitter *splitter, const char *time, const char **in,
                             size_t *count, char *out, size_t room);

/* Ends an unfinished line for good. `out` has JOURNAL_SPLITTER_ROOM. Returns bytes put out. */
size_t journal_splitter_end(struct journal_splitter *splitter, const char *time, char *out);

/* Makes room for an entry of another kind in the middle of a line, whose rest goes on behind a
 * `-`. Returns bytes put out. */
size_t journal_splitter_cut(struct journal_splitter *splitter, char *out);

/* Makes one usable that was found in memory which anything may have happened to. */
void journal_splitter_mend(struct journal_splitter *splitter);
