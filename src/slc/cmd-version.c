/* slc version: which slc this is. The launcher's version is told by its method Describe. */
#include "slc/slc.h"

#include <stdio.h>

static int run(struct slc *slc)
{
    if (slc->options.json)
        printf("{\"version\":\"%s\"}\n", CONIT_VERSION);
    else
        printf("slc (conit) %s\n", CONIT_VERSION);
    return SLC_DONE;
}

const struct verb verb_version = {
    .name = "version",
    .arguments = "",
    .help = "which version of slc this is",
    .run = run,
};
