/* Whether a file on disk is an init that can go on from the record that there is. */
#pragma once

#include "base/text.h"
#include "init/init.h"

/* Starts it as a child that tries: `init --try-state RECORD NONCE` on a copy. Returns 0, or -errno
 * with what failed in `why`. Its pid, the file and its answer are noted in the record. */
int try_init_start(struct init *init, struct text *why);

/* The child has ended with `status`. Whether it can: then the file that it was started from is
 * open, else `why` says why not. */
bool try_init_judge(struct init *init, int status, struct text *why);

/* Gives back what the trial had, but for the file when `keep_file`. */
void try_init_close(struct init *init, bool keep_file);

/* In the child: main(). Returns the exit status. */
int try_init_main(int argc, char **argv);

#define TRY_INIT_WORD "--try-state"
