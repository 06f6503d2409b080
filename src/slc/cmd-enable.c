/* slc enable NAME… [--now] [--root DIR]: switches services on by hand. */
#include "slc/switch.h"

static int run(struct slc *slc)
{
    return switch_run(slc, true);
}

const struct verb verb_enable = {
    .name = "enable",
    .arguments = "NAME…",
    .least = 1,
    .most = ANY_NUMBER,
    .options = switch_options,
    .help = "start services at every boot",
    .details =
        "Makes the file /etc/conit/enabled/NAME, which outranks the key `enabled` of the "
        "service's\n"
        "file. What runs now is not touched, unless --now is given. Where there is no launcher,\n"
        "and with --root, the files are all that is looked at: for an image, or a chroot.",
    .run = run,
};
