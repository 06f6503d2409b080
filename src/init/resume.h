/* An init that was executed anew: what the record says is compared with what there is. */
#pragma once

struct init;

/* Before anything is opened: leaves out what is not open, no child, no socket, and closes every
 * descriptor that nothing names. */
void resume_check(struct init *init);

/* Says what happened, and what was left out. */
void resume_say(struct init *init);

/* With a loop: goes on with all that was under way. */
void resume(struct init *init);
