/* slc restart NAME…: stops services and starts them again. */
#include "slc/change.h"

static int run(struct slc *slc)
{
    return change_run(slc, "Restart");
}

const struct verb verb_restart = {
    .name = "restart",
    .arguments = "NAME…",
    .least = 1,
    .most = ANY_NUMBER,
    .options = change_options,
    .help = "stop and start services, along with what needs them",
    .details = "What does not run is started; a task that is done runs again.",
    .run = run,
};
