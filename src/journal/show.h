/* How entries are shown: what a terminal can be given, and JSON. Pure.
 *
 * All append to `out` and return 0, or -ENOMEM with some of it appended. */
#pragma once

#include "base/buffer.h"
#include "journal/format.h"

/* For people: what a terminal would obey as `\x1b`, byte by byte: control characters but TAB, what
 * turns the direction of writing (U+202E …), line separators; and `\xff` for what is no UTF-8. */
int journal_show_escaped(struct buffer *out, const char *bytes, size_t count);

/* A JSON string in quotes, with U+FFFD for each byte that is no UTF-8; *ret_damaged says whether
 * there was one. */
int journal_show_json_string(struct buffer *out, const char *bytes, size_t count,
                             bool *ret_damaged);

/* RFC 4648, with padding. */
int journal_show_base64(struct buffer *out, const char *bytes, size_t count);

/* "TIME LEVEL TEXT\n", in local time; with a service, "TIME SERVICE LEVEL TEXT\n". Events keep
 * their `+`. */
int journal_show_short(struct buffer *out, const char *service, const struct journal_entry *entry);

/* One object and a line end: time (null where it is not known), service, stream, level, message,
 * and raw in base64 where the bytes were no UTF-8. */
int journal_show_json(struct buffer *out, const char *service, const struct journal_entry *entry);
