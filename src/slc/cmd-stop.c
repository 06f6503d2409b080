/* slc stop NAME…: stops services, and before them what needs them. */
#include "slc/change.h"

static int run(struct slc *slc)
{
    return change_run(slc, "Stop");
}

const struct verb verb_stop = {
    .name = "stop",
    .arguments = "NAME…",
    .least = 1,
    .most = ANY_NUMBER,
    .options = change_options,
    .help = "stop services and what needs them, and wait until they are down",
    .details = "What was stopped stays stopped until it is started, or something that needs it is.",
    .run = run,
};
