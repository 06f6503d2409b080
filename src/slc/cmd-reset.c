/* slc reset NAME…: forgets failures and ends a back-off. */
#include "slc/change.h"

static int run(struct slc *slc)
{
    return change_run_at_once(slc, "Reset", NULL);
}

const struct verb verb_reset = {
    .name = "reset",
    .arguments = "NAME…",
    .least = 1,
    .most = ANY_NUMBER,
    .help = "forget failures, and end a back-off",
    .details =
        "A service that failed is stopped then; one that backs off is tried again at once, with\n"
        "its first delay; the count of restarts begins anew. What runs is not touched.",
    .run = run,
};
