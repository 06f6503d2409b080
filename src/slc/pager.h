/* A pager for what is long: CONIT_PAGER, else PAGER, else less, which ends by itself where all fits
 * the screen. Empty or "cat" is none. */
#pragma once

/* Puts a pager behind standard output, if that is a terminal and there is one. */
void pager_begin(void);

/* Ends the output and waits until the pager has ended. */
void pager_finish(void);
