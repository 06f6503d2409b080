/* The end of the machine, as far as it is the launcher's: services in order, then init. */
#pragma once

#include "service-launcher/launcher.h"

/* How far it is. */
struct ending {
    struct launcher *launcher;
    struct loop_timer progress_timer;
    bool told; /* init was */
};

void ending_init(struct ending *ending, struct launcher *launcher);

/* To be called in each turn: tells init once all services are down. */
void launcher_check_shut_down(struct launcher *launcher);
