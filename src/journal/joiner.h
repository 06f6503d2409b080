/* Joins the entries of output lines that were cut (marked `-`) again, also across events. */
#pragma once

#include "base/buffer.h"
#include "journal/reader.h"

#define JOURNAL_JOINED_BYTES (1u << 20) /* a line longer than this stays in pieces */

/* A zeroed one is ready. */
struct journal_joiner {
    struct journal_entry held; /* an output line whose rest may come; its text is in `text` */
    struct journal_entry next; /* read already, comes after what is held */
    struct buffer text;
    struct buffer events; /* that came since: struct journal_entry and text, one after the other */
    size_t piece_bytes;   /* of the last piece of what is held */
    bool holds, has_next, gives_events;
    size_t to_consume; /* of `events`, at the next call */
};

/* As journal_reader_next, and -ENOMEM. Events that stand inside a line come behind it. Where only
 * whole lines are wanted a long one is held until its rest is there; what comes behind an event,
 * when the line was given out already, is an entry by itself. */
int journal_joiner_next(struct journal_joiner *joiner, struct journal_reader *reader,
                        struct journal_entry *ret);

void journal_joiner_finish(struct journal_joiner *joiner);
