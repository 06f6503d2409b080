/* Executing init anew, with its record: after a fault, and for an upgrade. */
#pragma once

#include "init/record.h"

/* Opens our own file and notes it and our name in the record, at the first start. */
void execute_note_self(struct kept *kept, int proc_fd);

/* The words of an init that was executed anew, until execute_prepare() has those of its record. */
void execute_use_words(int argc, char **argv);

/* Makes ready what is needed for it, so that nothing but a system call is left to do. After that
 * the record's words must not change. */
void execute_prepare(const struct kept *kept);

/* Executes the file behind `fd`, which goes on from the record, with every signal blocked. Only
 * returns when that fails: -errno; then signals are as they were. For signal handlers, too. */
int execute_anew(int fd);

/* The same with another record, by the same words. */
int execute_with(int fd, int record_fd);

/* The same with our own file, wherever it can still be found. */
int execute_self(void);

/* The number of the record that an init which was executed anew is given in its command line, or
 * -1.
 */
int execute_find_record(int argc, char **argv);

/* In the new one: our name, and a command line without that number. */
void execute_take_name_back(const struct kept *kept, int argc, char **argv);
