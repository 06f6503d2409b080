/* Journals for the tests of their faults: a folder that each attempt begins anew, files with
 * numbered lines, and reading them all. For one test at a time. */
#pragma once

#include "journal/reader.h"
#include "journal/store.h"

#include <stdbool.h>
#include <stdint.h>

#define TIME   "2026-11-22T13:54:00.123456Z"
#define STEM   "20261122T135400.123456Z"
#define PREFIX TIME " info "
#define LINES  40

extern char top[], logs[64], fallback[64]; /* below top */
extern struct journal_store store;
extern struct journal_file file; /* of the journal `web` */
extern uint64_t now_ns;

/* An empty folder, a store in it, and the file. */
void begin(void);
void finish(void);

/* Appends lines with the numbers from the first until before the second to a file of `web`. */
void write_file(const char *folder, const char *leaf, int from, int until);
bool is_there(const char *folder, const char *leaf);

extern int read_until; /* the number after the last that was read */
extern bool any_order; /* what is read is there once, in whatever order */

/* Reads on; every entry has to be the next number. Returns the number after the last, or -errno. */
int read_numbers(struct journal_reader *reader, int from);

/* All of the journal: the numbers from 0 on. Returns how many there are, or -errno. */
int read_all(const char *folder, bool ahead);

/* Writes one line; what is not written is tried again. Returns whether it is written whole. */
bool write_line(int number);
