/* slc halt: stops the services and leaves the machine standing. */
#include "slc/end-machine.h"

const struct verb verb_halt = {
    .name = "halt",
    .arguments = "",
    .options = end_machine_options,
    .help = "stop the services and leave the machine standing",
    .details = "In a container its init ends instead.",
    .run = end_machine_run,
};
