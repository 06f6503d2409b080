/* Standing still while a new journal is tried beside this one: everything that was taken is
 * written, and neither thread does anything until it is to go on. */
#pragma once

#include "service-journal/journal.h"

#define STAND_STILL_WHY_BYTES 300

/* Takes nothing more out of pipes, has all written and synced, and stops the writer. Waits for
 * that; not for a disk that hangs. Returns 0, or -EBUSY with the reason in `why`: then nothing is
 * stopped, and nothing was lost. */
int journal_stand_still(struct journal *journal, char why[static STAND_STILL_WHY_BYTES]);

/* Goes on. */
void journal_stand_no_more(struct journal *journal);
