/* Saying what of journals could not be read. */
#pragma once

#include "slc/log-merge.h"

/* Says on stderr what was met since it was asked last, and is of the times that are wanted: the
 * file, and from when to when. Returns whether there was anything. To be asked at the end. */
bool log_loss_tell(struct log_merge *merge);

/* The same of one source: before its reader is exchanged, with which what it has met is gone. */
bool log_loss_tell_of(const struct log_merge *merge, struct log_source *source);

/* Says where something else than a file stands in the place of `current`, which is neither written
 * nor read then. `runtime`: where it is written meanwhile; NULL: not known. */
void log_loss_tell_odd(const struct log_source *source, const char *runtime);
