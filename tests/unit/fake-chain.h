/* Three services in a row on a made-up kernel, and requests about them: what tests of the manager
 * have in common. */
#pragma once

#include "fake-kernel.h"

extern struct fake fake;
extern int answers;               /* how many requests were answered; a test sets it to 0 */
extern struct request_item asked; /* what became of the last ask() */

/* a needs b needs c; all daemons, loaded. */
void chain(void);
/* The same, and they run; `order` is empty. */
void chain_running(void);

/* Begins a request about one service. Its items are the caller's to free. */
struct request request_of(enum request_verb verb, const char *name);
/* Does it all: begins, lets everything happen, and returns the outcome of the service named. */
enum outcome ask(enum request_verb verb, const char *name);

/* Checks that no event came that cannot, and that no request is left. */
void end(void);
