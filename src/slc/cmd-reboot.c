/* slc reboot: stops the services and starts the machine again. */
#include "slc/end-machine.h"

const struct verb verb_reboot = {
    .name = "reboot",
    .arguments = "",
    .options = end_machine_options,
    .help = "stop the services and start the machine again",
    .details = "In a container its init ends in the way that says: start it again.",
    .run = end_machine_run,
};
