/* What start, stop, restart, reload, reset and signal have in common: one request, what it waits
 * for, what came of it. */
#pragma once

#include "slc/slc.h"

#include <jansson.h>

extern const struct option_row change_options[];

/* `method` is the launcher's. The verb is slc->verb. Returns what to exit with. */
int change_run(struct slc *slc, const char *method);

/* The same without printing more than what went wrong: the results are in *ret_results, which is
 * the caller's, NULL where there are none. */
int change_ask(struct slc *slc, const char *method, json_t **ret_results);

struct json_writer;

/* The same for a method that has one reply, at once. `add` (may be NULL) adds what it takes besides
 * `names`. */
int change_run_at_once(struct slc *slc, const char *method,
                       void (*add)(const struct slc *slc, struct json_writer *parameters));
