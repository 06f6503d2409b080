/* What reloads need between the loop's turns; launcher_reload() and its like are in launcher.h. */
#pragma once

#include "service-launcher/reload-plan.h"

struct reloads {
    struct launcher *launcher;
    struct list waiting; /* requests, for the next reading */
    struct list current; /* for this one */
    struct loop_timer timer;
    struct reading reading;
    struct plan plan;
    bool begun, planning;
};

void reloads_init(struct reloads *reloads, struct launcher *launcher);
