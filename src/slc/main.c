/* slc: looks at and controls the services of conit. Here: the table of verbs, the options that all
 * of them have, and the end. docs/control.md is the page about it.
 *
 * Nothing is set up that one verb does not need: a script may ask for a status a hundred times. */
#include "slc/slc.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DEFAULT_LOGS "/var/log/conit"

const struct verb *const slc_verbs[] = {
    &verb_list,   &verb_status, &verb_show,    &verb_start,    &verb_stop,   &verb_restart,
    &verb_reload, &verb_enable, &verb_disable, &verb_signal,   &verb_reset,  &verb_journal,
    &verb_events, &verb_wait,   &verb_check,   &verb_poweroff, &verb_reboot, &verb_halt,
    &verb_kexec,  &verb_help,   &verb_version, NULL,
};

const char *const slc_later_verbs[] = {"upgrade", NULL};

#define FIELD(name) offsetof(struct options, name)

const struct option_row slc_options[] = {
    {"runtime", 0, OPTION_TEXT, FIELD(runtime), "DIR",
     "where the launcher's socket is (CONIT_RUNTIME, /run/conit)"},
    {"logs", 0, OPTION_TEXT, FIELD(logs), "DIR",
     "where the journals are (the launcher's, else /var/log/conit)"},
    {"json", 0, OPTION_FLAG, FIELD(json), NULL, "print JSON"},
    {"quiet", 'q', OPTION_FLAG, FIELD(quiet), NULL, "print errors only"},
    {"help", 'h', OPTION_FLAG, FIELD(help), NULL, "print help"},
    {"version", 0, OPTION_FLAG, FIELD(version), NULL, "print the version"},
    {NULL},
};

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
