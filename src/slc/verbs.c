/* The table of verbs, and the options that all of them have. */
#include "slc/slc.h"

const struct verb *const slc_verbs[] = {
    &verb_list,   &verb_status,  &verb_show,    &verb_start,    &verb_stop,   &verb_restart,
    &verb_reload, &verb_enable,  &verb_disable, &verb_signal,   &verb_reset,  &verb_journal,
    &verb_events, &verb_wait,    &verb_check,   &verb_poweroff, &verb_reboot, &verb_halt,
    &verb_kexec,  &verb_upgrade, &verb_help,    &verb_version,  NULL,
};

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
