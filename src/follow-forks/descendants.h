/* All that live below this process, however far away: it is a child subreaper, so whoever loses its
 * parent becomes its child. Numbers are never signalled: each process is opened, and is looked at
 * once more before it gets anything. */
#pragma once

/* A signal to each that is there. Returns how many got it. `but_group`: those in that process group
 * are left out (0: nobody is). */
int descendants_signal(int signal, int but_group);

/* SIGKILL to all, also to those that are born meanwhile: first everybody is stopped, and looked for
 * again until nobody new is found, so that nobody is left who could fork. Call it again when some
 * have been reaped, until there are no children. */
void descendants_kill(void);
