/* slc kexec: stops the services and jumps into the kernel that kexec(8) has loaded. */
#include "slc/end-machine.h"

const struct verb verb_kexec = {
    .name = "kexec",
    .arguments = "",
    .options = end_machine_options,
    .help = "stop the services and jump into the kernel that kexec(8) has loaded",
    .details = "Where none is loaded the machine starts again.",
    .run = end_machine_run,
};
