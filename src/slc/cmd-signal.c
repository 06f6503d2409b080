/* slc signal SIG NAME… [--all]: sends a signal to services. */
#include "slc/change.h"
#include "slc/client.h"

#include "base/signals.h"

static const struct option_row options[] = {
    {"all", 0, OPTION_FLAG, offsetof(struct options, all), NULL,
     "to all processes of the service, not only to the main one"},
    {NULL},
};

static void add_parameters(const struct slc *slc, struct json_writer *parameters)
{
    json_add_string(parameters, "signal", slc->options.signal);
    if (slc->options.all)
        json_add_bool(parameters, "all", true);
}

static int run(struct slc *slc)
{
    int number;

    if (signals_parse(slc->words[0], &number) < 0)
        return slc_usage(slc->words[0], "is no signal: write HUP, SIGTERM, USR1, RTMIN+3 or a "
                                        "number, and behind it the names");
    slc->options.signal = slc->words[0];
    slc->words++; /* the names are what is left */
    slc->word_count--;
    return change_run_at_once(slc, "Signal", add_parameters);
}

const struct verb verb_signal = {
    .name = "signal",
    .arguments = "SIG NAME…",
    .least = 2,
    .most = ANY_NUMBER,
    .options = options,
    .help = "send a signal to the main process of services",
    .details =
        "SIG is a name or a number: HUP, SIGUSR1, 15, RTMIN+3. slc ends with 1 where the process\n"
        "does not run. A main process that ends by it is restarted as its file says.",
    .run = run,
};
