/* The launcher's command line. */
#pragma once

#include "service-launcher/launcher.h"

/* Fills *options from the command line and the environment, and sets up logging to the console.
 * Ends the program after --help and --version (0) and on wrong usage (2). */
void options_parse(struct launcher_options *options, int argc, char **argv);
