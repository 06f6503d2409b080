/* slc start NAME…: starts services, and what they need. */
#include "slc/change.h"

static int run(struct slc *slc)
{
    return change_run(slc, "Start");
}

const struct verb verb_start = {
    .name = "start",
    .arguments = "NAME…",
    .least = 1,
    .most = ANY_NUMBER,
    .options = change_options,
    .help = "start services and what they need, and wait until they are up",
    .details = "What runs already, is done or was skipped stays as it is, and that is no error.",
    .run = run,
};
