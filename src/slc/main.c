/* slc: looks at and controls the services of conit. Here: the beginning and the end; verbs.c has
 * the table of verbs. docs/control.md is the page about it.
 *
 * Nothing is set up that one verb does not need: a script may ask for a status a hundred times. */
#include "slc/slc.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DEFAULT_LOGS "/var/log/conit"

/* What was printed counts only once it is written. A reader that has gone is no error: it has what
 * it wanted. */
static int flush_output(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    if (errno != EPIPE)
        slc_complain("output", "cannot be written: %m");
    return errno == EPIPE || status != SLC_DONE ? status : SLC_FAILED;
}

int main(int argc, char **argv)
{
    struct slc slc = {0};
    int status;

    signal(SIGPIPE, SIG_IGN);
    status = slc_parse(&slc, argc, argv);
    if (status != SLC_DONE)
        return status;
    if (!slc.options.runtime)
        slc.options.runtime = getenv("CONIT_RUNTIME");
    if (!slc.options.runtime || !*slc.options.runtime)
        slc.options.runtime = SLC_DEFAULT_RUNTIME;
    slc.logs_given = slc.options.logs != NULL;
    if (!slc.logs_given)
        slc.options.logs = DEFAULT_LOGS;
    return flush_output(slc.verb->run(&slc));
}
