/* What init does when it cannot be trusted any more: hardly anything, and that well. */
#pragma once

struct init;

/* Reaps, keeps what it holds, says so on the console, and ends the machine when a signal asks for
 * it. Left after ten minutes without a fault: init is executed anew. Does not return. */
void __attribute__((noreturn)) minimal_loop(struct init *init);

/* The same without a record, a console or a way out: only reaping and ending. For a signal handler.
 */
void __attribute__((noreturn)) minimal_last_resort(void);
