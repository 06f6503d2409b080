/* slc: what its files share. A verb is a row and a function; an option is a row too. From the rows
 * come the parser, `slc help` and the checks of what was given.
 *
 * Layers: base, service (names, graph), config, protocol, journal. Never loop or proc. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit statuses, as docs/control.md has them. */
enum {
    SLC_DONE = 0,
    SLC_FAILED = 1,
    SLC_USAGE = 2,
    SLC_NOT_RUNNING = 3,
    SLC_NO_SERVICE = 4,
    SLC_NO_LAUNCHER = 5,
    SLC_NOT_PERMITTED = 6
};

#define SLC_DEFAULT_RUNTIME "/run/conit"
#define SLC_SERVICES_MAX    16 /* --services may be given so often */

struct options {
    const char *runtime, *logs, *config;
    const char *services[SLC_SERVICES_MAX + 1]; /* NULL-terminated */
    const char *root;
    const char *timeout, *lines, *output, *state;
    const char *since, *until, *grep, *priority, *boot;
    const char *signal; /* no option: the first word of `slc signal` */
    bool json, quiet, help, version;
    bool failed, no_wait, force, dry_run, no_start, all, now;
    bool follow, no_pager;
};

enum option_kind {
    OPTION_FLAG,
    OPTION_TEXT,
    OPTION_LIST,
    OPTION_BACK /* a text that may be missing ("0" then), or be "-1", "-2" … */
};

/* Rows end with one whose name is NULL. */
struct option_row {
    const char *name; /* "--json" without its dashes */
    char letter;      /* 0: none */
    enum option_kind kind;
    size_t offset;        /* in struct options */
    const char *argument; /* "DIR", for the help; NULL for a flag */
    const char *help;
};

#define ANY_NUMBER 1000000

struct slc;

struct verb {
    const char *name;
    const char *arguments; /* "NAME…", for the help; "" for none */
    unsigned least, most;  /* how many words may follow it */
    const struct option_row *options;
    const char *help;    /* one line */
    const char *details; /* more lines for `slc help VERB`; NULL: none */
    int (*run)(struct slc *slc);
};

struct slc {
    struct options options;
    bool logs_given; /* --logs, not its default */
    const struct verb *verb;
    char **words; /* what follows the verb, NULL-terminated */
    size_t word_count;
};

/* All verbs, NULL-terminated. */
extern const struct verb *const slc_verbs[];
extern const struct option_row slc_options[];

/* The verb of that name, or NULL. */
const struct verb *slc_find_verb(const char *name);

/* Says that there is no such verb, and which one may be meant; returns SLC_USAGE. */
int slc_no_such_verb(const char *name);

/* Reads the command line. Returns SLC_DONE, or what to exit with after it has said why. */
int slc_parse(struct slc *slc, int argc, char **argv);

/* "slc: WHAT: WHY" on stderr. */
void slc_complain(const char *what, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Of the name of one of our own journals, given as that of a service. */
void slc_complain_of_journal(const char *name);

/* Prints what went wrong with the usage of `what`; returns SLC_USAGE. */
int slc_usage(const char *what, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Reads a time option ("5s"); `text` NULL is none: *ret stays. SLC_DONE, or SLC_USAGE said. */
int slc_read_time(const char *option, const char *text, int64_t *ret_ms);

/* The rows of the verbs, each in its cmd-VERB.c. */
extern const struct verb verb_check, verb_events, verb_halt, verb_help, verb_journal, verb_kexec,
    verb_disable, verb_enable, verb_show, verb_list, verb_poweroff, verb_reboot, verb_reload,
    verb_reset, verb_restart, verb_signal, verb_start, verb_status, verb_stop, verb_upgrade,
    verb_version, verb_wait;
