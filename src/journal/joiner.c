/* Joins the entries of output lines that were cut: a line is held until the next one begins. */
#include "journal/joiner.h"

#include <errno.h>
#include <string.h>

#define EVENTS_BYTES 65536 /* events kept while a line is held */

static int hold(struct journal_joiner *joiner, const struct journal_entry *entry)
{
    buffer_consume(&joiner->text, buffer_used(&joiner->text));
    joiner->held = *entry;
    joiner->piece_bytes = entry->bytes;
    joiner->holds = true;
    return buffer_append(&joiner->text, entry->text, entry->bytes);
}

static int keep_event(struct journal_joiner *joiner, const struct journal_entry *entry)
{
    int failed = buffer_reserve(&joiner->events, sizeof *entry + entry->bytes);
    if (failed)
        return failed;
    buffer_append(&joiner->events, entry, sizeof *entry);
    return buffer_append(&joiner->events, entry->text, entry->bytes);
}

static int give_event(struct journal_joiner *joiner, struct journal_entry *ret)
{
    const char *at = buffer_bytes(&joiner->events);
    memcpy(ret, at, sizeof *ret);
    ret->text = at + sizeof *ret;
    joiner->to_consume = sizeof *ret + ret->bytes;
    return 1;
}

/* Gives out the line that is held; the events behind it come with the next calls. */
static int give_held(struct journal_joiner *joiner, struct journal_entry *ret)
{
    *ret = joiner->held;
    ret->text = joiner->text.data ? buffer_bytes(&joiner->text) : "";
    ret->bytes = buffer_used(&joiner->text);
    joiner->holds = false;
    joiner->gives_events = true;
    return 1;
}

/* Puts an entry of the reader where it belongs. Returns 1 when *ret was given out, 0 when the next
 * entry is needed, or -errno. */
static int take(struct journal_joiner *joiner, const struct journal_reader *reader,
                const struct journal_entry *entry, struct journal_entry *ret)
{
    if (entry->mark == JOURNAL_EVENT_MARK) {
        if (!joiner->holds) {
            *ret = *entry;
            return 1;
        }
        int failed = keep_event(joiner, entry);
        return failed                                        ? failed
               : buffer_used(&joiner->events) > EVENTS_BYTES ? give_held(joiner, ret)
                                                             : 0;
    }
    if (!joiner->holds &&
        journal_reader_is_fresh(reader)) { /* the whole of it, as nearly all are */
        *ret = *entry;
        return 1;
    }
    if (!joiner->holds)
        return hold(joiner, entry);
    if (entry->mark == JOURNAL_CONTINUED &&
        buffer_used(&joiner->text) + entry->bytes <= JOURNAL_JOINED_BYTES) {
        joiner->piece_bytes = entry->bytes;
        return buffer_append(&joiner->text, entry->text, entry->bytes);
    }
    joiner->next = *entry; /* good until the reader is asked again */
    joiner->has_next = true;
    return give_held(joiner, ret);
}

/* Whether the rest of a long line is still being written. Of others the rest may come, too, behind
 * an event: but nobody waits for that. */
static bool waits_for_more(const struct journal_joiner *joiner, const struct journal_reader *reader)
{
    return reader->whole_lines && joiner->piece_bytes == JOURNAL_LINE_BYTES;
}

int journal_joiner_next(struct journal_joiner *joiner, struct journal_reader *reader,
                        struct journal_entry *ret)
{
    struct journal_entry entry;
    int done = 0;

    buffer_consume(&joiner->events, joiner->to_consume);
    joiner->to_consume = 0;
    if (joiner->gives_events && buffer_used(&joiner->events))
        return give_event(joiner, ret);
    joiner->gives_events = false;
    if (joiner->has_next) {
        joiner->has_next = false;
        done = hold(joiner, &joiner->next);
    }
    while (!done) {
        done = journal_reader_next(reader, &entry);
        if (done == 0)
            return joiner->holds && !waits_for_more(joiner, reader) ? give_held(joiner, ret) : 0;
        if (done > 0)
            done = take(joiner, reader, &entry, ret);
    }
    return done;
}

void journal_joiner_finish(struct journal_joiner *joiner)
{
    buffer_finish(&joiner->text);
    buffer_finish(&joiner->events);
    *joiner = (struct journal_joiner){0};
}
