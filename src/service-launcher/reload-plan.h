/* What one reload does, worked out before anything is done: so a dry run says the same words, and
 * what cannot be done is known before it is begun.
 *
 *   plan_begin()    compares texts with those in force
 *   plan_step()     parses a few of those that differ; to be called again while there are more
 *   plan_decide()   the report
 *   plan_carry_out()
 *
 * Between the first and the last nobody else may change what is in force (launcher->reloading).
 * The report points into the plan and into the reading. */
#pragma once

#include "config/reading.h"
#include "config/system-file.h"
#include "service-launcher/launcher.h"

/* One name: as it was read, and as it is in force. One of the two may be NULL. Of an instance
 * without a file both are its template's text under its own name. */
struct planned {
    const struct source *now, *before;
    struct definition *definition; /* what `now` says; NULL: not parsed, or it does not load */
    char *errors;                  /* why it does not load; from malloc */
    bool parse, broken;
    bool template;              /* it is one, and no service */
    bool instance;              /* what is in force afterwards is a template's */
    const struct source *kept;  /* what is in force afterwards; NULL: nothing */
    struct reload_entry *entry; /* NULL: there is nothing to say */
};

struct plan {
    struct launcher *launcher;
    const struct reading *reading;
    struct sources before;
    struct planned *names; /* in their order */
    size_t count, parsed;
    struct source *made; /* texts of templates under the names of instances */
    size_t made_count;
    struct reload_report report;
    struct arena arena;      /* of words in the report */
    const char *order_words; /* names in the system file that no service has; or NULL */
    const char *more_words;  /* how many such names there are beyond those that are told; or NULL */
    struct source *keep;     /* what is to be in force afterwards */
    size_t kept;
    struct system_file system_file;
    bool system_changed, only_switches;
    bool starts;             /* what is new is started, if it is enabled */
    struct definition **old; /* definitions that were in force */
    size_t old_count;
};

/* With `only_switches` all files but those count as they were. Returns 0 or -errno. *plan is to be
 * finished in every case. */
int plan_begin(struct plan *plan, struct launcher *launcher, const struct reading *reading,
               bool only_switches);

/* Returns whether there is more to parse. */
bool plan_step(struct plan *plan);

/* Fills in plan->report. Returns 0 or -ENOMEM. */
int plan_decide(struct plan *plan);

/* reload-names.c: adds to the report what the new texts mean together. Returns 0 or -ENOMEM. */
int plan_look_at_names(struct plan *plan);

/* Whether a service or template of that name is in the plan. */
bool plan_has(const struct plan *plan, const char *name);

/* With `starts`: starts what is `unbegun`, if it is enabled; else that stays so for the next reload
 * that does. Of what is up now, nothing is stopped by what that and changed needs bring. -ENOMEM:
 * it stays so, too. */
int plan_want(struct launcher *launcher, bool starts);

/* Notes that its file is gone, or is there again. */
void plan_set_gone(struct launcher *launcher, struct service *service, bool gone);

/* Returns 0, or -errno: then nothing was changed. */
int plan_carry_out(struct plan *plan, struct reload_request *request);

void plan_finish(struct plan *plan);
