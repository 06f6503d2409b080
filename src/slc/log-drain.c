/* Before journals are read: what services have printed by now is to be in their files. */
#include "slc/log-drain.h"
#include "slc/client.h"

#include <string.h>

bool log_drain(const struct slc *slc, char **ret_logs, bool *ret_drained)
{
    const struct varlink_reply *reply;
    struct client client;

    client_begin(&client, slc, "DrainJournal", false);
    bool answered = client_ask_quietly(&client, &reply) == SLC_DONE;
    if (answered) {
        const char *logs = json_string_value(json_object_get(reply->parameters, "logs"));
        *ret_logs = logs ? strdup(logs) : NULL;
        *ret_drained = json_is_true(json_object_get(reply->parameters, "drained"));
    }
    client_finish(&client);
    return answered;
}

void log_drain_complain(const char *about)
{
    slc_complain(about, "the journal is slow to write: the newest lines may be missing");
}
