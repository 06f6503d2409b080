/* poweroff, reboot, halt, kexec: the launcher answers before it begins, so slc is done before
 * anything is stopped. */
#include "slc/end-machine.h"

#include "slc/client.h"

#include <stdio.h>

const struct option_row end_machine_options[] = {
    {"force", 0, OPTION_FLAG, offsetof(struct options, force), NULL,
     "do not stop the services in order first"},
    {NULL},
};

int end_machine_run(struct slc *slc)
{
    const struct varlink_reply *reply;
    struct client client;
    struct json_writer *parameters = client_begin(&client, slc, "ShutDown", false);
    int status;

    json_add_string(parameters, "how", slc->verb->name);
    client_add_id(&client);
    if (slc->options.force)
        json_add_bool(parameters, "force", true);
    status = client_ask(&client, &reply);
    client_finish(&client);
    if (status == SLC_DONE && slc->options.json)
        printf("{\"begun\":\"%s\"}\n", slc->verb->name);
    else if (status == SLC_DONE && !slc->options.quiet)
        printf("%s: begun\n", slc->verb->name);
    return status;
}
