/* What slc prints for people: tables, states with their colour and symbol, spans of time. Colour
 * and symbols stand only on a terminal; elsewhere the same words stand alone. */
#pragma once

#include "base/clock.h"

#include "base/buffer.h"
#include "base/text.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct render {
    bool terminal; /* stdout is one */
    bool colour, unicode;
    unsigned width; /* columns of the terminal; 0: no limit */
    uint64_t now_ns;
};

/* Looks at stdout and the environment (NO_COLOR, TERM, LC_ALL, LC_CTYPE, LANG). */
struct render render_begin(void);

/* "● " on a terminal, "" elsewhere. */
const char *render_symbol(const struct render *render, const char *state);

/* The escape sequences before and after the name of a state, or of any word: "" without colour. */
const char *render_state_colour(const struct render *render, const char *state);
const char *render_bold(const struct render *render);
const char *render_plain(const struct render *render);

/* How long ago that was: "850ms", "5s", "2min 3s", "1h 4min", "12d 3h"; "?" for what is no time. */
void render_age(const struct render *render, const char *since, struct text *text);

/* A time of the launcher's, which is UTC, as people are shown it: local. Returns `storage`, or what
 * was given where it is no time. */
const char *render_time(const char *time, char storage[static CLOCK_LOCAL_BYTES]);
void render_span(uint64_t span_ns, struct text *text);

/* "12.5 MiB". */
void render_bytes(uint64_t bytes, struct text *text);

/* "exited with 3", "ended by SIGKILL" of the interface's type Exit; false: there is none. */
bool render_exit(const json_t *exit, struct text *text);

/* A value as JSON with a line end, indented on a terminal. */
void render_json(const json_t *value);

/* A value as JSON in one line, for a stream of them. */
void render_json_line(const json_t *value);

/* ---- tables --------------------------------------------------------------------------------- */

#define TABLE_COLUMNS_MAX 8

/* Cells are collected, then printed with columns as wide as their widest cell; the last column is
 * cut at the terminal's edge. A zeroed one with its columns set is empty. */
struct table {
    unsigned columns;
    const char *titles[TABLE_COLUMNS_MAX];
    bool right[TABLE_COLUMNS_MAX]; /* aligned to the right */
    int state_column;              /* whose words are states, to be coloured; -1: none */
    struct buffer cells;           /* each ended by a NUL */
    unsigned widths[TABLE_COLUMNS_MAX];
    unsigned next; /* the column of the next cell */
    bool failed;
};

/* The next cell, from left to right and line by line. Control characters become `?`. */
void table_add(struct table *table, const char *cell);

/* Prints and empties it. Returns 0 or -ENOMEM when a cell could not be kept. */
int table_print(struct table *table, const struct render *render, FILE *stream);

/* How many columns the text takes, counting each character of UTF-8 as one. */
unsigned render_columns(const char *text);

/* All texts in a reply as journal_show_escaped() has them, but for paths that are opened. Returns 0
 * or -ENOMEM. */
int render_escape_all(json_t *value);

/* A member of a JSON object as text; "" where there is none. */
const char *render_member(const json_t *object, const char *key);
