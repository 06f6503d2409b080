/* slc disable NAME… [--now] [--root DIR]: switches services off by hand. */
#include "slc/switch.h"

static int run(struct slc *slc)
{
    return switch_run(slc, false);
}

const struct verb verb_disable = {
    .name = "disable",
    .arguments = "NAME…",
    .least = 1,
    .most = ANY_NUMBER,
    .options = switch_options,
    .help = "do not start services at boot",
    .details =
        "Makes the file /etc/conit/disabled/NAME, which outranks the key `enabled` of the "
        "service's\n"
        "file. What runs now is not touched, unless --now is given. Where there is no launcher,\n"
        "and with --root, the files are all that is looked at: for an image, or a chroot.",
    .run = run,
};
