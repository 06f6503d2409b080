/* slc poweroff: stops the services and switches the machine off. */
#include "slc/end-machine.h"

const struct verb verb_poweroff = {
    .name = "poweroff",
    .arguments = "",
    .options = end_machine_options,
    .help = "stop the services and switch the machine off",
    .details = "In a container its init ends instead.",
    .run = end_machine_run,
};
