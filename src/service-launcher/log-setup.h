/* Where the launcher's lines go, and which of a service's changes are worth one. */
#pragma once

#include "service-launcher/launcher.h"

#include "log/log.h"

/* The console: descriptor 2. */
void log_to_console(enum log_level least, bool container);

/* The journal `conit` too, from now on. */
void log_to_journal(struct launcher *launcher);

/* Tells the journal what the system file in force says of all journals. */
void log_tell_settings(struct launcher *launcher);

/* One line for a change of state, here and in the service's own journal. */
void log_change(struct launcher *launcher, struct service *service, enum service_state before);

/* The line that ends the boot, once, as soon as nothing is on its way up any more. */
void log_started(struct launcher *launcher);
