/* From the queue into files: batches, and the backlogs of what cannot be written (writer.h). */
#pragma once

#include "service-journal/writer.h"

/* Finds the books of the records. */
void writer_set_book(uint32_t slot, struct book *book);
struct book *writer_book(uint32_t slot);

/* Whether what comes next has to go through the backlog; its end. Under the lock. */
bool writer_has_backlog(const struct book *book);
void writer_drop_backlog(struct writer *writer, struct book *book);

/* Why it cannot be written. Static until the next call of strerror(). */
const char *writer_reason(const struct book *book);

/* Another journal has left what is to be taken back of its file. */
void writer_restore_cut(struct writer *writer, struct book *book);

/* Writes what another journal had begun back to where it began. */
void writer_rewind(struct writer *writer);

/* Takes a batch and writes it. False: there was nothing. */
bool writer_batch(struct writer *writer);

/* Tries the backlog of one book, whatever the others'. */
void writer_retry_one(struct writer *writer, struct book *book);

/* Tries the backlogs until so many could not be written; the others come first the next time. */
void writer_retry(struct writer *writer, unsigned failures_most);
